"""What a command takes, seen from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from brain_decode.training.pilots import anonymous_mb

_POLL_S = 0.02


def peak_anonymous_mb(words: Sequence[str]) -> tuple[float, float]:
    """Run Python on these words and return the highest anonymous memory of the process, and the seconds it took."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL)
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, anonymous_mb(child.pid))
        time.sleep(_POLL_S)
    if child.returncode:
        raise RuntimeError(f"{' '.join(words[:3])} failed with status {child.returncode}.")
    return peak, time.perf_counter() - started
