"""The diffusion prior: steps are diffusers', samples do not depend on the batch, the scale is that of the data."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.generation.diffusion_prior import DenoisingSteps, DiffusionPrior, Noise, draw_noise
from brain_decode.generation.prior_network import PriorNetwork

SMALL = {"widths": [32, 16, 8], "time_dim": 16}


@pytest.fixture
def prior() -> DiffusionPrior:
    """A small prior with random weights."""
    torch.manual_seed(0)
    return DiffusionPrior(6, 4, **SMALL).eval()


def test_the_published_size_has_the_published_number_of_parameters():
    with torch.device("meta"):
        network = PriorNetwork(1024, 1024)
    assert sum(parameter.numel() for parameter in network.parameters()) == 9_675_648


@pytest.mark.parametrize("n_steps", [1, 7, 50, 1000])
def test_one_step_equals_that_of_the_scheduler(prior: DiffusionPrior, n_steps: int):
    scheduler = DDPMScheduler(num_train_timesteps=1000, clip_sample=False)
    scheduler.set_timesteps(n_steps)
    steps = DenoisingSteps.evenly(n_steps)
    assert torch.equal(steps.times, scheduler.timesteps)
    current, found = torch.randn(3, 6), torch.randn(3, 6)
    for number in {0, n_steps // 2, n_steps - 1}:
        time = steps.times[number]
        expected = scheduler.step(found, time, current, generator=torch.Generator().manual_seed(1)).prev_sample
        drawn = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
        own = prior.step(current, found, drawn, steps, number)
        torch.testing.assert_close(own, expected, atol=1e-3, rtol=1e-4)


def test_noised_features_are_those_of_the_scheduler(prior: DiffusionPrior):
    clean, noise, times = torch.randn(5, 6), torch.randn(5, 6), torch.tensor([0, 10, 400, 998, 999])
    expected = DDPMScheduler(num_train_timesteps=1000).add_noise(clean, noise, times)
    torch.testing.assert_close(prior.noised(clean, noise, times), expected)


def test_a_sample_depends_on_seed_and_item_and_not_on_the_batch(prior: DiffusionPrior):
    condition = torch.randn(5, 4)
    together = prior.sample(condition, seed=3, n_steps=8)
    alone = torch.cat(
        [prior.sample(condition[number, None], seed=3, n_steps=8, first_item=number) for number in range(5)]
    )
    torch.testing.assert_close(alone, together, atol=1e-4, rtol=1e-4)
    assert torch.equal(prior.sample(condition, seed=3, n_steps=8), together)
    assert not torch.allclose(prior.sample(condition, seed=4, n_steps=8), together)
    same_condition = prior.sample(condition[:1].expand(2, -1), seed=3, n_steps=8)
    assert not torch.allclose(same_condition[0], same_condition[1])


def test_more_items_than_are_sampled_at_once_draw_the_same(prior: DiffusionPrior, monkeypatch: pytest.MonkeyPatch):
    condition = torch.randn(5, 4)
    together = prior.sample(condition, seed=0, n_steps=4)
    monkeypatch.setattr("brain_decode.generation.diffusion_prior._AT_ONCE", 2)
    torch.testing.assert_close(prior.sample(condition, seed=0, n_steps=4), together, atol=1e-4, rtol=1e-4)
    assert prior.sample(condition[:0], seed=0).shape == (0, 6)


def test_noise_of_an_item_does_not_depend_on_those_drawn_with_it():
    several, one = draw_noise(1, [0, 7], 3, 5), draw_noise(1, [7], 3, 5)
    assert torch.equal(several.initial[1], one.initial[0])
    assert torch.equal(several.steps[:, 1], one.steps[:, 0])


def test_without_guidance_the_condition_does_not_matter_and_with_one_it_is_the_conditional_noise(prior: DiffusionPrior):
    network = prior.network
    noisy, condition, times = torch.randn(3, 6), torch.randn(3, 4), torch.tensor([500])
    terms, both = [term[0] for term in network.time_terms(times)], network.both_branches(condition)
    steps = times.expand(3)
    torch.testing.assert_close(network.guided(noisy, terms, both, 0.0), network(noisy, steps))
    torch.testing.assert_close(network.guided(noisy, terms, both, 1.0), network(noisy, steps, condition))
    expected = network(noisy, steps) + 3 * (network(noisy, steps, condition) - network(noisy, steps))
    torch.testing.assert_close(network.guided(noisy, terms, both, 3.0), expected, atol=1e-5, rtol=1e-4)


def test_features_are_learnt_at_unit_variance_and_come_back_in_their_unit(prior: DiffusionPrior):
    target = 0.03 * torch.randn(200, 6) * torch.arange(1, 7) + 0.5
    prior.learn_targets(target)
    scaled = prior.scaled(target)
    torch.testing.assert_close(scaled.var(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(prior.unscaled(scaled), target)
    assert float(prior.limit) == float(scaled.abs().max())


def test_one_scale_for_all_dimensions_keeps_their_proportions():
    prior = DiffusionPrior(2, 4, scaling="global", **SMALL)
    prior.learn_targets(torch.tensor([[-1.0, -7.0], [1.0, 7.0]]))
    assert prior.target_scale.tolist() == [5.0, 5.0]  # the root of (1 + 49) / 2


def test_a_constant_dimension_keeps_its_value(prior: DiffusionPrior):
    prior.learn_targets(torch.full((4, 6), 3.0))
    assert prior.unscaled(prior.scaled(torch.full((1, 6), 3.0))).tolist() == [[3.0] * 6]


def test_as_the_authors_did_features_stay_raw_and_predictions_are_cut_at_one():
    prior = DiffusionPrior(6, 4, compat="official", **SMALL)
    prior.learn_targets(5 * torch.randn(50, 6))
    assert torch.equal(prior.scaled(torch.full((1, 6), 2.0)), torch.full((1, 6), 2.0))
    steps = DenoisingSteps.evenly(2)
    last = prior.step(torch.full((1, 6), 9.0), torch.zeros(1, 6), torch.zeros(1, 6), steps, 1)
    torch.testing.assert_close(last, torch.ones(1, 6))


@pytest.mark.parametrize(("compat", "shares"), [(None, {0.0, 0.5, 1.0}), ("official", {0.0, 1.0})])
def test_conditions_are_left_out_item_by_item_and_by_the_batch_where_the_authors_do(compat, shares):
    prior = DiffusionPrior(6, 4, condition_dropout=0.5, compat=compat, **SMALL)
    generator = torch.Generator().manual_seed(0)
    kept = [prior._kept(2, generator, torch.device("cpu")).float().mean().item() for _ in range(40)]
    assert set(kept) == shares
    assert prior.eval()._kept(2, generator, torch.device("cpu")) is None


def test_a_condition_that_is_left_out_has_no_gradient(prior: DiffusionPrior):
    condition = torch.randn(2, 4, requires_grad=True)
    kept = torch.tensor([True, False])
    noise, times = torch.randn(2, 6), torch.tensor([10, 900])
    prior.noise_error(torch.randn(2, 6), condition, noise=noise, times=times, kept=kept).backward()
    assert condition.grad[0].abs().max() > 0
    assert condition.grad[1].abs().max() == 0


def test_the_loss_of_a_seed_is_the_same_twice(prior: DiffusionPrior):
    target, condition = torch.randn(8, 6), torch.randn(8, 4)
    first, second = (prior.loss(target, condition, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_trained_prior_draws_the_features_that_belong_to_the_condition():
    torch.manual_seed(0)
    centres = torch.tensor([[3.0, 0.0], [0.0, 3.0], [-3.0, -3.0]])
    conditions = torch.eye(3)
    prior = DiffusionPrior(2, 3, widths=[64, 32], time_dim=16, dropout=0.0)
    labels = torch.arange(3).repeat(64)
    target = 100 + 10 * (centres[labels] + 0.2 * torch.randn(len(labels), 2))
    prior.learn_targets(target)
    optimizer = torch.optim.Adam(prior.parameters(), lr=5e-3)
    for _ in range(300):
        optimizer.zero_grad()
        prior.loss(target, conditions[labels]).backward()
        optimizer.step()
    drawn = prior.eval().sample(conditions[labels], seed=1, n_steps=50, guidance=1.0)
    nearest = torch.cdist(drawn, 100 + 10 * centres).argmin(dim=1)
    assert (nearest == labels).float().mean() > 0.95
    assert float((drawn[labels == 0] - (100 + 10 * centres[0])).mean(dim=0).abs().max()) < 3.0


def test_embeddings_of_another_size_are_refused(prior: DiffusionPrior):
    with pytest.raises(SpecMismatch, match=r"takes embeddings \(n, 4\), got \(2, 5\)"):
        prior.sample(torch.zeros(2, 5), seed=0)


@pytest.mark.parametrize("n_steps", [0, 1001])
def test_a_number_of_steps_that_cannot_be_taken_is_refused(prior: DiffusionPrior, n_steps: int):
    noise = Noise(torch.zeros(1, 6), torch.zeros(n_steps, 1, 6))
    with pytest.raises(ConfigError, match=rf"samples in 1 to 1000 steps, got {n_steps}"):
        prior.denoise(torch.zeros(1, 4), noise, guidance=1.0)


def test_settings_that_do_not_exist_are_refused_with_the_closest_one():
    with pytest.raises(ConfigError, match=r"Unknown scaling of the diffusion prior 'dimensions'. Did you mean 'dim"):
        DiffusionPrior(6, 4, scaling="dimensions")
    with pytest.raises(ConfigError, match=r"Unknown compat of the diffusion prior '2024'. Allowed: official"):
        DiffusionPrior(6, 4, compat="2024")
    with pytest.raises(ConfigError, match=r"at least two widths and an even time_dim, got \[8\] and 16"):
        DiffusionPrior(6, 4, widths=[8], time_dim=16)
