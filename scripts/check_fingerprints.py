"""Disguise real recordings, and compare all that are different: `python scripts/check_fingerprints.py DATA`.

DATA holds folders named after dataset entries, and any recording files. Scores are those of `Match.score`.
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
from brain_decode.datasets.fingerprint import Fingerprint, find_match, fingerprint_of_signal, similarity
from brain_decode.datasets.formats import RAW_EXTENSIONS, open_recording
from brain_decode.datasets.store import prepare_store
from brain_decode.signals.recording import Entities, Recording
from brain_decode.simulation.disguises import disguises

CHOSEN = ("n170_run-01", "ssvep_run-01", "0105_task-cueing_run-01", "fists_run-01", "attention_run-01", "Hz_raw.fif")
ONE_RECORDING = "sub-S1_ses-01_task-Experiment"  # as EEGLAB set and as EDF


def found_recordings(data: Path) -> dict[str, Recording]:
    """Return every recording below a folder by a name; files that are none are left out."""
    found: dict[str, Recording] = {}
    for path in sorted(catalogue_root().glob("datasets/*.yaml")):
        entry = yaml.safe_load(path.read_text().replace("${paths.data}", str(data))) | {"tasks": None}
        if (data / entry["name"]).is_dir():
            found |= {f"{entry['name']} {one.label}": one for one in build_dataset(entry).recordings()}
    read = {file.resolve() for one in found.values() for file in one.files}
    for path in (path for path in sorted(data.rglob("*")) if path.name.endswith(RAW_EXTENSIONS)):
        try:
            if path.resolve() not in read:
                found[str(path.relative_to(data))] = open_recording(path, Entities(path.stem))
        except BrainDecodeError as error:
            print(f"left out: {str(error)[:100]}")
    return found


def report(told: str, pairs: Iterable[tuple[Fingerprint, Fingerprint]], *, lowest: bool = False) -> float:
    """Print how many pairs are refused, and return the lowest or highest score."""
    compared = [pair for pair in pairs if similarity(*pair)]
    scores = [similarity(*pair).score for pair in compared]
    extreme, refused = min(scores) if lowest else max(scores), sum(find_match(*pair) is not None for pair in compared)
    print(f"{told:28} {refused:4} of {len(compared):5}  {extreme:5.1f}")
    return extreme


def pink(rng: np.random.Generator) -> Fingerprint:
    """Return the fingerprint of three minutes of four channels of pink noise."""
    spectrum = np.fft.rfft(rng.standard_normal((4, 18000))) / np.sqrt(np.arange(1, 9002))
    return fingerprint_of_signal(np.fft.irfft(spectrum), 100.0)


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
    print(f"{'compared':28} refused of pairs, lowest or highest score")
    weakest = min(report(kind, pairs, lowest=True) for kind, pairs in copies.items())
    same = [name for name in known if ONE_RECORDING in name]
    report("two formats of one", [tuple(prints[name] for name in same)], lowest=True)
    different = [pair for pair in combinations(known, 2) if not set(pair) <= set(same)]
    highest = report("different recordings", [(prints[one], prints[other]) for one, other in different])
    report("different pink noise", combinations(map(pink, np.random.default_rng(0).spawn(60)), 2))
    print(f"between the highest different pair and the weakest disguise: {highest:.1f} to {weakest:.1f}")
