"""Dropout whose mask is cheap to draw on a processor."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["Dropout"]

_LEVELS = 1 << 16  # values of the sixteen random bits that decide about one value
_PER_DRAW = 4  # such decisions in one draw of 64 bits


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`, with a mask from sixteen random bits per value where that is faster: on a processor.

    Drawing one uniform number per value takes longer than everything else that dropout does there; a draw of 64 bits
    serves four values instead. The share of dropped values is `p` to the nearest 1/65536, and the values that are kept
    are scaled by exactly that share, so that the mean is kept. On graphics cards it is PyTorch's own.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Return the input with a share of its values zero, in training."""
        threshold = round(self.p * _LEVELS)
        if not self.training or input.device.type != "cpu" or not 0 < threshold < _LEVELS:
            return super().forward(input)
        draws = torch.empty(-(-input.numel() // _PER_DRAW), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: input.numel()].view(input.shape)
        kept = bits >= threshold - _LEVELS // 2
        return input * (kept * torch.tensor(_LEVELS / (_LEVELS - threshold), dtype=input.dtype))
