"""From seconds to samples: the one place that decides where a window starts and how long it is."""

from __future__ import annotations

import numpy as np

__all__ = ["n_samples", "nearest_samples"]

_TOLERANCE = 1e-6  # of a sample; onsets of hours at thousands of hertz are held a hundred times better


def nearest_samples(times_s: np.ndarray | float, rate_hz: np.ndarray | float) -> np.ndarray:
    """Return the sample nearest to each time; halves go up, whatever rounding made of them.

    Rounding to even would give windows of 37.5 samples 37 or 38, by where in the recording they lie.

    Args:
        times_s: Seconds from the first sample, or durations.
        rate_hz: Samples per second.
    """
    return np.floor(np.asarray(times_s, dtype=float) * rate_hz + 0.5 + _TOLERANCE).astype(int)


def n_samples(duration_s: float, rate_hz: float) -> int:
    """Return the length of a window in samples."""
    return int(nearest_samples(duration_s, rate_hz))
