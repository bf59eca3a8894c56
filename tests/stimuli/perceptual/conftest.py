"""Weights of published layouts whose values anybody can compute again."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="session")
def filled() -> Callable[..., Tensors]:
    """Return the state dict of a network with weights that are sines of their place."""
    return _filled


def _filled(network: nn.Module) -> Tensors:
    unused = tuple(getattr(network, "unused", ())) or ("\0",)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith(unused)}
    return {key: _values(key, value.shape, number) for number, (key, value) in enumerate(sorted(own.items()))}


def _values(key: str, shape: torch.Size, number: int) -> torch.Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros((), dtype=torch.long)
    places = torch.arange(math.prod(shape), dtype=torch.float64)
    waves = torch.sin(1000 * torch.sin(places + 0.1 * number)).reshape(shape).float()
    if len(shape) > 1:
        return waves * (4 / math.prod(shape[1:])) ** 0.5
    if key.endswith("running_var") or key.endswith("weight"):
        return 1 + 0.3 * waves
    return 0.1 * waves
