"""Embeddings to the latent of a picture autoencoder: the blurry picture that generation starts from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import SpecMismatch
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import Head
from brain_decode.signals.spec import TargetSpec

__all__ = ["LatentPicture"]

LAST_WIDTH, WIDEST = 32, 1024


class LatentPicture(Head):
    """Transposed convolutions that grow an embedding, a map of one pixel, to a square latent; trained by its L1 error.

    Targets are latents as the autoencoder's encoder gives them (mean of the posterior, not scaled), flattened channel
    first; see `VAELatent.encode`. With the encoder `channel_linear` on 63 channels of 250 samples and latents of
    4 x 64 x 64 this is the published network.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Values per latent: channels * side * side, the side a power of two.
        channels: Of the latent.
        widths: Channels after each doubling; None is 32 last, twice as many before, 1024 at most.

    Raises:
        SpecMismatch: Targets that are no square latent of so many channels, or another number of widths than doublings.

    Source: Li et al. 2024 (ATM), low-level pipeline of the 2026 code. Differs: latents are decoded as they were learnt;
    the authors' evaluation divides them by the scaling factor, which training never multiplied.
    """

    architecture = "latent_picture"
    tasks = ("retrieval",)

    def __init__(
        self,
        embedding_dim: int,
        target_spec: TargetSpec,
        channels: int = 4,
        widths: Sequence[int] | None = None,
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        doublings = _doublings(target_spec.n_outputs, channels)
        chosen = [min(LAST_WIDTH << left, WIDEST) for left in reversed(range(doublings))] if widths is None else widths
        if len(chosen) != doublings:
            raise SpecMismatch(
                f"Latents of side {2**doublings} take {doublings} widths, one per doubling; got {len(chosen)}."
            )
        sizes = [embedding_dim, *chosen]
        self.grow = nn.Sequential(*(_doubling(*pair) for pair in pairwise(sizes)))
        self.last = nn.ConvTranspose2d(sizes[-1], channels, kernel_size=1)

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return flattened latents (batch, channels * side * side)."""
        pixel = embedding.pooled.to(self.last.weight.dtype)[:, :, None, None]
        return self.last(self.grow(pixel)).flatten(1)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean absolute error; `target` is (batch, channels * side * side)."""
        return functional.l1_loss(output, target.to(output.dtype))

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the latents unchanged."""
        return output


def _doublings(n_values: int, channels: int) -> int:
    """Return how often one pixel is doubled to the side of a latent."""
    side = math.isqrt(max(n_values // channels, 0))
    if side < 1 or channels * side * side != n_values or side & (side - 1):
        raise SpecMismatch(
            f"latent_picture learns square latents of {channels} channels whose side is a power of two; the targets "
            f"have {n_values} values. Use latents of a picture autoencoder as features, and set head.channels."
        )
    return side.bit_length() - 1


def _doubling(n_inputs: int, n_outputs: int) -> nn.Sequential:
    convolution = nn.ConvTranspose2d(n_inputs, n_outputs, kernel_size=4, stride=2, padding=1)
    return nn.Sequential(convolution, nn.BatchNorm2d(n_outputs), nn.ReLU())
