"""One linear layer along time, the same for every channel: the input side of ATM's low-level branch."""

from __future__ import annotations

from torch import nn

from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["ChannelLinear"]


class ChannelLinear(Encoder):
    """Each channel's samples through one linear layer; channels side by side are the embedding.

    Args:
        signal_spec: Sizes of the windows.
        width: Values per channel.
        dropout: Share of values dropped.

    Source: Li et al. 2024 (ATM), low-level pipeline, layers before the transposed convolutions.
    """

    architecture = "channel_linear"

    def __init__(self, signal_spec: SignalSpec, width: int = 128, dropout: float = 0.5) -> None:
        super().__init__(signal_spec)
        self.linear = nn.Linear(signal_spec.n_times, width)
        self.dropout = nn.Dropout(dropout)
        self.embedding_dim = signal_spec.n_channels * width

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the values of all channels side by side, and one token (width) per channel."""
        self.require_spec(batch)
        tokens = self.dropout(self.linear(batch.signal.to(self.linear.weight.dtype)))
        return BrainEmbedding(tokens.flatten(1), tokens)
