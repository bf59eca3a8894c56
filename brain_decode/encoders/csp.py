"""Common spatial patterns: log variance in the directions whose power differs most between classes."""

from __future__ import annotations

import numpy as np
from pyriemann.spatialfilters import CSP as CommonSpatialPatterns

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_estimator, require_finite, signal_filters, window_covariances
from brain_decode.signals.spec import SignalSpec

__all__ = ["CSP"]


class CSP(ClosedFormEncoder):
    """Log variance of each window after common spatial filters; any number of classes.

    Args:
        signal_spec: Sizes of the windows.
        n_filters: Filters in all, at most the rank of the data.
        estimator: Covariance estimator the filters are fitted with: "oas", "ledoit_wolf" or "sample".

    Source: Ramoser et al. 2000; more than two classes by joint diagonalisation, Grosse-Wentrup and Buss 2008;
    filters by pyriemann. Differs: window covariances are shrunk.
    """

    architecture = "csp"
    fitted_names = ("filters",)

    def __init__(self, signal_spec: SignalSpec, n_filters: int = 6, estimator: str = "oas") -> None:
        super().__init__(signal_spec)
        require_estimator(estimator)
        if n_filters < 1:
            raise ConfigError(f"csp needs at least one filter, got n_filters={n_filters}.")
        self.n_filters = n_filters
        self.estimator = estimator

    @property
    def embedding_dim(self) -> int:  # type: ignore[override]
        """Values per window, one per filter."""
        return (
            min(self.n_filters, self.signal_spec.n_channels)
            if self.filters is None
            else self.fitted("filters").shape[0]
        )

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit the filters.

        Raises:
            ConfigError: No class labels, or one class only.
            DataError: Flat channels or values that are not finite.
        """
        if labels is None or len(np.unique(labels)) < 2:
            raise ConfigError("csp needs labels of at least two classes. Choose tangent_space for this task.")
        subspace = signal_filters(windows, self.signal_spec.sensors)
        covariances = window_covariances(subspace @ windows, self.estimator)
        patterns = CommonSpatialPatterns(nfilter=self.n_filters, metric="euclid")
        patterns.fit(covariances / np.trace(covariances, axis1=1, axis2=2)[:, None, None], np.asarray(labels))
        self.store_fitted(filters=patterns.filters_ @ subspace)

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, filter) natural logarithms of the variance."""
        require_finite(windows, self.signal_spec.sensors.names)
        variance = (self.fitted("filters") @ windows).var(axis=2)
        return np.log(np.maximum(variance, np.finfo(float).tiny))
