"""Print how fast random windows leave the signal store, beside the bare memory map, one JSON line each."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from brain_decode.datasets.store import prepare_store
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors

RATE_HZ, N_CHANNELS, N_SECONDS, BATCH, N_BATCHES = 256.0, 64, 600, 64, 100


def main() -> None:
    """Time 1 s x 64 channel windows at 256 Hz in batches of 64."""
    rng = np.random.default_rng(0)
    samples = rng.standard_normal((N_CHANNELS, int(N_SECONDS * RATE_HZ)), dtype=np.float32)
    no_events = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    sensors = Sensors(tuple(f"E{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)
    recording = Recording(Entities("01"), sensors, RATE_HZ, no_events, ArraySource(samples))
    with tempfile.TemporaryDirectory() as folder:
        store = prepare_store([recording], [], Path(folder))
        bare = store.entries[0].array()
        starts = rng.integers(0, bare.shape[0] - int(RATE_HZ), (N_BATCHES, BATCH))
        seconds = starts / RATE_HZ
        tables = [
            pd.DataFrame({"recording": 0, "event": -1, "onset_s": s, "start_s": s, "stop_s": s + 1.0}) for s in seconds
        ]
        for repeat in range(3):
            begin = time.perf_counter()
            for batch in starts:
                np.stack([bare[start : start + int(RATE_HZ)] for start in batch])
            middle = time.perf_counter()
            for table in tables:
                store.read(table)
            end = time.perf_counter()
            rates = [BATCH * N_BATCHES / duration for duration in (middle - begin, end - middle)]
            line = {"repeat": repeat, "bare_windows_per_s": round(rates[0]), "store_windows_per_s": round(rates[1])}
            print(json.dumps(line | {"ratio": round(rates[1] / rates[0], 3)}))


if __name__ == "__main__":
    main()
