"""The shipped encoder of drawings as a target model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.simulation.pictures import draw_pictures
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder
from brain_decode.stimuli.drawn_picture_targets import DrawnPictureTargets


def test_its_vectors_are_those_of_the_encoder() -> None:
    pixels = draw_pictures(4, 1, 2).pixels
    model = DrawnPictureTargets()
    inputs = model.transform(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    vectors = model.embed(inputs)
    assert vectors.shape == (6, 1, 64)
    np.testing.assert_allclose(vectors[:, 0].numpy(), DrawnPictureEncoder.load().embed(pixels), atol=1e-5)


def test_pictures_of_another_size_are_brought_to_its_own() -> None:
    assert DrawnPictureTargets().transform(torch.zeros(1, 3, 96, 96)).shape == (1, 3, 64, 64)


def test_it_has_one_layer_and_says_so() -> None:
    with pytest.raises(ConfigError, match=r"has the layer 'projected' in float32; got layers=\[-1\]"):
        DrawnPictureTargets(layers=[-1])
