"""Multivariate noise normalisation: whiten channels by the covariance of responses to one stimulus."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.preprocessing.whitening import WhiteningStep, inverse_square_root
from brain_decode.signals.windows import Windows

__all__ = [
    "NoiseNormalisation",
    "gifford_whitener",
    "mean_shrinkage_covariance",
    "noise_covariance",
]

MODES = ("epochs", "time")
VARIANTS = ("nice", "alljoined")
_CHUNK_VALUES = 1 << 17  # float64 values per intermediate array, 1 MiB: what a core keeps in its cache


def mean_shrinkage_covariance(samples: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the weighted mean of the shrinkage covariances of many small matrices, without forming each of them.

    Each matrix is standardised by column, its correlation shrunk by Ledoit and Wolf's rule, and scaled back. The mean
    of the results is one weighted Gram matrix plus a diagonal, so the covariances themselves are never kept.

    Args:
        samples: (matrix, sample, channel).
        weights: (matrix,) that sum to one; equal where None.

    Returns:
        (channel, channel), squared unit of the samples.

    Source: Ledoit and Wolf 2004, as in the discriminant analysis of scikit-learn.
    """
    n_matrices, n_samples, n_channels = samples.shape
    share = np.full(n_matrices, 1 / n_matrices) if weights is None else weights
    total = np.zeros((n_channels, n_channels))
    smaller = min(n_samples, n_channels)
    chunk = max(1, _CHUNK_VALUES // max(n_samples * n_channels, smaller * smaller))
    for start in range(0, n_matrices, chunk):
        part = slice(start, start + chunk)
        total += _weighted_sum(np.asarray(samples[part], dtype=np.float64), share[part])
    return total


def _weighted_sum(samples: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the weighted sum of the shrinkage covariances of (matrix, sample, channel)."""
    n_samples, n_channels = samples.shape[1:]
    centred = samples - samples.mean(axis=1, keepdims=True)
    squared = centred**2
    variance = squared.mean(axis=1)
    inverse = 1 / np.sqrt(np.where(variance > 0, variance, 1.0))
    energy = (squared @ (inverse**2)[:, :, None])[:, :, 0]  # of each standardised sample, over channels
    covariances = None
    if n_samples >= n_channels:
        covariances = centred.swapaxes(1, 2) @ centred / n_samples
        square = ((covariances * inverse[:, :, None] * inverse[:, None, :]) ** 2).sum(axis=(1, 2))
    else:  # the Gram matrix over samples is the smaller one, and has the same norm
        standard = centred * inverse[:, None]
        square = ((standard @ standard.swapaxes(1, 2)) ** 2).sum(axis=(1, 2)) / n_samples**2
    mean_variance = energy.sum(axis=1) / (n_samples * n_channels)
    shrinkage = _shrinkage(square, (energy**2).sum(axis=1) / n_samples, mean_variance, n_samples, n_channels)
    kept = weights * (1 - shrinkage)
    diagonal = ((weights * shrinkage * mean_variance)[:, None] / inverse**2).sum(axis=0)
    if covariances is not None:
        return np.tensordot(kept, covariances, axes=1) + np.diag(diagonal)
    flat = (centred * np.sqrt(kept / n_samples)[:, None, None]).reshape(-1, n_channels)
    return flat.T @ flat + np.diag(diagonal)


def _shrinkage(
    square: np.ndarray, fourth: np.ndarray, mean_variance: np.ndarray, n_samples: int, n_channels: int
) -> np.ndarray:
    """Return Ledoit and Wolf's shrinkage from the squared norm and the fourth moment of standardised samples."""
    distance = square / n_channels - mean_variance**2
    noise = (fourth - square) / (n_channels * n_samples)
    # A difference below the rounding of its terms is zero (two samples: exactly).
    noise = np.where(noise > 1e-12 * fourth / (n_channels * n_samples), np.minimum(noise, distance), 0.0)
    return np.divide(noise, distance, out=np.zeros_like(noise), where=distance > 0)


def noise_covariance(
    trials: np.ndarray, conditions: np.ndarray, *, mode: str = "epochs", centre_conditions: bool = False
) -> np.ndarray:
    """Return the noise covariance of single trials: averaged within each condition, then over conditions.

    Args:
        trials: (trial, channel, time).
        conditions: (trial,) what was shown.
        mode: "epochs": one covariance per trial, its samples are the time points. "time": one per time point, its
            samples are the repetitions of the condition.
        centre_conditions: Subtract the mean over repetitions first (Alljoined).

    Returns:
        (channel, channel) float64.

    Raises:
        ConfigError: An unknown mode.
        DataError: `time` mode, or centred conditions, where no condition is repeated.
    """
    if mode not in MODES:
        raise unknown_option("noise normalisation mode", mode, MODES)
    codes = np.unique(np.asarray(conditions), return_inverse=True)[1]
    counts = np.bincount(codes)
    # The difference of a single response from the mean of its condition is zero, not noise.
    if counts.max() < 2 and (mode == "time" or centre_conditions):
        raise DataError(
            "Noise normalisation in time mode, or of variant alljoined, needs repeated stimuli; none is repeated. "
            "Use mode: epochs with variant: nice."
        )
    if mode == "epochs":
        weights = 1 / (counts[codes] * len(counts))
        order = np.argsort(codes, kind="stable")
        chunks = _epoch_chunks(trials, codes, order, centre_conditions)
        return sum(
            (mean_shrinkage_covariance(part, weights[rows]) for rows, part in chunks),
            start=np.zeros((trials.shape[1],) * 2),
        )
    total = np.zeros((trials.shape[1],) * 2)
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    for count in np.unique(counts):  # conditions with equally many repetitions are one array
        members = np.flatnonzero(counts == count)
        rows = order[starts[members][:, None] + np.arange(count)]
        for part in _condition_chunks(rows, trials):
            block = trials[part].transpose(0, 3, 1, 2).reshape(-1, count, trials.shape[1])
            weight = np.full(len(block), 1 / (len(counts) * trials.shape[2]))
            total += mean_shrinkage_covariance(block, weight)
    return total


def _epoch_chunks(
    trials: np.ndarray, codes: np.ndarray, order: np.ndarray, centre: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield trials as (trial, time, channel), whole conditions together."""
    size = max(1, _CHUNK_VALUES // (trials.shape[1] * trials.shape[2]))
    edges = np.flatnonzero(np.r_[True, np.diff(codes[order]) > 0])
    start = 0
    while start < len(order):
        later = edges[edges > start]
        fitting = later[later <= start + size]
        stop = int(fitting[-1]) if len(fitting) else (int(later[0]) if len(later) else len(order))
        stop = len(order) if len(order) - start <= size else stop
        rows = order[start:stop]
        part = np.asarray(trials[rows], dtype=np.float64)
        if centre:
            firsts = np.flatnonzero(np.r_[True, np.diff(codes[rows]) > 0])
            sizes = np.diff(np.append(firsts, len(rows)))
            means = np.add.reduceat(part, firsts, axis=0) / sizes[:, None, None]
            part = part - np.repeat(means, sizes, axis=0)
        yield rows, part.swapaxes(1, 2)
        start = stop


def _condition_chunks(rows: np.ndarray, trials: np.ndarray) -> Iterator[np.ndarray]:
    size = max(1, _CHUNK_VALUES // (rows.shape[1] * trials.shape[1] * trials.shape[2]))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def gifford_whitener(training: np.ndarray, test: np.ndarray, *, mode: str = "time") -> np.ndarray:
    """Return the whitener of Gifford et al. 2022, formed from both partitions with equal weight.

    It uses test responses, which this package's decoders never do: it exists to reproduce published files and is not
    offered as a step.

    Args:
        training: (condition, repetition, channel, time) of one session.
        test: The same of the test partition.
        mode: "epochs" or "time".

    Source: Gifford et al. 2022 (THINGS-EEG2), Guggenmos et al. 2018.
    """
    covariances = []
    for part in (training, test):
        trials = part.reshape(-1, *part.shape[2:])
        covariances.append(noise_covariance(trials, np.repeat(np.arange(len(part)), part.shape[1]), mode=mode))
    return inverse_square_root(np.mean(covariances, axis=0))


@dataclass
class NoiseNormalisation(WhiteningStep):
    """Whiten each session by its training noise, so that noise has unit variance in every direction.

    Args:
        variant: "nice" (covariance of single training responses) or "alljoined" (the mean response to the picture is
            subtracted first).
        mode: "epochs" or "time"; see `noise_covariance`.
        unseen: What happens to a session without training windows: "pooled" whitens it by the mean covariance of the
            training sessions, "refuse" is an error.

    Source: Guggenmos et al. 2018; Song et al. 2024 (NICE); Xu et al. 2025 (Alljoined-1.6M).
    """

    name = "noise_normalisation"
    is_causal = True  # mixes channels at one time only
    domain_columns = ("subject", "session")
    sees_labels = True  # conditions are labels where stimuli are not known

    variant: str = "nice"
    mode: str = "epochs"
    unseen: str = "pooled"

    def __post_init__(self) -> None:
        for word, value, allowed in (
            ("variant", self.variant, VARIANTS),
            ("mode", self.mode, MODES),
            ("unseen", self.unseen, ("pooled", "refuse")),
        ):
            if value not in allowed:
                raise unknown_option(f"noise_normalisation {word}", value, allowed)

    def domain_covariances(self, windows: Windows, keys: np.ndarray) -> dict[str, np.ndarray]:
        """Return the noise covariance of each session.

        Raises:
            DataError: No repetition where the variant or mode needs them.
        """
        conditions = _conditions(windows)
        centre = self.variant == "alljoined"
        return {
            str(key): noise_covariance(
                windows.data[keys == key], conditions[keys == key], mode=self.mode, centre_conditions=centre
            )
            for key in np.unique(keys)
        }

    def unseen_whitener(self, key: str, windows: Windows) -> np.ndarray:
        """Return the pooled matrix.

        Raises:
            DataError: `unseen` is "refuse".
        """
        if self.unseen == "refuse":
            raise DataError(f"Session '{key}' had no training window to whiten it by. Use unseen: pooled.")
        return self.pooled_whitener


def _conditions(windows: Windows) -> np.ndarray:
    """Return what each window shows: the stimulus where it is known, else the label."""
    for column in ("stimulus", "label"):
        if column in windows.table and (windows.table[column].astype(str) != "").all():
            return windows.table[column].astype(str).to_numpy()
    return np.full(len(windows), "")
