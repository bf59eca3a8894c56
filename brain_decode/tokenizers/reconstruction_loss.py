"""How far a reconstruction is from its signal: in time, in shape and in its spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

__all__ = ["ReconstructionTerms", "reconstruction_terms"]

_EPSILON = 1e-6
_PHASE_WEIGHT = 0.5  # as in the authors' code; the paper writes 1


@dataclass(frozen=True)
class ReconstructionTerms:
    """Terms of the reconstruction loss, scalars.

    Args:
        time: Mean absolute difference.
        pearson: Mean correlation of a row with its reconstruction.
        amplitude: Mean absolute difference of the amplitude spectra.
        phase: Mean absolute difference of the phases, in radians.
    """

    time: torch.Tensor
    pearson: torch.Tensor
    amplitude: torch.Tensor
    phase: torch.Tensor

    @property
    def loss(self) -> torch.Tensor:
        """Their sum, the correlation as exp(-pearson) and the phase at half weight."""
        return self.time + torch.exp(-self.pearson) + self.amplitude + _PHASE_WEIGHT * self.phase

    def parts(self) -> dict[str, torch.Tensor]:
        """Return the terms by name, without gradient."""
        return {name: getattr(self, name).detach() for name in ("time", "pearson", "amplitude", "phase")}


def reconstruction_terms(
    estimate: torch.Tensor, target: torch.Tensor, *, wrap_phase: bool = True
) -> ReconstructionTerms:
    """Compare reconstructions with their signals.

    Args:
        estimate: (row, sample).
        target: (row, sample), zero mean and unit deviation.
        wrap_phase: Measure the shorter way round the circle. The authors' code takes the plain difference, so that two
            phases beside each other at the end of the range count as far apart.

    Source: arXiv 2505.18185, section on the tokenizer's loss, and the authors' code.
    """
    estimate, target = estimate.float(), target.float()
    window = torch.hamming_window(target.shape[-1], device=target.device)
    ours = torch.fft.rfft(estimate * window, norm="ortho")
    theirs = torch.fft.rfft(target * window, norm="ortho")
    phase = (torch.angle(ours) - torch.angle(theirs)).abs()
    if wrap_phase:
        phase = torch.minimum(phase, 2 * math.pi - phase)
    return ReconstructionTerms(
        time=(estimate - target).abs().mean(),
        pearson=_pearson(estimate, target).mean(),
        amplitude=(ours.abs() - theirs.abs()).abs().mean(),
        phase=phase.mean(),
    )


def _pearson(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    first, second = first - first.mean(-1, keepdim=True), second - second.mean(-1, keepdim=True)
    covariance = (first * second).sum(-1) / (first.shape[-1] - 1)
    return covariance / (first.std(-1) * second.std(-1) + _EPSILON)
