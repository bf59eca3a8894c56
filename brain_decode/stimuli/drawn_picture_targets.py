"""The encoder of drawings in the place of a vision model: `stimuli={model: drawn_pictures}`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch

from brain_decode.core.errors import ConfigError
from brain_decode.core.files import sha256_of
from brain_decode.stimuli.drawn_picture_encoder import SHIPPED_ENCODER, DrawnPictureEncoder
from brain_decode.stimuli.resizing import resize
from brain_decode.stimuli.vision_models import Layer

__all__ = ["DRAWN_PICTURES", "DrawnPictureTargets"]

DRAWN_PICTURES = "drawn_pictures"  # the word for the encoder that ships with the package


class DrawnPictureTargets:
    """What `VisionModel` offers, by the encoder of drawings that ships with the package.

    Args:
        layers: It has one vector per picture, "projected".
        precision: "float32".

    Raises:
        ConfigError: Another layer or precision.
    """

    source = DRAWN_PICTURES
    architecture = DrawnPictureEncoder.architecture
    device = torch.device("cpu")

    def __init__(self, *, layers: Sequence[Layer] = ("projected",), precision: str = "float32") -> None:
        if tuple(layers) != ("projected",) or precision != "float32":
            raise ConfigError(
                f"stimuli.model={DRAWN_PICTURES} has the layer 'projected' in float32; got layers={list(layers)} and "
                f"precision={precision}. Leave both out."
            )
        self.layers: tuple[Layer, ...] = ("projected",)
        self.precision = precision
        self.weights_sha256 = sha256_of(SHIPPED_ENCODER / "model.safetensors")

    @cached_property
    def _encoder(self) -> DrawnPictureEncoder:
        return DrawnPictureEncoder.load()

    def transform(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return pictures (picture, 3, height, width) at the encoder's size."""
        return resize(pictures, self._encoder.side, self._encoder.side, mode="bilinear")

    def describe(self) -> dict[str, Any]:
        """Return what the vectors depend on besides pictures, as plain values."""
        return {"weights_sha256": self.weights_sha256, "precision": self.precision, "transform": "antialiased bilinear"}

    @torch.inference_mode()
    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (picture, 1, dim) float32 vectors of transformed pictures."""
        return self._encoder(inputs)[:, None]
