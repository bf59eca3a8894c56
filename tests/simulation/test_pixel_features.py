"""Features of pictures: what they measure, and what they are fitted on."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.simulation.pixel_features import fit_reduction, pixel_features


def stripes(*, vertical: bool) -> np.ndarray:
    wave = 0.5 + 0.5 * np.sin(np.arange(64) / 64 * 2 * np.pi * 6)
    picture = np.tile(wave, (64, 1)) if vertical else np.tile(wave[:, None], (1, 64))
    return np.repeat(picture[None, :, :, None], 3, axis=3)


def test_a_uniform_picture_has_its_colour_in_every_cell_and_no_energy() -> None:
    picture = np.broadcast_to([0.2, 0.4, 0.6], (1, 64, 64, 3)).astype(float)
    features = pixel_features(picture)
    np.testing.assert_allclose(features["colour"].reshape(64, 3), np.tile([0.2, 0.4, 0.6], (64, 1)))
    np.testing.assert_allclose(features["energy"], 0, atol=1e-12)


def test_stripes_have_energy_across_them_only() -> None:
    across = pixel_features(stripes(vertical=True))["energy"].reshape(3, 8, 16).sum(axis=(0, 2))
    down = pixel_features(stripes(vertical=False))["energy"].reshape(3, 8, 16).sum(axis=(0, 2))
    assert across.argmax() == 0
    assert down.argmax() == 4
    assert across[4] < 1e-6 * across[0]


def test_the_silhouette_does_not_depend_on_where_the_object_lies() -> None:
    pictures = np.full((2, 64, 64, 3), 0.5)
    pictures[0, 10:30, 12:40] = 0.9
    pictures[1, 25:45, 20:48] = 0.9
    silhouette = pixel_features(pictures)["silhouette"]
    np.testing.assert_array_equal(silhouette[0], silhouette[1])


def test_the_reduction_knows_training_pictures_only() -> None:
    random = np.random.default_rng(0)
    train, test = random.normal(size=(40, 12)), random.normal(3.0, 5.0, size=(10, 12))
    reduction = fit_reduction(train, 4)
    whitened = reduction.apply(train, whiten=True)
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(whitened.std(axis=0), 1, atol=1e-6)
    together = reduction.apply(np.concatenate([train, test]))
    np.testing.assert_array_equal(together[:40], reduction.apply(train))


def test_more_dimensions_than_pictures_are_refused() -> None:
    with pytest.raises(DataError, match=r"5 training pictures span 4 dimensions; 8 were asked for"):
        fit_reduction(np.random.default_rng(0).normal(size=(5, 30)), 8)


def test_pixels_of_eight_bits_are_refused_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"Divide 8-bit pictures by 255"):
        pixel_features(np.full((1, 64, 64, 3), 200.0))
