"""Blurred versions of pictures: a bank of Gaussian blurs, and sharpness that falls off from the centre of gaze."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, unknown_option

__all__ = ["BLUR_BANK", "Blur", "blur_levels", "foveated_blur", "gaussian_blur"]

# Kernel sizes in pixels of the learned mixture of blur levels (AAAI 2026, makeitperfect/VisualEEGDecoding).
BLUR_BANK = (1, 3, 9, 15, 21, 27, 33, 39, 45, 51, 57, 63)
FALL_OFF = 3.0


def gaussian_blur(pictures: torch.Tensor, kernel: int) -> torch.Tensor:
    """Blur pictures with a Gaussian, rows and columns one after the other; edges are mirrored.

    Args:
        pictures: (picture, 3, height, width), at least kernel // 2 + 1 pixels high and wide.
        kernel: Odd size in pixels of the picture; 1 leaves it sharp. The standard deviation follows from it as
            0.15 * kernel + 0.35, the rule of OpenCV and torchvision.

    Raises:
        ConfigError: An even kernel, or pictures that are too small for it.
    """
    if kernel < 1 or kernel % 2 == 0:
        raise ConfigError(f"The kernel of a blur is an odd number of pixels, got {kernel}.")
    if kernel == 1:
        return pictures
    reach = kernel // 2
    if min(pictures.shape[-2:]) <= reach:
        raise ConfigError(
            f"A blur of {kernel} pixels needs pictures of at least {reach + 1} pixels; got "
            f"{pictures.shape[-1]}x{pictures.shape[-2]}. Choose smaller blurs."
        )
    weights = _gaussian(kernel).to(pictures)
    n_pictures, n_colours, height, width = pictures.shape
    flat = functional.pad(pictures.reshape(-1, 1, height, width), (reach,) * 4, mode="reflect")
    blurred = functional.conv2d(functional.conv2d(flat, weights[None, None, None, :]), weights[None, None, :, None])
    return blurred.reshape(n_pictures, n_colours, height, width)


def _gaussian(kernel: int) -> torch.Tensor:
    places = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    weights = torch.exp(-0.5 * (places / (0.15 * kernel + 0.35)) ** 2)
    return weights / weights.sum()


def foveated_blur(pictures: torch.Tensor, kernel: int, *, fall_off: float = FALL_OFF) -> torch.Tensor:
    """Mix the sharp picture with its Gaussian blur: sharp in the middle, blurred at the edges.

    The weight of the sharp picture is exp(-fall_off * eccentricity), with the eccentricity 0 in the middle and 1 in
    the corners.

    Args:
        pictures: (picture, 3, height, width).
        kernel: Of the blur, see `gaussian_blur`.
        fall_off: How fast sharpness is lost; 0 keeps all.

    Source: Wu et al. 2025 (UBP), an exponential blur around the fovea with a kernel of 51 +- 6 pixels. Differs: the
    eccentricity is relative to the picture, and the kernel does not follow the uncertainty of each sample.
    """
    if fall_off < 0:
        raise ConfigError(f"fall_off of a foveated blur is not negative, got {fall_off}.")
    height, width = pictures.shape[-2:]
    rows = torch.linspace(-1, 1, height).to(pictures)[:, None]
    columns = torch.linspace(-1, 1, width).to(pictures)[None, :]
    eccentricity = torch.sqrt((rows**2 * height**2 + columns**2 * width**2) / (height**2 + width**2))
    sharp = torch.exp(-fall_off * eccentricity)
    return sharp * pictures + (1 - sharp) * gaussian_blur(pictures, kernel)


@dataclass(frozen=True)
class Blur:
    """One level of blur.

    Args:
        kernel: Odd size in pixels of the picture; 1 is sharp.
        fall_off: None blurs everywhere alike; a number blurs around the fovea.
    """

    kernel: int = 1
    fall_off: float | None = None

    @property
    def name(self) -> str:
        """Short text for tables."""
        if self.fall_off is None:
            return f"blur {self.kernel}"
        return f"foveated blur {self.kernel} ({self.fall_off:g})"

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Blur (picture, 3, height, width) in [0, 1]."""
        if self.fall_off is None:
            return gaussian_blur(pictures, self.kernel)
        return foveated_blur(pictures, self.kernel, fall_off=self.fall_off)


def blur_levels(blurs: str | Sequence[int | Mapping[str, Any]] | None) -> tuple[Blur, ...]:
    """Return the levels that a configuration names: "bank", or kernel sizes and `{foveated: 51, fall_off: 3}`.

    Raises:
        ConfigError: Another word, an even kernel, or a level that is there twice.
    """
    if isinstance(blurs, str):
        if blurs != "bank":
            raise unknown_option("blurs", blurs, ("bank",))
        blurs = BLUR_BANK
    levels = tuple(_blur(blur) for blur in (blurs or (1,)))
    if len(set(levels)) < len(levels):
        raise ConfigError(f"Each blur is named once; got {[level.name for level in levels]}.")
    return levels


def _blur(blur: int | Mapping[str, Any]) -> Blur:
    if isinstance(blur, Mapping):
        for key in blur:
            if key not in ("foveated", "fall_off"):
                raise unknown_option("key of a blur", key, ("foveated", "fall_off"))
        level = Blur(int(blur.get("foveated", 0)), float(blur.get("fall_off", FALL_OFF)))
    else:
        level = Blur(int(blur))
    if level.kernel < 1 or level.kernel % 2 == 0:
        raise ConfigError(f"The kernel of a blur is an odd number of pixels, got {level.kernel}.")
    return level
