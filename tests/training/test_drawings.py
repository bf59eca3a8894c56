"""Drawings for training leave out what they are told to, and know their own attributes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.simulation.pictures import draw_pictures
from brain_decode.training.drawings import Drawings, draw_for_training, held_out_concepts


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    return draw_for_training(1, without=held_out_concepts(), exemplars=1)


def shown(drawings: Drawings) -> set[str]:
    shapes, colours, textures = drawings.names
    return {f"{colours[c]}_{textures[t]}_{shapes[s]}" for s, c, t in drawings.attributes.tolist()}


def test_held_out_concepts_are_those_the_default_study_tests() -> None:
    pictures = draw_pictures()
    tested = {name for name, part in zip(pictures.concepts, pictures.partitions, strict=True) if part == "test"}
    assert held_out_concepts() == tested
    assert len(tested) == 50


def test_held_out_concepts_are_never_drawn(drawings: Drawings) -> None:
    assert not shown(drawings) & held_out_concepts()
    assert len(shown(drawings)) >= 346  # 400, less 50 held out and the round's two of its own


def test_pictures_are_between_0_and_1(drawings: Drawings) -> None:
    pictures = drawings.pictures(torch.arange(8))
    assert pictures.shape == (8, 3, 64, 64)
    assert float(pictures.min()) >= 0 and float(pictures.max()) <= 1


def test_components_have_unit_variance(drawings: Drawings) -> None:
    assert drawings.components.shape == (len(drawings.pixels), 64)
    np.testing.assert_allclose(drawings.components.std(dim=0), 1.0, atol=0.01)


def test_another_seed_draws_other_poses(drawings: Drawings) -> None:
    other = draw_for_training(1, seed=1, exemplars=1)
    assert not torch.equal(other.pixels[:50], drawings.pixels[:50])


def test_no_round_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one round, got 0"):
        draw_for_training(0)
