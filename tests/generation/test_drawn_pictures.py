"""The shipped generator draws what a vector says, the same for the same seed, and anything from nothing."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.generation.base import PictureGenerator
from brain_decode.generation.drawn_pictures import SHIPPED_GENERATOR, DrawnPictures
from brain_decode.nn.architectures import resolve_architecture
from brain_decode.simulation.pictures import draw_pictures
from brain_decode.simulation.pixel_features import pixel_features
from brain_decode.stimuli.drawn_picture_encoder import SHIPPED_ENCODER, DrawnPictureEncoder


@pytest.fixture(scope="module")
def generator() -> DrawnPictures:
    return DrawnPictures()


@pytest.fixture(scope="module")
def seen() -> np.ndarray:
    """Sixteen test pictures of the default study, whose concepts the shipped models have never seen."""
    pictures = draw_pictures()
    return pictures.pixels[pictures.rows("test")[:16]]


@pytest.fixture(scope="module")
def features(seen: np.ndarray) -> np.ndarray:
    return DrawnPictureEncoder.load().embed(seen)


@pytest.fixture(scope="module")
def drawn(generator: DrawnPictures, features: np.ndarray) -> np.ndarray:
    return generator.generate(features, seed=0)


def two_way(seen: np.ndarray, drawn: np.ndarray) -> float:
    """Return how often a drawing is more like its own picture than like another, by a feature."""
    table = np.corrcoef(seen, drawn)[: len(seen), len(seen) :]
    others = ~np.eye(len(seen), dtype=bool)
    return float((table < np.diag(table)[None, :])[others].mean())


def test_drawings_are_pictures(drawn: np.ndarray) -> None:
    assert drawn.shape == (16, 64, 64, 3)
    assert drawn.dtype == np.float32
    assert drawn.min() >= 0 and drawn.max() <= 1


@pytest.mark.parametrize(("family", "least"), [("colour", 0.97), ("energy", 0.95), ("silhouette", 0.93)])
def test_drawings_from_true_vectors_are_told_apart(
    seen: np.ndarray, drawn: np.ndarray, family: str, least: float
) -> None:
    assert two_way(pixel_features(seen)[family], pixel_features(drawn)[family]) >= least


def test_drawings_of_other_vectors_are_at_chance(seen: np.ndarray, drawn: np.ndarray) -> None:
    shifted = [
        two_way(pixel_features(seen)["colour"], np.roll(pixel_features(drawn)["colour"], k, 0)) for k in range(1, 16)
    ]
    assert abs(np.mean(shifted) - 0.5) < 0.06


def test_drawings_match_their_pictures_pixel_by_pixel(seen: np.ndarray, drawn: np.ndarray) -> None:
    correlations = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen, drawn, strict=True)]
    assert np.mean(correlations) > 0.6


def test_nothing_known_still_gives_a_drawing_on_grey(generator: DrawnPictures) -> None:
    drawn = generator.generate(np.zeros((4, 64)), seed=1)
    corners = drawn[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert np.median(np.abs(corners - 0.5)) < 0.05
    assert (np.abs(drawn - 0.5).max(axis=3) > 0.1).mean() > 0.1


def test_the_same_seed_draws_the_same(generator: DrawnPictures, features: np.ndarray, drawn: np.ndarray) -> None:
    np.testing.assert_array_equal(generator.generate(features, seed=0), drawn)


def test_another_seed_draws_another(generator: DrawnPictures, features: np.ndarray, drawn: np.ndarray) -> None:
    assert np.abs(generator.generate(features[:2], seed=1) - drawn[:2]).max() > 0.05


def test_a_drawing_does_not_depend_on_how_many_follow(
    generator: DrawnPictures, features: np.ndarray, drawn: np.ndarray
) -> None:
    np.testing.assert_array_equal(generator.generate(features[:3], seed=0), drawn[:3])


def test_global_randomness_is_left_alone(generator: DrawnPictures, features: np.ndarray) -> None:
    before = torch.get_rng_state()
    generator.generate(features[:1], seed=3)
    assert torch.equal(torch.get_rng_state(), before)


def test_no_vector_gives_no_drawing(generator: DrawnPictures) -> None:
    assert generator.generate(np.zeros((0, 64)), seed=0).shape == (0, 64, 64, 3)


def test_little_noise_stays_near_the_picture_it_starts_from(seen: np.ndarray) -> None:
    near, far = (
        DrawnPictures(steps=10, start_noise=share).generate(np.zeros((2, 64)), seed=0, starts=seen[:2])
        for share in (0.2, 1.0)
    )
    assert np.abs(near - seen[:2]).mean() < 0.5 * np.abs(far - seen[:2]).mean()


def test_short_vectors_are_lengthened_to_one_size(generator: DrawnPictures, features: np.ndarray) -> None:
    tenth, fifth = generator.generate(0.1 * features[:2], seed=0), generator.generate(0.2 * features[:2], seed=0)
    np.testing.assert_allclose(tenth, fifth, atol=1e-3)


def test_short_vectors_say_less_where_they_are_left_as_they_are(seen: np.ndarray, features: np.ndarray) -> None:
    drawn = DrawnPictures(least_known=0.0).generate(0.02 * features, seed=0)
    assert two_way(pixel_features(seen)["colour"], pixel_features(drawn)["colour"]) < 0.8


def test_vectors_of_another_size_are_refused(generator: DrawnPictures) -> None:
    with pytest.raises(SpecMismatch, match=r"vectors \(picture, 64\) of DrawnPictureEncoder, got shape \(2, 1024\)"):
        generator.generate(np.zeros((2, 1024)), seed=0)


def test_starts_of_another_size_are_refused(generator: DrawnPictures) -> None:
    with pytest.raises(SpecMismatch, match=r"starts from pictures \(1, 64, 64, 3\), got \(1, 32, 32, 3\). Resize"):
        generator.generate(np.zeros((1, 64)), seed=0, starts=np.zeros((1, 32, 32, 3)))


def test_captions_are_refused(generator: DrawnPictures) -> None:
    with pytest.raises(ConfigError, match="reads no captions"):
        generator.generate(np.zeros((1, 64)), seed=0, captions=["a red star"])


@pytest.mark.parametrize("settings", [{"steps": 0}, {"guidance": -1.0}, {"start_noise": 0.0}, {"least_known": 2.0}])
def test_impossible_settings_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="takes steps from 1 on, guidance from 0 on, start_noise in"):
        DrawnPictures(**settings)


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "generator"
    shutil.copytree(SHIPPED_GENERATOR, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="is damaged or no safetensors file"):
        DrawnPictures(str(folder))


def test_a_folder_without_weights_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No pretrained weights at"):
        DrawnPictures(str(tmp_path))


def test_the_card_names_the_weights() -> None:
    digest = hashlib.sha256((SHIPPED_GENERATOR / "model.safetensors").read_bytes()).hexdigest()
    assert digest in (SHIPPED_GENERATOR / "README.md").read_text(encoding="utf-8")


def test_what_ships_is_small() -> None:
    sizes = [(folder / "model.safetensors").stat().st_size for folder in (SHIPPED_GENERATOR, SHIPPED_ENCODER)]
    assert sum(sizes) <= 4_200_000


def test_a_saved_name_finds_the_generator() -> None:
    assert resolve_architecture("generator", "generation", "drawn_pictures", PictureGenerator) is DrawnPictures
