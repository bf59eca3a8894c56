"""ResNet-20 for pictures of 32 x 32: small enough to travel with tests, and never trained on what it judges."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

__all__ = ["ResNet20"]

_STAGES = ((16, 1), (32, 2), (64, 2))  # width, stride of the first block
_BLOCKS = 3


class _Block(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut without parameters."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, width - in_channels
        self.conv1, self.bn1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        # Every second pixel, and empty channels on both sides: option A of the paper.
        shortcut = functional.pad(maps[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, *2 * (self.added // 2,)))
        maps = torch.relu_(self.bn1(self.conv1(maps)))
        return torch.relu_(self.bn2(self.conv2(maps)) + shortcut)


class ResNet20(nn.Module):
    """Twenty layers; its answer is the mean over space of the last map, 64 values.

    Source: He et al. 2016, section 4.2 (CIFAR-10), in the layout of Idelbayev's weights.
    """

    unused = ("linear.",)

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        in_channels = 16
        for number, (width, stride) in enumerate(_STAGES, start=1):
            blocks = [_Block(in_channels, width, stride)] + [_Block(width, width, 1) for _ in range(_BLOCKS - 1)]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            in_channels = width
        self.linear = nn.Linear(in_channels, 10)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, 64)."""
        maps = torch.relu_(self.bn1(self.conv1(pictures)))
        for number in range(1, len(_STAGES) + 1):
            maps = self.get_submodule(f"layer{number}")(maps)
        return maps.mean(dim=(2, 3))
