"""The ceiling of a simulated study: retrieval by a decoder that knows how the signal was made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
from scipy.linalg import solve_toeplitz

from brain_decode.core.errors import DataError
from brain_decode.core.files import write_atomically
from brain_decode.signals.sampling import nearest_samples

__all__ = ["ORACLE_FILE", "oracle_scores", "write_oracle"]

ORACLE_FILE = "derivatives/oracle.json"
_RIDGE = 1e-3  # of the mean eigenvalue, against rounding in noise covariances of low rank


def write_oracle(folder: Path) -> Path:
    """Write the scores of `oracle_scores` to `derivatives/oracle.json` of a simulated study."""
    return write_atomically(folder / ORACLE_FILE, oracle_scores(folder))


def oracle_scores(folder: Path) -> dict[str, Any]:
    """Return how often the matched filter finds the shown test picture among all test pictures.

    The averaged responses of a participant to each test picture are compared with the responses the simulation knows
    (gain patterns, time courses, amplitudes) by their likelihood under the known noise covariance, taken as the
    product of a covariance between channels and one over time.

    Returns:
        Sensor kind to {"top1", "top5", "n"}, over participants and test pictures.

    Raises:
        DataError: Not a simulated study.
    """
    path = folder / "derivatives" / "ground_truth.npz"
    if not path.is_file():
        raise DataError(f"'{folder}' has no {path.name}: only simulated studies have an oracle.")
    with np.load(path, allow_pickle=False) as saved:
        truth = {key: saved[key] for key in saved.files}
    pairs = sorted(tuple(key.split("/")[:2]) for key in truth if key.endswith("/gain"))
    parts: dict[str, list[np.ndarray]] = {}
    for label, kind in pairs:
        parts.setdefault(kind, []).append(_likelihood(folder, truth, label, kind))
    return {kind: _scores(likelihoods) for kind, likelihoods in parts.items()}


def _scores(likelihoods: list[np.ndarray]) -> dict[str, float]:
    """Return the scores of (shown, candidate) likelihoods; equal ones share the hit, as if drawn by lot."""
    own = [np.diag(likelihood)[:, None] for likelihood in likelihoods]
    above = np.concatenate([(part > mine).sum(axis=1) for part, mine in zip(likelihoods, own, strict=True)])
    equal = np.concatenate([(part == mine).sum(axis=1) for part, mine in zip(likelihoods, own, strict=True)])
    hits = {f"top{k}": float(np.clip((k - above) / equal, 0, 1).mean()) for k in (1, 5)}
    return hits | {"n": len(above)}


def _likelihood(folder: Path, truth: dict[str, np.ndarray], label: str, kind: str) -> np.ndarray:
    """Return (shown, candidate) log likelihoods, up to a constant per shown picture."""
    means, stimuli, good = _test_averages(folder, truth, label, kind)
    templates = _templates(truth, f"{label}/", kind, stimuli)[:, good]
    covariance = truth[f"{label}/{kind}/noise_covariance"][np.ix_(good, good)]
    ridge = _RIDGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    weighted = np.linalg.solve(covariance + ridge, templates.swapaxes(0, 1).reshape(len(covariance), -1))
    weighted = weighted.reshape(len(covariance), *templates.shape[::2]).swapaxes(0, 1)
    lags = truth[f"{label}/{kind}/noise_autocovariance"].copy()
    lags[0] += _RIDGE * lags[0]
    filters = solve_toeplitz(lags, weighted.reshape(-1, len(lags)).T).T.reshape(len(stimuli), -1)
    likelihood = means.reshape(len(stimuli), -1) @ filters.T
    return likelihood - 0.5 * (templates.reshape(len(stimuli), -1) * filters).sum(axis=1)


def _templates(truth: dict[str, np.ndarray], prefix: str, kind: str, stimuli: list[str]) -> np.ndarray:
    """Return (stimulus, channel, time) responses without noise, less what all of these stimuli have in common."""
    order = {str(identity): row for row, identity in enumerate(truth["ids"])}
    amplitude = truth[f"{prefix}amplitude"][[order[stimulus] for stimulus in stimuli]]
    amplitude = amplitude - amplitude.mean(axis=0)
    courses = truth[f"{prefix}time_courses"][truth[f"{prefix}area"]]
    return np.einsum("cd,kd,dt->kct", truth[f"{prefix}{kind}/gain"], amplitude, courses, optimize=True)


def _test_averages(
    folder: Path, truth: dict[str, np.ndarray], label: str, kind: str
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Return (stimulus, channel, time) averages less their mean, the stimuli, and the channels good in every run."""
    length = truth[f"{label}/time_courses"].shape[1]
    names = [str(name) for name in truth[f"{label}/{kind}/channels"]]
    total: np.ndarray | None = None
    good = np.ones(len(names), dtype=bool)
    stimuli: list[str] = []
    for path in sorted(folder.glob(f"{label}/ses-*/{kind}/*_events.tsv")):
        events = pd.read_csv(path, sep="\t", dtype={"stimulus": str})
        channels = pd.read_csv(path.with_name(path.name.replace("_events", "_channels")), sep="\t").set_index("name")
        good &= (channels.loc[names, "status"] == "good").to_numpy()
        events = events[events["partition"] == "test"]
        if len(events) == 0:
            continue
        stimuli = sorted(set(events["stimulus"]))
        windows = _windows(path, kind, names, events["onset"].to_numpy(), length)
        sums = np.zeros((len(stimuli), *windows.shape[1:]))
        np.add.at(sums, np.searchsorted(stimuli, events["stimulus"]), windows)
        total = sums if total is None else total + sums
    if total is None:
        raise DataError(f"{label} of '{folder}' has no test events.")
    means = total / _showings(folder, label, kind, stimuli)[:, None, None]
    return (means - means.mean(axis=0))[:, good], stimuli, good


def _showings(folder: Path, label: str, kind: str, stimuli: list[str]) -> np.ndarray:
    tables = [pd.read_csv(path, sep="\t") for path in sorted(folder.glob(f"{label}/ses-*/{kind}/*_events.tsv"))]
    counts = pd.concat(tables)["stimulus"].value_counts()
    return counts.loc[stimuli].to_numpy(float)


def _windows(events_path: Path, kind: str, names: list[str], onsets_s: np.ndarray, length: int) -> np.ndarray:
    """Return (trial, channel, time) samples from each onset on."""
    stem = events_path.name.removesuffix("_events.tsv")
    if kind == "eeg":
        raw = mne.io.read_raw_brainvision(events_path.with_name(f"{stem}_eeg.vhdr"), verbose="ERROR")
    else:
        raw = mne.io.read_raw_fif(events_path.with_name(f"{stem}_meg.fif"), verbose="ERROR")
    data = raw.get_data(picks=names)
    starts = nearest_samples(onsets_s, raw.info["sfreq"])
    samples = starts[:, None] + np.arange(length)
    return data[:, samples].swapaxes(0, 1)
