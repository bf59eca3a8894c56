"""AlexNet as torchvision publishes it."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["AlexNet"]


class AlexNet(nn.Module):
    """The single-tower AlexNet; its answer is the map of one of its layers.

    Args:
        layer: Place in `features` after which it ends: 4 follows the second convolution, 11 the fifth, both rectified.

    Source: Krizhevsky 2014 ("One weird trick"), in torchvision's layout of the weights.
    """

    unused = ("classifier.",)

    def __init__(self, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 1000),
        )

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, channel, height, width) of the chosen layer."""
        maps: torch.Tensor = self.features[: self.layer + 1](pictures)
        return maps
