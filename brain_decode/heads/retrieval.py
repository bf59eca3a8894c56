"""Vectors in the space of stimulus features, trained contrastively."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch, unknown_option
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import Head
from brain_decode.nn.projector import Projector
from brain_decode.signals.spec import TargetSpec

__all__ = ["Projector", "Retrieval"]

TEMPERATURE = 0.07  # CLIP, Radford et al. 2021
_LARGEST_SCALE = math.log(100.0)  # CLIP limits the learned scale to 100
_PROJECTORS = ("residual", "none")


class Retrieval(Head):
    """Projector into the feature space of the stimuli, trained with symmetric InfoNCE.

    Windows of one stimulus in a batch (several participants, single repetitions) share the target probability; the
    published loss takes them as each other's distractors. With distinct stimuli the two agree.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Features per stimulus.
        dropout: Share of values dropped in the projector.
        learn_temperature: Train the scale of the similarities; False keeps it.
        normalise_brain: Scale brain vectors to unit length before comparing them. Left as the layer normalisation
            gives them, their length sharpens the similarities.
        normalise_stimulus: Scale stimulus vectors to unit length before comparing them.
        scale: How the scale of the similarities follows from the number x that is learned, ln(1/0.07) at first: "exp"
            (CLIP's exp(x), at most 100), "linear" (x itself, 2.66, as ATM was trained in 2024) or "softplus".
        projector: "residual", or "none" for embeddings that live in the space of the stimuli already.
        regression_share: Weight of the mean squared error between brain and stimulus vectors, both as they are; the
            contrastive loss has the rest. ATM trains for generation with 0.9.
        loss_factor: Times the whole loss; 10 in ATM's training for generation.

    Raises:
        ConfigError: An unknown option, or a share outside [0, 1].
        SpecMismatch: Without projector, embeddings of another size than the features.

    Source: Song et al. 2024; the scale is constant there because the authors' optimiser never sees it. Li et al. 2024
    (ATM) for the linear scale and the regression.
    """

    architecture = "retrieval"
    tasks = ("retrieval",)
    log_scale: torch.Tensor

    def __init__(
        self,
        embedding_dim: int,
        target_spec: TargetSpec,
        dropout: float = 0.5,
        learn_temperature: bool = False,
        normalise_brain: bool = True,
        normalise_stimulus: bool = True,
        scale: str = "exp",
        projector: str = "residual",
        regression_share: float = 0.0,
        loss_factor: float = 1.0,
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        _require_options(scale, projector, regression_share)
        self.normalise_brain, self.normalise_stimulus, self.scale = normalise_brain, normalise_stimulus, scale
        self.regression_share, self.loss_factor = regression_share, loss_factor
        self.projector = _projector(projector, embedding_dim, target_spec.n_outputs, dropout)
        log_scale = torch.tensor(math.log(1 / TEMPERATURE))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return vectors (batch, dim)."""
        weight = next(self.projector.parameters(), embedding.pooled)  # none where vectors pass as they are
        return self.projector(embedding.pooled.to(weight.dtype))

    def similarities(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return scaled similarities (brain, stimulus)."""
        brain = functional.normalize(output, dim=-1) if self.normalise_brain else output
        stimulus = self.target_vectors(target).to(output.dtype)
        if self.normalise_stimulus:
            stimulus = functional.normalize(stimulus, dim=-1)
        return _SCALES[self.scale](self.log_scale.to(output.dtype)) * brain @ stimulus.T

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the training loss; `target` is (batch, dim) or (batch, level, dim).

        It is the mean of both cross-entropies, brain to stimulus and back, with its share of the regression.
        """
        loss = self.contrastive_loss(output, target)
        if self.regression_share:
            error = functional.mse_loss(output, self.target_vectors(target).to(output.dtype))
            loss = self.regression_share * error + (1 - self.regression_share) * loss
        return self.loss_factor * loss

    def contrastive_loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean of both cross-entropies; `target` is (batch, dim)."""
        logits = self.similarities(output, target)
        wanted = _shared_targets(target, logits.dtype)
        return (functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)) / 2

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the vectors unchanged; evaluation compares them by cosine similarity."""
        return output


def _limited_exp(number: torch.Tensor) -> torch.Tensor:
    return number.clamp(max=_LARGEST_SCALE).exp()


_SCALES: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "exp": _limited_exp,
    "linear": torch.clone,
    "softplus": functional.softplus,
}


def _require_options(scale: str, projector: str, regression_share: float) -> None:
    for name, value, allowed in (("scale", scale, _SCALES), ("projector", projector, _PROJECTORS)):
        if value not in allowed:
            raise unknown_option(name, value, allowed)
    if not 0 <= regression_share <= 1:
        raise ConfigError(f"regression_share is a share of the loss from 0 to 1, got {regression_share}.")


def _projector(kind: str, n_inputs: int, n_outputs: int, dropout: float) -> nn.Module:
    if kind == "residual":
        return Projector(n_inputs, n_outputs, dropout)
    if n_inputs != n_outputs:
        raise SpecMismatch(
            f"head.projector=none compares embeddings with stimulus features as they are; the embedding has {n_inputs} "
            f"values, the features {n_outputs}. Use head.projector=residual."
        )
    return nn.Identity()


def _shared_targets(target: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return (batch, batch) target probabilities, spread evenly over the windows of a row's stimulus; symmetric."""
    first_level = target if target.ndim == 2 else target[:, 0]
    _, stimulus = torch.unique(first_level, dim=0, return_inverse=True)
    same = (stimulus[:, None] == stimulus[None, :]).to(dtype)
    return same / same.sum(dim=1, keepdim=True)
