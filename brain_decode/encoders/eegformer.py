"""EEGFormer: the Transformer of its tokenizer as an encoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import nn

from brain_decode.core.errors import unknown_option
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ

__all__ = ["EEGFormer"]

_POOLS = ("channels", "mean")


class EEGFormer(Encoder):
    """Windows to what the codebook of EEGFormer would see, averaged over patches.

    Args:
        signal_spec: Of the windows.
        tokenizer: Arguments of `EEGFormerVQ`; its defaults where None.
        pool: "channels" joins the channels' vectors (one montage; keeps what is where); "mean" averages them (any
            montage).

    Raises:
        ConfigError: An unknown pool.

    Source: inspired by EEGFormer (arXiv 2401.10278); see the card of `eegformer_vq`.
    """

    architecture = "eegformer"
    pretrains_on: ClassVar[str] = "signal"
    tokenizer_architecture: ClassVar[str] = "eegformer_vq"

    def __init__(
        self, signal_spec: SignalSpec, tokenizer: Mapping[str, Any] | None = None, pool: str = "channels"
    ) -> None:
        super().__init__(signal_spec)
        if pool not in _POOLS:
            raise unknown_option("pool", pool, _POOLS)
        self.pool = pool
        self.tokenizer = EEGFormerVQ(**(tokenizer or {}))
        self.embedding_dim = self.tokenizer.dim * (signal_spec.n_channels if pool == "channels" else 1)
        self.set_pretraining(False)

    def set_pretraining(self, on: bool) -> None:
        """Give the parts that only pretraining uses (codebook, decoder) a gradient or none."""
        for part in (self.tokenizer.codebook, self.tokenizer.decoder, self.tokenizer.spectrum):
            part.requires_grad_(on)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters that an embedding depends on, from input to output."""
        first = [*self.tokenizer.embed.parameters(), self.tokenizer.positions]
        blocks = self.tokenizer.encoder.layers
        return [first, *(list(block.parameters()) for block in blocks)]  # type: ignore[union-attr]

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the pooled patches and all of them, (batch, channel x patch, dim)."""
        if self.pool == "channels":
            self.require_spec(batch)
        hidden, mask = self.tokenizer.contextual(batch)
        weight = mask[..., None].to(hidden.dtype)
        over_patches = (hidden * weight).sum(2) / weight.sum(2).clamp(min=1)
        if self.pool == "channels":
            return BrainEmbedding(over_patches.flatten(1), hidden.flatten(1, 2))
        present = mask.any(-1)[..., None].to(hidden.dtype)
        mean = (over_patches * present).sum(1) / present.sum(1).clamp(min=1)
        return BrainEmbedding(mean, hidden.flatten(1, 2))

    def pretraining_terms(self, batch: SignalBatch) -> dict[str, torch.Tensor]:
        """Return the loss of its tokenizer and its parts."""
        return self.tokenizer.pretraining_terms(batch)
