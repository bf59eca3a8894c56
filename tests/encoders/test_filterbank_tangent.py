"""Tangent space of co-spectra."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.filterbank_tangent import FilterbankTangent
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("O1", "O2"), ("eeg",) * 2), n_times=200, rate_hz=100.0)


def test_an_oscillation_changes_its_own_band_only():
    rng = np.random.default_rng(0)
    rest = rng.normal(size=(30, 2, 200)) * 1e-6
    flicker = rest + 5e-6 * np.sin(2 * np.pi * 10 * np.arange(200) / 100)
    encoder = FilterbankTangent(SPEC, bands_hz=[[8, 12], [20, 30]])
    encoder.fit_arrays(rest, None)
    change = np.abs(encoder.transform(flicker) - encoder.transform(rest)).mean(axis=0)
    assert encoder.embedding_dim == len(change) == 6
    assert change[:3].min() > 1.0
    assert change[3:].max() < 0.01


def test_a_band_without_a_frequency_is_refused():
    with pytest.raises(ConfigError, match=r"none is in \[60, 80\] Hz"):
        FilterbankTangent(SPEC, bands_hz=[[60, 80]])


def test_shrinkage_above_one_is_refused():
    with pytest.raises(ConfigError, match=r"between 0 and 1, got 1.5"):
        FilterbankTangent(SPEC, shrinkage=1.5)
