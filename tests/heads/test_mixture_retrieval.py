"""Retrieval towards a learned mixture of layers and blur levels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.mixture_retrieval import MixtureRetrieval, StimulusAdapter
from brain_decode.heads.retrieval import Retrieval
from brain_decode.heads.ridge import Ridge
from brain_decode.signals.spec import TargetSpec

N_LEVELS, DIM = 4, 8
SPEC = TargetSpec("retrieval", dim=DIM, n_levels=N_LEVELS)


def _levels(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, N_LEVELS, DIM, generator=torch.Generator().manual_seed(seed))


def _train(head: Retrieval, embedding: torch.Tensor, target: torch.Tensor, steps: int = 150) -> Retrieval:
    torch.manual_seed(0)
    optimiser = torch.optim.AdamW(head.parameters(), lr=0.02)
    head.train()
    for _ in range(steps):
        optimiser.zero_grad()
        head.loss(head(BrainEmbedding(embedding)), target).backward()
        optimiser.step()
    return head.eval()


@pytest.mark.parametrize("informative", [0, 2])
def test_the_level_that_carries_the_signal_is_found(informative):
    features = _levels(200)
    embedding = features[:, informative] @ torch.randn(DIM, 12, generator=torch.Generator().manual_seed(9))
    torch.manual_seed(0)
    head = _train(MixtureRetrieval(12, SPEC, dropout=0.0), embedding[:150], features[:150])
    weights = head.level_weights.detach()
    assert int(weights.argmax()) == informative and float(weights.max()) > 0.6
    answers = functional.normalize(head(BrainEmbedding(embedding[150:])), dim=-1)
    gallery = functional.normalize(torch.from_numpy(head.gallery_vectors(features[150:].numpy())), dim=-1)
    assert ((answers @ gallery.T).argmax(dim=1) == torch.arange(50)).float().mean() > 0.9


def test_the_mixture_is_the_weighted_sum_of_unit_vectors():
    head = MixtureRetrieval(6, SPEC, adapter="none").eval()
    head.level_shift.data = torch.tensor([0.0, 1.0, -1.0, 2.0])
    features = _levels(5)
    weights = torch.softmax(head.level_shift, dim=0)
    wanted = sum(weights[level] * functional.normalize(features[:, level], dim=-1) for level in range(N_LEVELS))
    torch.testing.assert_close(head.target_vectors(features), wanted)
    np.testing.assert_allclose(head.gallery_vectors(features.numpy()), wanted.detach().numpy(), rtol=1e-6)


def test_weights_start_alike_or_around_the_prior():
    torch.testing.assert_close(MixtureRetrieval(6, SPEC).level_weights, torch.full((N_LEVELS,), 0.25))
    weights = MixtureRetrieval(6, SPEC, prior_level=-2, prior_width=0.5).level_weights
    wanted = torch.softmax(-2.0 * torch.tensor([4.0, 1.0, 0.0, 1.0]), dim=0)
    torch.testing.assert_close(weights, wanted)


@pytest.mark.parametrize("adapter", ["linear", "mlp", "none"])
def test_an_untrained_head_with_one_level_is_plain_retrieval(adapter):
    single = TargetSpec("retrieval", dim=DIM)
    torch.manual_seed(0)
    plain = Retrieval(6, single, normalise_brain=True).eval()
    torch.manual_seed(0)
    settings = {"normalise_brain": True, "temperature": 0.07, "adapter": adapter}
    mixed = MixtureRetrieval(6, single, **settings).eval()
    embedding, target = BrainEmbedding(torch.randn(10, 6)), torch.randn(10, DIM)
    torch.testing.assert_close(mixed.loss(mixed(embedding), target), plain.loss(plain(embedding), target))


def test_the_length_of_brain_vectors_sharpens_the_similarities_unless_normalised():
    output, target = torch.randn(4, DIM), _levels(4)
    free, unit = (MixtureRetrieval(6, SPEC, normalise_brain=normalise).eval() for normalise in (False, True))
    torch.testing.assert_close(free.similarities(3 * output, target), 3 * free.similarities(output, target))
    torch.testing.assert_close(unit.similarities(3 * output, target), unit.similarities(output, target))


def test_the_adapter_drops_most_values_in_training_and_none_afterwards():
    adapter = StimulusAdapter(DIM, "linear", 0.85)
    torch.nn.init.eye_(adapter.change[-1].weight)
    ones = torch.ones(2000, DIM)
    changed = adapter.train()(ones) - ones
    assert float((changed == 0).float().mean()) == pytest.approx(0.85, abs=0.02)
    torch.testing.assert_close(adapter.eval()(ones), 2 * ones)


def test_a_gallery_is_transformed_in_evaluation_mode_whatever_the_mode():
    head = MixtureRetrieval(6, SPEC, adapter="mlp")
    torch.nn.init.normal_(head.adapter.change[-1].weight)
    features = _levels(3000).numpy()
    first = head.train().gallery_vectors(features)
    assert head.training
    np.testing.assert_array_equal(first, head.eval().gallery_vectors(features))


def test_repetitions_of_a_stimulus_share_its_probability():
    head = MixtureRetrieval(6, SPEC, adapter="none").eval()
    target = _levels(2)[[0, 0, 1]]
    logits = head.similarities(torch.randn(3, DIM), target)
    wanted = torch.tensor([[0.5, 0.5, 0], [0.5, 0.5, 0], [0, 0, 1]])
    output = torch.randn(3, DIM)
    logits = head.similarities(output, target)
    both = functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)
    torch.testing.assert_close(head.loss(output, target), both / 2)


def test_other_heads_compare_with_the_mean_of_the_levels():
    features = _levels(30)
    wanted = functional.normalize(features, dim=-1).mean(dim=1).numpy()
    for head in (Retrieval(6, SPEC), Ridge(6, SPEC)):
        np.testing.assert_allclose(head.gallery_vectors(features.numpy()), wanted, rtol=1e-5)
    assert torch.isfinite(Retrieval(6, SPEC).loss(torch.randn(30, DIM), features))


def test_features_of_one_level_stay_as_they_are():
    features = np.random.default_rng(0).standard_normal((5, DIM))
    np.testing.assert_array_equal(Retrieval(6, TargetSpec("retrieval", dim=DIM)).gallery_vectors(features), features)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"adapter": "lineal"}, "Unknown adapter 'lineal'. Did you mean 'linear'"),
        ({"prior_level": 4}, "one of the 4 levels of the features, got 4"),
        ({"prior_level": 0, "prior_width": 0.0}, "prior_width is a positive"),
        ({"temperature": 0.0}, "temperature of retrieval is positive"),
    ],
)
def test_settings_without_meaning_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        MixtureRetrieval(6, SPEC, **settings)


def test_a_saved_target_without_levels_has_one():
    saved = SPEC.to_json()
    assert TargetSpec.from_json(saved) == SPEC
    del saved["n_levels"]
    assert TargetSpec.from_json(saved).n_levels == 1
