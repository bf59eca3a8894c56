"""Soft-CLIP and MixCo equal the authors'."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from brain_decode.heads.contrastive_losses import Mix, info_nce, mixco_nce, soft_clip

pytestmark = pytest.mark.parity
LOW = 5e-3  # a low temperature multiplies rounding


@pytest.fixture(scope="module")
def vectors(reference_folder: Path) -> dict[str, torch.Tensor]:
    """Inputs and outputs of the authors' losses."""
    place = reference_folder / "losses"
    if not place.is_dir():
        pytest.skip("no parity vectors of losses")
    return load_file(place / "io.safetensors")


def temperatures(vectors: dict[str, torch.Tensor], name: str) -> dict[str, float]:
    """Return the stored values of a loss, with the temperature of each."""
    pattern = re.compile(rf"{re.escape(name)}\.t([0-9.]+)")
    return {key: float(found[1]) for key in vectors if (found := pattern.fullmatch(key))}


def test_soft_clip_and_its_gradient_equal(vectors, needed, close):
    brain, stimulus = needed(vectors, "preds", "targs")
    for name, temperature in temperatures(vectors, "softclip_me2").items():
        close(soft_clip(brain, stimulus, temperature), vectors, name, atol=LOW)
    for name, temperature in temperatures(vectors, "grad_softclip").items():
        leaf = brain.clone().requires_grad_()
        soft_clip(leaf, stimulus, temperature).backward()
        close(leaf.grad, vectors, name, atol=LOW)


def test_plain_contrast_equals(vectors, needed, close):
    brain, stimulus = needed(vectors, "preds", "targs")
    for name, temperature in temperatures(vectors, "nce_bi").items():
        close(info_nce(brain, stimulus, temperature), vectors, name, atol=LOW)


def test_mixing_and_its_loss_and_gradient_equal(vectors, needed, close):
    brain, stimulus, partners, weights = needed(vectors, "preds", "targs", "perm", "betas_out")
    mix = Mix(partners, weights)
    if "mixco_in" in vectors:
        close(mix(vectors["mixco_in"]), vectors, "mixco_out")
    for name, temperature in temperatures(vectors, "bimixco").items():
        close(mixco_nce(brain, stimulus, temperature, mix, compat="official"), vectors, name, atol=LOW)
    for name, temperature in temperatures(vectors, "grad_bimixco").items():
        leaf = brain.clone().requires_grad_()
        mixco_nce(leaf, stimulus, temperature, mix, compat="official").backward()
        close(leaf.grad, vectors, name, atol=LOW)


def test_vectors_that_are_their_own_partner_equal_with_the_authors_quirk(vectors, needed, close):
    brain, stimulus, partners, weights = needed(vectors, "preds", "targs", "fp_perm", "fp_betas")
    mix = Mix(partners, weights)
    close(mix.targets(fixed_points_vanish=True), vectors, "fp_probs")
    for name, temperature in temperatures(vectors, "fp_bimixco").items():
        close(mixco_nce(brain, stimulus, temperature, mix, compat="official"), vectors, name, atol=LOW)
        plain = mixco_nce(brain, stimulus, temperature, mix)
        moved = partners != torch.arange(len(partners))
        assert bool(moved.all()) or not torch.allclose(plain, vectors[name])
