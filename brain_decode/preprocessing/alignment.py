"""Euclidean alignment: bring the mean covariance of each domain to the identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from brain_decode.core.errors import unknown_option
from brain_decode.preprocessing.fitted import require_training_windows
from brain_decode.preprocessing.whitening import WhiteningStep, inverse_square_root
from brain_decode.signals.windows import Windows

__all__ = ["EuclideanAlignment"]

_LEVELS = {"subject": ("subject",), "session": ("subject", "session"), "run": ("subject", "session", "task", "run")}


@dataclass
class EuclideanAlignment(WhiteningStep):
    """Multiply each window by the inverse square root of the mean covariance of its domain.

    Args:
        level: What a domain is: "subject", "session" or "run".
        unseen: For a domain without training windows: "pooled" uses the mean covariance of the training domains;
            "own" that of the windows given, without their labels. "own" is transductive: the answer to one window then
            depends on the others, which a live stream cannot reproduce.

    Source: He and Wu 2020.
    """

    name = "euclidean_alignment"

    level: str = "subject"
    unseen: str = "pooled"

    def __post_init__(self) -> None:
        if self.level not in _LEVELS:
            raise unknown_option("alignment level", self.level, _LEVELS)
        if self.unseen not in ("pooled", "own"):
            raise unknown_option("alignment of unseen domains", self.unseen, ("pooled", "own"))

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True where no window depends on another one."""
        return self.unseen == "pooled"

    @property
    def is_transductive(self) -> bool:  # type: ignore[override]
        """True where windows are aligned by the others of their domain."""
        return self.unseen == "own"

    @property
    def domain_columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Columns of the window table that name a domain."""
        return _LEVELS[self.level]

    def domain_covariances(self, windows: Windows, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean covariance of each domain."""
        return {str(key): _mean_covariance(windows.data[keys == key]) for key in np.unique(keys)}

    def unseen_whitener(self, key: str, windows: Windows) -> np.ndarray:
        """Return the pooled matrix, or that of the windows themselves.

        Raises:
            DataError: With `unseen` "own", samples that are not finite.
        """
        if self.unseen == "pooled":
            return self.pooled_whitener
        require_training_windows(self.name, windows)
        return inverse_square_root(_mean_covariance(windows.data))


def _mean_covariance(windows: np.ndarray) -> np.ndarray:
    by_sample = windows.astype(np.float64).swapaxes(0, 1).reshape(windows.shape[1], -1)
    return by_sample @ by_sample.T / by_sample.shape[1]
