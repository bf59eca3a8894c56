"""Class probabilities from one or two layers trained by gradient descent, with one temperature fitted afterwards."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import Head
from brain_decode.signals.spec import TargetSpec

__all__ = ["Classification"]

_LOG_TEMPERATURE_BOUND = math.log(20.0)


class Classification(Head):
    """One or two layers and softmax, trained with cross-entropy.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Classes in the order of the output columns.
        class_weights: Weight of each class in the loss, in class order; "balanced" makes every class count the same,
            whatever its share of the training windows; None weighs every window alike.
        label_smoothing: Share of the target spread over all classes, in [0, 1).
        hidden_dim: Values of a layer in between, with SELU; None for a linear head.
        dropout: Share of the embedding's values dropped in training.

    Raises:
        ConfigError: Weights of another name, or that do not match the classes, or a share outside [0, 1).

    Source of the two-layer head: arXiv 2505.18185, with a smoothing of 0.1, a dropout of 0.1 and the width of the
    encoder's tokens.
    """

    architecture = "classification"
    tasks = ("classification",)
    temperature: torch.Tensor
    class_weights: torch.Tensor | None

    def __init__(
        self,
        embedding_dim: int,
        target_spec: TargetSpec,
        class_weights: list[float] | str | None = None,
        label_smoothing: float = 0.0,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        self.needs_training_targets = class_weights == "balanced"
        if not self.needs_training_targets:
            _require_weights(class_weights, target_spec.classes)
        for name, share in (("label_smoothing", label_smoothing), ("dropout", dropout)):
            if not 0 <= share < 1:
                raise ConfigError(f"{name} is a share in [0, 1), got {share}.")
        self.label_smoothing = label_smoothing
        self.dropout = nn.Dropout(dropout)
        self.hidden = None if hidden_dim is None else nn.Linear(embedding_dim, hidden_dim)
        self.linear = nn.Linear(hidden_dim or embedding_dim, target_spec.n_outputs)
        self.register_buffer("temperature", torch.ones(()))
        given = [1.0] * target_spec.n_outputs if self.needs_training_targets else class_weights
        weights = None if given is None else torch.tensor(given, dtype=torch.float32)
        # Balanced weights serve the loss alone, and training learns them anew.
        self.register_buffer("class_weights", weights, persistent=False)

    def learn_targets(self, target: torch.Tensor) -> None:
        """Weigh classes by the inverse of their number of training windows, where `class_weights` is "balanced".

        Raises:
            DataError: A class without a training window.
        """
        if self.class_weights is None or not self.needs_training_targets:
            return
        counts = torch.bincount(target.long(), minlength=len(self.class_weights))
        absent = [label for label, count in zip(self.target_spec.classes, counts.tolist(), strict=True) if count == 0]
        if absent:
            raise DataError(f"No training window of class {absent}; choose another split=, or drop the class.")
        self.class_weights.copy_(len(target) / (len(counts) * counts))

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return logits (batch, classes)."""
        values = self.dropout(embedding.pooled.to(self.linear.weight.dtype))
        return self.linear(values if self.hidden is None else functional.selu(self.hidden(values)))

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the cross-entropy; `target` is class indices (batch,)."""
        weights = None if self.class_weights is None else self.class_weights.to(output.dtype)
        return functional.cross_entropy(output, target, weight=weights, label_smoothing=self.label_smoothing)

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return probabilities (batch, classes) of the logits divided by the temperature."""
        return torch.softmax(output / self.temperature.to(output.dtype), dim=-1)

    def calibrate(self, logits: torch.Tensor, target: torch.Tensor) -> None:
        """Set the temperature that minimises the cross-entropy of validation logits; answers keep their order.

        Args:
            logits: (window, classes) of windows the weights were not trained on.
            target: (window,) class indices.

        Source: Guo et al. 2017. The search is in log temperature, limited to [0.05, 20].
        """
        logits, target = logits.detach().double(), target.to(logits.device)
        with torch.enable_grad():
            log_temperature = torch.zeros((), dtype=torch.float64, device=logits.device, requires_grad=True)
            search = torch.optim.LBFGS([log_temperature], max_iter=100, line_search_fn="strong_wolfe")
            search.step(_TemperatureLoss(search, log_temperature, logits, target))
        bounded = log_temperature.detach().clamp(-_LOG_TEMPERATURE_BOUND, _LOG_TEMPERATURE_BOUND)
        self.temperature.copy_(bounded.exp())


class _TemperatureLoss:
    """What L-BFGS evaluates: cross-entropy at the present temperature, with its gradient."""

    def __init__(
        self, search: torch.optim.Optimizer, log_temperature: torch.Tensor, logits: torch.Tensor, target: torch.Tensor
    ) -> None:
        self.search, self.log_temperature, self.logits, self.target = search, log_temperature, logits, target

    def __call__(self) -> torch.Tensor:
        self.search.zero_grad()
        loss = functional.cross_entropy(self.logits * torch.exp(-self.log_temperature), self.target)
        loss.backward()
        return loss


def _require_weights(class_weights: list[float] | str | None, classes: tuple[str, ...]) -> None:
    if class_weights is None:
        return
    if isinstance(class_weights, str):
        raise unknown_option("class weights", class_weights, ("balanced", "null", "one number per class"))
    if len(class_weights) != len(classes) or not all(weight >= 0 for weight in class_weights):
        raise ConfigError(
            f"class_weights needs one non-negative weight for each of {len(classes)} classes ({', '.join(classes)}), "
            f"got {list(class_weights)}."
        )
