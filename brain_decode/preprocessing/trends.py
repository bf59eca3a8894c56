"""Steps on whole recordings that remove slow drifts and bring channels or voxels to one scale, run by run."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.base import Continuous, SignalStep

__all__ = ["Detrend", "PercentSignalChange", "ZScoreRecording"]

_FLAT = 1e-12  # of the largest value; what rounding leaves of a constant


@dataclass
class Detrend(SignalStep):
    """Remove a polynomial of time from each channel or voxel of a recording; its mean stays.

    Args:
        degree: 1 removes a line, 2 a parabola as well, and so on.
        keep_mean: False removes the mean too.

    Raises:
        ConfigError: A degree below one.
    """

    name = "detrend"
    is_causal = False
    uses_everything = "fits its polynomial to the whole recording"
    is_transductive = True

    degree: int = 1
    keep_mean: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.degree, bool) or not isinstance(self.degree, int) or self.degree < 1:
            raise ConfigError(f"detrend needs a whole degree of 1 or more, got {self.degree}.")

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal without its trend.

        Raises:
            DataError: Fewer samples than the polynomial has coefficients.
        """
        n_times = signal.data.shape[1]
        if n_times <= self.degree:
            raise DataError(f"detrend of degree {self.degree} needs more than {self.degree} samples, got {n_times}.")
        # Legendre polynomials on [-1, 1] stay well conditioned where powers of time do not.
        time = np.linspace(-1.0, 1.0, n_times)
        basis, _ = np.linalg.qr(np.polynomial.legendre.legvander(time, self.degree))
        fitted = (signal.data @ basis) @ basis.T
        mean = signal.data.mean(axis=1, keepdims=True) if self.keep_mean else 0.0
        return replace(signal, data=signal.data - fitted + mean)


@dataclass
class PercentSignalChange(SignalStep):
    """Express each voxel in percent of its mean over the recording: the usual unit of functional MRI."""

    name = "percent_signal_change"
    is_causal = False
    uses_everything = "divides by the mean of the whole recording"
    is_transductive = True

    def apply(self, signal: Continuous) -> Continuous:
        """Return 100 * (signal / mean - 1).

        Raises:
            DataError: Voxels whose mean is not positive, which have no percentage.
        """
        mean = signal.data.mean(axis=1, keepdims=True)
        without = int((mean <= 0).sum())
        if without:
            raise DataError(
                f"percent_signal_change needs positive means; {without} of {len(mean)} voxels have none. Narrow the "
                "mask, apply it before steps that remove the mean, or use zscore_recording."
            )
        return replace(signal, data=100.0 * (signal.data / mean - 1.0))


@dataclass
class ZScoreRecording(SignalStep):
    """Zero mean and unit variance of each channel or voxel over its recording; one that never varies becomes zero.

    The statistics come from the recording itself, without labels: of a test run, too, they are its own.
    """

    name = "zscore_recording"
    is_causal = False
    uses_everything = "takes mean and deviation of the whole recording"
    is_transductive = True

    def apply(self, signal: Continuous) -> Continuous:
        """Return the standardised signal."""
        centred = signal.data - signal.data.mean(axis=1, keepdims=True)
        deviation = centred.std(axis=1, keepdims=True)
        varies = deviation > _FLAT * np.abs(signal.data).max(axis=1, keepdims=True)
        return replace(signal, data=np.where(varies, centred / np.where(varies, deviation, 1.0), 0.0))
