"""Features of pictures without any network: colour layout, oriented energy at several scales, and silhouette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from brain_decode.core.errors import DataError

__all__ = ["FeatureReduction", "fit_reduction", "pixel_features"]

_SCALES = (1.0, 2.0, 4.0)  # standard deviation of the smoothing before the gradient, in pixels of a 64-pixel picture
_ORIENTATIONS = 8
_LAYOUT_CELLS = 8
_ENERGY_CELLS = 4
_BACKGROUND = 0.5
_DESCRIBED_AT_ONCE = 512  # pictures


def pixel_features(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """Return the features of pictures, by name; each picture is described on its own.

    Args:
        pixels: (picture, height, width, 3) in [0, 1]; height and width are multiples of 8.

    Returns:
        "colour" (picture, 192): mean colour of 8 x 8 cells. "energy" (picture, 384): gradient magnitude by scale,
        orientation and 4 x 4 cell. "silhouette" (picture, 64): share of each 8 x 8 cell that differs from the grey
        background, centred on the object and hence independent of where it lies.

    Raises:
        DataError: Another shape, or values outside [0, 1].
    """
    _check_pixels(pixels)
    starts = range(0, max(len(pixels), 1), _DESCRIBED_AT_ONCE)
    parts = [_features_of(pixels[start : start + _DESCRIBED_AT_ONCE]) for start in starts]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _features_of(pixels: np.ndarray) -> dict[str, np.ndarray]:
    grey = pixels.mean(axis=3)
    return {
        "colour": _cells(pixels, _LAYOUT_CELLS).reshape(len(pixels), -1),
        "energy": np.concatenate([_energy(grey, scale) for scale in _SCALES], axis=1),
        "silhouette": _silhouette(pixels),
    }


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 4 or pixels.shape[3] != 3 or pixels.shape[1] % 8 or pixels.shape[2] % 8:
        raise DataError(
            f"Pictures are (picture, height, width, 3) with sides that are multiples of 8, got {pixels.shape}. "
            "Resize them."
        )
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise DataError(
            f"Pixel values lie in [0, 1], got {pixels.min():g} to {pixels.max():g}. Divide 8-bit pictures by 255."
        )


def _cells(values: np.ndarray, cells: int) -> np.ndarray:
    """Return (picture, cells, cells, ...) means of square cells."""
    count, height, width = values.shape[:3]
    return values.reshape(count, cells, height // cells, cells, width // cells, *values.shape[3:]).mean(axis=(2, 4))


def _energy(grey: np.ndarray, scale: float) -> np.ndarray:
    """Return (picture, 8 orientations x 16 cells) gradient magnitudes, orientations taken modulo a half turn."""
    smooth = gaussian_filter(grey, (0, scale, scale))
    down, across = np.gradient(smooth, axis=(1, 2))
    magnitude = np.hypot(down, across) * scale
    angle = np.mod(np.arctan2(down, across), np.pi) / np.pi * _ORIENTATIONS
    centres = np.arange(_ORIENTATIONS)[:, None, None, None]
    distance = np.abs(np.mod(angle - centres + _ORIENTATIONS / 2, _ORIENTATIONS) - _ORIENTATIONS / 2)
    shared = magnitude * np.clip(1 - distance, 0, None)
    side = grey.shape[1] // _ENERGY_CELLS
    blocks = shared.reshape(_ORIENTATIONS, len(grey), _ENERGY_CELLS, side, _ENERGY_CELLS, -1).mean(axis=(3, 5))
    return blocks.swapaxes(0, 1).reshape(len(grey), -1)


def _silhouette(pixels: np.ndarray) -> np.ndarray:
    differs = (np.abs(pixels - _BACKGROUND).max(axis=3) > 0.06).astype(np.float32)
    total = np.maximum(differs.sum(axis=(1, 2)), 1.0)
    height, width = differs.shape[1:]
    down = np.round((differs.sum(axis=2) @ np.arange(height)) / total - (height - 1) / 2).astype(int)
    across = np.round((differs.sum(axis=1) @ np.arange(width)) / total - (width - 1) / 2).astype(int)
    rows = np.mod(np.arange(height) + down[:, None], height)
    columns = np.mod(np.arange(width) + across[:, None], width)
    centred = differs[np.arange(len(differs))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return _cells(centred, _LAYOUT_CELLS).reshape(len(pixels), -1)


@dataclass(frozen=True)
class FeatureReduction:
    """Standardisation and principal components, fitted on training pictures.

    Args:
        mean, scale: (feature,) of the training pictures.
        components: (feature, dim) principal axes of the standardised training pictures.
        deviations: (dim,) deviation of the training pictures along each axis.
    """

    mean: np.ndarray
    scale: np.ndarray
    components: np.ndarray
    deviations: np.ndarray

    def apply(self, features: np.ndarray, *, whiten: bool = False) -> np.ndarray:
        """Return (picture, dim) float32; `whiten` gives every axis unit variance over the training pictures."""
        reduced = ((features - self.mean) / self.scale) @ self.components
        return (reduced / self.deviations if whiten else reduced).astype(np.float32)


def fit_reduction(features: np.ndarray, dim: int = 64) -> FeatureReduction:
    """Fit the standardisation and the first `dim` principal components on (picture, feature) training features.

    Raises:
        DataError: Fewer pictures or varying features than dimensions.
    """
    centred = np.asarray(features, dtype=np.float64)
    mean, deviation = centred.mean(axis=0), centred.std(axis=0)
    scale = np.where(deviation > 1e-9, deviation, 1.0)
    standard = (centred - mean) / scale
    _, values, axes = np.linalg.svd(standard, full_matrices=False)
    rank = int((values > 1e-6 * values[0]).sum()) if values.size else 0
    if rank < dim or dim < 1:
        raise DataError(f"{len(features)} training pictures span {rank} dimensions; {dim} were asked for. Use fewer.")
    chosen = axes[:dim]
    largest = np.abs(chosen).argmax(axis=1)
    signs = np.sign(chosen[np.arange(dim), largest])
    return FeatureReduction(mean, scale, (chosen * signs[:, None]).T, values[:dim] / np.sqrt(len(features)))
