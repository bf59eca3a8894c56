"""Soft-CLIP and MixCo on matrices small enough to compute by hand."""

from __future__ import annotations

import math

import pytest
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.heads.contrastive_losses import Mix, draw_mix, info_nce, mixco_nce, soft_clip

TWO = torch.eye(2, dtype=torch.float64)


def softplus(value: float) -> float:
    return math.log1p(math.exp(value))


def test_two_orthogonal_pairs_have_the_cross_entropy_of_their_distance():
    # Similarities are 1 and 0, so each row costs ln(1 + exp(-1 / temperature)).
    assert info_nce(TWO, TWO, 0.5).item() == pytest.approx(softplus(-2.0), abs=1e-12)
    assert info_nce(TWO, TWO.flip(0), 0.5).item() == pytest.approx(softplus(2.0), abs=1e-12)


def test_the_soft_loss_of_perfect_vectors_is_the_entropy_of_the_similarities():
    share = 1 / (1 + math.exp(-2.0))
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share))
    assert soft_clip(TWO, TWO, 0.5).item() == pytest.approx(entropy, abs=1e-12)


def test_the_soft_loss_is_that_of_hard_targets_where_stimuli_differ_and_temperature_is_low():
    generator = torch.Generator().manual_seed(0)
    stimulus = torch.nn.functional.normalize(torch.randn(6, 40, generator=generator, dtype=torch.float64), dim=-1)
    brain = torch.nn.functional.normalize(stimulus + 0.1, dim=-1)
    torch.testing.assert_close(soft_clip(brain, stimulus, 0.01), info_nce(brain, stimulus, 0.01), atol=1e-6, rtol=0)


def test_alike_stimuli_share_their_targets():
    stimulus = torch.tensor([[1.0, 0.0], [1.0, 0.0]], dtype=torch.float64)
    assert soft_clip(stimulus, stimulus, 0.1).item() == pytest.approx(math.log(2), abs=1e-12)


def test_mixing_adds_shares_of_the_partner_and_targets_say_so():
    mix = Mix(torch.tensor([1, 0, 2]), torch.tensor([0.25, 1.0, 0.5], dtype=torch.float64))
    vectors = torch.tensor([[4.0, 0.0], [0.0, 8.0], [1.0, 1.0]], dtype=torch.float64)
    assert mix(vectors).tolist() == [[1.0, 6.0], [0.0, 8.0], [1.0, 1.0]]
    assert mix.targets().tolist() == [[0.25, 0.75, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert mix.targets(fixed_points_vanish=True)[2].tolist() == [0.0, 0.0, 0.5]


def test_the_loss_of_a_mix_is_the_weighted_sum_of_its_parts():
    mix = Mix(torch.tensor([1, 0]), torch.tensor([0.25, 1.0], dtype=torch.float64))
    right, wrong = softplus(-2.0), softplus(2.0)  # cost of the own and of the other column at temperature 0.5
    rows = (0.25 * right + 0.75 * wrong + right) / 2
    columns = (0.25 * right + (0.75 * wrong + 1.0 * right)) / 2
    assert mixco_nce(TWO, TWO, 0.5, mix).item() == pytest.approx((rows + columns) / 2, abs=1e-12)


def test_without_a_mix_the_loss_is_plain():
    assert torch.equal(mixco_nce(TWO, TWO, 0.1, None), info_nce(TWO, TWO, 0.1))


def test_about_half_of_the_vectors_are_mixed_and_mostly_with_little_of_either():
    half = draw_mix(20_000, generator=torch.Generator().manual_seed(0)).weights < 1
    assert half.float().mean().item() == pytest.approx(0.47, abs=0.02)  # some weights round to 1
    mix = draw_mix(20_000, chance=1.0, generator=torch.Generator().manual_seed(0))
    assert mix.weights.mean().item() == pytest.approx(0.5, abs=0.01)
    assert mix.weights.var().item() == pytest.approx(0.25 / (2 * 0.15 + 1), abs=0.01)  # of Beta(0.15, 0.15)
    assert torch.equal(mix.partners.sort().values, torch.arange(20_000))


def test_the_same_seed_draws_the_same_mix():
    first, second = (draw_mix(9, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.partners, second.partners)
    assert torch.equal(first.weights, second.weights)


def test_no_chance_mixes_nothing():
    assert torch.equal(draw_mix(5, chance=0.0).weights, torch.ones(5))


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(ConfigError, match="beta above 0 and a chance in \\[0, 1\\], got beta=0 and chance=0.5"):
        draw_mix(3, beta=0.0)
    with pytest.raises(ConfigError, match="null or official, got '2024'"):
        mixco_nce(TWO, TWO, 0.1, None, compat="2024")
