"""Resizing and cropping of pictures, antialiased and the same on every machine."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["centre_crop", "resize", "resize_shorter_side"]


def resize(pictures: torch.Tensor, height: int, width: int, *, mode: str = "bicubic") -> torch.Tensor:
    """Resample pictures with an antialiasing filter; values that bicubic lobes push out of [0, 1] are clipped.

    Args:
        pictures: (picture, 3, height, width) in [0, 1].
        height: Of the result, in pixels.
        width: Of the result, in pixels.
        mode: "bicubic", "bilinear" or "nearest".
    """
    if pictures.shape[-2:] == (height, width):
        return pictures
    if mode == "nearest":
        return functional.interpolate(pictures, size=(height, width), mode="nearest-exact")
    resized = functional.interpolate(pictures, size=(height, width), mode=mode, antialias=True, align_corners=False)
    return resized.clamp(0, 1)


def resize_shorter_side(pictures: torch.Tensor, pixels: int, *, mode: str = "bicubic") -> torch.Tensor:
    """Resample pictures so that the shorter side has `pixels`; the longer one keeps the proportion, rounded down."""
    height, width = pictures.shape[-2:]
    shorter = min(height, width)
    return resize(pictures, pixels * height // shorter, pixels * width // shorter, mode=mode)


def centre_crop(pictures: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Cut the middle out of pictures; where they are smaller, black is added around them.

    Args:
        pictures: (picture, 3, height, width).
        height: Of the result, in pixels.
        width: Of the result, in pixels.
    """
    missing_rows = max(height - pictures.shape[-2], 0)
    missing_columns = max(width - pictures.shape[-1], 0)
    if missing_rows or missing_columns:
        top, left = (missing_rows + 1) // 2, (missing_columns + 1) // 2
        pictures = functional.pad(pictures, (left, missing_columns - left, top, missing_rows - top))
    top, left = (pictures.shape[-2] - height) // 2, (pictures.shape[-1] - width) // 2
    return pictures[..., top : top + height, left : left + width]
