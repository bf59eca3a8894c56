"""Log band power."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.band_power import BandPower
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("O1", "O2"), ("eeg",) * 2), n_times=200, rate_hz=100.0)


def test_a_sine_has_its_power_in_its_band():
    times_s = np.arange(200) / 100
    windows = np.stack([np.sin(2 * np.pi * 10 * times_s), np.sin(2 * np.pi * 25 * times_s)])[None] * 1e-6
    features = BandPower(SPEC, bands_hz=[[9, 11], [24, 26]]).transform(windows).reshape(2, 2)
    assert features[0, 0] - features[0, 1] > 5
    assert features[1, 1] - features[1, 0] > 5


def test_ten_times_the_amplitude_adds_two_decades():
    windows = np.random.default_rng(0).normal(size=(3, 2, 200))
    encoder = BandPower(SPEC)
    np.testing.assert_allclose(encoder.transform(10 * windows) - encoder.transform(windows), 2.0, atol=1e-9)


def test_a_band_between_two_frequencies_is_refused():
    with pytest.raises(ConfigError, match=r"steps of 0.5 Hz up to 50 Hz; none is in \[10.1, 10.4\] Hz"):
        BandPower(SPEC, bands_hz=[[10.1, 10.4]])


def test_a_band_above_half_the_rate_is_refused():
    with pytest.raises(ConfigError, match="Widen the band or the window"):
        BandPower(SPEC, bands_hz=[[60, 80]])
