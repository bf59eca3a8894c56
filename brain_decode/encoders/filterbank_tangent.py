"""Tangent space of the co-spectra in several frequency bands, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pyriemann.geometry.tangentspace import tangent_space
from scipy.signal import get_window

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_finite, riemannian_mean, signal_filters
from brain_decode.signals.spec import SignalSpec

__all__ = ["FilterbankTangent"]


class FilterbankTangent(ClosedFormEncoder):
    """Real part of the cross-spectra in each band, as tangent vectors at the mean of the band.

    A band is a choice of frequencies of the window's Fourier transform, so no filter rings at the window's edges.

    Args:
        signal_spec: Sizes of the windows.
        bands_hz: [low, high] pairs, both ends included.
        shrinkage: Weight, 0 to 1, of the multiple of the identity that each co-spectrum is mixed with.

    Raises:
        ConfigError: A band without a frequency of the spectrum, or a shrinkage outside [0, 1].

    Source: Congedo et al. 2013 (Fourier co-spectra for steady-state responses); means and maps by pyriemann.
    """

    architecture = "filterbank_tangent"
    fitted_names = ("filters", "references")
    sees_labels = False

    def __init__(
        self,
        signal_spec: SignalSpec,
        bands_hz: Sequence[Sequence[float]] = ((4.0, 8.0), (8.0, 13.0), (13.0, 20.0), (20.0, 30.0)),
        shrinkage: float = 0.05,
    ) -> None:
        super().__init__(signal_spec)
        if not 0 <= shrinkage <= 1:
            raise ConfigError(f"Shrinkage is a weight between 0 and 1, got {shrinkage}.")
        self.bands_hz = [(float(low), float(high)) for low, high in bands_hz]
        self.shrinkage = shrinkage
        frequencies = np.fft.rfftfreq(signal_spec.n_times, 1 / signal_spec.rate_hz)
        self._bins = [np.flatnonzero((frequencies >= low) & (frequencies <= high)) for low, high in self.bands_hz]
        for (low, high), bins in zip(self.bands_hz, self._bins, strict=True):
            if not len(bins):
                raise ConfigError(
                    f"Every band needs a frequency of the spectrum, which has steps of {frequencies[1]:g} Hz up to "
                    f"{frequencies[-1]:g} Hz; none is in [{low:g}, {high:g}] Hz. Widen the band or the window."
                )

    @property
    def embedding_dim(self) -> int:  # type: ignore[override]
        """Values per window."""
        size = self.signal_spec.n_channels if self.references is None else self.fitted("references").shape[-1]
        return len(self.bands_hz) * size * (size + 1) // 2

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit the scale, the subspace and the mean co-spectrum of each band; labels are not used."""
        filters = signal_filters(windows, self.signal_spec.sensors)
        means = [riemannian_mean(matrices) for matrices in self._cospectra(windows, filters)]
        self.store_fitted(filters=filters, references=np.stack(means))

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, band x tangent value)."""
        require_finite(windows, self.signal_spec.sensors.names)
        bands = zip(self._cospectra(windows, self.fitted("filters")), self.fitted("references"), strict=True)
        return np.concatenate([tangent_space(matrices, mean, metric="riemann") for matrices, mean in bands], axis=1)

    def _cospectra(self, windows: np.ndarray, filters: np.ndarray) -> list[np.ndarray]:
        """Return one (window, direction, direction) array per band."""
        centred = windows - windows.mean(axis=2, keepdims=True)
        spectrum = np.fft.rfft(filters @ centred * get_window("hann", windows.shape[2]), axis=2)
        size = len(filters)
        matrices = []
        for bins in self._bins:
            chosen = spectrum[:, :, bins]
            matrix = (chosen @ chosen.conj().swapaxes(1, 2)).real / len(bins)
            mean_power = np.trace(matrix, axis1=1, axis2=2)[:, None, None] / size
            matrices.append((1 - self.shrinkage) * matrix + self.shrinkage * mean_power * np.eye(size))
        return matrices
