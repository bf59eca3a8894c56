"""ResNet-50 as torchvision publishes it; SwAV's weights have the same layout."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["ResNet50"]

_STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # width, blocks, stride
_EXPANSION = 4


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 (with the stride) and 1 x 1 convolution beside a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = width * _EXPANSION
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module | None = None
        if stride > 1 or in_channels != out_channels:
            shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out_channels))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        maps = torch.relu_(self.bn1(self.conv1(maps)))
        maps = torch.relu_(self.bn2(self.conv2(maps)))
        return torch.relu_(self.bn3(self.conv3(maps)) + shortcut)


class ResNet50(nn.Module):
    """Fifty layers; its answer is the mean over space of the last map, 2048 values.

    Source: He et al. 2016, the stride in the 3 x 3 convolution as in torchvision; SwAV: Caron et al. 2020.
    """

    unused = ("fc.",)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        in_channels = 64
        for number, (width, blocks, stride) in enumerate(_STAGES, start=1):
            first = _Bottleneck(in_channels, width, stride)
            in_channels = width * _EXPANSION
            others = [_Bottleneck(in_channels, width, 1) for _ in range(blocks - 1)]
            self.add_module(f"layer{number}", nn.Sequential(first, *others))
        self.fc = nn.Linear(in_channels, 1000)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, 2048)."""
        maps = self.maxpool(torch.relu_(self.bn1(self.conv1(pictures))))
        for number in range(1, len(_STAGES) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        return maps.mean(dim=(2, 3))
