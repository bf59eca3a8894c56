"""A small network that describes a drawn picture by 64 numbers a brain response can be read into."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.core.files import read_json_object
from brain_decode.stimuli.resizing import resize

__all__ = ["SHIPPED_ENCODER", "DrawnPictureEncoder"]

SHIPPED_ENCODER = Path(__file__).parent / "weights" / "drawn_picture_encoder"
_BATCH = 64


class DrawnPictureEncoder(nn.Module):
    """Pictures to vectors of mean 0 and about covariance 1 over the pictures it was trained on.

    What the vectors keep is decided in training: a linear map must find in them the leading components of colour
    layout, oriented energy and silhouette, and shape, colour and texture (`training/picture_models.py`).

    Args:
        dim: Values per vector.
        width: Channels of the first convolution; later ones have two, three and four times as many.
        side: Height and width of the pictures in pixels, a multiple of 16.
    """

    architecture = "drawn_picture_encoder"
    config: dict[str, Any]
    mean: torch.Tensor
    whitening: torch.Tensor

    def __init__(self, dim: int = 64, width: int = 24, side: int = 64) -> None:
        super().__init__()
        self.config = {"dim": dim, "width": width, "side": side}
        self.dim, self.side = dim, side
        widths = [3, width, 2 * width, 3 * width, 4 * width]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.projection = nn.Linear(widths[-1] * (side // 16) ** 2, dim)
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("whitening", torch.eye(dim))

    @classmethod
    def load(cls, source: str | Path = SHIPPED_ENCODER) -> DrawnPictureEncoder:
        """Return the encoder that ships with the package, or one from a folder of the same layout.

        Raises:
            ConfigError: No encoder of drawn pictures there.
            DataError: Damaged or incomplete files.
        """
        folder = Path(source)
        config = read_json_object(folder / "config.json", remedy="Copy the folder again.")
        if config.get("kind") != "picture_encoder":
            raise ConfigError(f"'{folder}' holds: {config.get('kind')}; an encoder of drawn pictures is needed.")
        weights = folder / "model.safetensors"
        try:
            model = cls(**config["settings"])
            model.load_state_dict(load_file(str(weights)))
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"'{weights}' is absent, damaged or no safetensors file: {error}. Copy it again."
            ) from error
        except (KeyError, TypeError, RuntimeError) as error:
            raise DataError(f"'{folder}' does not hold a whole {cls.architecture}: {error}. Copy it again.") from error
        return model.eval()

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, dim) of (picture, 3, side, side) in [0, 1]."""
        return (self.unwhitened(pictures) - self.mean) @ self.whitening

    def unwhitened(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, dim) before the whitening, which is fitted once the rest is trained."""
        return self.projection(self.trunk(pictures - 0.5))

    @torch.no_grad()
    def embed(self, pixels: np.ndarray) -> np.ndarray:
        """Return the vectors of pictures, each described on its own.

        Args:
            pixels: (picture, height, width, 3) in [0, 1]; another size than the encoder's is resized with
                antialiasing.

        Returns:
            (picture, dim) float32.

        Raises:
            DataError: Another shape, or values outside [0, 1].
        """
        _check_pixels(pixels)
        self.eval()
        parts = [self(self._as_tensor(pixels[start : start + _BATCH])) for start in range(0, len(pixels), _BATCH)]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.dim), dtype=np.float32)

    def _as_tensor(self, pixels: np.ndarray) -> torch.Tensor:
        pictures = torch.from_numpy(np.asarray(pixels, dtype=np.float32)).permute(0, 3, 1, 2)
        return resize(pictures, self.side, self.side, mode="bilinear")


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 4 or pixels.shape[3] != 3:
        raise DataError(f"Pictures are (picture, height, width, 3), got {pixels.shape}. Load them as RGB.")
    if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
        raise DataError(
            f"Pixel values lie in [0, 1], got {pixels.min():g} to {pixels.max():g}. Divide 8-bit pictures by 255."
        )
