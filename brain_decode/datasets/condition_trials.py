"""Cut trials in arrays ordered by what was shown and by repetition, read where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["ConditionTrials", "TrialTimes", "trial_times"]

_STEADY = 1e-3  # of an interval; times are rounded multiples of it


@dataclass(frozen=True, eq=False)
class ConditionTrials:
    """The trials of an array, counted along its leading axes, the last of them fastest.

    Args:
        array: (condition, ..., repetition, channel, time) of any real type, usually memory-mapped; it is never copied
            as a whole.
        scale: Of the stored numbers to the SI unit.
    """

    array: np.ndarray
    scale: float = 1.0

    @property
    def n_trials(self) -> int:
        return prod(self.array.shape[:-2])

    @property
    def n_times(self) -> int:
        return int(self.array.shape[-1])

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return these trials as (trial, channel, time) float64."""
        places = np.unravel_index(np.asarray(indices, dtype=int), self.array.shape[:-2])
        return np.asarray(self.array[places], dtype=np.float64) * self.scale


@dataclass(frozen=True)
class TrialTimes:
    """When the samples of a trial were taken.

    Args:
        start_s: Of the first sample, relative to the event.
        rate_hz: Samples per second.
        notes: What had to be left out of the stored times.
    """

    start_s: float
    rate_hz: float
    notes: tuple[str, ...] = ()


def trial_times(stored: Any, n_times: int, path: Path) -> TrialTimes:
    """Return start and rate from the times stored beside the trials.

    Files are in circulation whose data begin at the event while their times still begin before it: as many times too
    many as lie before the event. Those are left out, with a note; no other disagreement is repaired.

    Args:
        stored: (time,) seconds relative to the event.
        n_times: Samples of each trial.
        path: Of the file, for messages.

    Raises:
        DataError: Times at unequal intervals, or another number of them than samples.
    """
    times = np.ravel(np.asarray(stored))
    if times.dtype.kind not in "fiu" or len(times) < 2 or not np.isfinite(times).all():
        raise DataError(f"{path}: `times` should hold two or more numbers of seconds; it holds {stored!r:.80}.")
    times = times.astype(np.float64)
    interval_s = (times[-1] - times[0]) / (len(times) - 1)
    if interval_s <= 0 or np.abs(np.diff(times) - interval_s).max() > _STEADY * interval_s:
        raise DataError(f"{path}: `times` are not at equal intervals, as samples are. Take the file from its source.")
    n_before = int((times < -interval_s / 2).sum())
    excess = len(times) - n_times
    if excess not in (0, n_before):
        raise DataError(
            f"{path}: `times` has {len(times)} entries from {times[0]:g} to {times[-1]:g} s, but the data have "
            f"{n_times} samples; only the {n_before} entries before the event may be too many. It is not known when "
            "the samples were taken: take the file from its source, or prepare it again."
        )
    notes = (f"the first {excess} of its {len(times)} times, before the event, have no samples",) if excess else ()
    start_s = float(times[excess])
    # A time of nearly zero is zero: resampling leaves rounding behind.
    return TrialTimes(0.0 if abs(start_s) < _STEADY * interval_s else start_s, _whole(1 / interval_s), notes)


def _whole(rate_hz: float) -> float:
    nearest = round(rate_hz)
    return float(nearest) if abs(rate_hz - nearest) < _STEADY * rate_hz else float(rate_hz)
