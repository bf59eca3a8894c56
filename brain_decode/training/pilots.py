"""Small measured pieces of a run, from which the cost of the whole is told beforehand."""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from brain_decode.signals.recording import ArraySource, Recording, TrialArraySource

__all__ = [
    "Growth",
    "anonymous_mb",
    "elapsed_since_start_s",
    "highest_resident_mb",
    "megabytes_of",
    "piece_of",
    "resident_mb",
    "timed",
    "watched_memory",
]

_POLL_S = 0.005
Result = TypeVar("Result")


@dataclass(frozen=True)
class Growth:
    """A cost that grows with a size: `fixed + each * size`.

    Args:
        fixed: What it costs whatever the size.
        each: What one more costs.
    """

    fixed: float
    each: float

    @classmethod
    def through(cls, sizes: Sequence[float], costs: Sequence[float]) -> Growth:
        """Return the line through two measurements; one that would fall, or start below zero, starts at zero."""
        (small, large), (low, high) = sizes, costs
        each = (high - low) / (large - small) if large > small else 0.0
        fixed = low - each * small
        if each <= 0 or fixed < 0:
            return cls(0.0, high / large) if large > 0 else cls(high, 0.0)
        return cls(fixed, each)

    def at(self, size: float) -> float:
        """Return the cost at a size."""
        return self.fixed + self.each * size


def timed(work: Callable[[], Result], repeats: int = 1) -> tuple[float, Result]:
    """Return the seconds that the fastest of some repetitions took, and what the last one returned."""
    fastest = float("inf")
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        fastest = min(fastest, time.perf_counter() - started)
    return fastest, result


def anonymous_mb(process: int | str = "self") -> float:
    """Return the memory of a process that belongs to no file, in MB; zero where the system does not say."""
    return _status_mb("RssAnon", process)


def resident_mb() -> float:
    """Return the resident memory of this process, in MB, with the files of its libraries."""
    return _status_mb("VmRSS")


def highest_resident_mb() -> float:
    """Return the most resident memory this process ever had, in MB."""
    return _status_mb("VmHWM")


def _status_mb(field: str, process: int | str = "self") -> float:
    try:
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    except OSError:
        return 0.0
    return int(found.group(1)) / 1024 if found else 0.0


def elapsed_since_start_s() -> float:
    """Return the seconds since this process was started: what imports and composition have taken so far."""
    try:
        started_ticks = float(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return max(uptime_s - started_ticks / os.sysconf("SC_CLK_TCK"), 0.0)


@contextmanager
def watched_memory() -> Iterator[list[float]]:
    """Give a list that holds, after the block, how much the anonymous memory rose within it at most, in MB."""
    before, highest, over = anonymous_mb(), [0.0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(before, highest, over), daemon=True)
    watcher.start()
    try:
        yield highest
    finally:
        over.set()
        watcher.join()


def _watch(before: float, highest: list[float], over: threading.Event) -> None:
    while not over.wait(_POLL_S):
        highest[0] = max(highest[0], anonymous_mb() - before)


def piece_of(recording: Recording, share: float) -> Recording:
    """Return the beginning of a recording, or its first trials, held in memory.

    Args:
        recording: Continuous, or cut trials.
        share: Part of the recording, above 0 and at most 1.
    """
    if recording.continuous:
        n_times = max(int(share * recording.n_times), 1)
        inside = recording.events["onset_s"].to_numpy(float) < n_times / recording.rate_hz
        source: Any = ArraySource(recording.read(0, n_times))
    else:
        inside = np.arange(len(recording.events)) < max(int(share * len(recording.events)), 1)
        source = TrialArraySource(recording.read_trials(np.flatnonzero(inside)))
    events = recording.events[inside].reset_index(drop=True)
    return replace(recording, source=source, events=events, files=())


def megabytes_of(recording: Recording) -> float:
    """Return the size of a recording's samples in double precision."""
    n_trials = 1 if recording.continuous else len(recording.events)
    return n_trials * len(recording.space) * recording.n_times * 8 / 2**20
