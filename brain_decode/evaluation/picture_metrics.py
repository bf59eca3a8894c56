"""How much a reconstructed picture is like the one that was seen: pixels, structure, and features of networks.

Every measure begins by bringing both pictures to 256 x 256 (bilinear, antialiased), whatever their sizes. Source: the
evaluation of ATM (Li et al. 2024), after MindEye (Scotti et al. 2023).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from brain_decode.core.errors import DataError

__all__ = [
    "COMPARED_SIDE",
    "PIXEL_SIDE",
    "correlation_distances",
    "correlation_matrix",
    "grey_pictures",
    "pixel_correlation_matrix",
    "pixel_correlations",
    "require_pictures",
    "resize",
    "structural_similarities",
    "two_way_scores",
    "two_way_wins",
]

COMPARED_SIDE = 256  # both pictures first, in every measure
PIXEL_SIDE = 425  # then, for PixCorr and SSIM
_GREY = (0.2125, 0.7154, 0.0721)  # luminance of red, green and blue
_SIGMA, _REACH = 1.5, 5  # of SSIM's Gaussian window, in pixels: 3.5 deviations
_STABILISERS = (0.01**2, 0.03**2)  # Wang et al. 2004, for values in [0, 1]
_BATCH = 16  # pictures at 425 x 425 held at once, per set
_BLOCK = 48
_COLUMNS = 1 << 17  # values of each feature vector that are multiplied at once


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


def resize(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Return pictures (picture, channel, height, width) at side x side: bilinear, antialiased, both axes alike."""
    if pixels.shape[-2:] == (side, side):
        return pixels
    return functional.interpolate(pixels, size=(side, side), mode="bilinear", antialias=True, align_corners=False)


def grey_pictures(pixels: np.ndarray) -> np.ndarray:
    """Return luminance (picture, 256, 256) float32 of pictures (picture, height, width, 3) in [0, 1]."""
    weights = torch.tensor(_GREY)
    grey = np.empty((len(pixels), COMPARED_SIDE, COMPARED_SIDE), dtype=np.float32)
    for rows in _batches(len(pixels), _BATCH):
        grey[rows] = (_compared(pixels[rows]) * weights[:, None, None]).sum(dim=1).numpy()
    return grey


def pixel_correlations(seen: np.ndarray, reconstructed: np.ndarray) -> np.ndarray:
    """Return PixCorr (picture,): Pearson's r over all pixels and colours of each pair; 0 for a picture of one value.

    Args:
        seen: (picture, height, width, 3) in [0, 1].
        reconstructed: The same pictures, in any size.
    """
    parts = [
        _row_correlations(_pixel_vectors(seen[rows]), _pixel_vectors(reconstructed[rows]))
        for rows in _batches(len(seen), _BATCH)
    ]
    return np.concatenate(parts)


def pixel_correlation_matrix(seen: np.ndarray, reconstructed: np.ndarray) -> np.ndarray:
    """Return PixCorr (seen, reconstructed) of every seen with every reconstructed picture."""
    matrix = np.empty((len(seen), len(reconstructed)))
    for rows in _batches(len(seen), _BLOCK):
        own = _pixel_vectors(seen[rows])
        for columns in _batches(len(reconstructed), _BLOCK):
            matrix[rows, columns] = correlation_matrix(own, _pixel_vectors(reconstructed[columns]))
    return matrix


def structural_similarities(seen_grey: np.ndarray, reconstructed_grey: np.ndarray) -> np.ndarray:
    """Return SSIM (picture,) of pairs: Gaussian window, population covariances, the mean without the border.

    Args:
        seen_grey: (picture, 256, 256) luminance in [0, 1], from `grey_pictures`.
        reconstructed_grey: The same.

    Source: Wang et al. 2004, with the settings of `skimage.metrics.structural_similarity(gaussian_weights=True,
    sigma=1.5, use_sample_covariance=False, data_range=1)`, here for a whole batch at once.
    """
    parts = []
    for rows in _batches(len(seen_grey), _BATCH):
        pairs = [torch.from_numpy(np.ascontiguousarray(part[rows]))[:, None] for part in (seen_grey, reconstructed_grey)]
        parts.append(_similarity_of(*(resize(part, PIXEL_SIDE) for part in pairs)).numpy())
    return np.concatenate(parts)


def correlation_matrix(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's r (n_first, n_second) of feature vectors; 0 where a vector does not vary.

    Args:
        first: (n_first, dim).
        second: (n_second, dim).

    Raises:
        DataError: Vectors of different dimensions, of fewer than 2 values, or that are not finite.
    """
    if first.ndim != 2 or first.shape[1:] != second.shape[1:] or first.shape[1] < 2:
        raise DataError(f"Features (picture, dim) to correlate have one dim of 2 or more: {first.shape}, {second.shape}.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise DataError("Features to correlate are not finite; check the pictures and the weights of the network.")
    means = [part.mean(axis=1, dtype=float)[:, None] for part in (first, second)]
    products, squares = np.zeros((len(first), len(second))), [np.zeros(len(part)) for part in (first, second)]
    for columns in _batches(first.shape[1], _COLUMNS):
        centred = [part[:, columns] - mean for part, mean in zip((first, second), means, strict=True)]
        products += centred[0] @ centred[1].T
        for total, part in zip(squares, centred, strict=True):
            total += np.einsum("nd,nd->n", part, part)
    lengths = [_lengths(total, mean[:, 0], first.shape[1]) for total, mean in zip(squares, means, strict=True)]
    return products / (lengths[0][:, None] * lengths[1])


def correlation_distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 - Pearson's r (picture,) of the features (picture, dim) of pairs; 0 is best."""
    parts = [
        1 - np.diag(correlation_matrix(first[rows], second[rows])) for rows in _batches(len(first), _BATCH)
    ]
    return np.concatenate(parts)


def two_way_wins(correlations: np.ndarray) -> np.ndarray:
    """Return (seen, reconstructed) bool: does seen picture i fit reconstruction j less well than its own picture j?

    Ties lose, and a picture does not win against itself.

    Args:
        correlations: (n, n) of every seen picture (rows) with every reconstruction (columns).
    """
    return correlations < np.diag(correlations)


def two_way_scores(correlations: np.ndarray) -> np.ndarray:
    """Return two-way identification (picture,): the share of *other seen pictures* that fit the reconstruction less.

    The competitor is another seen picture, for a fixed reconstruction; guessing gives 0.5.

    Raises:
        DataError: Fewer than 2 pictures, or a matrix that is not square.
    """
    if correlations.ndim != 2 or len(correlations) != correlations.shape[1] or len(correlations) < 2:
        raise DataError(f"Two-way identification needs 2 or more pairs, got correlations {correlations.shape}.")
    return two_way_wins(correlations).sum(axis=0) / (len(correlations) - 1)


def _compared(pixels: np.ndarray) -> torch.Tensor:
    """Return (picture, 3, 256, 256) of a batch of pictures."""
    return resize(torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2), COMPARED_SIDE)


def _pixel_vectors(pixels: np.ndarray) -> np.ndarray:
    vectors = np.empty((len(pixels), 3 * PIXEL_SIDE**2), dtype=np.float32)
    for rows in _batches(len(pixels), _BATCH):
        vectors[rows] = resize(_compared(pixels[rows]), PIXEL_SIDE).flatten(1).numpy()
    return vectors


def _row_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.diag(correlation_matrix(first, second))


def _lengths(squares: np.ndarray, means: np.ndarray, dim: int) -> np.ndarray:
    """Return lengths of centred vectors; infinite where what is left after centring is rounding."""
    rounding = dim * (np.finfo(np.float32).eps * np.abs(means)) ** 2
    return np.where(squares > rounding, np.sqrt(squares), np.inf)


def _similarity_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Return SSIM (picture,) float64 of grey pictures (picture, 1, height, width)."""
    smooth = _smoothed(torch.cat([x, y, x * x, y * y, x * y], dim=1))
    mean_x, mean_y, square_x, square_y, product = smooth.unbind(dim=1)
    c1, c2 = _STABILISERS
    likeness = (2 * mean_x * mean_y + c1) * (2 * (product - mean_x * mean_y) + c2)
    spread = (square_x - mean_x**2) + (square_y - mean_y**2) + c2
    return (likeness / ((mean_x**2 + mean_y**2 + c1) * spread)).mean(dim=(1, 2), dtype=torch.float64)


def _smoothed(pictures: torch.Tensor) -> torch.Tensor:
    """Smooth every channel; what a border would take part in is left out."""
    offsets = torch.arange(-_REACH, _REACH + 1, dtype=torch.float64)
    window = torch.exp(-0.5 * (offsets / _SIGMA) ** 2)
    window = (window / window.sum()).to(pictures.dtype)
    flat = pictures.flatten(0, 1)[:, None]
    flat = functional.conv2d(functional.conv2d(flat, window[None, None, :, None]), window[None, None, None, :])
    return flat.reshape(*pictures.shape[:2], *flat.shape[2:])


def _batches(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))
