"""The size of a signal tells a wrong unit prefix from an unusual recording."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.signals.amplitude import typical_amplitudes, unit_factor_guess


def brain_signal(scale: float, n_channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n_channels, 4000)) * scale


@pytest.mark.parametrize(
    ("scale", "factor"), [(20e-6, 1.0), (2e-6, 1.0), (500e-6, 1.0), (20.0, 1e-6), (0.02, 1e-3), (2e-11, 1e6)]
)
def test_eeg_in_a_wrong_unit_is_told_by_its_size(scale: float, factor: float) -> None:
    assert unit_factor_guess(brain_signal(scale), ("eeg",) * 3) == pytest.approx(factor)


def test_femtotesla_labelled_tesla_are_told() -> None:
    assert unit_factor_guess(brain_signal(300.0), ("mag",) * 3) == pytest.approx(1e-15)


def test_slow_drift_of_an_electrode_is_no_wrong_unit() -> None:
    drift = np.linspace(0, 0.3, 4000)  # 0.3 V: an amplifier without a high-pass
    assert unit_factor_guess(brain_signal(20e-6) + drift, ("eeg",) * 3) == 1.0


def test_size_says_nothing_about_features_or_flat_channels() -> None:
    assert unit_factor_guess(brain_signal(20.0), ("feature",) * 3) is None
    assert unit_factor_guess(np.zeros((3, 100)), ("eeg",) * 3) is None


def test_training_data_decides_where_they_are_known() -> None:
    samples = brain_signal(20.0)
    assert unit_factor_guess(samples, ("eeg",) * 3, {"eeg": 15.0}) == 1.0
    assert unit_factor_guess(brain_signal(20e-6), ("eeg",) * 3, {"eeg": 15.0}) == pytest.approx(1e6)


def test_amplitude_is_the_standard_deviation_of_noise_whatever_one_artefact_does() -> None:
    samples = brain_signal(10e-6)
    samples[:, 100:110] = 1.0
    samples[0, 5] = np.nan
    assert typical_amplitudes(samples, ("eeg",) * 3)["eeg"] == pytest.approx(10e-6, rel=0.05)


@pytest.mark.real_data
@pytest.mark.parametrize(("scale", "factor"), [(1.0, 1.0), (1e6, 1e-6)])
def test_a_headband_recording_is_believable_and_in_microvolts_it_is_not(
    real_data_folder: Path, scale: float, factor: float
) -> None:
    file = real_data_folder / "eeg_muse_n170" / "sub-01" / "eeg" / "sub-01_task-n170_run-01_eeg.vhdr"
    samples = mne.io.read_raw_brainvision(file, verbose="ERROR").get_data() * scale
    assert unit_factor_guess(samples, ("eeg",) * len(samples)) == pytest.approx(factor)
