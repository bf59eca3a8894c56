"""The U-shaped network that finds the noise in a vector of picture features, given what a brain response says of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError

__all__ = ["PriorNetwork", "timestep_code"]

WIDTHS = (1024, 512, 256, 128, 64)
_LONGEST_PERIOD = 10_000.0  # of the code of a time step, as in transformers

Terms = list[torch.Tensor]


def timestep_code(steps: torch.Tensor, dim: int) -> torch.Tensor:
    """Return (n, dim) cosines, then sines, of the time steps (n,) at falling frequencies; `dim` is even."""
    half = dim // 2
    exponents = torch.arange(half, dtype=torch.float32, device=steps.device) / half
    angles = steps.float()[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class _TimeTerm(nn.Module):
    """What the code of a time step adds at one width."""

    def __init__(self, time_dim: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(time_dim, width)
        self.linear_2 = nn.Linear(width, width)


class PriorNetwork(nn.Module):
    """Multilayer perceptron that narrows and widens again, with skips; time and condition are added at every width.

    Args:
        dim: Values per feature vector.
        condition_dim: Values per condition.
        widths: Of the layers on the way down, falling; the way up mirrors them.
        time_dim: Values of the code of a time step; even.
        dropout: Share of values dropped after every layer.

    Raises:
        ConfigError: Fewer than two widths, or an odd `time_dim`.

    Source: Li et al. 2024 (ATM), prior of the reconstruction pipeline; keys of the state dict are the authors'. Same
    arithmetic in another order: terms of all widths come from one product, time terms once per distinct time step,
    and both branches of guidance share the first and the last layer.
    """

    def __init__(
        self,
        dim: int,
        condition_dim: int,
        widths: Sequence[int] = WIDTHS,
        time_dim: int = 512,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or time_dim % 2 or time_dim < 2:
            raise ConfigError(
                f"The diffusion prior has at least two widths and an even time_dim, got {list(widths)} and {time_dim}."
            )
        down, up = list(widths), list(widths)[::-1]
        self.time_dim = time_dim
        self.input_layer = nn.Sequential(nn.Linear(dim, down[0]), nn.LayerNorm(down[0]), nn.SiLU())
        self.encode_time_embedding = nn.ModuleList(_TimeTerm(time_dim, width) for width in down[:-1])
        self.encode_cond_embedding = nn.ModuleList(nn.Linear(condition_dim, width) for width in down[:-1])
        self.encode_layers = nn.ModuleList(_layer(*pair, dropout) for pair in pairwise(down))
        self.decode_time_embedding = nn.ModuleList(_TimeTerm(time_dim, width) for width in up[:-1])
        self.decode_cond_embedding = nn.ModuleList(nn.Linear(condition_dim, width) for width in up[:-1])
        self.decode_layers = nn.ModuleList(_layer(*pair, dropout) for pair in pairwise(up))
        self.output_layer = nn.Linear(down[0], dim)

    def forward(
        self,
        noisy: torch.Tensor,
        steps: torch.Tensor,
        condition: torch.Tensor | None = None,
        kept: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the predicted noise (batch, dim).

        Args:
            noisy: (batch, dim).
            steps: (batch,) time steps, whole numbers.
            condition: (batch, condition_dim); None leaves the condition out, which differs from a vector of zeros.
            kept: (batch,) booleans, False where the condition of an item is left out.
        """
        distinct, position = torch.unique(steps, return_inverse=True)
        terms = [term[position] for term in self.time_terms(distinct)]
        if condition is not None:
            added = self.condition_terms(condition)
            added = added if kept is None else [term * kept[:, None].to(term.dtype) for term in added]
            terms = [time + term for time, term in zip(terms, added, strict=True)]
        return self.output_layer(self.hidden(self.input_layer(noisy), terms))

    def time_terms(self, steps: torch.Tensor) -> Terms:
        """Return what each layer adds at these time steps, (step, width) each, in the order of the layers."""
        parts = [*self.encode_time_embedding, *self.decode_time_embedding]
        code = timestep_code(steps, self.time_dim).to(self.output_layer.weight.dtype)
        first = functional.silu(_joint(code, [part.linear_1 for part in parts]))
        inner = first.split([part.linear_1.out_features for part in parts], dim=-1)
        return [part.linear_2(values) for part, values in zip(parts, inner, strict=True)]

    def condition_terms(self, condition: torch.Tensor) -> Terms:
        """Return what each layer adds for these conditions, (batch, width) each."""
        parts = [*self.encode_cond_embedding, *self.decode_cond_embedding]
        return list(_joint(condition, parts).split([part.out_features for part in parts], dim=-1))

    def hidden(self, narrowing: torch.Tensor, terms: Terms) -> torch.Tensor:
        """Return the values before the last layer; a layer's activation comes back where its width does."""
        stored = []
        for layer, term in zip(self.encode_layers, terms, strict=False):
            stored.append(narrowing)
            narrowing = layer(narrowing + term)
        for layer, term in zip(self.decode_layers, terms[len(stored) :], strict=True):
            narrowing = layer(narrowing + term) + stored.pop()
        return narrowing

    def guided(self, noisy: torch.Tensor, time_terms: Terms, both: Terms, guidance: float) -> torch.Tensor:
        """Return uncond + guidance * (cond - uncond) of the predicted noise.

        Args:
            noisy: (batch, dim).
            time_terms: (width,) each, of one time step.
            both: (2 batch, width) each: terms of the conditions, then zeros; see `both_branches`.
            guidance: 0 is without condition, 1 with it, more exaggerates it.
        """
        start = self.input_layer(noisy)
        terms = [time + added for time, added in zip(time_terms, both, strict=True)]
        with_condition, without = self.hidden(torch.cat([start, start]), terms).chunk(2)
        # The last layer is affine and the two weights sum to one, so that it may come after them.
        return self.output_layer(torch.lerp(without, with_condition, guidance))

    def both_branches(self, condition: torch.Tensor) -> Terms:
        """Return the terms of the conditions with as many rows of zeros below: a condition left out adds nothing."""
        return [torch.cat([term, torch.zeros_like(term)]) for term in self.condition_terms(condition)]


def _layer(n_inputs: int, n_outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_inputs, n_outputs), nn.LayerNorm(n_outputs), nn.SiLU(), nn.Dropout(dropout))


def _joint(vectors: torch.Tensor, parts: Sequence[nn.Linear]) -> torch.Tensor:
    """Apply several linear layers to the same vectors in one product; outputs lie side by side."""
    weight, bias = torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])
    return functional.linear(vectors, weight, bias)
