"""A simulated study as a BIDS folder, whole or absent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import mne
import mne_bids
import numpy as np
import pandas as pd
from scipy.fft import irfft, rfft

from brain_decode.core.errors import DataError
from brain_decode.core.files import make_folder, place_beside, remove_abandoned, storage_error, write_atomically
from brain_decode.core.progress import track
from brain_decode.simulation.oracle import write_oracle
from brain_decode.simulation.pictures import PictureSet, draw_pictures
from brain_decode.simulation.pixel_features import fit_reduction, pixel_features
from brain_decode.simulation.recordings import (
    RESPONSE_S,
    Laboratory,
    Participant,
    Run,
    build_laboratory,
    build_participant,
    schedule,
    simulate_run,
)
from brain_decode.simulation.settings import SIMULATION_VERSION, StudySettings
from brain_decode.simulation.ventral_stream import area_drive, time_courses

__all__ = ["GROUND_TRUTH", "SETTINGS_FILE", "TASK", "make_study"]

TASK = "pictures"
SETTINGS_FILE = "simulation.json"
GROUND_TRUTH = "derivatives/ground_truth.npz"
_EVENT_COLUMNS = (
    "onset",
    "duration",
    "trial_type",
    "stimulus",
    "concept",
    "category",
    "partition",
    "repetition",
)
_FORMATS = {"eeg": "BrainVision", "meg": "FIF"}
_LICENCE = "CC0"


@dataclass
class _NoiseMoments:
    """Running covariance of one kind of sensors: between channels, and over time within channels."""

    spatial: np.ndarray | None = None
    temporal: np.ndarray | None = None
    runs: int = 0


def make_study(root: Path, settings: StudySettings) -> Path:
    """Simulate a study below `root`, unless it is there already, and return its folder `root/<hash of settings>`.

    The folder is made under another name beside its place and renamed when it is whole, so that a study that was
    interrupted is never read.

    Raises:
        DataError: A folder of this name that holds something else.
        StorageError: The disk is full, or the folder cannot be written.
    """
    folder = Path(root) / settings.hash
    if folder.exists():
        return _checked(folder, settings)
    remove_abandoned(make_folder(Path(root)))
    try:
        with place_beside(folder, is_folder=True) as beside:
            _write_study(beside, settings)
            if not folder.exists():  # another process may have been faster
                beside.rename(folder)
    except OSError as error:
        if folder.exists():
            return _checked(folder, settings)
        raise storage_error(folder, error) from error
    return folder


def _checked(folder: Path, settings: StudySettings) -> Path:
    path = folder / SETTINGS_FILE
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    if found is None or found.get("settings") != json.loads(json.dumps(settings.to_json())):
        raise DataError(
            f"'{folder}' is not the simulated study it is named after. Move it away or choose another folder."
        )
    return folder


def _write_study(folder: Path, settings: StudySettings) -> None:
    pictures = draw_pictures(
        settings.n_train_concepts,
        settings.n_exemplars,
        settings.n_test_concepts,
        n_rims=settings.n_rims,
        seed=settings.seed,
    )
    families = pixel_features(pictures.pixels)
    drive = area_drive(pictures, families)
    _write_features(folder / "stimuli", pictures, families, settings)
    laboratory = build_laboratory(settings)
    truth: dict[str, np.ndarray] = {"ids": np.array(pictures.ids), "rate_hz": np.array(settings.rate_hz)}
    jobs = [(subject, session) for subject in range(settings.n_subjects) for session in range(settings.n_sessions)]
    participant, moments = None, {}
    for subject, session in track(jobs, "simulating recordings"):
        if session == 0 or participant is None:
            participant = build_participant(laboratory, subject, drive)
            moments = {kind: _NoiseMoments() for kind in laboratory.infos}
        _write_session(folder, laboratory, participant, pictures, (subject, session), moments)
        if session == settings.n_sessions - 1:
            truth |= _truth_of(laboratory, participant, moments, subject)
    make_folder(folder / "derivatives")
    np.savez(folder / GROUND_TRUTH, allow_pickle=False, **truth)
    _describe(folder)
    write_oracle(folder)
    write_atomically(folder / SETTINGS_FILE, {"version": SIMULATION_VERSION, "settings": settings.to_json()})


def _write_features(
    folder: Path, pictures: PictureSet, families: Mapping[str, np.ndarray], settings: StudySettings
) -> None:
    """Write the pictures and their features, whose reduction sees training pictures only."""
    values = np.concatenate(list(families.values()), axis=1)
    train = pictures.rows("train")
    dim = min(settings.n_features, len(train) - 1)
    features = fit_reduction(values[train], dim).apply(values)
    make_folder(folder)
    np.savez(
        folder / "features.npz",
        features=features,
        ids=np.array(pictures.ids),
        concept=np.array(pictures.concepts),
        category=np.array(pictures.categories),
        partition=np.array(pictures.partitions),
    )
    np.savez_compressed(
        folder / "pictures.npz", pixels=np.round(pictures.pixels * 255).astype(np.uint8), ids=np.array(pictures.ids)
    )
    provenance = {
        "features": "colour layout, oriented gradient energy at three scales and centred silhouette of each picture, "
        f"standardised and reduced to {dim} principal components",
        "fitted_on": f"{len(train)} training pictures",
        "simulated": True,
    }
    write_atomically(folder / "features.json", provenance)


def _write_session(
    folder: Path,
    laboratory: Laboratory,
    participant: Participant,
    pictures: PictureSet,
    which: tuple[int, int],
    moments: Mapping[str, _NoiseMoments],
) -> None:
    subject, session = which
    for number, events in enumerate(schedule(pictures, laboratory.settings, subject, session)):
        run = simulate_run(laboratory, participant, events, subject=subject, session=session, run=number)
        for kind, noise in run.noise.items():
            _accumulate(moments[kind], noise, laboratory.settings.rate_hz)
        _write_run(folder, laboratory, run, events, (subject, session, number))


def _write_run(
    folder: Path, laboratory: Laboratory, run: Run, events: pd.DataFrame, which: tuple[int, int, int]
) -> None:
    subject, session, number = (f"{part + 1:02d}" for part in which)
    for kind, data in run.data.items():
        info = laboratory.infos[kind].copy()
        info["line_freq"] = 50.0
        info["bads"] = run.bads[kind]
        raw = mne.io.RawArray(data, info, verbose=False)
        path = mne_bids.BIDSPath(subject=subject, session=session, task=TASK, run=number, datatype=kind, root=folder)
        mne_bids.write_raw_bids(raw, path, format=_FORMATS[kind], allow_preload=True, overwrite=True, verbose="ERROR")
        name = f"sub-{subject}_ses-{session}_task-{TASK}_run-{number}_events"
        place = folder / f"sub-{subject}" / f"ses-{session}" / kind
        table = events[list(_EVENT_COLUMNS)]
        write_atomically(place / f"{name}.tsv", table.to_csv(sep="\t", index=False, float_format="%.6f"))
        write_atomically(place / f"{name}.json", _EVENT_DESCRIPTIONS)


_EVENT_DESCRIPTIONS = {
    "stimulus": {"Description": "Picture that was shown; a row of stimuli/features.npz"},
    "concept": {"Description": "Colour, texture and shape of the object"},
    "category": {"Description": "Super-category of the shape"},
    "partition": {"Description": "train or test; no concept is in both"},
    "repetition": {"Description": "How often the participant has seen the picture, this time included"},
}


def _describe(folder: Path) -> None:
    description = {
        "Name": "Simulated participants looking at procedurally drawn objects",
        "BIDSVersion": "1.9.0",
        "DatasetType": "raw",
        "License": _LICENCE,
        "GeneratedBy": [{"Name": "brain_decode simulation", "Version": str(SIMULATION_VERSION)}],
        "SourceDatasets": [],
        "Simulated": True,
    }
    write_atomically(folder / "dataset_description.json", description)
    write_atomically(folder / "README", "Every sample of this folder is simulated; no person was measured.\n")


def _accumulate(moments: _NoiseMoments, noise: np.ndarray, rate_hz: float) -> None:
    """Add a run's noise to the covariance between channels and to its mean autocovariance over time."""
    centred = noise - noise.mean(axis=1, keepdims=True)
    scale = centred.std(axis=1, keepdims=True)
    lags = round(RESPONSE_S * rate_hz)
    spectrum = np.abs(rfft(centred / scale, n=2 * centred.shape[1], axis=1)) ** 2
    autocovariance = irfft(spectrum.mean(axis=0))[:lags] / centred.shape[1]
    spatial = centred @ centred.T / centred.shape[1]
    moments.spatial = spatial if moments.spatial is None else moments.spatial + spatial
    moments.temporal = autocovariance if moments.temporal is None else moments.temporal + autocovariance
    moments.runs += 1


def _truth_of(
    laboratory: Laboratory, participant: Participant, moments: Mapping[str, _NoiseMoments], subject: int
) -> dict[str, np.ndarray]:
    """Return what the simulation knows of a participant, keyed by label and sensor kind."""
    settings, stream = laboratory.settings, participant.stream
    label = f"sub-{subject + 1:02d}"
    times = np.arange(round(RESPONSE_S * settings.rate_hz)) / settings.rate_hz
    truth = {
        f"{label}/time_courses": time_courses(times, stream.latency_s),
        f"{label}/area": stream.area,
        f"{label}/positions_m": stream.positions_m,
        f"{label}/moments": stream.moments,
        f"{label}/amplitude": participant.amplitude,
    }
    for kind, found in moments.items():
        if found.spatial is not None and found.temporal is not None:
            truth[f"{label}/{kind}/gain"] = participant.gains[kind]
            truth[f"{label}/{kind}/channels"] = np.array(laboratory.infos[kind].ch_names)
            truth[f"{label}/{kind}/noise_covariance"] = found.spatial / found.runs
            truth[f"{label}/{kind}/noise_autocovariance"] = found.temporal / found.runs
    return truth
