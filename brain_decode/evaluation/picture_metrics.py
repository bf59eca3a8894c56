"""How much a reconstructed picture is like the one that was seen: pixels, structure, and features of networks.

Every measure begins by bringing both pictures to 256 x 256 (bilinear, antialiased), whatever their sizes. Source: the
evaluation of ATM (Li et al. 2024), after MindEye (Scotti et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from brain_decode.core.errors import DataError
from brain_decode.stimuli.perceptual.resizing import COMPARED_SIDE, compared, resize, resize_matrix

__all__ = [
    "PIXEL_SIDE",
    "correlation_distances",
    "correlation_matrix",
    "grey_pictures",
    "pixel_correlation_matrix",
    "pixel_correlations",
    "require_pictures",
    "structural_similarities",
    "two_way_scores",
    "two_way_wins",
]

PIXEL_SIDE = 425  # then, for PixCorr and SSIM
_GREY = (0.2125, 0.7154, 0.0721)  # luminance of red, green and blue
_SIGMA, _REACH = 1.5, 5  # of SSIM's Gaussian window, in pixels: 3.5 deviations
_STABILISERS = (0.01**2, 0.03**2)  # Wang et al. 2004, for values in [0, 1]
_BATCH = 4  # pictures at 425 x 425 at once: few, so that they stay in the cache
_PAIRS = 1  # of SSIM at once: its five maps stay in the cache
_COLUMNS = 1 << 14  # values of each feature vector that are multiplied at once


def require_pictures(pixels: np.ndarray, what: str) -> np.ndarray:
    """Return pictures (picture, height, width, 3) as float32, or say what is wrong with them.

    Raises:
        DataError: Another shape, or values that are not numbers in [0, 1].
    """
    pixels = np.asarray(pixels)
    if pixels.ndim != 4 or pixels.shape[3] != 3 or 0 in pixels.shape:
        raise DataError(f"Pictures ({what}) have the shape (picture, height, width, 3), got {pixels.shape}.")
    low, high = float(pixels.min()), float(pixels.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"Pixel values ({what}) are numbers in [0, 1], got {low:g} to {high:g}. Divide 8-bit pictures by 255; "
            "clip what a generator draws."
        )
    return pixels.astype(np.float32, copy=False)


def grey_pictures(pixels: np.ndarray) -> np.ndarray:
    """Return luminance (picture, 256, 256) float32 of pictures (picture, height, width, 3) in [0, 1]."""
    weights = torch.tensor(_GREY)
    grey = np.empty((len(pixels), COMPARED_SIDE, COMPARED_SIDE), dtype=np.float32)
    for rows in _batches(len(pixels), _BATCH):
        grey[rows] = (compared(pixels[rows]) * weights[:, None, None]).sum(dim=1).numpy()
    return grey


def pixel_correlations(seen: np.ndarray, reconstructed: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return PixCorr (picture,): Pearson's r over all pixels and colours of each pair; 0 for a picture of one value.

    Args:
        seen: (picture, height, width, 3) in [0, 1].
        reconstructed: (picture, height, width, 3), in any size.
        rows: Seen picture that each reconstruction is of; None: one each, in order.
    """
    rows = np.arange(len(reconstructed)) if rows is None else rows
    parts = []
    for part in _batches(len(reconstructed), _BATCH):
        pair = (compared(seen[rows[part]]), compared(reconstructed[part]))
        x, y = (_levelled(resize(pictures, PIXEL_SIDE)) for pictures in pair)
        lengths = _root(_dot(x, x)) * _root(_dot(y, y))
        parts.append(_dot(x, y) / lengths)
    return np.clip(np.concatenate(parts), -1, 1)


def pixel_correlation_matrix(seen: np.ndarray, reconstructed: np.ndarray) -> np.ndarray:
    """Return PixCorr (seen, reconstructed) of every seen with every reconstructed picture.

    Enlarging is linear, A x Aᵀ, so inner products of enlarged pictures are ⟨x, (AᵀA) y (AᵀA)⟩ of the small ones, and
    nothing needs to be enlarged. Subtracting a constant first changes no correlation and keeps the sums small.
    """
    enlarge = resize_matrix(COMPARED_SIDE, PIXEL_SIDE)
    gram, column_sums = enlarge.T @ enlarge, enlarge.sum(dim=0)
    own, n_values = torch.empty(len(seen), 3, COMPARED_SIDE, COMPARED_SIDE), 3 * PIXEL_SIDE**2
    for rows in _batches(len(seen), _BATCH):
        own[rows] = _levelled(compared(seen[rows]))
    own_moments = _moments(own, gram, column_sums)
    matrix = np.empty((len(seen), len(reconstructed)))
    for columns in _batches(len(reconstructed), _BATCH):
        other = _levelled(compared(reconstructed[columns]))
        products = own.flatten(1) @ (gram @ other @ gram).flatten(1).T
        totals, squares = _moments(other, gram, column_sums)
        covariance = products.double().numpy() - np.outer(own_moments[0], totals) / n_values
        lengths = [_root(square - total**2 / n_values) for total, square in (own_moments, (totals, squares))]
        matrix[:, columns] = covariance / np.outer(*lengths)
    return matrix


def structural_similarities(
    seen_grey: np.ndarray, reconstructed_grey: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Return SSIM (picture,) of pairs: Gaussian window, population covariances, the mean without the border.

    Args:
        seen_grey: (picture, 256, 256) luminance in [0, 1], from `grey_pictures`.
        reconstructed_grey: The same.
        rows: Seen picture that each reconstruction is of; None: one each, in order.

    Source: Wang et al. 2004, with the settings of `skimage.metrics.structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False, data_range=1)`.
    """
    rows = np.arange(len(reconstructed_grey)) if rows is None else rows
    parts = []
    for part in _batches(len(reconstructed_grey), _PAIRS):
        pair = (torch.from_numpy(grey)[:, None] for grey in (seen_grey[rows[part]], reconstructed_grey[part]))
        parts.append(_similarity_of(*(resize(pictures, PIXEL_SIDE) for pictures in pair)).numpy())
    return np.concatenate(parts)


def correlation_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's r (n_first, n_second) of feature vectors; 0 where a vector does not vary.

    Args:
        first: (n_first, dim).
        second: (n_second, dim).

    Raises:
        DataError: Vectors of different dimensions, of fewer than 2 values, or that are not finite.
    """
    _require_features(first, second)
    means = [part.mean(axis=1, dtype=float)[:, None] for part in (first, second)]
    products, squares = np.zeros((len(first), len(second))), [np.zeros(len(part)) for part in (first, second)]
    for columns in _batches(first.shape[1], _COLUMNS):
        centred = [part[:, columns] - mean for part, mean in zip((first, second), means, strict=True)]
        products += centred[0] @ centred[1].T
        for total, part in zip(squares, centred, strict=True):
            total += np.einsum("nd,nd->n", part, part)
    lengths = [_lengths(total, mean[:, 0], first.shape[1]) for total, mean in zip(squares, means, strict=True)]
    return products / np.outer(*lengths)


def correlation_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 - Pearson's r (picture,) of the features (picture, dim) of pairs; 0 is best.

    Raises:
        DataError: As for `correlation_matrix`.
    """
    return 1 - _paired_correlations(first, second)


def two_way_wins(correlations: np.ndarray, rows: np.ndarray | None = None) -> np.ndarray:
    """Return (n_seen, n) float32: 1 where seen picture i fits reconstruction j less well than the picture j is of.

    0.5 where both fit alike; a picture does not compete with itself, where it is 0.

    Args:
        correlations: (n_seen, n) of every seen picture with every reconstruction.
        rows: Seen picture that each reconstruction is of; None: one each, in order.

    Raises:
        DataError: Fewer than 2 seen pictures, or reconstructions that are of none.
    """
    rows = np.arange(correlations.shape[1]) if rows is None else rows
    if len(correlations) < 2 or len(rows) != correlations.shape[1] or rows.max() >= len(correlations):
        raise DataError(
            "Two-way identification needs 2 or more seen pictures, and of each reconstruction which it is of; got "
            f"correlations {correlations.shape} and {len(rows)} rows."
        )
    own = correlations[rows, np.arange(len(rows))]
    wins = (correlations < own).astype(np.float32)
    wins[correlations == own] = 0.5
    wins[rows, np.arange(len(rows))] = 0.0
    return wins


def two_way_scores(wins: np.ndarray) -> np.ndarray:
    """Return two-way identification (n,): the share of *other seen pictures* that fit the reconstruction less.

    One that fits it alike counts half. The competitor is another seen picture, for a fixed reconstruction; guessing
    gives 0.5.
    """
    scores: np.ndarray = wins.sum(axis=0, dtype=float) / (len(wins) - 1)
    return scores


def _levelled(pictures: torch.Tensor) -> torch.Tensor:
    return pictures - pictures.mean(dim=(1, 2, 3), keepdim=True)


def _dot(x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """Return (picture,) float64 inner products; torch's float32 sums are pairwise, good to 1e-7 of their length."""
    dots: np.ndarray = (x * y).sum(dim=(1, 2, 3)).double().numpy()
    return dots


def _moments(pictures: torch.Tensor, gram: torch.Tensor, column_sums: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the sum and the sum of squares (picture,) of pictures once they are enlarged."""
    totals = (pictures @ column_sums @ column_sums).sum(dim=1)
    parts = [((gram @ part @ gram) * part).sum(dim=(1, 2, 3), dtype=torch.float64) for part in pictures.split(_BATCH)]
    return totals.double().numpy(), torch.cat(parts).numpy()


def _root(squares: np.ndarray) -> np.ndarray:
    """Return lengths; infinite for pictures of one value, of which only rounding is left."""
    n_values = 3 * PIXEL_SIDE**2
    return np.where(squares > n_values * np.finfo(np.float32).eps ** 2, np.sqrt(np.maximum(squares, 0)), np.inf)


def _paired_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    _require_features(first, second)
    parts = []
    for rows in _batches(len(first), _BATCH):
        pair = [np.asarray(part[rows], dtype=float) for part in (first, second)]
        means = [part.mean(axis=1) for part in pair]
        x, y = (part - mean[:, None] for part, mean in zip(pair, means, strict=True))
        lengths = [
            _lengths(np.einsum("nd,nd->n", part, part), mean, part.shape[1])
            for part, mean in zip((x, y), means, strict=True)
        ]
        parts.append(np.einsum("nd,nd->n", x, y) / (lengths[0] * lengths[1]))
    return np.concatenate(parts)


def _require_features(first: np.ndarray, second: np.ndarray) -> None:
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or first.shape[1] < 2:
        raise DataError(
            f"Features (picture, dim) that are correlated have the same dim, 2 or more; got {first.shape} and "
            f"{second.shape}."
        )
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("Features that are correlated must be finite; check the pictures and the network's weights.")


def _lengths(squares: np.ndarray, means: np.ndarray, dim: int) -> np.ndarray:
    """Return lengths of centred vectors; infinite where what is left after centring is rounding."""
    rounding = dim * (np.finfo(np.float32).eps * np.abs(means)) ** 2
    return np.where(squares > rounding, np.sqrt(squares), np.inf)


def _similarity_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return SSIM (picture,) float64 of grey pictures (picture, 1, height, width)."""
    levels = [part.mean(dim=(1, 2, 3))[:, None, None] for part in (x, y)]
    x, y = (part - level[:, None] for part, level in zip((x, y), levels, strict=True))  # small sums keep their digits
    smooth = _smoothed(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mean_x, mean_y, square_x, square_y, product = smooth.unbind(dim=1)
    c1, c2 = _STABILISERS
    contrast = 2 * (product - mean_x * mean_y) + c2
    spread = (square_x - mean_x**2) + (square_y - mean_y**2) + c2
    light_x, light_y = mean_x + levels[0], mean_y + levels[1]
    luminance = (2 * light_x * light_y + c1) / (light_x**2 + light_y**2 + c1)
    return (luminance * contrast / spread).mean(dim=(1, 2), dtype=torch.float64)


def _smoothed(maps: torch.Tensor) -> torch.Tensor:
    """Smooth (…, height, width); what a border would take part in is left out."""
    offsets = torch.arange(_REACH + 1, dtype=torch.float64)
    window = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    window /= 2 * window.sum() - window[0]
    for axis in (-2, -1):
        maps = _smoothed_along(maps, axis, window.tolist())
    return maps


def _smoothed_along(maps: torch.Tensor, axis: int, window: list[float]) -> torch.Tensor:
    # Shifted sums: twenty times as fast as torch's convolution with one channel.
    length = maps.shape[axis] - 2 * _REACH
    smooth = maps.narrow(axis, _REACH, length) * window[0]
    for offset, weight in enumerate(window[1:], start=1):
        sides = maps.narrow(axis, _REACH - offset, length) + maps.narrow(axis, _REACH + offset, length)
        smooth.add_(sides, alpha=weight)
    return smooth


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
