"""The window itself as a vector."""

from __future__ import annotations

import numpy as np

from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.covariance import require_finite, require_live_channels
from brain_decode.signals.spec import SignalSpec

__all__ = ["Flatten"]


class Flatten(ClosedFormEncoder):
    """All samples of a window, all times of the first channel first; for ridge, cosine retrieval and stored vectors.

    Args:
        signal_spec: Sizes of the windows; a single sample per channel is allowed.
    """

    architecture = "flatten"
    sees_labels = False

    def __init__(self, signal_spec: SignalSpec) -> None:
        super().__init__(signal_spec)
        self.embedding_dim = signal_spec.n_channels * signal_spec.n_times

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Check the training windows; nothing is fitted."""
        names = self.signal_spec.sensors.names
        # Stored vectors have one sample per channel, which is constant over time by nature.
        (require_live_channels if self.signal_spec.n_times > 1 else require_finite)(windows, names)

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, channel x time)."""
        require_finite(windows, self.signal_spec.sensors.names)
        return windows.reshape(len(windows), -1)
