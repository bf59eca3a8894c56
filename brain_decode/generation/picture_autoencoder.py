"""Pictures to a small grid of latents and back: principal components of blocks, and a network that finishes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

from brain_decode.nn.recorded_config import record_config

__all__ = ["PictureAutoencoder"]


class PictureAutoencoder(nn.Module):
    """The linear encoder of least error on square blocks, and a decoder that joins and cleans the blocks.

    The linear part is fitted in closed form. Latents have one common scale, so that a step of diffusion means the same
    error in every pixel; mean 0 is the grey of 0.5. The convolutions after it are trained on what the diffusion gives.

    Args:
        reduction: Height and width of a block in pixels.
        latent_channels: Components kept of the 3 * reduction² values of a block.
        width: Channels of the convolutions.
    """

    config: dict[str, Any]
    components: torch.Tensor
    scale: torch.Tensor

    def __init__(self, reduction: int = 8, latent_channels: int = 32, width: int = 32) -> None:
        super().__init__()
        self.reduction, self.latent_channels = reduction, latent_channels
        self.register_buffer("components", torch.zeros(3 * reduction**2, latent_channels))
        self.register_buffer("scale", torch.ones(()))
        last = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(last.weight)  # before training, the linear part alone decodes
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.finish = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            last,
            nn.PixelShuffle(2),
        )

    @torch.no_grad()
    def fit(self, pictures: torch.Tensor) -> PictureAutoencoder:
        """Find the components of (picture, 3, height, width) pictures in [0, 1]; the latents get mean square 1."""
        blocks = functional.pixel_unshuffle(pictures - 0.5, self.reduction).permute(0, 2, 3, 1).flatten(0, 2)
        _, axes = torch.linalg.eigh((blocks.T @ blocks).double() / len(blocks))
        chosen = axes.flip(1)[:, : self.latent_channels]
        largest = chosen.gather(0, chosen.abs().argmax(dim=0, keepdim=True))
        self.components.copy_(chosen * largest.sign())
        self.scale.copy_((blocks @ self.components).square().mean().sqrt())
        return self

    def encode(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, latent_channels, height / reduction, width / reduction) of pictures in [0, 1]."""
        blocks = functional.pixel_unshuffle(pictures - 0.5, self.reduction)
        return torch.einsum("pbhw,bc->pchw", blocks, self.components) / self.scale

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return (picture, 3, height, width) in [0, 1]."""
        return self.unclipped(latents).clamp(0, 1)

    def unclipped(self, latents: torch.Tensor) -> torch.Tensor:
        """Return what `decode` clips, which training needs."""
        blocks = torch.einsum("pchw,bc->pbhw", latents * self.scale, self.components)
        rough = functional.pixel_shuffle(blocks, self.reduction)
        return rough + self.finish(rough) + 0.5


record_config(PictureAutoencoder)
