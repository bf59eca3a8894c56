"""The amplitude scale of BrainOmni: an average reference and one deviation per sensor type and window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.preprocessing.base import WindowStep
from brain_decode.signals.windows import Windows

__all__ = ["SensorTypeScale"]

_COMPAT = ("official",)
_OFFICIAL_EPSILON = {"eeg": 1e-5}  # volts
_OFFICIAL_EPSILON_MEG = 1e-13  # tesla, tesla per metre


@dataclass
class SensorTypeScale(WindowStep):
    """Subtract the mean over the sensors of a type at each sample, then divide by one deviation per type and window.

    The relative size of the sensors of a type stays. A window in which a type never varies comes out as zeros.

    Args:
        compat: "official" adds the authors' constants to the deviations (1e-5 V, 1e-13 T): weak signals then come out
            smaller than strong ones, so absolute amplitude leaks into the scale. Needed for their released weights.

    Raises:
        ConfigError: Another `compat`.

    Source: arXiv 2505.18185, the authors' preprocessing code (the paper describes a z-score per channel instead).
    """

    name = "sensor_type_scale"
    is_causal = False

    compat: str | None = None

    def __post_init__(self) -> None:
        if self.compat is not None and self.compat not in _COMPAT:
            raise unknown_option("sensor_type_scale compat", self.compat, _COMPAT)

    def apply(self, windows: Windows) -> Windows:
        """Return scaled windows.

        Raises:
            DataError: One sensor of a type: its average reference is zero.
        """
        types = np.array(windows.space.types)
        out = np.empty_like(windows.data)
        for kind in dict.fromkeys(windows.space.types):
            chosen = types == kind
            if chosen.sum() == 1:
                raise DataError(
                    f"{self.name} subtracts the mean over the sensors of a type, and there is one sensor of type "
                    f"'{kind}' ({windows.space.names[int(np.flatnonzero(chosen)[0])]}). Add channels, or drop it."
                )
            out[:, chosen] = self._scaled(windows.data[:, chosen].astype(np.float64), kind)
        return windows.with_data(out)

    def _scaled(self, signal: np.ndarray, kind: str) -> np.ndarray:
        referenced = signal - signal.mean(axis=1, keepdims=True)
        deviation = referenced.std(axis=(1, 2), keepdims=True)
        if self.compat == "official":
            return referenced / (deviation + _OFFICIAL_EPSILON.get(kind, _OFFICIAL_EPSILON_MEG))
        return referenced / np.where(deviation > 0, deviation, 1.0)
