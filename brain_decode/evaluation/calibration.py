"""Whether a decoder is right as often as it says."""

from __future__ import annotations

import numpy as np

__all__ = ["N_BINS", "calibration_gaps", "ece", "ece_bounds", "reliability_bins", "top_confidence"]

_NORMAL = 1.96  # quantile of 95 %
N_BINS = 15  # Guo et al. 2017, equal width


def top_confidence(probabilities: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence of the answer, whether it is right (0 or 1), and its bin, each (n,)."""
    confidence = probabilities.max(axis=1)
    is_right = (probabilities.argmax(axis=1) == truth).astype(float)
    bins = np.clip(np.ceil(confidence * N_BINS).astype(int) - 1, 0, N_BINS - 1)
    return confidence, is_right, bins


def ece(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the expected calibration error of the answers over 15 equally wide bins.

    Args:
        truth: (n,) class indices.
        probabilities: (n, n_classes).

    Source: Guo et al. 2017, equation 3.
    """
    confidence, is_right, bins = top_confidence(probabilities, truth)
    difference = np.bincount(bins, is_right - confidence, minlength=N_BINS)
    return float(np.abs(difference).sum() / len(truth))


def calibration_gaps(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return (n,) what each window adds to the calibration error, whose mean is 0 on average for a calibrated decoder.

    The error of a bin takes the sign that the other windows of the bin give it, so that noise, which has either sign,
    cancels; `ece` takes every deviation as positive, and grows with the number of bins. A small error is understated
    rather than overstated, and noise may make the mean negative.

    Args:
        probabilities: (n, n_classes).
        truth: (n,) class indices.
    """
    confidence, is_right, bins = top_confidence(probabilities, truth)
    gap = is_right - confidence
    others = np.bincount(bins, gap, minlength=N_BINS)[bins] - gap
    return np.sign(others) * gap


def ece_bounds(truth: np.ndarray, probabilities: np.ndarray, *, inflation: float = 1.0) -> tuple[float, float]:
    """Return a 95 % interval of the calibration error over 15 bins; it holds more often than that, and is wide.

    The plain estimate lies above the true error by at most what noise alone would show, and below it by at most the
    noise of all bins together.

    Args:
        truth: (n,) class indices.
        probabilities: (n, n_classes).
        inflation: Of the variance of bins: of windows that are no independent evidence, or decoders that differ.
    """
    confidence, is_right, bins = top_confidence(probabilities, truth)
    gap, n = is_right - confidence, np.bincount(bins, minlength=N_BINS)
    sums, squares, stated = (
        np.bincount(bins, values, minlength=N_BINS) for values in (gap, gap**2, confidence * (1 - confidence))
    )
    spread = np.where(n > 1, (squares - sums**2 / np.maximum(n, 1)) * n / np.maximum(n - 1, 1), 0.0)
    deviations = np.sqrt(inflation * np.maximum(spread, stated)) / len(truth)  # a bin of few windows shows no spread
    plain, noise = float(np.abs(sums).sum() / len(truth)), float(np.sqrt((deviations**2).sum()))
    # Of |x| for a standard normal x: the mean and the standard deviation.
    excess = np.sqrt(2 / np.pi) * deviations.sum() + _NORMAL * np.sqrt(1 - 2 / np.pi) * noise
    return max(plain - max(float(excess), _NORMAL * noise), 0.0), min(plain + _NORMAL * noise, 1.0)


def reliability_bins(truth: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and n of each bin that holds windows."""
    confidence, is_right, bins = top_confidence(probabilities, truth)
    n = np.bincount(bins, minlength=N_BINS)
    sums = np.stack([np.bincount(bins, values, minlength=N_BINS) for values in (confidence, is_right)])
    filled = np.flatnonzero(n)
    return [
        {"confidence": float(sums[0, b] / n[b]), "accuracy": float(sums[1, b] / n[b]), "n": int(n[b])} for b in filled
    ]
