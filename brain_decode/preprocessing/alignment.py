"""Euclidean alignment: bring the mean covariance of each domain to the identity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brain_decode.core.errors import unknown_option
from brain_decode.preprocessing.base import WindowStep
from brain_decode.preprocessing.domains import domain_keys
from brain_decode.preprocessing.fitted import require_fitted_channels, require_training_windows
from brain_decode.preprocessing.noise_normalisation import inverse_square_root
from brain_decode.signals.windows import Windows

__all__ = ["EuclideanAlignment"]

_LEVELS = {"subject": ("subject",), "session": ("subject", "session"), "run": ("subject", "session", "task", "run")}


@dataclass
class EuclideanAlignment(WindowStep):
    """Multiply each window by the inverse square root of the mean covariance of its domain.

    Args:
        level: What a domain is: "subject", "session" or "run".
        unseen: For a domain without training windows: "pooled" uses the mean covariance of the training domains;
            "own" that of the windows given, without their labels. "own" is transductive: the answer to one window then
            depends on the others, which a live stream cannot reproduce.

    Source: He and Wu 2020.
    """

    name = "euclidean_alignment"
    is_fitted_step = True

    level: str = "subject"
    unseen: str = "pooled"
    _channels: tuple[str, ...] = field(default=(), init=False, repr=False)
    _whiteners: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            raise unknown_option("alignment level", self.level, _LEVELS)
        if self.unseen not in ("pooled", "own"):
            raise unknown_option("alignment of unseen domains", self.unseen, ("pooled", "own"))

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True where no window depends on another one."""
        return self.unseen == "pooled"

    def fit(self, windows: Windows) -> None:
        """Estimate the mean covariance of each domain on training windows.

        Raises:
            DataError: No window, samples that are not finite, or a singular covariance.
        """
        require_training_windows(self.name, windows)
        keys = domain_keys(windows, _LEVELS[self.level])
        means = {str(key): _mean_covariance(windows.data[keys == key]) for key in np.unique(keys)}
        self._whiteners = {key: inverse_square_root(mean) for key, mean in means.items()}
        self._whiteners["*"] = inverse_square_root(np.mean(list(means.values()), axis=0))
        self._channels = tuple(windows.space.names)

    def apply(self, windows: Windows) -> Windows:
        """Return aligned windows.

        Raises:
            ConfigError: Not fitted.
            SpecMismatch: Other channels than those of the training windows.
            DataError: With `unseen` "own", samples that are not finite.
        """
        require_fitted_channels(self.name, self._channels, windows)
        data = np.empty_like(windows.data)
        keys = domain_keys(windows, _LEVELS[self.level])
        for key in np.unique(keys):
            part = windows.data[keys == key]
            whitener = self._whiteners.get(str(key))
            if whitener is None and self.unseen == "own":
                require_training_windows(self.name, windows.rows(np.flatnonzero(keys == key)))
                whitener = inverse_square_root(_mean_covariance(part))
            chosen = self._whiteners["*"] if whitener is None else whitener
            data[keys == key] = chosen.astype(windows.data.dtype) @ part
        return windows.with_data(data)

    def state(self) -> dict[str, Any] | None:
        """Return one matrix per training domain and the pooled one."""
        if not self._channels:
            return None
        whiteners = {key: matrix.tolist() for key, matrix in self._whiteners.items()}
        return {"channels": list(self._channels), "whiteners": whiteners}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the matrices."""
        self._whiteners = {key: np.array(matrix) for key, matrix in state["whiteners"].items()}
        self._channels = tuple(state["channels"])


def _mean_covariance(windows: np.ndarray) -> np.ndarray:
    by_sample = windows.astype(np.float64).swapaxes(0, 1).reshape(windows.shape[1], -1)
    return by_sample @ by_sample.T / by_sample.shape[1]
