"""The resize of picture metrics: bilinear and antialiased."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from brain_decode.stimuli.resizing import resize as resampled

__all__ = ["COMPARED_SIDE", "compared", "resize", "resize_matrix"]

COMPARED_SIDE = 256  # both pictures first, in every measure


def resize(pixels: torch.Tensor, side: int) -> torch.Tensor:
    """Return pictures (picture, channel, height, width) at side x side, both axes stretched to it."""
    return resampled(pixels, side, side, mode="bilinear")


def resize_matrix(side: int, new_side: int) -> torch.Tensor:
    """Return (new_side, side): what `resize` multiplies both axes of a picture with."""
    identity = torch.eye(side)[None, None]
    size = (new_side, side)
    return functional.interpolate(identity, size=size, mode="bilinear", antialias=True, align_corners=False)[0, 0]


def compared(pixels: np.ndarray) -> torch.Tensor:
    """Return pictures (picture, height, width, 3) as (picture, 3, 256, 256), where every measure starts."""
    return resize(torch.from_numpy(np.ascontiguousarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2), COMPARED_SIDE)
