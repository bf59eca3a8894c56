"""The shipped encoder describes drawings by whitened vectors in which shape, colour and texture can be read."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.simulation.pictures import PictureSet, draw_pictures
from brain_decode.stimuli.drawn_picture_encoder import SHIPPED_ENCODER, DrawnPictureEncoder


@pytest.fixture(scope="module")
def encoder() -> DrawnPictureEncoder:
    return DrawnPictureEncoder.load()


@pytest.fixture(scope="module")
def drawings() -> PictureSet:
    return draw_pictures(160, 2, 50, seed=7)


@pytest.fixture(scope="module")
def vectors(encoder: DrawnPictureEncoder, drawings: PictureSet) -> np.ndarray:
    return encoder.embed(drawings.pixels)


def test_a_picture_becomes_one_vector_of_64(vectors: np.ndarray, drawings: PictureSet) -> None:
    assert vectors.shape == (len(drawings.ids), 64)
    assert vectors.dtype == np.float32


def test_values_of_new_drawings_have_about_mean_0_and_deviation_1(vectors: np.ndarray) -> None:
    assert np.abs(vectors.mean(axis=0)).max() < 0.35
    assert 0.8 < vectors.std(axis=0).mean() < 1.2


def test_different_values_are_nearly_uncorrelated(vectors: np.ndarray) -> None:
    between = np.corrcoef(vectors.T)[np.triu_indices(vectors.shape[1], 1)]
    assert np.abs(between).mean() < 0.12


@pytest.mark.parametrize(("word", "least"), [(0, 0.9), (1, 0.9), (2, 0.8)], ids=["colour", "texture", "shape"])
def test_attributes_of_unseen_concepts_are_read_by_a_linear_map(
    vectors: np.ndarray, drawings: PictureSet, word: int, least: float
) -> None:
    labels = np.array([concept.split("_")[word] for concept in drawings.concepts])
    train, test = drawings.rows("train"), drawings.rows("test")
    found = RidgeClassifier(alpha=10.0).fit(vectors[train], labels[train]).predict(vectors[test])
    assert (found == labels[test]).mean() >= least


def test_a_picture_is_described_without_regard_to_its_company(
    encoder: DrawnPictureEncoder, drawings: PictureSet, vectors: np.ndarray
) -> None:
    np.testing.assert_allclose(encoder.embed(drawings.pixels[5:6])[0], vectors[5], atol=1e-4)


def test_a_larger_picture_is_described_like_its_small_version(
    encoder: DrawnPictureEncoder, drawings: PictureSet, vectors: np.ndarray
) -> None:
    large = drawings.pixels[:8].repeat(2, axis=1).repeat(2, axis=2)
    similarity = np.corrcoef(encoder.embed(large).ravel(), vectors[:8].ravel())[0, 1]
    assert similarity > 0.95


def test_no_picture_gives_no_vector(encoder: DrawnPictureEncoder) -> None:
    assert encoder.embed(np.zeros((0, 64, 64, 3), dtype=np.float32)).shape == (0, 64)


def test_pictures_of_eight_bits_are_refused(encoder: DrawnPictureEncoder) -> None:
    with pytest.raises(DataError, match=r"lie in \[0, 1\], got 255 to 255. Divide 8-bit pictures by 255"):
        encoder.embed(np.full((1, 64, 64, 3), 255.0))


def test_grey_pictures_are_refused(encoder: DrawnPictureEncoder) -> None:
    with pytest.raises(DataError, match=r"got \(1, 64, 64\). Load them as RGB"):
        encoder.embed(np.zeros((1, 64, 64)))


def test_the_card_names_the_weights_and_what_they_never_saw() -> None:
    card = (SHIPPED_ENCODER / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256((SHIPPED_ENCODER / "model.safetensors").read_bytes()).hexdigest() in card
    default = draw_pictures()
    assert all(default.concepts[row] in card for row in default.rows("test"))


def test_a_damaged_file_is_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(SHIPPED_ENCODER, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="is absent, damaged or no safetensors file"):
        DrawnPictureEncoder.load(folder)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(SHIPPED_ENCODER, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"kind": "tokenizer"}))
    with pytest.raises(ConfigError, match="holds: tokenizer; an encoder of drawn pictures is needed"):
        DrawnPictureEncoder.load(folder)


def test_settings_that_do_not_fit_the_weights_are_one_error(tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    shutil.copytree(SHIPPED_ENCODER, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"settings": {"dim": 32}}))
    with pytest.raises(DataError, match="does not hold a whole drawn_picture_encoder"):
        DrawnPictureEncoder.load(folder)
