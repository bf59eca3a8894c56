"""What the processes that train a codebook together agree on; alone, everything stays as it is."""

from __future__ import annotations

import torch
from torch import distributed

__all__ = ["of_first_process", "summed_over_processes"]


def summed_over_processes(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the sums over the processes that train together; the tensors are overwritten."""
    if _together():
        for tensor in tensors:
            distributed.all_reduce(tensor)
    return tensors


def of_first_process(tensor: torch.Tensor) -> torch.Tensor:
    """Return what the first of the processes that train together has."""
    if _together():
        tensor = tensor.contiguous()
        distributed.broadcast(tensor, 0)
    return tensor


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
