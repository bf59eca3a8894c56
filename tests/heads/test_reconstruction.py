"""The reconstruction head: what its loss is made of, how it answers, and which pictures it asks for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.core.seeding import seed_everything
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.reconstruction import Reconstruction
from brain_decode.signals.spec import TargetSpec

SPEC = TargetSpec("retrieval", dim=6)
PRIOR = {"widths": [16, 8], "time_dim": 8}


def head(embedding_dim: int = 5, **settings: object) -> Reconstruction:
    torch.manual_seed(0)
    return Reconstruction(embedding_dim, SPEC, prior=PRIOR, n_steps=4, **settings).eval()


def test_the_loss_is_the_sum_of_contrastive_squared_and_noise_error():
    model, target, output = head(retrieval_weight=2.0, mse_weight=3.0), torch.randn(8, 6) * 4 + 1, torch.randn(8, 6)
    model.learn_targets(target)
    wanted = (target - target.mean(0)) / target.std(0, correction=0)
    seed_everything(1)
    noise_error = model.prior.loss(target, output)
    expected = noise_error + 2 * model.retrieval.loss(output, wanted) + 3 * functional.mse_loss(output, wanted)
    seed_everything(1)
    torch.testing.assert_close(model.loss(output, target), expected)


def test_no_gradient_goes_from_the_prior_to_the_projector():
    model = head(retrieval_weight=0.0, mse_weight=0.0)
    output = model(BrainEmbedding(torch.randn(4, 5)))
    model.loss(output, torch.randn(4, 6)).backward()
    assert all(p.grad is None or not p.grad.any() for p in model.retrieval.parameters())
    assert any(p.grad.any() for p in model.prior.parameters() if p.grad is not None)


def test_without_a_projector_embeddings_of_any_length_count_by_direction_alone():
    model = head(projector=False)
    embedding = torch.randn(4, 5, dtype=torch.float64)
    condition = model(BrainEmbedding(embedding))
    torch.testing.assert_close(condition.square().mean(1), torch.ones(4))
    torch.testing.assert_close(model(BrainEmbedding(10 * embedding)), condition)
    assert model.retrieval is None
    assert model.loss(condition, torch.randn(4, 6)).isfinite()


def test_an_answer_does_not_depend_on_what_is_answered_with_it():
    model, output = head(), torch.randn(5, 6)
    together = model.answer(output)
    torch.testing.assert_close(model.answer(output[3:]), together[3:], atol=1e-5, rtol=1e-4)
    assert torch.equal(model.answer(output), together)
    assert model.answer(output[:0]).shape == (0, 6)


def test_more_samples_are_averaged():
    one, several, output = head(), head(samples=3), torch.randn(2, 6)
    draws = [head(samples=number).answer(output) * number for number in (1, 2, 3)]
    torch.testing.assert_close(one.answer(output), draws[0])
    # The first draws are the same however many there are.
    torch.testing.assert_close(several.answer(output) * 3, draws[2])
    assert not torch.allclose(draws[1] - draws[0], draws[0])


def test_answers_lie_in_the_unit_of_the_features():
    model = head(guidance=1.0)
    model.learn_targets(1000 + torch.randn(50, 6))
    assert float((model.answer(torch.randn(4, 6)) - 1000).abs().max()) < 10


def test_of_several_levels_the_mean_direction_is_learnt():
    model, levels = head(), torch.randn(8, 3, 6)
    model.learn_targets(levels)
    mean = functional.normalize(levels, dim=-1).mean(1)
    torch.testing.assert_close(model.prior.target_mean, mean.mean(0))
    output = torch.randn(8, 6)
    losses = []
    for target in (levels, mean):
        seed_everything(2)
        losses.append(model.loss(output, target))
    torch.testing.assert_close(*losses)


def test_settings_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match=r"samples=0"):
        head(samples=0)
    with pytest.raises(ConfigError, match=r"diffusion prior cannot be built with these settings: .*'width'"):
        Reconstruction(5, SPEC, prior={"width": 3})
