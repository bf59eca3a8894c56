"""Inception v3 as torchvision publishes it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from brain_decode.stimuli.perceptual.layers import NamedConvolution

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "InceptionV3"]

_MIXED = ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e", "7a", "7b", "7c")
_OWN_MEAN, _OWN_SCALE = 0.5, 0.5
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class _Mixed35(nn.Module):
    """Branches at 35 x 35: 1 x 1, 5 x 5, twice 3 x 3, and the mean of neighbours."""

    def __init__(self, in_channels: int, pool_channels: int) -> None:
        super().__init__()
        self.branch1x1 = NamedConvolution(in_channels, 64, 1)
        self.branch5x5_1 = NamedConvolution(in_channels, 48, 1)
        self.branch5x5_2 = NamedConvolution(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = NamedConvolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = NamedConvolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = NamedConvolution(96, 96, 3, padding=1)
        self.branch_pool = NamedConvolution(in_channels, pool_channels, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        wide = self.branch5x5_2(self.branch5x5_1(maps))
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(maps)))
        return torch.cat([self.branch1x1(maps), wide, double, self.branch_pool(_neighbours(maps))], dim=1)


class _Reduction35(nn.Module):
    """From 35 x 35 to 17 x 17."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = NamedConvolution(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = NamedConvolution(in_channels, 64, 1)
        self.branch3x3dbl_2 = NamedConvolution(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = NamedConvolution(96, 96, 3, stride=2)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(maps)))
        return torch.cat([self.branch3x3(maps), double, functional.max_pool2d(maps, 3, 2)], dim=1)


class _Mixed17(nn.Module):
    """Branches at 17 x 17 whose 7 x 7 convolutions are a row and a column of 7."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        row: dict[str, Any] = {"kernel": (1, 7), "padding": (0, 3)}
        column: dict[str, Any] = {"kernel": (7, 1), "padding": (3, 0)}
        self.branch1x1 = NamedConvolution(in_channels, 192, 1)
        self.branch7x7_1 = NamedConvolution(in_channels, width, 1)
        self.branch7x7_2 = NamedConvolution(width, width, **row)
        self.branch7x7_3 = NamedConvolution(width, 192, **column)
        self.branch7x7dbl_1 = NamedConvolution(in_channels, width, 1)
        self.branch7x7dbl_2 = NamedConvolution(width, width, **column)
        self.branch7x7dbl_3 = NamedConvolution(width, width, **row)
        self.branch7x7dbl_4 = NamedConvolution(width, width, **column)
        self.branch7x7dbl_5 = NamedConvolution(width, 192, **row)
        self.branch_pool = NamedConvolution(in_channels, 192, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        single = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(maps)))
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(maps)))
        double = self.branch7x7dbl_5(self.branch7x7dbl_4(double))
        return torch.cat([self.branch1x1(maps), single, double, self.branch_pool(_neighbours(maps))], dim=1)


class _Reduction17(nn.Module):
    """From 17 x 17 to 8 x 8."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = NamedConvolution(in_channels, 192, 1)
        self.branch3x3_2 = NamedConvolution(192, 320, 3, stride=2)
        self.branch7x7x3_1 = NamedConvolution(in_channels, 192, 1)
        self.branch7x7x3_2 = NamedConvolution(192, 192, (1, 7), padding=(0, 3))
        self.branch7x7x3_3 = NamedConvolution(192, 192, (7, 1), padding=(3, 0))
        self.branch7x7x3_4 = NamedConvolution(192, 192, 3, stride=2)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        wide = self.branch7x7x3_2(self.branch7x7x3_1(maps))
        wide = self.branch7x7x3_4(self.branch7x7x3_3(wide))
        return torch.cat([self.branch3x3_2(self.branch3x3_1(maps)), wide, functional.max_pool2d(maps, 3, 2)], dim=1)


class _Mixed8(nn.Module):
    """Branches at 8 x 8 that end in a row and a column side by side."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        row: dict[str, Any] = {"kernel": (1, 3), "padding": (0, 1)}
        column: dict[str, Any] = {"kernel": (3, 1), "padding": (1, 0)}
        self.branch1x1 = NamedConvolution(in_channels, 320, 1)
        self.branch3x3_1 = NamedConvolution(in_channels, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = NamedConvolution(384, 384, **row), NamedConvolution(384, 384, **column)
        self.branch3x3dbl_1 = NamedConvolution(in_channels, 448, 1)
        self.branch3x3dbl_2 = NamedConvolution(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = NamedConvolution(384, 384, **row)
        self.branch3x3dbl_3b = NamedConvolution(384, 384, **column)
        self.branch_pool = NamedConvolution(in_channels, 192, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        single = self.branch3x3_1(maps)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(maps))
        ends = [self.branch3x3_2a(single), self.branch3x3_2b(single)]
        ends += [self.branch3x3dbl_3a(double), self.branch3x3dbl_3b(double)]
        return torch.cat([self.branch1x1(maps), *ends, self.branch_pool(_neighbours(maps))], dim=1)


class _Auxiliary(nn.Module):
    """The second classifier of training; its weights are in the published file and never run here."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv0 = NamedConvolution(in_channels, 128, 1)
        self.conv1 = NamedConvolution(128, 768, 5)
        self.fc = nn.Linear(768, 1000)


class InceptionV3(nn.Module):
    """Its answer is the mean over space of the last map, 2048 values.

    Pictures arrive normalised with ImageNet's mean and deviation and are brought to the range the weights were trained
    with, as torchvision does for its published weights (`transform_input`).

    Source: Szegedy et al. 2016, in torchvision's layout of the weights.
    """

    unused = ("AuxLogits.", "fc.")

    def __init__(self) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = NamedConvolution(3, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = NamedConvolution(32, 32, 3)
        self.Conv2d_2b_3x3 = NamedConvolution(32, 64, 3, padding=1)
        self.Conv2d_3b_1x1 = NamedConvolution(64, 80, 1)
        self.Conv2d_4a_3x3 = NamedConvolution(80, 192, 3)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = _Mixed35(192, 32), _Mixed35(256, 64), _Mixed35(288, 64)
        self.Mixed_6a = _Reduction35(288)
        self.Mixed_6b, self.Mixed_6c = _Mixed17(768, 128), _Mixed17(768, 160)
        self.Mixed_6d, self.Mixed_6e = _Mixed17(768, 160), _Mixed17(768, 192)
        self.AuxLogits = _Auxiliary(768)
        self.Mixed_7a = _Reduction17(768)
        self.Mixed_7b, self.Mixed_7c = _Mixed8(1280), _Mixed8(2048)
        self.fc = nn.Linear(2048, 1000)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, 2048)."""
        maps = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(_own_range(pictures))))
        maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(functional.max_pool2d(maps, 3, 2)))
        maps = functional.max_pool2d(maps, 3, 2)
        for name in _MIXED:
            maps = self.get_submodule(f"Mixed_{name}")(maps)
        return maps.mean(dim=(2, 3))


def _own_range(pictures: torch.Tensor) -> torch.Tensor:
    mean, scale = (pictures.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures * scale + mean - _OWN_MEAN) / _OWN_SCALE


def _neighbours(maps: torch.Tensor) -> torch.Tensor:
    return functional.avg_pool2d(maps, 3, stride=1, padding=1)
