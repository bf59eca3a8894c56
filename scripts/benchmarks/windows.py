"""Random 1 s × 64 channel windows in batches of 64: the store, the bare memory map, MNE lazy; anonymous memory."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from brain_decode.datasets.store import SignalStore, prepare_store
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.training.pilots import anonymous_mb

RATE_HZ, N_CHANNELS, N_SECONDS, BATCH = 256, 64, 600, 64
REPETITIONS, N_BATCHES, N_LAZY_BATCHES = 5, 100, 5
LARGER = 10  # times the data, for the figure of memory
# Measured elsewhere on two cores, not by this script.
ELSEWHERE = {"bare_memory_map": 218_000, "braindecode_preloaded": 12_500, "braindecode_lazy": 5_000, "mne_lazy": 5_400}

NAMES = tuple(f"E{number}" for number in range(N_CHANNELS))


def measure() -> Iterator[dict[str, Any]]:
    """Yield windows per second by reader (medians, and the ratio of every round), then memory at 1× and 10× data."""
    with tempfile.TemporaryDirectory() as folder:
        samples = _samples(0)
        store = _store([samples], Path(folder) / "store")
        raw = _lazy_raw(samples, Path(folder) / "lazy_raw.fif")
        rounds = [_round(store, raw, np.random.default_rng(number)) for number in range(REPETITIONS)]
    middle = {name: round(statistics.median(rates[name] for rates in rounds)) for name in rounds[0]}
    ratios = [round(rates["store"] / rates["bare"], 3) for rates in rounds]
    yield {
        "name": "store",
        "value": middle["store"],
        "unit": "windows/s",
        "bare_memory_map": middle["bare"],
        "mne_lazy": middle["mne"],
        "median_ratio_to_bare": statistics.median(ratios),
        "ratios_of_all_rounds": ratios,
        "measured_elsewhere": ELSEWHERE,
    }
    once, tenfold = (_child_memory_mb(copies) for copies in (1, LARGER))
    yield {"name": f"anonymous memory at {LARGER}× data", "value": tenfold, "unit": "MB", "at_1×_data_mb": once}


def _round(store: SignalStore, raw: mne.io.BaseRaw, rng: np.random.Generator) -> dict[str, float]:
    bare = store.entries[0].array()
    starts = rng.integers(0, N_SECONDS * RATE_HZ - RATE_HZ, (N_BATCHES, BATCH))
    tables = [_table(batch) for batch in starts]
    return {
        "bare": _rate(lambda batch: np.stack([bare[start : start + RATE_HZ] for start in batch]), starts),
        "store": _rate(store.read, tables),
        "mne": _rate(
            lambda batch: np.stack([raw[:, start : start + RATE_HZ][0] for start in batch]), starts[:N_LAZY_BATCHES]
        ),
    }


def _rate(read: Callable[[Any], Any], batches: Any) -> float:
    begin = time.perf_counter()
    for batch in batches:
        read(batch)
    return len(batches) * BATCH / (time.perf_counter() - begin)


def _table(starts: np.ndarray, recording: int = 0) -> pd.DataFrame:
    seconds = starts / RATE_HZ
    times = {"onset_s": seconds, "start_s": seconds, "stop_s": seconds + 1.0}
    return pd.DataFrame({"recording": recording, "event": -1, **times})


def _samples(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((N_CHANNELS, N_SECONDS * RATE_HZ), dtype=np.float32)


def _store(recordings: list[np.ndarray], folder: Path) -> SignalStore:
    sensors = Sensors(NAMES, ("eeg",) * N_CHANNELS)
    no_events = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    held = [
        Recording(Entities(f"{number:02d}"), sensors, float(RATE_HZ), no_events, ArraySource(samples))
        for number, samples in enumerate(recordings)
    ]
    return prepare_store(held, [], folder, progress=False)


def _lazy_raw(samples: np.ndarray, path: Path) -> mne.io.BaseRaw:
    raw = mne.io.RawArray(samples, mne.create_info(list(NAMES), RATE_HZ, "eeg"), verbose="ERROR")
    raw.save(path, verbose="ERROR")
    return mne.io.read_raw_fif(path, preload=False, verbose="ERROR")


def _child_memory_mb(copies: int) -> float:
    """Return the anonymous memory of a process that has read 6400 windows of a store of `copies` recordings."""
    with tempfile.TemporaryDirectory() as folder:
        for number in range(copies):  # one call each, so that this process never holds two recordings
            _store([_samples(number)], Path(folder))
        words = [sys.executable, __file__, folder]
        return float(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def _read_everywhere(folder: Path) -> float:
    """Read batches over every entry of a store folder and return this process's anonymous memory in MB."""
    from brain_decode.datasets.store_entry import find_entry

    found = [find_entry(folder, path.stem) for path in sorted(folder.glob("*.f32"))]
    store = SignalStore([entry for entry in found if entry is not None])
    rng = np.random.default_rng(0)
    for number in range(N_BATCHES):
        starts = rng.integers(0, N_SECONDS * RATE_HZ - RATE_HZ, BATCH)
        store.read(_table(starts, number % len(store)))
    return round(anonymous_mb(), 1)


if __name__ == "__main__":
    print(_read_everywhere(Path(sys.argv[1])))
