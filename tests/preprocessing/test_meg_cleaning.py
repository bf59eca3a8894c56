"""Projectors and head position coils of the recording's own header."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.base import Continuous
from brain_decode.preprocessing.meg_cleaning import RemoveHeadPositionSignals, SignalSpaceProjection
from brain_decode.signals.mne_conversion import info_from_sensors, recording_from_raw
from brain_decode.signals.recording import Entities
from brain_decode.signals.sensors import Sensors

RATE_HZ = 250.0
COILS_HZ = (83.0, 101.0)


def around_a_head(n: int = 30) -> Sensors:
    directions = np.random.default_rng(3).standard_normal((n, 3))
    locations = np.tile(np.r_[np.zeros(3), np.eye(3).ravel()], (n, 1))
    locations[:, :3] = 0.1 * directions / np.linalg.norm(directions, axis=1)[:, None]
    return Sensors(tuple(f"MEG{i}" for i in range(n)), ("mag",) * n, locations, (3024,) * n, "meg")


def with_coils() -> tuple[Continuous, np.ndarray]:
    """Return brain noise below 40 Hz plus two coils, and the brain noise alone."""
    rng, sensors = np.random.default_rng(0), around_a_head()
    brain = mne.filter.filter_data(rng.standard_normal((30, 2500)), RATE_HZ, None, 40, verbose="ERROR") * 1e-13
    times = np.arange(2500) / RATE_HZ
    coils = sum(np.outer(rng.standard_normal(30), np.sin(2 * np.pi * f * times)) for f in COILS_HZ)
    header = info_from_sensors(sensors, RATE_HZ)
    with header._unlock():
        header["hpi_meas"] = [{"hpi_coils": [{"number": i + 1, "coil_freq": f} for i, f in enumerate(COILS_HZ)]}]
    return Continuous(brain + 1e-11 * coils, RATE_HZ, sensors, header=header), brain


def read(path: Path) -> Continuous:
    recording = recording_from_raw(mne.io.read_raw_fif(path, verbose="ERROR"), Entities("01"))
    return Continuous.of_recording(recording, recording.read(), recording.space)


def test_coils_a_hundred_times_the_brain_are_removed_and_the_brain_is_kept() -> None:
    signal, brain = with_coils()
    cleaned = RemoveHeadPositionSignals().apply(signal).data
    inner = slice(250, -250)
    assert np.std(signal.data[:, inner] - brain[:, inner]) > 50 * np.std(brain)
    assert np.std(cleaned[:, inner] - brain[:, inner]) < 0.2 * np.std(brain)


def test_coils_that_were_off_are_an_error_that_says_so() -> None:
    signal, _ = with_coils()
    for header in (None, info_from_sensors(signal.sensors, RATE_HZ)):
        with pytest.raises(DataError, match="no head position coils.*Leave remove_chpi out"):
            RemoveHeadPositionSignals().apply(replace(signal, header=header))


def test_a_recording_without_meg_has_no_coils() -> None:
    signal = Continuous(np.zeros((2, 100)), RATE_HZ, Sensors(("Fz", "Cz"), ("eeg",) * 2))
    with pytest.raises(DataError, match="needs MEG channels"):
        RemoveHeadPositionSignals().apply(signal)


def test_heart_beats_are_found_and_projected_out() -> None:
    rng, sensors = np.random.default_rng(1), around_a_head(12)
    beats = np.zeros(5000)
    beats[100::200] = 1.0
    beats = np.convolve(beats, np.hanning(15), mode="same")
    field = rng.standard_normal(12)
    data = np.vstack([1e-11 * np.outer(field, beats) + 1e-13 * rng.standard_normal((12, 5000)), 1e-3 * beats])
    space = Sensors(
        (*sensors.names, "ECG"),
        (*sensors.types, "ecg"),
        np.vstack([sensors.locations, np.full(12, np.nan)]),
        (*sensors.coil_types, 0),
        "meg",
    )
    cleaned = SignalSpaceProjection(origin="ecg").apply(Continuous(data, RATE_HZ, space))
    along = field / np.linalg.norm(field) @ cleaned.data[:12]
    assert np.std(along) < 0.05 * np.std(field / np.linalg.norm(field) @ data[:12])
    np.testing.assert_array_equal(cleaned.data[12], data[12])


def test_blinks_without_an_eye_channel_name_the_remedy() -> None:
    signal, _ = with_coils()
    with pytest.raises(DataError, match="cannot compute projectors from eog events.*leading pick"):
        SignalSpaceProjection(origin="eog").apply(signal)


def test_an_unknown_origin_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'stored'"):
        SignalSpaceProjection(origin="store")


@pytest.mark.real_data
def test_the_projector_of_a_real_file_is_applied_as_by_mne_and_only_once(real_data_folder: Path) -> None:
    path = real_data_folder / "format_zoo" / "elekta_sss" / "sample_audvis_trunc_raw_sss.fif"
    signal, raw = read(path), mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    projected = SignalSpaceProjection().apply(signal)
    np.testing.assert_allclose(projected.data, raw.apply_proj(verbose="ERROR").get_data(), rtol=1e-12)
    again = SignalSpaceProjection().apply(projected)
    np.testing.assert_array_equal(again.data, projected.data)
    with pytest.raises(DataError, match="no head position coils"):
        RemoveHeadPositionSignals().apply(signal)


@pytest.mark.real_data
def test_a_real_file_without_projectors_says_so(real_data_folder: Path) -> None:
    signal = read(real_data_folder / "format_zoo" / "ctf_fif" / "test_ctf_comp_raw.fif")
    with pytest.raises(DataError, match="no projectors in the header.*origin: ecg or eog"):
        SignalSpaceProjection().apply(signal)
