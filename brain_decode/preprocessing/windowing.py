"""Steps on single windows that are not fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.preprocessing.base import WindowStep
from brain_decode.signals.windows import Windows

__all__ = ["Baseline", "BinMeans", "Clip", "Crop", "Scale"]

_SAMPLE_TOLERANCE = 1e-6  # of a sample; times are multiples of a rate that floats cannot hold


def _samples(windows: Windows, start_s: float | None, stop_s: float | None, step: str) -> slice:
    first = 0 if start_s is None else _ceil((start_s - windows.start_s) * windows.rate_hz)
    last = windows.data.shape[2] if stop_s is None else _ceil((stop_s - windows.start_s) * windows.rate_hz)
    if first < 0 or last > windows.data.shape[2] or first >= last:
        end_s = windows.start_s + windows.data.shape[2] / windows.rate_hz
        raise SpecMismatch(
            f"{step} needs {start_s} to {stop_s} s; the windows hold {windows.start_s:g} to {end_s:g} s. "
            "Change window= or the step."
        )
    return slice(first, last)


def _ceil(samples: float) -> int:
    return int(np.ceil(samples - _SAMPLE_TOLERANCE))


@dataclass
class Crop(WindowStep):
    """Keep [start_s, stop_s) of each window, relative to the event; None keeps that end."""

    name = "crop"
    is_causal = True

    start_s: float | None = None
    stop_s: float | None = None

    def apply(self, windows: Windows) -> Windows:
        """Return shorter windows."""
        kept = _samples(windows, self.start_s, self.stop_s, self.name)
        return replace(windows, data=windows.data[:, :, kept], start_s=float(windows.times_s[kept][0]))


@dataclass
class Baseline(WindowStep):
    """Subtract from each channel its mean over [start_s, stop_s), by default everything before the event."""

    name = "baseline"
    is_causal = False

    start_s: float | None = None
    stop_s: float | None = 0.0

    def apply(self, windows: Windows) -> Windows:
        """Return windows whose baseline has mean zero."""
        used = _samples(windows, self.start_s, self.stop_s, self.name)
        return windows.with_data(windows.data - windows.data[:, :, used].mean(axis=2, keepdims=True))


@dataclass
class Clip(WindowStep):
    """Limit samples to [-limit, limit], in the unit they have at this point."""

    name = "clip"
    is_causal = True

    limit: float

    def __post_init__(self) -> None:
        if self.limit <= 0:
            raise ConfigError(f"clip needs a positive limit, got {self.limit}.")

    def apply(self, windows: Windows) -> Windows:
        """Return limited windows."""
        return windows.with_data(np.clip(windows.data, -self.limit, self.limit))


@dataclass
class Scale(WindowStep):
    """Multiply by a constant, for models written for microvolts (1e6) or femtotesla (1e15)."""

    name = "scale"
    is_causal = True

    factor: float

    def apply(self, windows: Windows) -> Windows:
        """Return scaled windows."""
        return windows.with_data(windows.data * windows.data.dtype.type(self.factor))


@dataclass
class BinMeans(WindowStep):
    """Average neighbouring samples; a rest shorter than a bin is left out.

    Args:
        bin_s: Length of a bin in seconds.
    """

    name = "bin_means"
    is_causal = False

    bin_s: float

    def apply(self, windows: Windows) -> Windows:
        """Return windows at the lower rate."""
        size = round(self.bin_s * windows.rate_hz)
        n_bins = windows.data.shape[2] // size if size else 0
        if n_bins < 1:
            raise SpecMismatch(f"bin_means of {self.bin_s} s does not fit {windows.data.shape[2]} samples.")
        data = windows.data[:, :, : n_bins * size].reshape(*windows.data.shape[:2], n_bins, size).mean(axis=3)
        return replace(windows, data=data, rate_hz=windows.rate_hz / size)
