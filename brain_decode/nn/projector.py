"""The projector with which vectors of the brain enter the space of stimulus features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

__all__ = ["Projector", "projector_from_official"]


class Projector(nn.Module):
    """Linear layer, a residual block of GELU, linear layer and dropout, then layer normalisation.

    Args:
        n_inputs: Values per input vector.
        n_outputs: Values per output vector.
        dropout: Share of values dropped inside the residual block.

    Source: Song et al. 2024 (NICE), EEG projector; ATM and BrainFLORA took it over.
    """

    def __init__(self, n_inputs: int, n_outputs: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)
        self.residual = nn.Sequential(nn.GELU(), nn.Linear(n_outputs, n_outputs), nn.Dropout(dropout))
        self.normalise = nn.LayerNorm(n_outputs)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map (batch, n_inputs) to (batch, n_outputs)."""
        projected = self.linear(vectors)
        return self.normalise(projected + self.residual(projected))


def projector_from_official(state_dict: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the authors' projector as the state dict of `Projector`, in float32; keys that are absent stay absent.

    Args:
        state_dict: Their weights.
        prefix: What stands before the numbers of the layers in their keys, such as "Proj_eeg.".
    """
    return {own: state_dict[prefix + key].float() for own, key in _KEYS.items() if prefix + key in state_dict}


_KEYS = {
    f"{own}.{part}": f"{theirs}.{part}"
    for own, theirs in (("linear", "0"), ("residual.1", "1.fn.1"), ("normalise", "2"))
    for part in ("weight", "bias")
}
