"""Bad channels are found, reported and interpolated; clean recordings are left alone."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.bad_channels import BadChannelSettings, InterpolateBads, find_bad_channels
from brain_decode.preprocessing.base import Continuous
from brain_decode.signals.mne_conversion import recording_from_raw, sensors_from_info
from brain_decode.signals.recording import Entities
from brain_decode.signals.sensors import Sensors

RATE_HZ = 200.0
N_CHANNELS = 32


def sensors(kind: str = "eeg") -> Sensors:
    montage = mne.channels.make_standard_montage("biosemi32")
    info = mne.create_info(montage.ch_names, RATE_HZ, "eeg")
    info.set_montage(montage)
    known = sensors_from_info(info)
    return Sensors(known.names, (kind,) * len(known), known.locations)


def clean(seed: int = 0, n_seconds: int = 20) -> np.ndarray:
    """Return sources of the cortex seen through a smooth mixing by position, with sensor noise."""
    rng = np.random.default_rng(seed)
    positions = sensors().positions_m
    places = rng.standard_normal((40, 3))
    places *= 0.06 / np.linalg.norm(places, axis=1, keepdims=True)
    places += positions.mean(axis=0)
    mixing = np.exp(-np.linalg.norm(positions[:, None] - places[None], axis=2) / 0.03)
    slow = mne.filter.filter_data(rng.standard_normal((40, int(n_seconds * RATE_HZ))), RATE_HZ, 1, 30, verbose="ERROR")
    signal = mixing @ slow
    signal /= signal.std()
    return 1e-5 * (signal + 0.1 * rng.standard_normal(signal.shape))


def test_a_clean_recording_has_no_bad_channel() -> None:
    for seed in range(3):
        assert find_bad_channels(clean(seed), RATE_HZ, sensors(), BadChannelSettings(line_hz=50.0)) == {}


def test_flat_noisy_and_disconnected_channels_are_found_each_with_its_reason() -> None:
    samples, rng = clean(), np.random.default_rng(1)
    samples[3] = 0.0
    samples[8] = 50 * samples[8].std() * rng.standard_normal(samples.shape[1])
    samples[15] = samples[15].std() * rng.standard_normal(samples.shape[1])
    samples[20, 100] = np.nan
    samples[25] += 1e-4 * np.sin(2 * np.pi * 50 * np.arange(samples.shape[1]) / RATE_HZ) * 0.2
    found = find_bad_channels(samples, RATE_HZ, sensors(), BadChannelSettings(line_hz=50.0))
    names = sensors().names
    assert list(found) == [names[i] for i in (3, 8, 15, 20, 25)]
    words = ["flat", "amplitude above", "uncorrelated", "not finite", "mains noise at 50 Hz"]
    assert all(word in reason for word, reason in zip(words, found.values(), strict=True))


def test_channels_that_do_not_measure_the_brain_are_never_bad() -> None:
    samples = clean()
    samples[3] = 0.0
    assert find_bad_channels(samples, RATE_HZ, sensors("eog"), None) == {}


def test_interpolation_restores_what_the_other_channels_know(caplog: pytest.LogCaptureFixture) -> None:
    truth = clean()
    broken = truth.copy()
    broken[8] = np.nan
    with caplog.at_level(logging.INFO, logger="brain_decode"):
        repaired = InterpolateBads().apply(Continuous(broken, RATE_HZ, sensors()))
    assert np.corrcoef(repaired.data[8], truth[8])[0, 1] > 0.9
    kept = np.arange(N_CHANNELS) != 8
    np.testing.assert_array_equal(repaired.data[kept], truth[kept])
    assert repaired.sensors == sensors()
    assert f"{sensors().names[8]} (not finite)" in caplog.text


def test_interpolation_is_that_of_mne_on_channels_the_files_mark() -> None:
    montage = mne.channels.make_standard_montage("biosemi32")
    raw = mne.io.RawArray(clean(), mne.create_info(montage.ch_names, RATE_HZ, "eeg"), verbose="ERROR")
    raw.set_montage(montage)
    raw.info["bads"] = ["Cz"]
    recording = recording_from_raw(raw, Entities("01"))
    assert recording.bads == ("Cz",)
    signal = Continuous.of_recording(recording, recording.read(), sensors())
    repaired = InterpolateBads(detect=False).apply(signal)
    expected = raw.copy().interpolate_bads(verbose="ERROR").get_data()
    np.testing.assert_array_equal(repaired.data, expected)
    assert repaired.bads == ()


def test_without_positions_the_remedy_is_a_montage() -> None:
    broken = clean()
    broken[3] = 0.0
    bare = Sensors(sensors().names, sensors().types)
    with pytest.raises(DataError, match=r"needs sensor positions.*loader\.montage"):
        InterpolateBads().apply(Continuous(broken, RATE_HZ, bare))


def test_too_many_bad_channels_are_refused() -> None:
    broken = clean()
    broken[:9] = 0.0
    with pytest.raises(DataError, match="9 of 32 eeg channels are bad.*Exclude the recording"):
        InterpolateBads().apply(Continuous(broken, RATE_HZ, sensors()))


def test_deep_brain_contacts_cannot_be_interpolated() -> None:
    signal = Continuous(clean(), RATE_HZ, sensors("dbs"), bads=(sensors().names[0],))
    with pytest.raises(DataError, match="cannot interpolate dbs"):
        InterpolateBads(detect=False).apply(signal)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_depth_electrode_is_interpolated_along_its_shaft_wherever_it_stands_among_the_channels() -> None:
    scalp, n = sensors(), 8
    locations = np.full((n, 12), np.nan)
    locations[:, :3] = [0.02, 0.01, 0.03] + np.arange(n)[:, None] * np.array([0.0035, 0.0, 0.0])
    space = Sensors(
        (*scalp.names, *(f"AHL{i + 1}" for i in range(n))),
        (*scalp.types, *("seeg",) * n),
        np.vstack([scalp.locations, locations]),
    )
    gradient = np.outer(np.arange(n, dtype=float), np.sin(np.arange(4000.0) / 7)) * 1e-5
    signal = Continuous(np.vstack([clean(), gradient]), RATE_HZ, space, bads=("AHL4",))
    repaired = InterpolateBads(detect=False).apply(replace(signal, data=np.where(np.eye(40)[[35]].T, 0.0, signal.data)))
    assert np.corrcoef(repaired.data[35], signal.data[35])[0, 1] > 0.99
    clustered = Sensors(space.names, space.types, np.vstack([scalp.locations, np.tile(locations[:1], (n, 1))]))
    with pytest.raises(DataError, match=r"cannot interpolate \['AHL4'\].*one straight shaft"):
        InterpolateBads(detect=False).apply(replace(signal, sensors=clustered))


@pytest.mark.parametrize("settings", [{"amplitude_z": 0.0}, {"min_correlation": 1.0}, {"line_hz": -50.0}])
def test_impossible_thresholds_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        InterpolateBads(**settings)  # type: ignore[arg-type]


@pytest.mark.real_data
def test_a_real_recording_loses_the_quiet_channel_of_every_run_and_one_we_break(real_data_folder: Path) -> None:
    paths = sorted((real_data_folder / "eeg_mi_eegmmidb_s001").rglob("*.edf"))[:2]
    settings = BadChannelSettings(line_hz=60.0)
    for path in paths:
        raw = mne.io.read_raw_edf(path, preload=True, verbose="ERROR")
        samples, rate_hz, space = raw.get_data(), raw.info["sfreq"], sensors_from_info(raw.info)
        found = find_bad_channels(samples, rate_hz, space, settings)
        assert "T10." in found and len(found) <= 2
        samples[10] = np.random.default_rng(0).standard_normal(samples.shape[1]) * samples[10].std()
        assert set(find_bad_channels(samples, rate_hz, space, settings)) == {*found, space.names[10]}


@pytest.mark.real_data
def test_the_channel_known_as_bad_in_the_sample_recording_of_mne_is_found(real_data_folder: Path) -> None:
    path = real_data_folder / "format_zoo" / "elekta_sss" / "sample_audvis_trunc_raw_sss.fif"
    raw = mne.io.read_raw_fif(path, preload=True, verbose="ERROR")
    assert list(find_bad_channels(raw.get_data(), raw.info["sfreq"], sensors_from_info(raw.info))) == ["EEG 053"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("file", "kinds"),
    [
        ("format_zoo/elekta_sss/sample_audvis_trunc_raw_sss.fif", ("mag", "grad", "eeg")),
        ("ecog_mne_sample/sample_ecog_ieeg.fif", ("ecog",)),
    ],
)
def test_one_channel_of_each_type_is_interpolated_near_the_truth(
    real_data_folder: Path, file: str, kinds: tuple[str, ...]
) -> None:
    recording = recording_from_raw(mne.io.read_raw_fif(real_data_folder / file, verbose="ERROR"), Entities("01"))
    space = recording.space
    assert isinstance(space, Sensors)
    bads = tuple(space.names[space.types.index(kind) + 20] for kind in kinds)
    truth = Continuous.of_recording(recording, recording.read(), space)
    repaired = InterpolateBads(detect=False).apply(replace(truth, bads=bads))
    changed = np.flatnonzero((repaired.data != truth.data).any(axis=1))
    assert [space.names[i] for i in changed] == sorted(bads, key=space.names.index)
    for index in changed:
        assert np.corrcoef(repaired.data[index], truth.data[index])[0, 1] > 0.3
