"""One mixture of experts behind the projectors of several kinds of recordings."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.contrastive_losses import draw_mix, mixco_nce, soft_clip
from brain_decode.heads.retrieval import Retrieval
from brain_decode.heads.universal_retrieval import UniversalRetrieval
from brain_decode.signals.spec import TargetSpec

DIM = 6
SPEC = TargetSpec("retrieval", dim=DIM)


def head_of(**settings: object) -> UniversalRetrieval:
    torch.manual_seed(0)
    return UniversalRetrieval(4, SPEC, **settings)


def vectors(n: int, dim: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def test_vectors_pass_the_projector_and_then_the_experts():
    head = head_of().eval()
    embedding = BrainEmbedding(vectors(5, 4))
    assert torch.equal(head(embedding), head.experts(head.projector(embedding.pooled)))


def test_a_frozen_projector_neither_learns_nor_drops_values_in_training():
    head = head_of(frozen_projector=True, dropout=0.9).train()
    assert head.training and head.experts.training
    assert not any(module.training for module in head.projector.modules())
    assert not any(parameter.requires_grad for parameter in head.projector.parameters())
    embedding = BrainEmbedding(vectors(5, 4))
    assert torch.equal(head(embedding), head(embedding))


def test_the_contrast_is_that_of_plain_retrieval_unless_another_is_asked_for():
    output, target = vectors(7, DIM), vectors(7, DIM, 2)
    assert torch.equal(head_of().loss(output, target), Retrieval(4, SPEC).loss(output, target))


def test_the_soft_objective_compares_with_the_similarities_of_stimuli():
    output, target = vectors(7, DIM), vectors(7, DIM, 2)
    expected = soft_clip(functional.normalize(output, dim=-1), functional.normalize(target, dim=-1), 0.2)
    assert torch.equal(head_of(objective="soft_clip", soft_temperature=0.2).loss(output, target), expected)


def test_vectors_are_mixed_in_the_first_steps_of_training_only():
    head = head_of(objective="mixco_then_soft_clip", mixco_share=0.1)
    output, target = vectors(7, DIM), vectors(7, DIM, 2)
    soft = head_of(objective="soft_clip").loss(output, target)
    head.share_done = 0.09
    torch.manual_seed(5)
    mixed = head.train().loss(output, target)
    torch.manual_seed(5)
    mix = draw_mix(7)
    stimulus = functional.normalize(target, dim=-1)
    assert torch.equal(mixed, mixco_nce(functional.normalize(mix(output), dim=-1), stimulus, 0.006, mix))
    assert torch.equal(head.eval().loss(output, target), soft)
    head.share_done = 0.1
    assert torch.equal(head.train().loss(output, target), soft)


def test_thirty_times_the_squared_error_can_stand_beside_the_contrast():
    output, target = vectors(7, DIM), vectors(7, DIM, 2)
    both = head_of(objective="soft_clip", regression_share=30 / 31, loss_factor=31).loss(output, target)
    alone = head_of(objective="soft_clip").loss(output, target)
    torch.testing.assert_close(both, 30 * functional.mse_loss(output, target) + alone)


def test_hard_routing_gives_what_the_most_trusted_expert_says():
    head = head_of(routing="hard", projector="residual").eval()
    given = head.projector(vectors(5, 4))
    experts = head.experts.experts(given).unflatten(-1, (5, DIM))
    chosen = head.experts.router(given).argmax(-1)
    assert torch.equal(head(BrainEmbedding(vectors(5, 4))), experts[torch.arange(5), chosen])


def test_unknown_words_and_values_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="Unknown routing 'sotf'. Did you mean 'soft'"):
        head_of(routing="sotf")
    with pytest.raises(ConfigError, match="Unknown objective"):
        head_of(objective="mixco")
    with pytest.raises(ConfigError, match="mixco_share lies in \\[0, 1\\]"):
        head_of(mixco_share=2.0)
    with pytest.raises(ConfigError, match="at least one expert, got n_experts=0"):
        head_of(n_experts=0)
