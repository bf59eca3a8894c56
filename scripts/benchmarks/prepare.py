"""Each preparation step and all together, 64 channels × 10 min at 1000 Hz, against MNE's Raw methods; × real time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import mne
import numpy as np

from brain_decode.core.allocator import keep_heap
from brain_decode.preprocessing.base import Continuous, SignalStep, apply_pass, signal_passes
from brain_decode.preprocessing.channels import Rereference
from brain_decode.preprocessing.filters import BandPass, Notch, Resample
from brain_decode.signals.sensors import Sensors

RATE_HZ, N_CHANNELS, N_SECONDS, REPETITIONS = 1000.0, 64, 600, 4
NAMES = tuple(f"E{number}" for number in range(N_CHANNELS))
STEPS: dict[str, tuple[SignalStep, Callable[[mne.io.BaseRaw], Any]]] = {
    "bandpass": (BandPass(1.0, 40.0), lambda raw: raw.filter(1.0, 40.0, verbose="ERROR")),
    "notch": (Notch(50.0), lambda raw: raw.notch_filter(np.arange(50, 500, 50), verbose="ERROR")),
    "resample": (Resample(250.0), lambda raw: raw.resample(250.0, verbose="ERROR")),
    "rereference": (Rereference("average"), lambda raw: raw.set_eeg_reference("average", verbose="ERROR")),
}


def measure() -> Iterator[dict[str, Any]]:
    """Yield × real time of one process, ours and MNE's in alternating order: medians, and the ratio of every round.

    The heap is kept for both sides, as the command line does.
    """
    keep_heap()
    samples = np.random.default_rng(0).standard_normal((N_CHANNELS, int(N_SECONDS * RATE_HZ)))
    for name, chosen in [*((name, [name]) for name in STEPS), ("all", list(STEPS))]:
        # The first round touches fresh memory and is left out.
        rounds = [_round(samples, chosen, number % 2 == 0) for number in range(REPETITIONS + 1)][1:]
        ours_s, peer_s = (statistics.median(figures[side] for figures in rounds) for side in (0, 1))
        ratios = [round(figures[1] / figures[0], 2) for figures in rounds]
        yield {
            "name": name,
            "value": round(N_SECONDS / ours_s, 1),
            "unit": "× real time",
            "mne": round(N_SECONDS / peer_s, 1),
            "median_ratio": round(statistics.median(ratios), 2),
            "ratios_of_all_rounds": ratios,
            "largest_difference": max(figures[2] for figures in rounds),
        }


def _round(samples: np.ndarray, chosen: list[str], ours_first: bool) -> tuple[float, float, float]:
    """Return our seconds, MNE's seconds and the largest difference of the results."""
    sides = (_ours, _mne) if ours_first else (_mne, _ours)
    results = {side: side(samples, chosen) for side in sides}
    difference = float(np.abs(results[_ours][1] - results[_mne][1]).max())
    return results[_ours][0], results[_mne][0], difference


def _ours(samples: np.ndarray, chosen: list[str]) -> tuple[float, np.ndarray]:
    signal = Continuous(samples, RATE_HZ, Sensors(NAMES, ("eeg",) * N_CHANNELS))
    begin = time.perf_counter()
    for steps in signal_passes([STEPS[name][0] for name in chosen]):
        signal = apply_pass(steps, signal)
    return time.perf_counter() - begin, signal.data


def _mne(samples: np.ndarray, chosen: list[str]) -> tuple[float, np.ndarray]:
    raw = mne.io.RawArray(samples.copy(), mne.create_info(list(NAMES), RATE_HZ, "eeg"), verbose="ERROR")
    begin = time.perf_counter()
    for name in chosen:
        STEPS[name][1](raw)
    return time.perf_counter() - begin, raw.get_data()
