"""Whether a decoder is right as often as it says."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from brain_decode.core.errors import DataError

__all__ = ["N_BINS", "apply_temperature", "ece", "fit_temperature", "reliability_bins", "top_confidence"]

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


def reliability_bins(truth: np.ndarray, probabilities: np.ndarray) -> list[dict[str, float]]:
    """Return mean confidence, accuracy and n of each bin that holds windows."""
    confidence, is_right, bins = top_confidence(probabilities, truth)
    n = np.bincount(bins, minlength=N_BINS)
    sums = np.stack([np.bincount(bins, values, minlength=N_BINS) for values in (confidence, is_right)])
    filled = np.flatnonzero(n)
    return [
        {"confidence": float(sums[0, b] / n[b]), "accuracy": float(sums[1, b] / n[b]), "n": int(n[b])} for b in filled
    ]


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """Return the temperature that minimises the cross-entropy of validation logits (n, n_classes).

    Dividing logits by it changes confidences and never the answer. The search is in log temperature, within [0.05, 20].

    Raises:
        DataError: No validation windows, or logits that are not finite.

    Source: Guo et al. 2017.
    """
    logits = np.asarray(logits, dtype=float)
    if not len(logits) or not np.isfinite(logits).all():
        raise DataError(f"A temperature needs finite validation logits; got shape {logits.shape}.")
    bound = np.log(20.0)
    truth = np.asarray(truth, dtype=int)
    found = minimize(_cross_entropy, [0.0], args=(logits, truth), jac=True, method="L-BFGS-B", bounds=[(-bound, bound)])
    return float(np.exp(found.x[0]))


def apply_temperature(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Return probabilities (n, n_classes) of logits divided by the temperature."""
    return softmax(np.asarray(logits, dtype=float) / temperature, axis=1)


def _cross_entropy(log_temperature: np.ndarray, logits: np.ndarray, truth: np.ndarray) -> tuple[float, np.ndarray]:
    """Mean cross-entropy and its derivative by log temperature."""
    scaled = logits * np.exp(-log_temperature[0])
    log_probabilities = log_softmax(scaled, axis=1)
    chosen = np.take_along_axis(log_probabilities, truth[:, None], axis=1)[:, 0]
    expected = (np.exp(log_probabilities) * scaled).sum(axis=1)
    true_logit = np.take_along_axis(scaled, truth[:, None], axis=1)[:, 0]
    return float(-chosen.mean()), np.array([(true_logit - expected).mean()])
