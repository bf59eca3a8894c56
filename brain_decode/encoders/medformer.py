"""The Medformer: patches of several lengths, attention within each length, then between their last tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.token_augmentations import TokenAugmentation
from brain_decode.nn.dropout import Dropout

__all__ = ["GranularAttention", "GranularPatches", "Medformer", "MedformerLayer", "SelfAttention", "token_counts"]


def token_counts(n_times: int, patch_samples: Sequence[int]) -> list[int]:
    """Return how many tokens patches of each length make of so many samples; the last one is padded."""
    return [n_times // length + 1 for length in patch_samples]


class GranularPatches(nn.Module):
    """Patches of several lengths across all channels as tokens, with their place and a vector of their length.

    Args:
        n_channels: Channels.
        n_times: Samples.
        dim: Values per token.
        patch_samples: Lengths of the patches; patches of one length follow each other without a gap, and the last
            sample is repeated to fill the last one.
        augmentations: See `TokenAugmentation`; drawn anew for each length.

    Source: Wang et al. 2024 and the code of BrainFLORA. Differs: the convolution over patches is one matrix product
    per length on windows that are laid out time before channel once for all lengths; no result changes.
    """

    positions: torch.Tensor

    def __init__(
        self, n_channels: int, n_times: int, dim: int, patch_samples: Sequence[int], augmentations: Sequence[str]
    ) -> None:
        super().__init__()
        if not patch_samples or min(patch_samples) < 1:
            raise ConfigError(f"patch_samples are whole numbers from 1 up, got {list(patch_samples)}.")
        self.patch_samples = tuple(int(length) for length in patch_samples)
        self.counts = token_counts(n_times, self.patch_samples)
        self.patches = nn.ModuleList(nn.Linear(length * n_channels, dim, bias=False) for length in self.patch_samples)
        for layer in self.patches:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="leaky_relu")  # type: ignore[arg-type]
        self.lengths = nn.Parameter(torch.randn(len(self.patch_samples), dim))
        self.augmentation = TokenAugmentation(augmentations)
        table = torch.cat([_sinusoids(count, dim) for count in self.counts])
        self.register_buffer("positions", table, persistent=False)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) to (batch, token, dim), the tokens of the first length first."""
        by_time = signal.transpose(1, 2)
        longest = max(count * length for count, length in zip(self.counts, self.patch_samples, strict=True))
        last = by_time[:, -1:].expand(-1, longest - by_time.shape[1], -1)
        padded = torch.cat([by_time, last], dim=1)
        parts = [
            self.augmentation(layer(padded[:, : count * length].reshape(len(padded), count, -1)))
            for layer, count, length in zip(self.patches, self.counts, self.patch_samples, strict=True)
        ]
        return torch.cat(parts, dim=1) + self._places()

    def _places(self) -> torch.Tensor:
        """Return (token, dim): where a token lies among those of its length, and which length it is of."""
        counts = torch.tensor(self.counts, device=self.lengths.device)
        return self.positions + self.lengths.repeat_interleave(counts, dim=0, output_size=sum(self.counts))


def _sinusoids(n_places: int, dim: int) -> torch.Tensor:
    """Return (place, dim) sines at even and cosines at odd positions (Vaswani et al. 2017)."""
    angles = torch.arange(n_places)[:, None] * torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    table = torch.zeros(n_places, dim)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : dim // 2]
    return table


class SelfAttention(nn.Module):
    """Attention of tokens to each other; heads are `dim // n_heads` wide.

    Args:
        dim: Values per token.
        n_heads: Heads.
        dropout: Share of attention weights dropped.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        if not 1 <= n_heads <= dim:
            raise ConfigError(f"n_heads lies between 1 and dim={dim}, got {n_heads}.")
        self.n_heads, self.width, self.dropout = n_heads, dim // n_heads, Dropout(dropout)
        self.inputs = nn.Linear(dim, 3 * n_heads * self.width)  # queries, keys and values, in this order
        self.outputs = nn.Linear(n_heads * self.width, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (batch, token, dim) to (batch, token, dim)."""
        split = self.inputs(tokens).unflatten(-1, (3, self.n_heads, self.width))
        queries, keys, values = split.permute(2, 0, 3, 1, 4)
        return self.outputs(self._mixed(queries, keys, values).transpose(1, 2).flatten(2))

    def _mixed(self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the weighted values (batch, head, token, width)."""
        dropout = self.dropout.p if self.training else 0.0
        if dropout and queries.device.type == "cpu":
            # With dropout the fused kernel of processors is not available, and its mask is slow to draw.
            weights = (queries / math.sqrt(self.width) @ keys.transpose(-2, -1)).softmax(-1)
            return self.dropout(weights) @ values
        return functional.scaled_dot_product_attention(queries, keys, values, dropout_p=dropout)


class GranularAttention(nn.Module):
    """Attention among the tokens of each patch length, then of the last tokens of all lengths among each other.

    Args:
        counts: Tokens of each length.
        dim: Values per token.
        n_heads: Heads.
        dropout: Share of attention weights dropped.

    Source: Wang et al. 2024; the last token of each length is what carries between them.
    """

    def __init__(self, counts: Sequence[int], dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.counts = list(counts)
        self.within = nn.ModuleList(SelfAttention(dim, n_heads, dropout) for _ in self.counts)
        self.between = SelfAttention(dim, n_heads, dropout) if len(self.counts) > 1 else None

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (batch, token, dim) to (batch, token, dim)."""
        parts = [layer(part) for layer, part in zip(self.within, tokens.split(self.counts, dim=1), strict=True)]
        if self.between is None:
            return parts[0]
        carried = self.between(torch.cat([part[:, -1:] for part in parts], dim=1))
        pairs = zip(parts, carried.split(1, dim=1), strict=True)
        return torch.cat([piece for part, last in pairs for piece in (part[:, :-1], last)], dim=1)


class MedformerLayer(nn.Module):
    """Attention and a feed-forward network, each with a residual and a norm after it; shared by all patch lengths.

    Args:
        counts: Tokens of each length.
        dim: Values per token.
        n_heads: Heads of each attention.
        ff_dim: Hidden width of the feed-forward network.
        dropout: Share dropped of attention weights, attention outputs and both feed-forward stages.
    """

    def __init__(self, counts: Sequence[int], dim: int, n_heads: int, ff_dim: int, dropout: float) -> None:
        super().__init__()
        self.attention = GranularAttention(counts, dim, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.feed_forward = nn.Sequential(
            nn.Linear(dim, ff_dim), nn.GELU(), Dropout(dropout), nn.Linear(ff_dim, dim), Dropout(dropout)
        )
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (batch, token, dim) to (batch, token, dim)."""
        tokens = self.attention_norm(tokens + self.dropout(self.attention(tokens)))
        return self.feed_forward_norm(tokens + self.feed_forward(tokens))


class Medformer(nn.Module):
    """Signals to tokens of several patch lengths that have attended to each other.

    Args:
        n_channels: Channels.
        n_times: Samples.
        dim: Values per token.
        n_heads: Heads of each attention; `dim // n_heads` wide.
        ff_dim: Hidden width of the feed-forward networks.
        n_layers: Layers.
        patch_samples: Lengths of the patches.
        dropout: Share dropped, see `MedformerLayer`; of the output too.
        augmentations: See `TokenAugmentation`.

    Raises:
        ConfigError: Patch lengths, heads or augmentations that cannot be used.

    Source: Wang et al. 2024 (Medformer) as BrainFLORA uses it. Differs: no classification layer, which is never used
    there; queries, keys and values come from one matrix product, and norms and feed-forward networks see the tokens of
    all lengths at once, which changes no result.
    """

    def __init__(
        self,
        n_channels: int,
        n_times: int,
        dim: int = 250,
        n_heads: int = 4,
        ff_dim: int = 256,
        n_layers: int = 1,
        patch_samples: Sequence[int] = (2, 4, 8),
        dropout: float = 0.25,
        augmentations: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.patches = GranularPatches(n_channels, n_times, dim, patch_samples, augmentations)
        counts = self.patches.counts
        self.n_tokens = sum(counts)
        self.layers = nn.ModuleList(MedformerLayer(counts, dim, n_heads, ff_dim, dropout) for _ in range(n_layers))
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) to (batch, token, dim)."""
        return self.dropout(functional.gelu(self.normalised_tokens(self.patches(signal))))

    def normalised_tokens(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return tokens after all layers and the last norm, before the GELU."""
        for layer in self.layers:
            tokens = layer(tokens)
        return self.norm(tokens)
