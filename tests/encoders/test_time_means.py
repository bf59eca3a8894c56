"""Means over bins of time."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.time_means import TimeMeans
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("C3", "C4"), ("eeg",) * 2), n_times=10, rate_hz=10.0, start_s=-0.2)
WINDOWS = np.arange(20.0).reshape(1, 2, 10)


def test_bins_are_averaged_channel_by_channel():
    encoder = TimeMeans(SPEC, bin_s=0.5)
    encoder.fit_arrays(WINDOWS, None)
    scale = np.arange(10.0).std()
    np.testing.assert_allclose(encoder.transform(WINDOWS) * scale, [[2.0, 7.0, 12.0, 17.0]])


def test_without_a_length_one_bin_spans_the_window():
    encoder = TimeMeans(SPEC, bin_s=None)
    encoder.fit_arrays(WINDOWS, None)
    np.testing.assert_allclose(encoder.transform(WINDOWS) * np.arange(10.0).std(), [[4.5, 14.5]])


def test_interval_is_relative_to_the_event():
    encoder = TimeMeans(SPEC, bin_s=0.2, start_s=0.0, stop_s=0.4)
    encoder.fit_arrays(WINDOWS, None)
    np.testing.assert_allclose(encoder.transform(WINDOWS) * np.arange(10.0).std(), [[2.5, 4.5, 12.5, 14.5]])


def test_interval_outside_the_window_is_refused():
    with pytest.raises(ConfigError, match=r"must lie in the window \[-0.2, 0.8\) s; got start_s=0, stop_s=1"):
        TimeMeans(SPEC, bin_s=0.1, start_s=0.0, stop_s=1.0)


def test_bin_shorter_than_a_sample_is_refused():
    with pytest.raises(ConfigError, match="at least one sample of 0.1 s, got bin_s=0.01"):
        TimeMeans(SPEC, bin_s=0.01)
