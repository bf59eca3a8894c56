"""Import, --help and the first batch from a prepared store, each from a cold process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from brain_decode.datasets.store import prepare_store
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors

REPETITIONS = 7
_FIRST_BATCH = (
    "import sys, joblib; store, table = joblib.load(sys.argv[1]); "
    "assert store.batch(table).signal.shape == (64, 64, 256)"
)


def measure() -> Iterator[dict[str, Any]]:
    """Yield median seconds of child processes; children of one kind alternate with the bare interpreter."""
    with tempfile.TemporaryDirectory() as folder:
        yield from _lines(
            {
                "import brain_decode": ["-c", "import brain_decode"],
                "brain-decode --help": ["-m", "brain_decode", "--help"],
                "first batch": ["-c", _FIRST_BATCH, str(_prepared(Path(folder)))],
            }
        )


def _lines(commands: dict[str, list[str]]) -> Iterator[dict[str, Any]]:
    for name, words in commands.items():
        pairs = [(_seconds(words), _seconds(["-c", "pass"])) for _ in range(REPETITIONS)]
        ours, bare = (statistics.median(column) for column in zip(*pairs, strict=True))
        yield {"name": name, "value": round(ours, 3), "unit": "s", "bare_interpreter_s": round(bare, 3)}


def _seconds(words: Sequence[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    return time.perf_counter() - start


def _prepared(folder: Path) -> Path:
    """Write a store of one minute and return the file that names it and the windows of one batch."""
    sensors = Sensors(tuple(f"E{number}" for number in range(64)), ("eeg",) * 64)
    samples = np.random.default_rng(0).standard_normal((64, 60 * 256), dtype=np.float32)
    no_events = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    recording = Recording(Entities("01"), sensors, 256.0, no_events, ArraySource(samples))
    store = prepare_store([recording], [], folder / "store", progress=False)
    starts = np.linspace(0.0, 58.0, 64)
    table = pd.DataFrame(
        {"recording": 0, "event": -1, "subject": "01", "onset_s": starts, "start_s": starts, "stop_s": starts + 1.0}
    )
    joblib.dump((store, table), folder / "first.joblib")
    return folder / "first.joblib"
