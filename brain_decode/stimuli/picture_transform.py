"""The deterministic transform from pictures to what a vision model sees."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from brain_decode.core.errors import ConfigError
from brain_decode.core.files import read_json_object
from brain_decode.stimuli.resizing import centre_crop, resize, resize_shorter_side

__all__ = ["CLIP_MEAN", "CLIP_STD", "PictureTransform"]

_MODES = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # as Pillow numbers them
_UNSUPPORTED = ("crop_pct", "do_pad", "do_thumbnail", "do_align_long_axis", "do_split_image")
_COPY = "Copy the model again."
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # Radford et al. 2021
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureTransform:
    """Resize (antialiased), cut out the middle, scale and normalise; nothing in it is random.

    Args:
        shorter_side: Pixels the shorter side is resized to; None where `size` is given or nothing is resized.
        size: (height, width) a picture is stretched to.
        mode: "bicubic", "bilinear" or "nearest".
        crop: (height, width) of the middle that is kept; None keeps all.
        scale: Factor on pictures in [0, 1].
        mean: Of each colour, subtracted after scaling.
        std: Of each colour, divided by.

    Source: the image processors of transformers. Differs: resizes in float32 and rounds nowhere, where Pillow rounds to
    256 levels twice.
    """

    shorter_side: int | None
    size: tuple[int, int] | None
    mode: str
    crop: tuple[int, int] | None
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_folder(cls, folder: Path) -> PictureTransform:
        """Read the image processor that was saved with a model.

        CLIP models that lost theirs (the image encoder of IP-Adapter is published without) get CLIP's, which all share.

        Raises:
            ConfigError: None there, or one that does something this transform does not.
        """
        path = folder / "preprocessor_config.json"
        if path.is_file():
            return cls.from_processor(read_json_object(path, remedy=_COPY))
        joint = folder / "processor_config.json"
        if joint.is_file():
            processor = read_json_object(joint, remedy=_COPY).get("image_processor")
            if isinstance(processor, Mapping):
                return cls.from_processor(processor)
        model = read_json_object(folder / "config.json", remedy=_COPY)
        pixels = (model.get("vision_config") or model).get("image_size")
        if str(model.get("model_type", "")).startswith("clip") and isinstance(pixels, int):
            _LOG.warning("'%s' has no preprocessor_config.json; pictures are prepared as CLIP's are.", folder)
            return cls(pixels, None, "bicubic", (pixels, pixels), 1.0, CLIP_MEAN, CLIP_STD)
        raise ConfigError(
            f"'{folder}' has no preprocessor_config.json, so how its model wants pictures is unknown. Save the image "
            "processor beside the model."
        )

    @classmethod
    def from_processor(cls, config: Mapping[str, Any]) -> PictureTransform:
        """Build from the settings of an image processor.

        Raises:
            ConfigError: Settings that do something this transform does not.
        """
        for key in _UNSUPPORTED:
            if config.get(key):
                raise ConfigError(f"The image processor sets {key}={config[key]}, which brain_decode does not do.")
        shorter_side, size = _resizing(config)
        rescales, normalises = config.get("do_rescale", True), config.get("do_normalize", True)
        number = config.get("resample", 3)
        if number not in _MODES:
            raise ConfigError(f"The image processor resamples by method {number}; known are {_MODES}.")
        return cls(
            shorter_side=shorter_side,
            size=size,
            mode=_MODES[number],
            crop=_height_width(config.get("crop_size")) if config.get("do_center_crop") else None,
            # Pictures are in [0, 1] here and in 0..255 there.
            scale=round(255.0 * float(config.get("rescale_factor", 1 / 255)) if rescales else 255.0, 9),
            mean=tuple(map(float, config["image_mean"])) if normalises else (0.0, 0.0, 0.0),
            std=tuple(map(float, config["image_std"])) if normalises else (1.0, 1.0, 1.0),
        )

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Map pictures (picture, 3, height, width) in [0, 1] to what the model sees, of one size."""
        if self.size is not None:
            pictures = resize(pictures, *self.size, mode=self.mode)
        elif self.shorter_side is not None:
            pictures = resize_shorter_side(pictures, self.shorter_side, mode=self.mode)
        if self.crop is not None:
            pictures = centre_crop(pictures, *self.crop)
        mean, std = (pictures.new_tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (pictures * self.scale - mean) / std

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def _resizing(config: Mapping[str, Any]) -> tuple[int | None, tuple[int, int] | None]:
    """Return pixels of the shorter side, or the size that pictures are stretched to."""
    if not config.get("do_resize", True):
        return None, None
    size = config.get("size")
    if isinstance(size, int):
        return (size, None) if config.get("do_center_crop") else (None, (size, size))
    if isinstance(size, Mapping) and set(size) == {"shortest_edge"}:
        return int(size["shortest_edge"]), None
    return None, _height_width(size)


def _height_width(size: Any) -> tuple[int, int]:
    if isinstance(size, int):
        return size, size
    if isinstance(size, Mapping) and {key for key, value in size.items() if value is not None} == {"height", "width"}:
        return int(size["height"]), int(size["width"])
    raise ConfigError(f"The image processor resizes to {size}; known are shortest_edge, or height and width.")
