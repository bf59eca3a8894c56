"""Covariances of many windows at once, and the checks and scaling that keep them numerically sound."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import numpy as np
from pyriemann.geometry.tangentspace import upper

from brain_decode.core.errors import DataError, listed, unknown_option
from brain_decode.signals.space import Space

__all__ = [
    "COVARIANCE_ESTIMATORS",
    "require_estimator",
    "require_finite",
    "require_live_channels",
    "riemannian_mean",
    "riemannian_tangent",
    "shrunk_covariances",
    "signal_filters",
    "signal_subspace",
    "type_scale",
    "window_covariances",
]

_MOST_STEPS, _MEAN_TOLERANCE = 200, 1e-7  # of the Riemannian mean; samples are single precision
_NEAR = 0.1  # nepers from the Riemannian mean
RANK_TOLERANCE = 1e-7  # of the largest eigenvalue; float32 samples carry relative noise of about 1e-14 in covariances


def require_finite(windows: np.ndarray, names: Sequence[str]) -> None:
    """Refuse (window, channel, time) samples that are NaN or infinite.

    Raises:
        DataError: Names the channels and counts the windows.
    """
    if np.isfinite(windows).all():
        return
    broken = ~np.isfinite(windows).all(axis=2)
    channels = [name for name, is_broken in zip(names, broken.any(axis=0), strict=True) if is_broken]
    raise DataError(
        f"Samples must be finite; {int(broken.any(axis=1).sum())} of {len(windows)} windows hold NaN or infinity in "
        f"{listed(channels)}. Reject these windows or drop the channels."
    )


def require_live_channels(windows: np.ndarray, names: Sequence[str]) -> None:
    """Refuse training windows in which a channel is not finite, or constant in every window.

    Raises:
        DataError: No windows, values that are not finite, or flat channels, which it names.
    """
    if not len(windows):
        raise DataError("A decoder is fitted on at least one window; got none. Check the events and the split.")
    require_finite(windows, names)
    flat = np.ptp(windows, axis=2).max(axis=0) == 0
    if flat.any():
        channels = [name for name, is_flat in zip(names, flat, strict=True) if is_flat]
        raise DataError(
            f"Every channel must carry signal; flat in all {len(windows)} training windows: {listed(channels)}. "
            "Mark it bad in channels.tsv or drop it with a pick step; of voxels, narrow the mask."
        )


def type_scale(windows: np.ndarray, sensors: Space) -> np.ndarray:
    """Return (channel,) the median standard deviation of the channels of the same type, in their SI unit.

    Dividing by it brings volts, tesla and tesla per metre to numbers near one and keeps the relative size of channels
    of one type.
    """
    deviation = windows.std(axis=2).mean(axis=0)
    kinds, kind_of = np.unique(np.asarray(sensors.types), return_inverse=True)
    medians = np.array([np.median(deviation[kind_of == number]) or 1.0 for number in range(len(kinds))])
    return medians[kind_of]


def signal_filters(windows: np.ndarray, sensors: Space) -> np.ndarray:
    """Return (rank, channel) filters that scale training windows by type and leave out directions without signal.

    Args:
        windows: (window, channel, time).
        sensors: Their channels.

    Raises:
        DataError: No windows, flat channels, or values that are not finite.
    """
    require_live_channels(windows, sensors.names)
    scale = type_scale(windows, sensors)
    average = window_covariances(windows / scale[:, None], "sample").mean(axis=0)
    return signal_subspace(average) / scale


def signal_subspace(covariance: np.ndarray) -> np.ndarray:
    """Return (rank, channel) filters onto the directions that carry signal; the identity where none is missing.

    An average reference or a removed component leaves directions of zero variance, in which logarithms and inverses
    are arbitrary: they are left out instead of being filled with noise.
    """
    values, vectors = np.linalg.eigh(covariance)
    kept = values > RANK_TOLERANCE * values[-1]
    return np.eye(len(values)) if kept.all() else vectors[:, kept].T


def require_estimator(estimator: str) -> None:
    """Refuse an estimator that is not in `COVARIANCE_ESTIMATORS`.

    Raises:
        ConfigError: Names the closest one.
    """
    if estimator not in COVARIANCE_ESTIMATORS:
        raise unknown_option("covariance estimator", estimator, COVARIANCE_ESTIMATORS)


def window_covariances(windows: np.ndarray, estimator: str = "oas") -> np.ndarray:
    """Return (window, channel, channel) covariances, each shrunk toward a multiple of the identity.

    Args:
        windows: (window, channel, time); the mean over time is removed.
        estimator: "oas", "ledoit_wolf" or "sample" (no shrinkage).

    Raises:
        DataError: Covariances larger than the memory of the machine, as those of whole volumes of voxels are.

    Source: Chen et al. 2010 (OAS), Ledoit and Wolf 2004; equal to scikit-learn's, for all windows at once.
    """
    require_estimator(estimator)
    _require_memory(len(windows), windows.shape[1])
    centred = windows - windows.mean(axis=2, keepdims=True)
    sample = centred @ centred.swapaxes(1, 2) / centred.shape[2]
    return shrunk_covariances(sample, lambda: (centred**2).sum(axis=1), centred.shape[2], estimator)


def shrunk_covariances(
    sample: np.ndarray, energy: Callable[[], np.ndarray], n_times: int, estimator: str
) -> np.ndarray:
    """Return (window, channel, channel) sample covariances, each shrunk as by `window_covariances`.

    Args:
        sample: (window, channel, channel) products of centred channels over `n_times`.
        energy: Gives (window, time) sums of squares over the centred channels, which "ledoit_wolf" needs.
        n_times: Samples of a window.
        estimator: "oas", "ledoit_wolf" or "sample".
    """
    n_channels = sample.shape[1]
    amount = np.clip(COVARIANCE_ESTIMATORS[estimator](sample, energy, n_times), 0.0, 1.0)[:, None, None]
    mean_variance = np.trace(sample, axis1=1, axis2=2)[:, None, None] / n_channels
    return (1 - amount) * sample + amount * mean_variance * np.eye(n_channels)


def riemannian_mean(matrices: np.ndarray) -> np.ndarray:
    """Return the mean of positive definite matrices (n, size, size) under the affine-invariant metric."""
    return riemannian_tangent(matrices)[0]


def riemannian_tangent(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the affine-invariant mean of positive definite matrices, and their tangent vectors there.

    Args:
        matrices: (n, size, size).

    Returns:
        The mean of pyriemann in under half of its decompositions, and (n, size (size + 1) / 2) vectors: near the mean,
        where steps shrink at a steady rate, each is lengthened by what the one before it left (Anderson 1965).

    Source: Pennec, Fillard and Ayache 2006 (gradient descent with full steps).
    """
    mean, share, last_size, is_steady = matrices.mean(axis=0), 1.0, np.inf, True
    last = last_step = np.zeros_like(mean)
    for _ in range(_MOST_STEPS):
        values, vectors = np.linalg.eigh(mean)
        root = (vectors * np.sqrt(values)) @ vectors.T
        inverse_root = (vectors / np.sqrt(values)) @ vectors.T
        values, vectors = np.linalg.eigh(inverse_root @ matrices @ inverse_root)
        tangents = (vectors * np.log(values)[:, None, :]) @ vectors.swapaxes(1, 2)
        tangent = tangents.mean(axis=0)
        size = float(np.linalg.norm(tangent))
        if size <= _MEAN_TOLERANCE:
            break
        if size > last_size:
            share, is_steady = share / 2, False
        step = share * tangent
        if is_steady and last_size < _NEAR:
            change = tangent - last
            step = step - (change * tangent).sum() / (change**2).sum() * (last_step + change)
        last, last_step, last_size = tangent, step, size
        values, vectors = np.linalg.eigh(step)
        mean = root @ (vectors * np.exp(values)) @ vectors.T @ root
    return (mean + mean.T) / 2, upper(tangents)


def _require_memory(n_windows: int, n_channels: int) -> None:
    needed, present = 8 * n_windows * n_channels**2, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > present:
        raise DataError(
            f"The covariances of {n_windows} windows of {n_channels} channels need {needed / 2**30:.0f} GiB; the "
            f"machine has {present / 2**30:.0f}. Keep fewer channels (a pick step, the mask of a region), or choose "
            "an encoder without covariances (time_means, block_means, flatten)."
        )


def _oas_shrinkage(sample: np.ndarray, energy: Callable[[], np.ndarray], n_times: int) -> np.ndarray:
    n_channels = sample.shape[1]
    mean_square = (sample**2).mean(axis=(1, 2))
    square_mean = (np.trace(sample, axis1=1, axis2=2) / n_channels) ** 2
    spread = (n_times + 1) * (mean_square - square_mean / n_channels)
    return np.divide(mean_square + square_mean, spread, out=np.ones_like(spread), where=spread > 0)


def _ledoit_wolf_shrinkage(sample: np.ndarray, energy: Callable[[], np.ndarray], n_times: int) -> np.ndarray:
    n_channels = sample.shape[1]
    square = (sample**2).sum(axis=(1, 2))
    variance = ((energy() ** 2).sum(axis=1) / n_times - square) / (n_channels * n_times)
    distance = (square - np.trace(sample, axis1=1, axis2=2) ** 2 / n_channels) / n_channels
    return np.divide(variance, distance, out=np.ones_like(distance), where=distance > 0)


def _no_shrinkage(sample: np.ndarray, energy: Callable[[], np.ndarray], n_times: int) -> np.ndarray:
    return np.zeros(len(sample))


_Shrinkage = Callable[[np.ndarray, Callable[[], np.ndarray], int], np.ndarray]
COVARIANCE_ESTIMATORS: dict[str, _Shrinkage] = {
    "oas": _oas_shrinkage,
    "ledoit_wolf": _ledoit_wolf_shrinkage,
    "sample": _no_shrinkage,
}
