"""The window itself as a vector."""

from __future__ import annotations

import numpy as np

from brain_decode.encoders.flatten import Flatten
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec


def test_times_of_the_first_channel_come_first():
    encoder = Flatten(SignalSpec(Sensors(("C3", "C4"), ("eeg",) * 2), n_times=2, rate_hz=10.0))
    np.testing.assert_array_equal(encoder.transform(np.array([[[1.0, 2.0], [3.0, 4.0]]])), [[1.0, 2.0, 3.0, 4.0]])


def test_stored_vectors_of_one_sample_are_not_flat():
    encoder = Flatten(SignalSpec(Sensors(("C3", "C4"), ("eeg",) * 2), n_times=1, rate_hz=1.0))
    vectors = np.array([[[1.0], [2.0]]])
    encoder.fit_arrays(vectors, None)
    np.testing.assert_array_equal(encoder.transform(vectors), [[1.0, 2.0]])
