"""Drawn objects: the same numbers draw the same pixels, and no concept is in both parts."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.simulation.pictures import _Looks, _Poses, _render, contact_sheet, draw_pictures


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
    with pytest.raises(ConfigError, match=r"There are 400 concepts; 380 .* and 40 .* too many.*n_rims up to 5"):
        draw_pictures(380, 1, 40)
    with pytest.raises(ConfigError, match=r"There are 2000 concepts; .* are too many. Use fewer.$"):
        draw_pictures(1990, 1, 40, n_rims=5)
    with pytest.raises(ConfigError, match=r"1 to 5 kinds of rim, got n_rims=6"):
        draw_pictures(8, 1, 4, n_rims=6)


def test_rims_make_enough_concepts_for_a_study_of_the_size_of_things_eeg2() -> None:
    pictures = draw_pictures(1654, 1, 200, n_rims=5)
    assert len(set(pictures.concepts)) == 1854
    rimmed = ["rimmed" in concept for concept in pictures.concepts]
    assert 0.7 < np.mean(rimmed) < 0.9


def test_pictures_do_not_depend_on_how_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = draw_pictures(8, 2, 4, n_rims=5).pixels
    monkeypatch.setattr("brain_decode.simulation.pictures._DRAWN_AT_ONCE", 3)
    np.testing.assert_array_equal(draw_pictures(8, 2, 4, n_rims=5).pixels, whole)


def test_a_rim_changes_the_border_of_the_object_alone() -> None:
    looks = [np.array([name]) for name in ("disc", "red", "plain")]
    poses = _Poses(np.array([0.8]), np.zeros(1), np.zeros((2, 1)), np.zeros(1), np.zeros((1, 3)))
    plain, rimmed = (_render(_Looks(*looks, np.array([rim])), poses)[0] for rim in ("", "navy"))
    changed = np.abs(plain - rimmed).max(axis=2) > 0
    assert not changed[24:40, 24:40].any()
    assert changed[32].sum() == 6  # three pixels on either side
    np.testing.assert_array_equal(plain[:2], rimmed[:2])


def test_categories_that_cannot_be_balanced_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"even numbers from 2 on"):
        draw_pictures(9, 1, 4)
