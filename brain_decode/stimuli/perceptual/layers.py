"""A convolution, its normalisation and its nonlinearity, with the names that published weights give them."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["NamedConvolution", "convolution"]


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = None,
) -> nn.Sequential:
    """Return convolution `0` and batch normalisation `1` that keep the size at stride 1, then an activation."""
    padding = (kernel - 1) // 2
    layers: list[nn.Module] = [
        nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
    return nn.Sequential(*layers, *([activation(inplace=True)] if activation else []))


class NamedConvolution(nn.Module):
    """Convolution `conv`, batch normalisation `bn` and ReLU: the unit of Inception v3."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int],
        *,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(out_channels, eps=1e-3)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return (picture, out_channels, height, width)."""
        return torch.relu_(self.bn(self.conv(maps)))
