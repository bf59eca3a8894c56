"""Covariance of each window in the tangent space of the training mean: a strong baseline for oscillations."""

from __future__ import annotations

import numpy as np
from pyriemann.geometry.tangentspace import tangent_space

from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import (
    require_estimator,
    require_finite,
    riemannian_tangent,
    signal_filters,
    window_covariances,
)
from brain_decode.signals.spec import SignalSpec

__all__ = ["TangentSpace"]


class TangentSpace(ClosedFormEncoder):
    """Window covariances as vectors in the tangent space at their Riemannian mean.

    Directions without signal (average reference) are left out, so `embedding_dim` is r (r + 1) / 2 for data of rank r,
    known after `fit`.

    Args:
        signal_spec: Sizes of the windows.
        estimator: Covariance estimator: "oas", "ledoit_wolf" or "sample".

    Source: Barachant et al. 2012; pyriemann.
    """

    architecture = "tangent_space"
    fitted_names = ("filters", "reference")
    sees_labels = False

    def __init__(self, signal_spec: SignalSpec, estimator: str = "oas") -> None:
        super().__init__(signal_spec)
        require_estimator(estimator)
        self.estimator = estimator

    @property
    def embedding_dim(self) -> int:  # type: ignore[override]
        """Values per window."""
        size = self.signal_spec.n_channels if self.reference is None else self.fitted("reference").shape[0]
        return size * (size + 1) // 2

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit the scale, the subspace and the mean covariance; labels are not used."""
        self.fit_prepared(windows, labels)

    def fit_prepared(self, prepared: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Fit, and return the tangent vectors of the training windows, whose covariances are computed once."""
        filters = signal_filters(prepared, self.signal_spec.sensors)
        reference, vectors = riemannian_tangent(window_covariances(filters @ prepared, self.estimator))
        self.store_fitted(filters=filters, reference=reference)
        return vectors

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, embedding_dim) tangent vectors."""
        require_finite(windows, self.signal_spec.sensors.names)
        covariances = window_covariances(self.fitted("filters") @ windows, self.estimator)
        return tangent_space(covariances, self.fitted("reference"), metric="riemann")
