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
    """Linear layer, trained with the mean squared or the Huber error of targets in training standard deviations.

    Answers come in the unit of the targets, so that neither learning rate nor Huber's threshold depends on it.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Values per target.
        loss: "mse", or "huber", which grows linearly beyond an error of one standard deviation and so bears
            outliers.

    Raises:
        ConfigError: An unknown loss.
    """

    architecture = "regression"
    tasks = ("regression",)
    needs_training_targets = True
    target_mean: torch.Tensor
    target_scale: torch.Tensor

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, loss: str = "mse") -> None:
        super().__init__(embedding_dim, target_spec)
        if loss not in _LOSSES:
            raise unknown_option("regression loss", loss, _LOSSES)
        self.loss_name = loss
        self.linear = nn.Linear(embedding_dim, target_spec.n_outputs)
        self.register_buffer("target_mean", torch.zeros(target_spec.n_outputs))
        self.register_buffer("target_scale", torch.ones(target_spec.n_outputs))

    def learn_targets(self, target: torch.Tensor) -> None:
        """Take the mean and standard deviation of the training targets (n, dim); a constant one keeps scale 1."""
        values = target.reshape(len(target), -1).double()
        deviation = values.std(dim=0, correction=0)
        self.target_mean.copy_(values.mean(dim=0))
        self.target_scale.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return values (batch, dim) in training standard deviations."""
        return self.linear(embedding.pooled.to(self.linear.weight.dtype))

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean error; `target` is (batch, dim) in its own unit, or (batch,) where dim is 1."""
        wanted = (target.reshape(output.shape) - self.target_mean) / self.target_scale
        return _LOSSES[self.loss_name](output, wanted.to(output.dtype))

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return values (batch, dim) in the unit of the targets."""
        return output * self.target_scale + self.target_mean
