"""Mixtures of experts weigh, choose or spread what linear experts say."""

from __future__ import annotations

import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.nn.mixture_of_experts import HardMixture, SoftMixture, TokenMixture, mixture_from_official


def given(kind: type[SoftMixture], **settings: int) -> tuple[SoftMixture, torch.Tensor]:
    torch.manual_seed(0)
    return kind(4, 3, 5, **settings), torch.randn(6, 4, generator=torch.Generator().manual_seed(1))


def said(mixture: SoftMixture, vectors: torch.Tensor) -> torch.Tensor:
    """What each expert says, one after the other: (batch, expert, value)."""
    weight, bias = mixture.experts.weight.unflatten(0, (5, 3)), mixture.experts.bias.view(5, 3)
    return torch.stack([vectors @ weight[number].T + bias[number] for number in range(5)], dim=1)


def test_a_soft_mixture_is_the_weighted_sum_of_its_experts():
    mixture, vectors = given(SoftMixture)
    trust = torch.sigmoid(mixture.router(vectors))
    expected = (trust[..., None] * said(mixture, vectors)).sum(1) / trust.sum(1, keepdim=True)
    torch.testing.assert_close(mixture(vectors), expected)
    torch.testing.assert_close(mixture.trust(vectors).sum(1), torch.ones(6))


def test_the_weights_sum_to_one_where_no_expert_is_trusted():
    mixture, vectors = given(SoftMixture)
    torch.nn.init.constant_(mixture.router[2].bias, -300.0)
    torch.testing.assert_close(mixture.trust(vectors).sum(1), torch.ones(6))


def test_alike_experts_say_what_one_says():
    mixture, vectors = given(SoftMixture)
    with torch.no_grad():
        mixture.experts.weight.copy_(mixture.experts.weight[:3].repeat(5, 1))
        mixture.experts.bias.copy_(mixture.experts.bias[:3].repeat(5))
    torch.testing.assert_close(mixture(vectors), said(mixture, vectors)[:, 0])


def test_a_hard_mixture_is_its_most_trusted_expert_and_leaves_the_router_untrained():
    mixture, vectors = given(HardMixture)
    chosen = mixture.router(vectors).argmax(1)
    torch.testing.assert_close(mixture(vectors), said(mixture, vectors)[torch.arange(6), chosen])
    mixture(vectors).sum().backward()
    assert mixture.router[0].weight.grad is None and mixture.experts.weight.grad is not None


def test_tokens_are_the_mixed_values_times_a_weight_plus_a_bias_of_each_token():
    mixture, vectors = given(TokenMixture, n_tokens=7, hidden=8)
    mixed = (mixture.router(vectors).softmax(1)[..., None] * said(mixture, vectors)).sum(1)
    tokens = mixture.tokens(vectors)
    assert tokens.shape == (6, 7, 3)
    torch.testing.assert_close(tokens[:, 2], mixed * mixture.spread.weight[2] + mixture.spread.bias[2])
    assert mixture(vectors).shape == (6, 3)


def test_the_authors_names_with_and_without_prefix_become_ours():
    mixture, vectors = given(TokenMixture, n_tokens=7, hidden=8)
    theirs = {name.replace("spread", "upsample").replace("pool", "projector"): value.half()
              for name, value in mixture.state_dict().items()}  # fmt: skip
    for state in (theirs, {f"moe_projection.{name}": value for name, value in theirs.items()}):
        other = TokenMixture(4, 3, 5, n_tokens=7, hidden=8)
        other.load_state_dict(mixture_from_official({**state, "logit_scale": torch.zeros(())}))
        torch.testing.assert_close(other(vectors), mixture(vectors), atol=1e-2, rtol=1e-2)


def test_other_weights_and_no_experts_are_refused():
    with pytest.raises(DataError, match="not the weights of a mixture of experts"):
        mixture_from_official({"layer.weight": torch.zeros(1)})
    with pytest.raises(ConfigError, match="at least one expert, got n_experts=0"):
        SoftMixture(2, 2, 0)
