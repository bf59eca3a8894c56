"""Disguise real recordings, and compare all that are different: `python scripts/check_fingerprints.py DATA`.

DATA holds folders named after dataset entries, and any recording files. Scores are those of `Match.score`: of whole
sketches slid over each other, and of their pieces; 7 refuses in both.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable
from itertools import combinations
from pathlib import Path

import mne
import numpy as np
import yaml

from brain_decode.core.errors import BrainDecodeError
from brain_decode.core.resources import catalogue_root
from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.fingerprint import (
    Fingerprint,
    Match,
    find_match,
    fingerprint_of_signal,
    fingerprint_of_trials,
    similarity,
    similarity_of_pieces,
)
from brain_decode.datasets.formats import RAW_EXTENSIONS, open_recording
from brain_decode.datasets.store import prepare_store
from brain_decode.signals.recording import Entities, Recording
from brain_decode.simulation.disguises import disguises

CHOSEN = ("n170_run-01", "ssvep_run-01", "0105_task-cueing_run-01", "fists_run-01", "attention_run-01", "Hz_raw.fif")
ONE_RECORDING = "sub-S1_ses-01_task-Experiment"  # as EEGLAB set and as EDF


def found_recordings(data: Path) -> dict[str, Recording]:
    """Return every recording below a folder by a name; files that are none, and simulated ones, are left out."""
    found: dict[str, Recording] = {}
    simulated: set[Path] = set()
    for path in sorted(catalogue_root().glob("datasets/*.yaml")):
        entry = yaml.safe_load(path.read_text().replace("${paths.data}", str(data))) | {"tasks": None}
        if entry.get("simulated"):
            simulated.add(data / entry["name"])
        elif (data / entry["name"]).is_dir():
            found |= {f"{entry['name']} {one.label}": one for one in build_dataset(entry).recordings()}
    read = {file.resolve() for one in found.values() for file in one.files}
    for path in (path for path in sorted(data.rglob("*")) if path.name.endswith(RAW_EXTENSIONS)):
        try:
            if path.resolve() not in read and simulated.isdisjoint(path.parents):
                found[str(path.relative_to(data))] = open_recording(path, Entities(path.stem))
        except BrainDecodeError as error:
            print(f"left out: {str(error)[:100]}")
    return found


def report(told: str, pairs: Iterable[tuple[Fingerprint, Fingerprint]], *, lowest: bool = False) -> float:
    """Print how many pairs are refused, and return the lowest or highest of the better scores."""
    compared = [pair for pair in pairs if similarity(*pair)]
    scores = np.array([[score_of(similarity(*pair)), score_of(similarity_of_pieces(*pair))] for pair in compared])
    extremes = scores.min(axis=0) if lowest else scores.max(axis=0)
    refused = sum(find_match(*pair) is not None for pair in compared)
    print(f"{told:28} {refused:4} of {len(compared):5}  {extremes[0]:5.1f}  {extremes[1]:5.1f}", flush=True)
    better = scores.max(axis=1)
    return float(better.min() if lowest else better.max())


def score_of(match: Match | None) -> float:
    """Return the score of a match; 0 where there is none."""
    return 0.0 if match is None else match.score


def pink(rng: np.random.Generator, minutes: int = 3) -> Fingerprint:
    """Return the fingerprint of minutes of four channels of pink noise."""
    spectrum = np.fft.rfft(rng.standard_normal((4, 6000 * minutes))) / np.sqrt(np.arange(1, 3000 * minutes + 2))
    return fingerprint_of_signal(np.fft.irfft(spectrum), 100.0)


def half_of_the_trials(recording: Recording) -> tuple[Fingerprint, Fingerprint]:
    """Return the fingerprints of cut trials, and of every other one of them in another order and unit."""
    trials = recording.read_trials(np.arange(recording.source.n_trials))[:, recording.space.decoded_indices()]
    half = 1e6 * np.random.default_rng(0).permutation(trials[::2])
    return tuple(fingerprint_of_trials([values], recording.rate_hz) for values in (trials, half))


if __name__ == "__main__":
    mne.set_log_level("ERROR")
    known, copies = found_recordings(Path(sys.argv[1])), {}
    with tempfile.TemporaryDirectory() as place:
        prints = dict(zip(known, prepare_store(list(known.values()), [], Path(place)).fingerprints, strict=True))
        for name in (name for name in known if name.endswith(CHOSEN)):
            samples = known[name].read()[known[name].space.decoded_indices()]
            for kind, copy, rate_hz in disguises(samples, known[name].rate_hz, Path(place)):
                copies.setdefault(kind, []).append((prints[name], fingerprint_of_signal(copy, rate_hz)))
    print(*(f"no fingerprint: {name}: {made.absent}" for name, made in prints.items() if made.absent), sep="\n")
    print(f"{'compared':28} refused of pairs, lowest or highest score slid whole, in pieces")
    weakest = min(report(kind, pairs, lowest=True) for kind, pairs in copies.items())
    same = [name for name in known if ONE_RECORDING in name]
    report("two formats of one", [tuple(prints[name] for name in same)], lowest=True)
    different = [pair for pair in combinations(known, 2) if not set(pair) <= set(same)]
    highest = report("different recordings", [(prints[one], prints[other]) for one, other in different])
    report("different pink noise", combinations(map(pink, np.random.default_rng(0).spawn(60)), 2))
    long = (pink(rng, minutes=20) for rng in np.random.default_rng(1).spawn(20))
    report("20 min of pink noise", combinations(long, 2))
    halves = [half_of_the_trials(one) for one in known.values() if not one.continuous and one.source.n_trials >= 16]
    print(f"{'half of the cut trials':28} {sum(find_match(*pair) is not None for pair in halves):4} of {len(halves):5}")
    print(f"between the highest different pair and the weakest disguise: {highest:.1f} to {weakest:.1f}")
