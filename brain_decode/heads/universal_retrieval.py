"""Retrieval through a mixture of experts that several kinds of recordings share."""

from __future__ import annotations

from typing import Self

import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.contrastive_losses import draw_mix, mixco_nce, soft_clip
from brain_decode.heads.retrieval import Retrieval
from brain_decode.nn.mixture_of_experts import HardMixture, SoftMixture
from brain_decode.signals.spec import TargetSpec

__all__ = ["OBJECTIVES", "ROUTINGS", "UniversalRetrieval"]

OBJECTIVES = ("clip", "soft_clip", "mixco_then_soft_clip")
ROUTINGS = {"soft": SoftMixture, "hard": HardMixture}


class UniversalRetrieval(Retrieval):
    """The projector of `Retrieval`, then a mixture of experts in the space of the stimuli.

    The mixture is what encoders of EEG, MEG and fMRI share when they are joined (`join=` of `brain-decode train`);
    each decoder keeps a projector of its own in front of it.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Features per stimulus.
        n_experts: Linear experts.
        routing: "soft" (all experts, weighted) or "hard" (the most trusted one; its router is never trained).
        frozen_projector: Leave the projector as it is, in evaluation mode even while the experts are trained.
        objective: "clip" (see `Retrieval`), "soft_clip" (against how similar stimuli are to each other), or
            "mixco_then_soft_clip" (brain vectors are mixed at first).
        mixco_share: Share of the training steps that mix.
        mixco_temperature: What similarities are divided by while vectors are mixed.
        soft_temperature: What similarities are divided by in soft-CLIP; BrainFLORA's code has 2.66 there, the logarithm
            of CLIP's scale, which asks for nearly the same similarity to all stimuli.
        dropout, learn_temperature, normalise_brain, normalise_stimulus, scale, projector, regression_share,
            loss_factor: See `Retrieval`. BrainFLORA's training for reconstruction has 30 times the squared error beside
            the contrast: a regression_share of 30/31 and a loss_factor of 31.

    Raises:
        ConfigError: An unknown option, no expert, or a share outside [0, 1].
        SpecMismatch: Without projector, embeddings of another size than the features.

    Source: Li et al. 2025 (BrainFLORA), stages 2 and 3. Differs: what is frozen stays in evaluation mode; after the
    mixing at first, vectors are no longer mixed, where the authors go on mixing without telling the loss.
    """

    architecture = "universal_retrieval"
    tasks = ("retrieval",)

    def __init__(
        self,
        embedding_dim: int,
        target_spec: TargetSpec,
        n_experts: int = 5,
        routing: str = "soft",
        frozen_projector: bool = False,
        objective: str = "clip",
        mixco_share: float = 0.1,
        mixco_temperature: float = 0.006,
        soft_temperature: float = 0.125,
        dropout: float = 0.5,
        learn_temperature: bool = False,
        normalise_brain: bool = True,
        normalise_stimulus: bool = True,
        scale: str = "exp",
        projector: str = "residual",
        regression_share: float = 0.0,
        loss_factor: float = 1.0,
    ) -> None:
        super().__init__(
            embedding_dim,
            target_spec,
            dropout=dropout,
            learn_temperature=learn_temperature,
            normalise_brain=normalise_brain,
            normalise_stimulus=normalise_stimulus,
            scale=scale,
            projector=projector,
            regression_share=regression_share,
            loss_factor=loss_factor,
        )
        for name, value, allowed in (("routing", routing, ROUTINGS), ("objective", objective, OBJECTIVES)):
            if value not in allowed:
                raise unknown_option(name, value, allowed)
        if not 0 <= mixco_share <= 1 or min(mixco_temperature, soft_temperature) <= 0:
            raise ConfigError(
                "mixco_share lies in [0, 1] and temperatures are positive, got "
                f"{mixco_share:g}, {mixco_temperature:g} and {soft_temperature:g}."
            )
        self.objective, self.mixco_share = objective, mixco_share
        self.mixco_temperature, self.soft_temperature = mixco_temperature, soft_temperature
        self.experts = ROUTINGS[routing](target_spec.n_outputs, target_spec.n_outputs, n_experts)
        self.frozen_projector = frozen_projector
        if frozen_projector:
            self.projector.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> Self:
        """Switch to training or evaluation; a frozen projector stays in evaluation."""
        super().train(mode)
        if self.frozen_projector:
            self.projector.eval()
        return self

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return vectors (batch, dim)."""
        return self.experts(super().forward(embedding))

    def contrastive_loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the contrastive part of the loss; `target` is (batch, dim)."""
        if self.objective == "clip":
            return super().contrastive_loss(output, target)
        stimulus = functional.normalize(self.target_vectors(target).to(output.dtype), dim=-1)
        mixes = self.objective == "mixco_then_soft_clip" and self.training and self.share_done < self.mixco_share
        if not mixes:
            return soft_clip(functional.normalize(output, dim=-1), stimulus, self.soft_temperature)
        mix = draw_mix(len(output), device=output.device)
        return mixco_nce(functional.normalize(mix(output), dim=-1), stimulus, self.mixco_temperature, mix)
