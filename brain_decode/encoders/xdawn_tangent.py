"""Evoked responses as covariances: xDAWN filters per class, joined with the class averages, in tangent space."""

from __future__ import annotations

import numpy as np
from pyriemann.geometry.mean import gmean
from pyriemann.geometry.tangentspace import tangent_space
from pyriemann.spatialfilters import Xdawn

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_estimator, require_finite, signal_filters, window_covariances
from brain_decode.signals.spec import SignalSpec

__all__ = ["XdawnTangent"]


class XdawnTangent(ClosedFormEncoder):
    """xDAWN-filtered windows stacked on the filtered class averages, as covariances in tangent space.

    Args:
        signal_spec: Sizes of the windows.
        n_filters: Spatial filters per class, at most the rank of the data.
        estimator: Covariance estimator: "oas", "ledoit_wolf" or "sample".

    Source: Rivet et al. 2009 (xDAWN), Barachant and Congedo 2014; filters by pyriemann.
    """

    architecture = "xdawn_tangent"
    fitted_names = ("filters", "prototypes", "reference")

    def __init__(self, signal_spec: SignalSpec, n_filters: int = 2, estimator: str = "oas") -> None:
        super().__init__(signal_spec)
        require_estimator(estimator)
        if n_filters < 1:
            raise ConfigError(f"xdawn_tangent needs at least one filter per class, got n_filters={n_filters}.")
        self.n_filters = n_filters
        self.estimator = estimator

    @property
    def embedding_dim(self) -> int:  # type: ignore[override]
        """Values per window; for two classes before fitting."""
        filters = min(self.n_filters, self.signal_spec.n_channels)
        size = 4 * filters if self.reference is None else self.fitted("reference").shape[0]
        return size * (size + 1) // 2

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit the filters, the class averages and the mean covariance.

        Raises:
            ConfigError: No class labels.
            DataError: Flat channels or values that are not finite.
        """
        self._fitted_covariances(windows, labels)

    def fit_transform(self, windows: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Fit, and return the tangent vectors of the training windows, whose covariances are computed once."""
        covariances = self._fitted_covariances(windows, labels)
        return tangent_space(covariances, self.fitted("reference"), metric="riemann")

    def _fitted_covariances(self, windows: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        if labels is None:
            raise ConfigError("xdawn_tangent needs class labels. Choose tangent_space or time_means for this task.")
        subspace = signal_filters(windows, self.signal_spec.sensors)
        xdawn = Xdawn(nfilter=self.n_filters, estimator="scm").fit(subspace @ windows, np.asarray(labels))
        filters, prototypes = xdawn.filters_ @ subspace, xdawn.evokeds_
        covariances = self._covariances(windows, filters, prototypes)
        reference = gmean(covariances, metric="riemann")
        self.store_fitted(filters=filters, prototypes=prototypes, reference=reference)
        return covariances

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, embedding_dim) tangent vectors."""
        require_finite(windows, self.signal_spec.sensors.names)
        covariances = self._covariances(windows, self.fitted("filters"), self.fitted("prototypes"))
        return tangent_space(covariances, self.fitted("reference"), metric="riemann")

    def _covariances(self, windows: np.ndarray, filters: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
        repeated = np.broadcast_to(prototypes, (len(windows), *prototypes.shape))
        return window_covariances(np.concatenate([repeated, filters @ windows], axis=1), self.estimator)
