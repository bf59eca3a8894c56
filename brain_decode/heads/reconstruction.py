"""Picture features drawn by a diffusion prior, which retrieval scores and generators make pictures of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.generation.diffusion_prior import DiffusionPrior, Noise, draw_noise
from brain_decode.heads.base import Head
from brain_decode.heads.retrieval import Retrieval
from brain_decode.signals.spec import TargetSpec

__all__ = ["Reconstruction"]

_ANSWERED_AT_ONCE = 256  # embeddings sampled together


class Reconstruction(Head):
    """Projector into the feature space of the pictures, then a diffusion prior conditioned on its vectors.

    The projector learns from the contrastive and the squared error, the prior from the noise it finds; no gradient
    goes from the prior to the projector, so that the condition is the same with any prior. All of them see features in
    training standard deviations (see `DiffusionPrior`). The answer is a sample of the prior, so that whatever scores
    retrieval scores the prior.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Features per picture.
        projector: False where embeddings lie in a feature space already: the prior takes them at unit mean square.
        dropout: Share of values dropped in the projector.
        retrieval_weight: Of the contrastive loss.
        mse_weight: Of the squared error of the projected vectors.
        prior: Settings of `DiffusionPrior` besides its sizes.
        n_steps: Of sampling.
        guidance: How much sampling exaggerates the condition.
        samples: Draws that are averaged into one answer.
        seed: Of the answers' noise, which is the same for every window, whatever windows are answered together.

    Raises:
        ConfigError: No sample, a negative weight, or settings the prior does not have.

    Source: Li et al. 2024 (ATM): 10 * (0.9 MSE + 0.1 contrastive), then the prior. Differs: trained together, features
    scaled, draws averaged where asked.
    """

    architecture = "reconstruction"
    tasks = ("retrieval",)
    needs_training_targets = True

    def __init__(
        self,
        embedding_dim: int,
        target_spec: TargetSpec,
        *,
        projector: bool = True,
        dropout: float = 0.5,
        retrieval_weight: float = 1.0,
        mse_weight: float = 9.0,
        prior: Mapping[str, Any] | None = None,
        n_steps: int = 50,
        guidance: float = 5.0,
        samples: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        if samples < 1 or min(retrieval_weight, mse_weight) < 0:
            raise ConfigError(
                "The reconstruction head averages one sample or more and weighs losses by numbers from 0 up, got "
                f"samples={samples}, retrieval_weight={retrieval_weight}, mse_weight={mse_weight}."
            )
        self.weights = {"retrieval": retrieval_weight, "mse": mse_weight}
        self.n_steps, self.guidance, self.samples, self.seed = n_steps, guidance, samples, seed
        self.retrieval = Retrieval(embedding_dim, target_spec, dropout) if projector else None
        condition_dim = target_spec.n_outputs if projector else embedding_dim
        try:
            self.prior = DiffusionPrior(target_spec.n_outputs, condition_dim, **dict(prior or {}))
        except TypeError as error:
            raise ConfigError(f"The diffusion prior cannot be built with these settings: {error}.") from error

    def learn_targets(self, target: torch.Tensor) -> None:
        """Take scale and range of the training features, (n, dim) or (n, level, dim)."""
        self.prior.learn_targets(self.target_vectors(target))

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return the condition (batch, dim): projected vectors, or the embeddings at unit mean square."""
        if self.retrieval is not None:
            return self.retrieval(embedding)
        vectors = embedding.pooled.to(self.prior.target_mean.dtype)
        return functional.normalize(vectors, dim=-1) * math.sqrt(self.embedding_dim)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum of the contrastive, the squared and the prior's error; `target` is (batch, dim) or,
        of several levels, (batch, level, dim)."""
        target = self.target_vectors(target)
        wanted = self.prior.scaled(target)
        total = self.prior.loss(target, output.detach())
        if self.retrieval is not None:
            total = total + self.weights["retrieval"] * self.retrieval.loss(output, wanted)
            total = total + self.weights["mse"] * functional.mse_loss(output, wanted.to(output.dtype))
        return total

    @torch.no_grad()
    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return (batch, dim) picture features: the mean of the drawn ones."""
        noise = [draw_noise(self.seed, [number], self.n_steps, self.prior.dim) for number in range(self.samples)]
        parts = [
            torch.stack([self._drawn(part, one) for one in noise]).mean(dim=0)
            for part in output.split(_ANSWERED_AT_ONCE)
        ]
        return torch.cat(parts) if parts else output.new_zeros(0, self.prior.dim)

    def _drawn(self, condition: torch.Tensor, noise: Noise) -> torch.Tensor:
        return self.prior.denoise(condition, noise, guidance=self.guidance)
