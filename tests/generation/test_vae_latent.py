"""Latents of pictures: the posterior's mean, not scaled, and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.generation.vae_latent import VAELatent

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def latents(tiny_sdxl: tuple[Path, Path]) -> VAELatent:
    """The autoencoder of the small pipeline."""
    return VAELatent(str(tiny_sdxl[0]), size=32, batch_size=2, device="cpu")


def test_sizes_are_known_before_weights_are_loaded(latents: VAELatent):
    assert latents.latent == (4, 16, 16)
    assert (latents.feature_dim, latents.height, latents.width) == (1024, 32, 32)


@torch.no_grad()
def test_a_latent_is_the_mean_of_the_posterior_without_scaling(latents: VAELatent):
    pictures = RNG.random((3, 32, 32, 3), dtype=np.float32)
    inputs = torch.from_numpy(2 * pictures - 1).permute(0, 3, 1, 2)
    mean = latents.model.encode(inputs).latent_dist.mean
    np.testing.assert_allclose(latents.encode(pictures), mean.flatten(1).numpy(), atol=1e-5)
    np.testing.assert_array_equal(latents.features_of(pictures), latents.encode(pictures))
    assert latents.encode(pictures[:0]).shape == (0, 1024)


@torch.no_grad()
def test_a_latent_is_decoded_as_it_was_encoded_without_division(latents: VAELatent):
    values = RNG.standard_normal((3, 1024), dtype=np.float32)
    decoded = latents.model.decode(torch.from_numpy(values).reshape(3, 4, 16, 16)).sample
    expected = (decoded / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
    pictures = latents.generate(values, seed=0)
    np.testing.assert_allclose(pictures, expected, atol=1e-5)
    np.testing.assert_array_equal(latents.generate(values, seed=1), pictures)
    assert latents.generate(values[:0], seed=0).shape == (0, 32, 32, 3)


def test_the_middle_square_of_a_picture_is_encoded(latents: VAELatent):
    wide = RNG.random((1, 64, 100, 3), dtype=np.float32)
    tensor = torch.from_numpy(wide).permute(0, 3, 1, 2)
    scaled = functional.interpolate(tensor, (32, 50), mode="bicubic", antialias=True).clamp(0, 1)
    middle = scaled[..., 9:41].permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(latents.encode(wide), latents.encode(middle), atol=1e-4)


def test_what_cannot_be_decoded_is_refused(latents: VAELatent):
    with pytest.raises(SpecMismatch, match=r"decodes latents \(n, 1024\), 4 x 16 x 16 flattened, got \(1, 5\)"):
        latents.generate(np.zeros((1, 5)), seed=0)
    with pytest.raises(ConfigError, match=r"takes neither starts nor captions"):
        latents.generate(np.zeros((1, 1024)), seed=0, captions=["a"])
    with pytest.raises(SpecMismatch, match=r"Pictures are \(picture, height, width, 3\), got \(1, 4, 4\)"):
        latents.encode(np.zeros((1, 4, 4)))


def test_a_place_without_an_autoencoder_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"There is no autoencoder at"):
        VAELatent(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"latent_channels": 4}))
    with pytest.raises(ConfigError, match=r"is no autoencoder of pictures: it lacks 'block_out_channels'"):
        VAELatent(str(tmp_path))


def test_a_low_level_picture_is_a_start_for_the_other_generator(latents: VAELatent, tiny_sdxl: tuple[Path, Path]):
    from brain_decode.generation.ip_adapter import IPAdapter

    start = latents.generate(RNG.standard_normal((1, 1024), dtype=np.float32), seed=0)
    painter = IPAdapter(*map(str, tiny_sdxl), height=32, width=32, n_steps=2)
    pictures = painter.generate(np.zeros((1, 12)), seed=0, starts=start)
    assert pictures.shape == (1, 32, 32, 3)
    assert np.isfinite(pictures).all()
