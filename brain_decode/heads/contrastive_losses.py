"""Contrastive losses that soften or mix who belongs to whom: soft-CLIP and MixCo."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError

__all__ = ["Mix", "draw_mix", "info_nce", "mixco_nce", "soft_clip"]

BETA = 0.15  # of the Beta distribution that MixCo draws weights from, Scotti et al. 2023 (MindEye)
CHANCE = 0.5  # of a vector to be mixed, ibid.


def info_nce(brain: torch.Tensor, stimulus: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Return the mean of both cross-entropies of a batch whose rows belong together, brain to stimulus and back.

    Args:
        brain: (batch, dim).
        stimulus: (batch, dim) of the same rows.
        temperature: What similarities are divided by.
    """
    return mixco_nce(brain, stimulus, temperature, mix=None)


def soft_clip(brain: torch.Tensor, stimulus: torch.Tensor, temperature: float | torch.Tensor) -> torch.Tensor:
    """Return the mean of both cross-entropies against how similar the stimuli are to each other.

    Args:
        brain: (batch, dim), unit rows.
        stimulus: (batch, dim), unit rows.
        temperature: What similarities, and those of the stimuli, are divided by.

    Source: Scotti et al. 2023 (MindEye); Li et al. 2025 (BrainFLORA) divide by the logarithm of CLIP's scale, 2.66.
    """
    wanted = (stimulus @ stimulus.T / temperature).softmax(-1)
    logits = brain @ stimulus.T / temperature
    return (functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted)) / 2


@dataclass(frozen=True)
class Mix:
    """Which vectors of a batch are mixed with which others.

    Args:
        partners: (batch,) number of the vector that each is mixed with.
        weights: (batch,) share that stays of each; 1 where it is not mixed.
    """

    partners: torch.Tensor
    weights: torch.Tensor

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return mixed vectors (batch, ...)."""
        own = self.weights.to(vectors.dtype).view(-1, *[1] * (vectors.ndim - 1))
        return own * vectors + (1 - own) * vectors[self.partners]

    def targets(self, *, fixed_points_vanish: bool = False) -> torch.Tensor:
        """Return (batch, batch) target probabilities: a row belongs to its own column and to that of its partner.

        Args:
            fixed_points_vanish: As the authors write it: where a vector is its own partner, what is left for the
                partner replaces its own share, so that an unmixed one belongs to nothing.
        """
        wanted = torch.diag(self.weights)
        rows = torch.arange(len(wanted), device=wanted.device)
        if fixed_points_vanish:
            wanted[rows, self.partners] = 1 - self.weights
        else:
            wanted[rows, self.partners] += 1 - self.weights
        return wanted


def draw_mix(
    n_vectors: int,
    *,
    beta: float = BETA,
    chance: float = CHANCE,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Mix:
    """Draw partners and weights for a batch, from torch's generator where no other is given.

    Args:
        n_vectors: Vectors of the batch.
        beta: Both parameters of the Beta distribution of the weights.
        chance: Of a vector to be mixed.
        device: Where the mix is used.
        generator: Of the CPU.

    Raises:
        ConfigError: A `beta` that is not positive, or a `chance` outside [0, 1].
    """
    if beta <= 0 or not 0 <= chance <= 1:
        raise ConfigError(f"MixCo needs beta above 0 and a chance in [0, 1], got beta={beta:g} and chance={chance:g}.")
    partners = torch.randperm(n_vectors, generator=generator)
    # A Beta variable is the share of the first of two Gamma variables; torch draws these from a given generator.
    gammas = torch._standard_gamma(torch.full((n_vectors, 2), beta, dtype=torch.float64), generator=generator)
    shares = (gammas[:, 0] / gammas.sum(1)).float()
    weights = torch.where(torch.rand(n_vectors, generator=generator) <= chance, shares, torch.ones(()))
    return Mix(partners.to(device), weights.to(device))


def mixco_nce(
    brain: torch.Tensor,
    stimulus: torch.Tensor,
    temperature: float | torch.Tensor,
    mix: Mix | None,
    *,
    compat: str | None = None,
) -> torch.Tensor:
    """Return the mean of both cross-entropies against the stimuli that the mixed brain vectors are made of.

    Args:
        brain: (batch, dim), mixed already.
        stimulus: (batch, dim), not mixed.
        temperature: What similarities are divided by; 0.006 in MindEye and BrainFLORA.
        mix: How `brain` was mixed; None where it was not.
        compat: "official" for target rows without a sum of one where a vector is its own partner.

    Raises:
        ConfigError: Another `compat`.

    Source: Kim et al. 2020 (MixCo), Scotti et al. 2023 (bidirectional).
    """
    if compat not in (None, "official"):
        raise ConfigError(f"compat of mixco_nce is null or official, got {compat!r}.")
    logits = brain @ stimulus.T / temperature
    if mix is None:
        rows = torch.arange(len(logits), device=logits.device)
        return (functional.cross_entropy(logits, rows) + functional.cross_entropy(logits.T, rows)) / 2
    wanted = mix.targets(fixed_points_vanish=compat == "official").to(logits.dtype)
    return (functional.cross_entropy(logits, wanted) + functional.cross_entropy(logits.T, wanted.T)) / 2
