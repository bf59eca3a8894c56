"""Steps that bring channels to a common scale, fitted on training windows."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.preprocessing.base import WindowStep
from brain_decode.preprocessing.fitted import require_fitted_channels, require_training_windows
from brain_decode.signals.windows import Windows

__all__ = ["RobustScale", "ZScore"]

_QUARTILE_RANGE = 1.3489795003921634  # interquartile range of a normal distribution of unit variance


@dataclass
class _ChannelScale(WindowStep):
    """Subtract a centre and divide by a scale, one of each per channel."""

    _channels: tuple[str, ...] = field(default=(), init=False, repr=False)
    _centre: np.ndarray = field(default_factory=partial(np.zeros, 0), init=False, repr=False)
    _scale: np.ndarray = field(default_factory=partial(np.zeros, 0), init=False, repr=False)

    def fit(self, windows: Windows) -> None:
        """Learn centre and scale of each channel from training windows.

        Raises:
            DataError: No window, a channel that never varies, or samples that are not finite.
        """
        require_training_windows(self.name, windows)
        by_channel = windows.data.swapaxes(0, 1).reshape(windows.data.shape[1], -1).astype(np.float64)
        centre, scale = self._measure(by_channel)
        flat = [name for name, spread in zip(windows.space.names, scale, strict=True) if spread <= 0]
        if flat:
            raise DataError(f"{self.name} cannot scale channels that never vary: {flat}. Drop them.")
        self._channels, self._centre, self._scale = tuple(windows.space.names), centre, scale

    def _measure(self, by_channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise ConfigError(f"{type(self).__name__} does not say how it measures a channel.")

    def apply(self, windows: Windows) -> Windows:
        """Return scaled windows.

        Raises:
            ConfigError: Not fitted.
            SpecMismatch: Other channels than those of the training windows.
        """
        require_fitted_channels(self.name, self._channels, windows)
        kind = windows.data.dtype.type
        centre, scale = self._centre.astype(kind)[:, None], self._scale.astype(kind)[:, None]
        return windows.with_data((windows.data - centre) / scale)

    def state(self) -> dict[str, Any] | None:
        """Return centre and scale of each channel."""
        if not self._channels:
            return None
        return {"channels": list(self._channels), "centre": self._centre.tolist(), "scale": self._scale.tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore centre and scale."""
        self._centre, self._scale = np.array(state["centre"]), np.array(state["scale"])
        self._channels = tuple(state["channels"])


@dataclass
class ZScore(_ChannelScale):
    """Zero mean and unit variance.

    Args:
        per: "channel" (mean and deviation of the training windows) or "window" (of each channel of each window, which
            needs no fit and removes differences of amplitude between windows).
    """

    name = "zscore"
    is_fitted_step = True

    per: str = "channel"

    def __post_init__(self) -> None:
        if self.per not in ("channel", "window"):
            raise unknown_option("zscore per", self.per, ("channel", "window"))

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True for statistics of the training windows."""
        return self.per == "channel"

    def fit(self, windows: Windows) -> None:
        if self.per == "channel":
            super().fit(windows)

    def apply(self, windows: Windows) -> Windows:
        if self.per == "channel":
            return super().apply(windows)
        centred = windows.data - windows.data.mean(axis=2, keepdims=True)
        deviation = centred.std(axis=2, keepdims=True)
        return windows.with_data(centred / np.where(deviation > 0, deviation, 1))

    def _measure(self, by_channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return by_channel.mean(axis=1), by_channel.std(axis=1)


@dataclass
class RobustScale(_ChannelScale):
    """Median zero and an interquartile range as of unit variance, so that artefacts do not set the scale."""

    name = "robust_scale"
    is_causal = True
    is_fitted_step = True

    def _measure(self, by_channel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, middle, high = np.percentile(by_channel, [25, 50, 75], axis=1)
        return middle, (high - low) / _QUARTILE_RANGE
