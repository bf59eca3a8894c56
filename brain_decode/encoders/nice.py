"""NICE: attention among channels or none, then temporal and spatial filters (Song et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.projector import Projector, projector_from_official
from brain_decode.nn.temporal_spatial_stem import (
    POOL_SAMPLES,
    POOL_STEP,
    StemLayers,
    initialise_stem,
    stem_from_official,
)
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["NICE", "ChannelAttention", "GraphAttention", "from_official", "settings_from_official"]

_ATTENTIONS = ("none", "self", "graph")


class NICE(StemLayers, Encoder):
    """Encoder of NICE, for windows of one montage.

    Args:
        signal_spec: Sizes of the windows; 63 channels x 250 samples at 250 Hz in the paper.
        n_filters: Temporal filters, spatial filters and values per token.
        temporal_samples: Length of a temporal filter.
        pool_samples: Length of the mean filter.
        pool_step: Samples from one token to the next.
        dropout: Share of values dropped after the spatial filters.
        attention: What channels learn of each other before the filters: "none", "self" (NICE-SA) or "graph" (NICE-GA).
        attention_dropout: Share of values dropped behind the attention.
        projected_dim: Values per vector behind the authors' projector; None ends before it and leaves it to the head.

    Raises:
        ConfigError: An unknown attention.
        SpecMismatch: Windows shorter than one token.

    Source: Song et al. 2024 and the authors' `nice_stand.py`. Differs: in the order of the arithmetic, not in the
    result, see `StemLayers`. The encoder without attention is compared with the authors' outputs; of the two with
    attention there are none to compare with, they follow the paper.
    """

    architecture = "nice"

    def __init__(
        self,
        signal_spec: SignalSpec,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = POOL_SAMPLES,
        pool_step: int = POOL_STEP,
        dropout: float = 0.5,
        attention: str = "none",
        attention_dropout: float = 0.3,
        projected_dim: int | None = None,
    ) -> None:
        Encoder.__init__(self, signal_spec)
        if attention not in _ATTENTIONS:
            raise unknown_option("attention", attention, _ATTENTIONS)
        self.add_stem(
            signal_spec.n_channels,
            signal_spec.n_times,
            model="NICE",
            n_filters=n_filters,
            temporal_samples=temporal_samples,
            pool_samples=pool_samples,
            pool_step=pool_step,
            dropout=dropout,
        )
        n_values = self.n_tokens * n_filters
        self.projector = None if projected_dim is None else Projector(n_values, projected_dim)
        self.embedding_dim = n_values if projected_dim is None else projected_dim
        self.apply(initialise_stem)
        # Created afterwards, with the first weights of its own.
        self.attention: nn.Module | None = None
        if attention == "self":
            self.attention = ChannelAttention(signal_spec.n_channels, attention_dropout)
        elif attention == "graph":
            self.attention = GraphAttention(signal_spec.n_times)
        self.attention_dropout = nn.Dropout(attention_dropout)

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened tokens, time before filters, or their projection, and (batch, token, filter) tokens."""
        self.require_spec(batch)
        signal = batch.signal
        if self.attention is not None:
            signal = signal.to(self.temporal.weight.dtype)
            signal = signal + self.attention_dropout(self.attention(signal))
        tokens = self.stem_tokens(signal)
        flat = tokens.flatten(1)
        return BrainEmbedding(flat if self.projector is None else self.projector(flat), tokens)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters that an embedding depends on, from input to output."""
        first = [] if self.attention is None else [list(self.attention.parameters())]
        stem = [self.temporal, self.temporal_norm, self.spatial, self.spatial_norm, self.projection]
        last = [] if self.projector is None else [list(self.projector.parameters())]
        return [*first, [weight for layer in stem for weight in layer.parameters()], *last]


class ChannelAttention(nn.Module):
    """Each channel as a mean of all channels, weighted by how alike they are over coarse time.

    Queries and keys are mixtures of channels at each moment, normalised over channels, and averaged over stretches of
    samples before they are compared; the outcome passes one more such mixture.

    Args:
        n_channels: Channels of a window.
        dropout: Share of values dropped in the three mixtures.
        stretch_samples: Samples that are averaged before queries and keys are compared.

    Source: Song et al. 2024, NICE-SA.
    """

    def __init__(self, n_channels: int, dropout: float = 0.3, stretch_samples: int = 30) -> None:
        super().__init__()
        self.stretch_samples = stretch_samples
        self.query, self.key, self.out = (_mixture(n_channels, dropout) for _ in range(3))

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) to the same shape."""
        by_time = signal.transpose(1, 2)
        query, key = self._coarse(self.query(by_time)), self._coarse(self.key(by_time))
        mixed = functional.scaled_dot_product_attention(query, key, signal)
        return self.out(mixed.transpose(1, 2)).transpose(1, 2)

    def _coarse(self, by_time: torch.Tensor) -> torch.Tensor:
        """Return (batch, channel, stretch) of (batch, time, channel)."""
        return functional.avg_pool1d(by_time.transpose(1, 2), min(self.stretch_samples, by_time.shape[1]))


def _mixture(n_channels: int, dropout: float) -> nn.Sequential:
    layer = nn.Linear(n_channels, n_channels)
    nn.init.xavier_uniform_(layer.weight)
    return nn.Sequential(layer, nn.LayerNorm(n_channels), nn.Dropout(dropout))


class GraphAttention(nn.Module):
    """One layer of graph attention on the graph in which every channel is a neighbour of all, itself included.

    Args:
        n_samples: Samples of a channel, before and after.
        negative_slope: Of the rectifier that scores pass.

    Source: Song et al. 2024, NICE-GA; the layer is that of Velickovic et al. 2018 with one head. Differs: from a layer
    for graphs of any shape in speed only; a score is a sum of one term of each channel, so that no list of edges is
    needed. Each window is a graph of its own.
    """

    def __init__(self, n_samples: int, negative_slope: float = 0.2) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.project = nn.Linear(n_samples, n_samples, bias=False)
        self.score = nn.Linear(n_samples, 2, bias=False)
        self.bias = nn.Parameter(torch.zeros(n_samples))
        for layer in (self.project, self.score):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) to the same shape."""
        projected = self.project(signal)
        own, neighbour = self.score(projected).unbind(-1)
        scores = functional.leaky_relu(own[:, :, None] + neighbour[:, None, :], self.negative_slope)
        return scores.softmax(-1) @ projected + self.bias


def settings_from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the arguments of `NICE` that fit the authors' weights; keys as in `from_official`.

    Raises:
        DataError: An encoder weight is missing.
    """
    try:
        temporal, spatial = (state_dict[f"Enc_eeg.0.tsconv.{layer}.weight"] for layer in (0, 4))
    except KeyError as error:
        raise _foreign(error) from error
    projected = state_dict.get("Proj_eeg.0.bias")
    return {
        "n_filters": len(spatial),
        "temporal_samples": temporal.shape[-1],
        "projected_dim": None if projected is None else len(projected),
    }


def _foreign(error: KeyError) -> DataError:
    return DataError(f"These are not NICE weights: {error} is missing. Prefix the encoder's keys with Enc_eeg.")


def from_official(state_dict: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Map the authors' weights to state dicts of `NICE` and of the projector of the retrieval head.

    Args:
        state_dict: Their encoder and projector, keys prefixed `Enc_eeg.` and `Proj_eeg.`; any float type.

    Returns:
        Encoder and projector weights in float32; the projector is empty where none was given.

    Raises:
        DataError: An encoder weight is missing.
    """
    try:
        encoder = stem_from_official(state_dict, "Enc_eeg.0.")
    except KeyError as error:
        raise _foreign(error) from error
    return encoder, projector_from_official(state_dict, "Proj_eeg.")
