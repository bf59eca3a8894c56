"""The transform equals that of transformers' own image processors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brain_decode.core.errors import ConfigError
from brain_decode.stimuli.picture_transform import PictureTransform

SETTINGS = {
    "CLIPImageProcessor": {"size": {"shortest_edge": 24}, "crop_size": {"height": 20, "width": 20}},
    "SiglipImageProcessor": {"size": {"height": 24, "width": 20}},
    "ViTImageProcessor": {"size": {"height": 30, "width": 30}},
    "BitImageProcessor": {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}},
}


def _picture(height: int, width: int) -> np.ndarray:
    """Smooth colours with some noise, as pictures have."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / 7 + phase) * np.cos(columns / 5 - phase) for phase in range(3)]
    values = 127 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 12, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", [(48, 48), (37, 61), (80, 33)])
@pytest.mark.parametrize("name", SETTINGS)
def test_it_equals_the_processor_of_transformers_up_to_its_rounding(name, size):
    import transformers

    processor = getattr(transformers, name)(**SETTINGS[name])
    pixels = _picture(*size)
    wanted = torch.tensor(np.asarray(processor(Image.fromarray(pixels))["pixel_values"][0]))
    ours = PictureTransform.from_processor(processor.to_dict())
    found = ours(torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255)[0]
    assert found.shape == wanted.shape
    # Pillow rounds to whole levels after each of its two passes.
    levels = (found - wanted).abs() * torch.tensor(processor.image_std)[:, None, None] * 255
    assert levels.max() < 1.6
    assert levels.mean() < 0.5


def test_what_is_not_resized_is_only_normalised():
    transform = PictureTransform.from_processor(
        {"do_resize": False, "do_center_crop": False, "image_mean": [0.5] * 3, "image_std": [0.25] * 3}
    )
    torch.testing.assert_close(transform(torch.full((1, 3, 4, 4), 0.75)), torch.ones(1, 3, 4, 4))


def test_the_middle_is_kept_and_small_pictures_get_black_edges():
    transform = PictureTransform(None, None, "bicubic", (2, 4), 1.0, (0.0,) * 3, (1.0,) * 3)
    picture = torch.arange(4.0).repeat(3, 4, 1)[None] + 1
    torch.testing.assert_close(transform(picture[..., :2])[0, 0, 0], torch.tensor([0.0, 1.0, 2.0, 0.0]))
    torch.testing.assert_close(transform(picture), picture[:, :, 1:3])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"crop_pct": 0.875, "size": {"shortest_edge": 224}}, "sets crop_pct=0.875"),
        ({"size": {"longest_edge": 224}}, "known are shortest_edge, or height and width"),
        ({"size": {"shortest_edge": 224}, "resample": 1}, "resamples by method 1"),
    ],
)
def test_what_it_cannot_do_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        PictureTransform.from_processor({"image_mean": [0.5] * 3, "image_std": [0.5] * 3} | config)
