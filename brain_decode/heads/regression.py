"""Continuous targets from a linear layer trained by gradient descent."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import unknown_option
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import Head
from brain_decode.signals.spec import TargetSpec

__all__ = ["Regression"]

_LOSSES: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "mse": functional.mse_loss,
    "huber": functional.huber_loss,
}


class Regression(Head):
    """Linear layer, trained with the mean squared or the Huber error.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Values per target.
        loss: "mse", or "huber", which grows linearly beyond an error of 1 and so bears outliers.

    Raises:
        ConfigError: An unknown loss.
    """

    architecture = "regression"
    tasks = ("regression",)

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, loss: str = "mse") -> None:
        super().__init__(embedding_dim, target_spec)
        if loss not in _LOSSES:
            raise unknown_option("regression loss", loss, _LOSSES)
        self.loss_name = loss
        self.linear = nn.Linear(embedding_dim, target_spec.n_outputs)

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return values (batch, dim)."""
        return self.linear(embedding.pooled)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean error; `target` is (batch, dim), or (batch,) where dim is 1."""
        return _LOSSES[self.loss_name](output, target.reshape(output.shape).to(output.dtype))

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the values unchanged."""
        return output
