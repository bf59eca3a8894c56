"""Drawn objects: the same numbers draw the same pixels, and no concept is in both parts."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.simulation.pictures import contact_sheet, draw_pictures


def test_the_same_seed_draws_the_same_pixels_and_another_seed_others() -> None:
    first, again, other = draw_pictures(8, 2, 4), draw_pictures(8, 2, 4), draw_pictures(8, 2, 4, seed=1)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.ids == again.ids
    assert first.ids != other.ids


def test_parts_are_disjoint_in_concepts_and_balanced_in_categories() -> None:
    pictures = draw_pictures(40, 3, 20)
    concepts, categories = np.array(pictures.concepts), np.array(pictures.categories)
    train, test = pictures.rows("train"), pictures.rows("test")
    assert (len(train), len(test)) == (120, 20)
    assert not set(concepts[train]) & set(concepts[test])
    assert len(set(pictures.ids)) == 140
    for rows in (train, test):
        assert (categories[rows] == "organic").mean() == 0.5


def test_exemplars_of_a_concept_differ_and_pixels_lie_in_range() -> None:
    pixels = draw_pictures(2, 2, 2).pixels
    assert pixels.shape == (6, 64, 64, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    assert np.abs(pixels[0] - pixels[1]).mean() > 0.01


def test_a_contact_sheet_places_pictures_row_by_row() -> None:
    pixels = np.zeros((3, 4, 4, 3))
    pixels[1] = 1.0
    sheet = contact_sheet(pixels, columns=2)
    assert sheet.shape == (8, 8, 3)
    assert sheet[:4, 4:].min() == 255
    assert sheet[4:, :4].max() == 0


def test_more_concepts_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"There are 400 concepts; 380 for training and 40 for the test are too many"):
        draw_pictures(380, 1, 40)


def test_categories_that_cannot_be_balanced_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"even numbers from 2 on"):
        draw_pictures(9, 1, 4)
