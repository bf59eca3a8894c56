"""Steps that whiten each domain (subject, session, run) by a covariance of its training windows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from brain_decode.core.errors import DataError
from brain_decode.preprocessing.base import WindowStep
from brain_decode.preprocessing.domains import domain_keys
from brain_decode.preprocessing.fitted import require_fitted_channels, require_training_windows
from brain_decode.signals.windows import Windows

__all__ = ["WhiteningStep", "inverse_square_root"]

_POOLED = "*"  # key of the matrix for domains without training windows


def inverse_square_root(covariance: np.ndarray) -> np.ndarray:
    """Return the symmetric inverse square root of a covariance.

    Raises:
        DataError: It is singular (an average reference, a duplicated channel).
    """
    values, vectors = np.linalg.eigh(covariance)
    if values[0] <= 1e-12 * values[-1]:
        raise DataError(
            "The noise covariance is singular, so it cannot be inverted: channels depend on each other, as after an "
            "average reference. Drop one channel or whiten before rereferencing."
        )
    return (vectors / np.sqrt(values)) @ vectors.T


@dataclass
class WhiteningStep(WindowStep, ABC):
    """Multiply the windows of a domain by the inverse square root of a covariance of its training windows.

    Where channels differ in type (EEG beside MEG), each type is first divided by the standard deviation it has in the
    training windows: volts and tesla differ by many orders of magnitude, and no shrinkage or eigenvalue of the smaller
    would survive.

    A subclass says what a domain is, which covariance it has, and what becomes of a domain that was not in training.
    """

    is_fitted_step = True
    domain_columns: ClassVar[tuple[str, ...]] = ("subject",)

    _channels: tuple[str, ...] = field(default=(), init=False, repr=False)
    _whiteners: dict[str, np.ndarray] = field(default_factory=dict, init=False, repr=False)
    _scale: np.ndarray | None = field(default=None, init=False, repr=False)  # (channel,) where types differ

    @abstractmethod
    def domain_covariances(self, windows: Windows, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Return the (channel, channel) covariance of each domain; `keys` has the domain of each window."""

    @abstractmethod
    def unseen_whitener(self, key: str, windows: Windows) -> np.ndarray:
        """Return the (channel, channel) matrix for the windows of a domain that was not in training."""

    @property
    def pooled_whitener(self) -> np.ndarray:
        """The inverse square root of the mean covariance of the training domains."""
        return self._whiteners[_POOLED]

    def fit(self, windows: Windows) -> None:
        """Estimate the covariance of each domain on training windows.

        Raises:
            DataError: No window, samples that are not finite, a singular covariance, or what the subclass refuses.
        """
        require_training_windows(self.name, windows)
        self._scale = _deviation_by_type(windows) if len(set(windows.space.types)) > 1 else None
        windows = self._scaled(windows)
        covariances = self.domain_covariances(windows, domain_keys(windows, self.domain_columns))
        self._whiteners = {key: inverse_square_root(covariance) for key, covariance in covariances.items()}
        self._whiteners[_POOLED] = inverse_square_root(np.mean(list(covariances.values()), axis=0))
        self._channels = tuple(windows.space.names)

    def apply(self, windows: Windows) -> Windows:
        """Return whitened windows.

        Raises:
            ConfigError: Not fitted.
            SpecMismatch: Other channels than those of the training windows.
            DataError: What the subclass refuses of domains that were not in training.
        """
        require_fitted_channels(self.name, self._channels, windows)
        windows = self._scaled(windows)
        data = np.empty_like(windows.data)
        keys = domain_keys(windows, self.domain_columns)
        for key in np.unique(keys):
            rows = np.flatnonzero(keys == key)
            whitener = self._whiteners.get(str(key))
            if whitener is None:
                whitener = self.unseen_whitener(str(key), windows.rows(rows))
            data[rows] = whitener.astype(windows.data.dtype) @ windows.data[rows]
        return windows.with_data(data)

    def state(self) -> dict[str, Any] | None:
        """Return one matrix per training domain and the pooled one."""
        if not self._channels:
            return None
        whiteners = {key: matrix.tolist() for key, matrix in self._whiteners.items()}
        scale = {} if self._scale is None else {"scale": self._scale.tolist()}
        return {"channels": list(self._channels), "whiteners": whiteners, **scale}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the matrices."""
        self._whiteners = {key: np.array(matrix) for key, matrix in state["whiteners"].items()}
        self._channels = tuple(state["channels"])
        self._scale = np.array(state["scale"]) if "scale" in state else None

    def _scaled(self, windows: Windows) -> Windows:
        if self._scale is None:
            return windows
        return windows.with_data(windows.data / self._scale[:, None].astype(windows.data.dtype))


def _deviation_by_type(windows: Windows) -> np.ndarray:
    """Return (channel,) the standard deviation of the channels of the same type."""
    kinds, kind_of = np.unique(np.asarray(windows.space.types), return_inverse=True)
    deviations = [windows.data[:, kind_of == number].std(dtype=np.float64) for number in range(len(kinds))]
    return np.array(deviations)[kind_of]
