"""Batch normalisation of the output of a linear filter, folded into the filter itself."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["FoldedBatchNorm"]


class FoldedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation whose batch statistics are handed in, and which returns a scale and a shift per filter.

    The mean and variance of a filter's output follow from the moments of its input, so the normalisation can be
    multiplied into the filter and the large unnormalised map never exists. Parameters, buffers, running statistics and
    gradients are those of `torch.nn.BatchNorm1d`.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor
    num_batches_tracked: torch.Tensor
    momentum: float

    def scale_and_shift(
        self, mean: torch.Tensor, variance: torch.Tensor, count: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scale, shift), each (filter,), so that normalised output = scale * output + shift.

        Args:
            mean: (filter,) mean of the output over the batch.
            variance: (filter,) biased variance of the output over the batch.
            count: Values per filter that the moments are taken over.
        """
        self._update(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        return self._affine(mean, variance)

    def running_scale_and_shift(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (scale, shift) of the running statistics, for evaluation."""
        return self._affine(self.running_mean, self.running_var)

    def _affine(self, mean: torch.Tensor, variance: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scale = self.weight.to(mean.dtype) * torch.rsqrt(variance + self.eps)
        return scale, self.bias.to(mean.dtype) - mean * scale

    @torch.no_grad()
    def _update(self, mean: torch.Tensor, variance: torch.Tensor) -> None:
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
