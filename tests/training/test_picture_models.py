"""Picture models learn from drawings, are told what a regression would tell, and come back from their folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brain_decode.generation.drawn_pictures import DrawnPictures
from brain_decode.simulation.pixel_features import fit_reduction
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder
from brain_decode.training.drawings import Drawings
from brain_decode.training.picture_models import (
    Effort,
    features_of,
    fit_autoencoder,
    latents_of,
    partly_known,
    train_denoiser,
    train_encoder,
    visibility_of,
)
from brain_decode.training.shipped_pictures import write_encoder, write_generator

BRIEF = Effort(steps=3, batch=8, rate=1e-3)


@pytest.fixture(scope="module")
def drawings() -> Drawings:
    """Squares of two colours and sizes on grey, a stand-in for the real drawings that takes no time."""
    rng = np.random.default_rng(0)
    pixels = np.full((96, 3, 64, 64), 128, dtype=np.uint8)
    for picture in pixels:
        top, left = rng.integers(4, 24, 2)
        picture[:, top : top + 30, left : left + 30] = rng.integers(0, 255, 3)[:, None, None]
    flat = pixels[:, :, ::8, ::8].reshape(96, -1).astype(float)
    return Drawings(
        pixels=torch.from_numpy(pixels),
        components=torch.from_numpy(fit_reduction(flat, 8).apply(flat, whiten=True)),
        attributes=torch.from_numpy(rng.integers(0, 2, (96, 3))),
        names=(("a", "b"), ("c", "d"), ("e", "f")),
    )


def test_latents_have_mean_square_1_and_decode_to_the_picture(drawings: Drawings) -> None:
    autoencoder = fit_autoencoder(drawings)
    pictures = drawings.pictures(torch.arange(96))
    latents = autoencoder.encode(pictures)
    assert float(latents.square().mean()) == pytest.approx(1.0, abs=1e-3)
    assert float((autoencoder.decode(latents) - pictures).detach().abs().mean()) < 0.02


def test_all_latents_are_those_of_the_pictures_one_by_one(drawings: Drawings) -> None:
    autoencoder = fit_autoencoder(drawings)
    one = autoencoder.encode(drawings.pictures(torch.tensor([7])))
    np.testing.assert_allclose(latents_of(autoencoder, drawings)[7:8], one, atol=1e-5)


def test_a_brief_training_gives_the_same_encoder_twice(drawings: Drawings) -> None:
    pictures = drawings.pictures(torch.arange(8))
    first, second = (train_encoder(drawings, BRIEF, seed=4).unwhitened(pictures) for _ in range(2))
    torch.testing.assert_close(first, second)


def test_the_first_values_of_a_vector_are_the_most_visible(drawings: Drawings) -> None:
    features = features_of(train_encoder(drawings, BRIEF), drawings)
    visibility = visibility_of(features, drawings.components)
    assert float(visibility.mean()) == pytest.approx(1.0, abs=1e-4)
    assert bool((visibility.diff() <= 1e-3).all())


def test_what_is_told_is_the_expectation_of_the_value() -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(200_000, 2, generator=random)
    told = partly_known(values, torch.tensor([4.0, 0.25]), random)
    for column in range(2):
        slope = float((told[:, column] * values[:, column]).sum() / told[:, column].square().sum())
        assert slope == pytest.approx(1.0, abs=0.01)
    assert float(told[:, 0].std()) > float(told[:, 1].std())


def test_of_some_pictures_all_is_told_and_of_some_nothing() -> None:
    random = torch.Generator().manual_seed(0)
    values = torch.randn(20_000, 4, generator=random)
    told = partly_known(values, torch.ones(4), random)
    assert float((told == values).all(dim=1).float().mean()) == pytest.approx(0.2, abs=0.01)
    assert float((told == 0).all(dim=1).float().mean()) == pytest.approx(0.1, abs=0.01)


def test_trained_models_come_back_from_their_folders(drawings: Drawings, tmp_path: Path) -> None:
    encoder, autoencoder = train_encoder(drawings, BRIEF), fit_autoencoder(drawings)
    features, latents = features_of(encoder, drawings), latents_of(autoencoder, drawings)
    denoiser = train_denoiser(latents, features, visibility_of(features, drawings.components), BRIEF)
    write_encoder(encoder, tmp_path / "encoder", {"seed": 0})
    write_generator(autoencoder, denoiser, tmp_path / "generator", {"seed": 0, "never_seen": ["red_plain_star"]})
    pixels = drawings.pictures(torch.arange(4)).permute(0, 2, 3, 1).numpy()
    vectors = DrawnPictureEncoder.load(tmp_path / "encoder").embed(pixels)
    np.testing.assert_allclose(vectors, features[:4], atol=0.1)
    assert DrawnPictures(str(tmp_path / "generator"), steps=2).generate(vectors, seed=0).shape == (4, 64, 64, 3)
    assert "red_plain_star" in (tmp_path / "generator" / "README.md").read_text()
