"""EfficientNet-B1 as torchvision publishes it."""

from __future__ import annotations

import math

import torch
from torch import nn

from brain_decode.stimuli.perceptual.layers import convolution

__all__ = ["EfficientNetB1"]

# Table 1 of the paper: expansion, kernel, stride, in, out, blocks of B0.
_STAGES = (
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
)
_DEPTH = 1.1  # of B1; its width is that of B0
_FEATURES = 1280
_SQUEEZE = 4


class _SqueezeExcitation(nn.Module):
    """Channels weighed by what the whole map holds."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Conv2d(channels, squeezed, 1), nn.Conv2d(squeezed, channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        scale = nn.functional.silu(self.fc1(maps.mean(dim=(2, 3), keepdim=True)))
        return maps * torch.sigmoid(self.fc2(scale))


class _InvertedBottleneck(nn.Module):
    """Widen, convolve each channel on its own, weigh channels, narrow."""

    def __init__(self, expansion: int, kernel: int, stride: int, in_channels: int, out_channels: int) -> None:
        super().__init__()
        width = in_channels * expansion
        layers: list[nn.Module] = []
        if width != in_channels:
            layers.append(convolution(in_channels, width, 1, activation=nn.SiLU))
        layers += [
            convolution(width, width, kernel, stride=stride, groups=width, activation=nn.SiLU),
            _SqueezeExcitation(width, max(1, in_channels // _SQUEEZE)),
            convolution(width, out_channels, 1),
        ]
        self.block = nn.Sequential(*layers)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.block(maps)
        return answer + maps if self.has_shortcut else answer


class EfficientNetB1(nn.Module):
    """Its answer is the mean over space of the last map, 1280 values.

    Source: Tan and Le 2019, in torchvision's layout of the weights.
    """

    unused = ("classifier.",)

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = [convolution(3, _STAGES[0][3], 3, stride=2, activation=nn.SiLU)]
        for expansion, kernel, stride, in_channels, out_channels, blocks in _STAGES:
            first = _InvertedBottleneck(expansion, kernel, stride, in_channels, out_channels)
            others = [
                _InvertedBottleneck(expansion, kernel, 1, out_channels, out_channels)
                for _ in range(math.ceil(blocks * _DEPTH) - 1)
            ]
            stages.append(nn.Sequential(first, *others))
        stages.append(convolution(_STAGES[-1][4], _FEATURES, 1, activation=nn.SiLU))
        self.features = nn.Sequential(*stages)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(_FEATURES, 1000))

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, 1280)."""
        maps: torch.Tensor = self.features(pictures)
        return maps.mean(dim=(2, 3))
