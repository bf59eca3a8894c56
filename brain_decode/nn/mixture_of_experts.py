"""Mixtures of linear experts: a router says how much each says about a vector."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from brain_decode.core.errors import ConfigError, DataError

__all__ = ["HardMixture", "SoftMixture", "TokenMixture", "mixture_from_official"]


class SoftMixture(nn.Module):
    """The sum of what all experts say, weighted by how much the router trusts each; the weights sum to one.

    Args:
        n_inputs: Values per input vector.
        n_outputs: Values per output vector.
        n_experts: Linear experts.

    Raises:
        ConfigError: No expert.

    Source: Li et al. 2025 (BrainFLORA), `MoEProjection`. Differs: weights and outputs meet in one product, so that
    the weighted outputs of all experts never lie in memory; no result changes.
    """

    def __init__(self, n_inputs: int, n_outputs: int, n_experts: int = 5) -> None:
        super().__init__()
        if n_experts < 1:
            raise ConfigError(f"A mixture has at least one expert, got n_experts={n_experts}.")
        self.n_experts = n_experts
        self.experts = nn.Linear(n_inputs, n_experts * n_outputs)
        self.router = nn.Sequential(nn.Linear(n_inputs, 2 * n_inputs), nn.ReLU(), nn.Linear(2 * n_inputs, n_experts))

    def trust(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (batch, expert) weights that sum to one."""
        # Sigmoids over their sum, which stays defined where all of them vanish.
        return nn.functional.logsigmoid(self.router(vectors)).softmax(-1)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_inputs) to (batch, n_outputs)."""
        said = self.experts(vectors).unflatten(-1, (self.n_experts, -1))
        return torch.bmm(self.trust(vectors)[:, None], said)[:, 0]


class HardMixture(SoftMixture):
    """What the one expert says that the router trusts most; arguments as of `SoftMixture`.

    The choice has no gradient, so training changes the experts and leaves the router as it is.

    Source: Li et al. 2025, `HardMoEProjection`.
    """

    def chosen(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (batch,) number of the expert of each vector."""
        return self.router(vectors).argmax(-1)

    def trust(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (batch, expert) with one where the expert was chosen and zero elsewhere."""
        return nn.functional.one_hot(self.chosen(vectors), self.n_experts).to(vectors.dtype)


class TokenMixture(SoftMixture):
    """A soft mixture spread over tokens, and one vector made of them, for captioning.

    Args:
        n_inputs: Values per input vector.
        n_outputs: Values per token and per pooled vector.
        n_experts: Linear experts.
        n_tokens: Tokens; those of CLIP ViT-L/14 without the class token.
        hidden: Width of the layers that pool tokens.

    Source: Li et al. 2025, `MoEProjection_upsamp`: the router ends in a softmax, and each value is spread over the
    tokens by one weight and one bias per token. Differs: the spreading is written as a product and a sum.
    """

    def __init__(self, n_inputs: int, n_outputs: int, n_experts: int = 5, n_tokens: int = 256, hidden: int = 512):
        super().__init__(n_inputs, n_outputs, n_experts)
        self.spread = nn.Linear(1, n_tokens)
        width = n_tokens * n_outputs
        self.pool = nn.Sequential(
            *(nn.LayerNorm(width), nn.GELU(), nn.Linear(width, hidden)),
            *(nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, hidden)),
            *(nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, n_outputs)),
        )

    def trust(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return (batch, expert) weights that sum to one."""
        return self.router(vectors).softmax(-1)

    def tokens(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_inputs) to (batch, n_tokens, n_outputs)."""
        mixed = super().forward(vectors)
        return mixed[:, None] * self.spread.weight + self.spread.bias[:, None]

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_inputs) to pooled vectors (batch, n_outputs)."""
        return self.pool(self.tokens(vectors).flatten(1))


def mixture_from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the authors' weights of any of the three mixtures as a state dict of ours, in float32.

    Args:
        state_dict: Weights of one mixture, with or without `moe_projection.` before the names.

    Raises:
        DataError: Weights of something else.
    """
    plain = {name.removeprefix("moe_projection."): value for name, value in state_dict.items()}
    if not {"experts.weight", "router.0.weight"} <= plain.keys():
        raise DataError(
            "These are not the weights of a mixture of experts: experts.weight or router.0.weight is missing. "
            "Give the file of the unified encoder's projection."
        )
    renamed = {"upsample": "spread", "projector": "pool"}
    heads = {name: name.partition(".") for name in plain}
    return {
        renamed.get(first, first) + dot + rest: plain[name].float()
        for name, (first, dot, rest) in heads.items()
        if first in ("experts", "router", *renamed)
    }
