"""Logarithm of the power of each channel in a few frequency bands."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.signal import periodogram

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_finite, require_live_channels
from brain_decode.signals.spec import SignalSpec

__all__ = ["BandPower"]

# Theta, alpha, low beta, high beta, low gamma.
CLASSICAL_BANDS_HZ = ((4.0, 8.0), (8.0, 13.0), (13.0, 20.0), (20.0, 30.0), (30.0, 45.0))


class BandPower(ClosedFormEncoder):
    """Log10 of the mean power spectral density in each band, channel by channel.

    Args:
        signal_spec: Sizes of the windows.
        bands_hz: [low, high] pairs, both ends included; for a flicker of 20 Hz, [19.5, 20.5].

    Raises:
        ConfigError: A band that holds no frequency of the spectrum of windows of this length.
    """

    architecture = "band_power"
    sees_labels = False

    def __init__(self, signal_spec: SignalSpec, bands_hz: Sequence[Sequence[float]] = CLASSICAL_BANDS_HZ) -> None:
        super().__init__(signal_spec)
        self.bands_hz = [(float(low), float(high)) for low, high in bands_hz]
        frequencies = np.fft.rfftfreq(signal_spec.n_times, 1 / signal_spec.rate_hz)
        members = [(frequencies >= low) & (frequencies <= high) & (frequencies > 0) for low, high in self.bands_hz]
        for (low, high), member in zip(self.bands_hz, members, strict=True):
            if not member.any():
                raise ConfigError(
                    f"Every band needs a frequency of the spectrum, which has steps of {frequencies[1]:g} Hz up to "
                    f"{frequencies[-1]:g} Hz; none is in [{low:g}, {high:g}] Hz. Widen the band or the window."
                )
        self._weights = np.array([member / member.sum() for member in members])
        self.embedding_dim = signal_spec.n_channels * len(self.bands_hz)

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Check the training windows; nothing is fitted."""
        require_live_channels(windows, self.signal_spec.sensors.names)

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, channel x band) logarithms, all bands of the first channel first."""
        require_finite(windows, self.signal_spec.sensors.names)
        _, density = periodogram(windows, fs=self.signal_spec.rate_hz, window="hann", axis=-1)
        power = density @ self._weights.T
        return np.log10(np.maximum(power, np.finfo(float).tiny)).reshape(len(windows), -1)
