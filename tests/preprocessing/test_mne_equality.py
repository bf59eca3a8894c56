"""Filters and resampling equal those of `mne.io.Raw`."""

from __future__ import annotations

import mne
import numpy as np
import pytest

from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.signals.sensors import Sensors

CASES: list[tuple[SignalStep, str, tuple]] = [
    (BandPass(1.0, 30.0), "filter", (1.0, 30.0)),
    (BandPass(0.5, None), "filter", (0.5, None)),
    (BandPass(None, 30.0), "filter", (None, 30.0)),
    (Notch(40.0), "notch_filter", ([40.0, 80.0],)),
    (Resample(125.0), "resample", (125.0,)),
    (Resample(128.0), "resample", (128.0,)),
]


@pytest.mark.parametrize("n_times", [2000, 2013])
@pytest.mark.parametrize(("step", "method", "arguments"), CASES, ids=[repr(step) for step, *_ in CASES])
def test_a_step_equals_the_method_of_mne(step: SignalStep, method: str, arguments: tuple, n_times: int) -> None:
    data = np.random.default_rng(0).standard_normal((2, n_times))
    raw = mne.io.RawArray(data.copy(), mne.create_info(["A", "B"], 200.0, "eeg"), verbose="ERROR")
    expected = getattr(raw, method)(*arguments, verbose="ERROR").get_data()
    signal = Continuous(data, 200.0, Sensors(("A", "B"), ("eeg", "eeg")))
    np.testing.assert_array_equal(step.apply(signal).data, expected)
