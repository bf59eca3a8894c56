"""A small denoising network for latents of pictures, told by a vector which picture is meant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from diffusers import UNet2DModel
from torch import nn

from brain_decode.nn.recorded_config import record_config

__all__ = ["LatentDenoiser"]


class LatentDenoiser(nn.Module):
    """Predict the latents behind noisy ones, given the picture's vector.

    The vector enters twice: added to the embedding of the noise level, and as a first guess of the latents beside the
    noisy ones, because the place and layout of a drawing are nearly linear in it. A vector of zeros means that nothing
    is known; shorter vectors mean that less is known, which is what a regression from noisy brain signals gives.

    Args:
        feature_dim: Values per vector.
        side: Height and width of the latents.
        latent_channels: Channels of the latents.
        widths: Channels of the two resolutions.
        hidden: Width of the layer between vector and guess.
    """

    config: dict[str, Any]

    def __init__(
        self,
        feature_dim: int = 64,
        side: int = 8,
        latent_channels: int = 32,
        widths: Sequence[int] = (48, 64),
        hidden: int = 128,
    ) -> None:
        super().__init__()
        self.shape = (latent_channels, side, side)
        self.linear = nn.Linear(feature_dim, latent_channels * side * side)
        self.condition = nn.Sequential(nn.Linear(feature_dim, hidden), nn.SiLU())
        self.to_maps = nn.Linear(hidden, latent_channels * side * side)
        self.to_level = nn.Linear(hidden, 4 * widths[0])
        self.network: Any = UNet2DModel(
            sample_size=side,
            in_channels=2 * latent_channels,
            out_channels=latent_channels,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D"),
            block_out_channels=tuple(widths),
            layers_per_block=1,
            norm_num_groups=16,
            attention_head_dim=16,
            class_embed_type="identity",
            resnet_time_scale_shift="scale_shift",
        )

    @torch.no_grad()
    def start_linear(self, latents: torch.Tensor, features: torch.Tensor) -> None:
        """Set the linear part of the guess to the least-squares map from vectors to latents of training pictures."""
        ones = torch.cat([features, torch.ones(len(features), 1)], dim=1)
        solution = torch.linalg.lstsq(ones, latents.flatten(1)).solution
        self.linear.weight.copy_(solution[:-1].T)
        self.linear.bias.copy_(solution[-1])
        nn.init.zeros_(self.to_maps.weight)
        nn.init.zeros_(self.to_maps.bias)

    def forward(self, latents: torch.Tensor, level: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the latents without noise (picture, latent_channels, side, side).

        Args:
            latents: Noisy latents of that shape.
            level: (picture,) step of the training schedule, 0 to 999.
            features: (picture, feature_dim).
        """
        hidden = self.condition(features)
        guess = (self.linear(features) + self.to_maps(hidden)).reshape(-1, *self.shape)
        found = self.network(torch.cat([latents, guess], dim=1), level, class_labels=self.to_level(hidden)).sample
        return guess + found


record_config(LatentDenoiser)
