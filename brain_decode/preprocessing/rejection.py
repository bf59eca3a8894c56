"""Rules, fixed beforehand, by which windows are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.signals.sensors import SENSOR_TYPES
from brain_decode.signals.windows import Windows

__all__ = ["Rejection"]

Threshold = float | Mapping[str, float] | None


@dataclass(frozen=True)
class Rejection:
    """Peak-to-peak and flat thresholds in SI units, one for all channels or one per sensor type.

    Args:
        peak_to_peak_v: A window in which some channel spans more is rejected.
        flat_v: A window in which some channel spans less is rejected.

    Raises:
        ConfigError: No threshold, one that is not positive, or one for an unknown sensor type.
    """

    peak_to_peak_v: Threshold = None
    flat_v: Threshold = None

    def __post_init__(self) -> None:
        given = [value for value in (self.peak_to_peak_v, self.flat_v) if value is not None]
        numbers = [n for value in given for n in (value.values() if isinstance(value, Mapping) else [value])]
        if not numbers or not all(number > 0 for number in numbers):
            raise ConfigError(f"Rejection needs positive thresholds in volts; got {numbers or 'none'}.")
        for kind in (kind for value in given if isinstance(value, Mapping) for kind in value):
            if kind not in (*SENSOR_TYPES, "voxel"):
                raise unknown_option("sensor type of a rejection threshold", kind, (*SENSOR_TYPES, "voxel"))

    def reasons(self, windows: Windows) -> np.ndarray:
        """Return for each window "", "not_finite", "peak_to_peak" or "flat"; no window is changed."""
        span = np.ptp(windows.data, axis=2)
        types = np.array(getattr(windows.space, "types", ["voxel"] * len(windows.space)))
        reasons = np.full(len(windows), "", dtype=object)
        reasons[(span < _per_channel(self.flat_v, types, 0.0)).any(axis=1)] = "flat"
        reasons[(span > _per_channel(self.peak_to_peak_v, types, np.inf)).any(axis=1)] = "peak_to_peak"
        reasons[~np.isfinite(span).all(axis=1)] = "not_finite"
        return reasons


def _per_channel(threshold: Threshold, types: np.ndarray, otherwise: float) -> np.ndarray:
    if threshold is None:
        return np.full(len(types), otherwise)
    if isinstance(threshold, Mapping):
        return np.array([threshold.get(str(kind), otherwise) for kind in types])
    return np.full(len(types), float(threshold))
