"""Evoked responses as covariances: xDAWN filters per class, joined with the class averages, in tangent space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pyriemann.geometry.tangentspace import tangent_space
from pyriemann.spatialfilters import Xdawn

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import (
    require_estimator,
    require_finite,
    riemannian_tangent,
    shrunk_covariances,
    signal_filters,
)
from brain_decode.signals.spec import SignalSpec

__all__ = ["XdawnTangent"]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """Training windows (window, channel, time), and what xDAWN needs of them whatever their labels."""

    windows: np.ndarray
    subspace: np.ndarray
    inside: np.ndarray
    covariance: np.ndarray


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
        _require_labels(labels)
        self.fit_prepared(self.prepare(windows), labels)

    def prepare(self, windows: np.ndarray) -> _Prepared:
        """Return the subspace that carries signal, the windows in it and their covariance."""
        subspace = signal_filters(windows, self.signal_spec.sensors)
        inside = subspace @ windows
        joined = inside.transpose(1, 0, 2).reshape(len(subspace), -1)
        return _Prepared(windows, subspace, inside, np.cov(joined, bias=True))

    def fit_prepared(self, prepared: _Prepared, labels: np.ndarray | None) -> np.ndarray:
        """Fit, and return the tangent vectors of the training windows, whose covariances are computed once."""
        _require_labels(labels)
        xdawn = Xdawn(nfilter=self.n_filters, estimator="scm", baseline_cov=prepared.covariance)
        xdawn.fit(prepared.inside, np.asarray(labels))
        filters, prototypes = xdawn.filters_ @ prepared.subspace, xdawn.evokeds_
        covariances = self._covariances(prepared.windows, filters, prototypes)
        reference, vectors = riemannian_tangent(covariances)
        self.store_fitted(filters=filters, prototypes=prototypes, reference=reference)
        return vectors

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, embedding_dim) tangent vectors."""
        require_finite(windows, self.signal_spec.sensors.names)
        covariances = self._covariances(windows, self.fitted("filters"), self.fitted("prototypes"))
        return tangent_space(covariances, self.fitted("reference"), metric="riemann")

    def _covariances(self, windows: np.ndarray, filters: np.ndarray, prototypes: np.ndarray) -> np.ndarray:
        """Return the covariances of class averages stacked on filtered windows.

        The block of the averages is the same for every window, so no stack is made.
        """
        filtered = filters @ windows
        filtered -= filtered.mean(axis=2, keepdims=True)
        averages = prototypes - prototypes.mean(axis=1, keepdims=True)
        n_averages, n_times = averages.shape
        size = n_averages + len(filters)
        sample = np.empty((len(windows), size, size))
        sample[:, :n_averages, :n_averages] = averages @ averages.T
        sample[:, n_averages:, :n_averages] = filtered @ averages.T
        sample[:, :n_averages, n_averages:] = sample[:, n_averages:, :n_averages].swapaxes(1, 2)
        sample[:, n_averages:, n_averages:] = filtered @ filtered.swapaxes(1, 2)
        sample /= n_times
        return shrunk_covariances(
            sample, lambda: (averages**2).sum(axis=0) + (filtered**2).sum(axis=1), n_times, self.estimator
        )


def _require_labels(labels: np.ndarray | None) -> None:
    if labels is None:
        raise ConfigError("xdawn_tangent needs class labels. Choose tangent_space or time_means for this task.")
