"""Vectors in the space of stimulus features, trained contrastively."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import Head
from brain_decode.signals.spec import TargetSpec

__all__ = ["Projector", "Retrieval"]

TEMPERATURE = 0.07  # CLIP, Radford et al. 2021
_LARGEST_SCALE = math.log(100.0)  # CLIP limits the learned scale to 100


class Projector(nn.Module):
    """Linear layer, a residual block of GELU, linear layer and dropout, then layer normalisation.

    Args:
        n_inputs: Values per input vector.
        n_outputs: Values per output vector.
        dropout: Share of values dropped inside the residual block.

    Source: Song et al. 2024 (NICE), EEG projector.
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


class Retrieval(Head):
    """Projector into the feature space of the stimuli, trained with symmetric InfoNCE.

    Windows of one stimulus in a batch (several participants, single repetitions) share the target probability; the
    published loss takes them as each other's distractors. With distinct stimuli the two agree.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Features per stimulus.
        dropout: Share of values dropped in the projector.
        learn_temperature: Train the scale of the similarities, starting at 1/0.07 and limited to 100; False keeps it.
        normalise_brain: Scale brain vectors to unit length before comparing them; stimulus vectors always are.

    Source: Song et al. 2024; the scale is constant there because the authors' optimiser never sees it.
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
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        self.normalise_brain = normalise_brain
        self.projector = Projector(embedding_dim, target_spec.n_outputs, dropout)
        log_scale = torch.tensor(math.log(1 / TEMPERATURE))
        if learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale)

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return vectors (batch, dim)."""
        return self.projector(embedding.pooled)

    def similarities(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return scaled similarities (brain, stimulus)."""
        brain = functional.normalize(output, dim=-1) if self.normalise_brain else output
        stimulus = functional.normalize(self.target_vectors(target).to(output.dtype), dim=-1)
        scale = self.log_scale.to(output.dtype).clamp(max=_LARGEST_SCALE).exp()
        return scale * brain @ stimulus.T

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean of both cross-entropies, brain to stimulus and back; `target` is (batch, dim)."""
        logits = self.similarities(output, target)
        wanted = _shared_targets(target, logits.dtype)
        return (functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)) / 2

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the vectors unchanged; evaluation compares them by cosine similarity."""
        return output


def _shared_targets(target: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return (batch, batch) target probabilities, spread evenly over the windows of a row's stimulus; symmetric."""
    first_level = target if target.ndim == 2 else target[:, 0]
    _, stimulus = torch.unique(first_level, dim=0, return_inverse=True)
    same = (stimulus[:, None] == stimulus[None, :]).to(dtype)
    return same / same.sum(dim=1, keepdim=True)
