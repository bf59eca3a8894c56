"""Mean amplitude of each channel in consecutive bins of time: the usual features of evoked responses."""

from __future__ import annotations

import numpy as np

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_finite, require_live_channels, type_scale
from brain_decode.signals.spec import SignalSpec

__all__ = ["TimeMeans"]


class TimeMeans(ClosedFormEncoder):
    """Channel amplitudes averaged in bins, in units of the typical deviation of their sensor type.

    Args:
        signal_spec: Sizes of the windows.
        bin_s: Length of a bin in seconds; samples left over at the end join no bin. Null for one bin.
        start_s: Start of the first bin relative to the event; null for the start of the window.
        stop_s: End of the last bin relative to the event; null for the end of the window.

    Raises:
        ConfigError: Bins shorter than a sample, or an interval that is outside the window or shorter than a bin.

    Source: Blankertz et al. 2011 (single-trial analysis of ERP components).
    """

    architecture = "time_means"
    fitted_names = ("scale",)
    sees_labels = False

    def __init__(
        self,
        signal_spec: SignalSpec,
        bin_s: float | None = 0.05,
        start_s: float | None = None,
        stop_s: float | None = None,
    ) -> None:
        super().__init__(signal_spec)
        window_stop_s = signal_spec.start_s + signal_spec.n_times / signal_spec.rate_hz
        wanted = (signal_spec.start_s if start_s is None else start_s, window_stop_s if stop_s is None else stop_s)
        bin_s = wanted[1] - wanted[0] if bin_s is None else bin_s
        self._first = round((wanted[0] - signal_spec.start_s) * signal_spec.rate_hz)
        last = round((wanted[1] - signal_spec.start_s) * signal_spec.rate_hz)
        self._bin = round(bin_s * signal_spec.rate_hz)
        if self._bin < 1:
            raise ConfigError(f"A bin holds at least one sample of {1 / signal_spec.rate_hz:g} s, got bin_s={bin_s}.")
        if self._first < 0 or last > signal_spec.n_times or last - self._first < self._bin:
            raise ConfigError(
                f"Bins of {bin_s:g} s must lie in the window [{signal_spec.start_s:g}, {window_stop_s:g}) s; "
                f"got start_s={wanted[0]:g}, stop_s={wanted[1]:g}."
            )
        self.n_bins = (last - self._first) // self._bin
        self.embedding_dim = signal_spec.n_channels * self.n_bins

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit the scale of each sensor type; labels are not used."""
        require_live_channels(windows, self.signal_spec.sensors.names)
        self.store_fitted(scale=type_scale(windows, self.signal_spec.sensors))

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, channel x bin) means, all bins of the first channel first."""
        require_finite(windows, self.signal_spec.sensors.names)
        used = windows[:, :, self._first : self._first + self.n_bins * self._bin]
        means = used.reshape(*used.shape[:2], self.n_bins, self._bin).mean(axis=3)
        return (means / self.fitted("scale")[:, None]).reshape(len(windows), -1)
