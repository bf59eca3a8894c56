"""Real recordings: every disguise is refused, and no recording is taken for another."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import yaml

from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.fingerprint import (
    Fingerprint,
    find_match,
    fingerprint_of_signal,
    fingerprint_of_trials,
    similarity,
    similarity_of_pieces,
)
from brain_decode.datasets.formats import open_recording
from brain_decode.datasets.store import prepare_store
from brain_decode.signals.recording import Entities, Recording
from brain_decode.simulation.disguises import disguises

pytestmark = pytest.mark.real_data

RUNS = (
    "eeg_muse_n170",
    "eeg_muse_p300_catsdogs",
    "eeg_muse_leftright_vep",
    "eeg_muse_ssvep",
    "eeg_muse_cueing_pretrain",
    "eeg_mi_eegmmidb_s001",
    "eeg_eeglab_attention",
    "fmri_haxby2001",
)


def recordings_of(repository: Path, data: Path, name: str) -> list[Recording]:
    if not (data / name).is_dir():
        pytest.skip(f"no {name} among the real recordings")
    text = (repository / "datasets" / f"{name}.yaml").read_text().replace("${paths.data}", str(data))
    return build_dataset(yaml.safe_load(text) | {"tasks": None}).recordings()


@pytest.mark.parametrize("name", ["eeg_muse_ssvep", "eeg_muse_cueing_pretrain", "eeg_mi_eegmmidb_s001"])
def test_every_disguise_of_a_real_recording_is_refused(
    repository: Path, real_data_folder: Path, name: str, tmp_path: Path
) -> None:
    recording = recordings_of(repository, real_data_folder, name)[0]
    samples = recording.read()[recording.space.decoded_indices()]
    original = fingerprint_of_signal(samples, recording.rate_hz)
    passed = [
        disguise
        for disguise, copy, rate_hz in disguises(samples, recording.rate_hz, tmp_path)
        if find_match(original, fingerprint_of_signal(copy, rate_hz)) is None
    ]
    assert passed == []


def test_no_two_real_recordings_are_taken_for_one(repository: Path, real_data_folder: Path, tmp_path: Path) -> None:
    recordings = [one for name in RUNS for one in recordings_of(repository, real_data_folder, name)]
    prints = prepare_store(recordings, [], tmp_path).fingerprints
    assert all(fingerprint.code for fingerprint in prints)
    scores = [best.score for pair in combinations(prints, 2) if (best := similarity(*pair))]
    assert len(scores) > 3000
    assert max(scores) < 5.5
    assert max(piece.score for pair in combinations(prints, 2) if (piece := similarity_of_pieces(*pair))) < 4.5
    assert not any(find_match(*pair) for pair in combinations(prints, 2))


def test_one_recording_in_two_formats_is_known(real_data_folder: Path) -> None:
    """Fifteen channels as an EEGLAB set, and with a sixteenth as EDF; the samples stand still for a second each."""
    below = real_data_folder / "format_zoo" / "bids_eeglab"
    if not below.is_dir():
        pytest.skip("no format_zoo among the real recordings")
    opened = [open_recording(path, Entities("S1")) for end in ("set", "edf") for path in below.rglob(f"*_eeg.{end}")]
    prints = [fingerprint_of_signal(one.read()[one.space.decoded_indices()], one.rate_hz) for one in opened]
    assert find_match(*prints)


def test_disguised_runs_of_fmri_are_refused(repository: Path, real_data_folder: Path) -> None:
    recording = recordings_of(repository, real_data_folder, "fmri_haxby2001")[0]
    volumes = recording.read()
    copies = {
        "cropped": volumes[:, 3:],
        "middle": volumes[:, 20:90],
        "percent": volumes / volumes.mean(axis=1, keepdims=True),
        "half of the voxels": volumes[::2],
        "global signal removed": volumes - volumes.mean(axis=0),
    }
    original = _of_volumes(volumes, recording)
    assert [name for name, copy in copies.items() if find_match(original, _of_volumes(copy, recording)) is None] == []


def _of_volumes(volumes: np.ndarray, recording: Recording) -> Fingerprint:
    return fingerprint_of_signal(volumes, recording.rate_hz, is_spatial=True)


@pytest.mark.parametrize("name", ["eeg_fingertap_bci2iv", "eeg_n400_words"])
def test_disguised_cut_trials_are_refused(repository: Path, real_data_folder: Path, name: str) -> None:
    recording = recordings_of(repository, real_data_folder, name)[0]
    trials = recording.read_trials(np.arange(recording.source.n_trials))[:, recording.space.decoded_indices()]
    rate_hz = recording.rate_hz
    copies = {
        "first trials dropped": trials[10:],
        "a trial dropped": np.delete(trials, len(trials) // 2, axis=0),
        "microvolts": trials * 1e6,
        "a channel dropped": trials[:, 1:],
        "average reference": trials - trials.mean(axis=1, keepdims=True),
        "half of them": trials[::2],
        "half of them in another order": np.random.default_rng(0).permutation(trials)[::2],
        "half of them in microvolts": 1e6 * trials[::2],
    }
    original = fingerprint_of_trials([trials], rate_hz)
    passed = [name for name, x in copies.items() if find_match(original, fingerprint_of_trials([x], rate_hz)) is None]
    assert passed == []
