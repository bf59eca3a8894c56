"""EEGNet: temporal filters, spatial filters of each, and separable convolution (Lawhern et al. 2018)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.folded_norm import FoldedBatchNorm
from brain_decode.nn.temporal_moments import filter_moments, same_padding
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["EEGNet"]

POOLS = (4, 8)  # Lawhern et al. 2018, table 2


class EEGNet(Encoder):
    """Encoder of EEGNet, for windows of one montage.

    Args:
        signal_spec: Sizes of the windows; 128 Hz in the paper.
        n_temporal: Temporal filters (F1).
        n_spatial: Spatial filters of each temporal filter (D).
        n_separable: Filters of the separable convolution (F2), and values per token.
        temporal_s: Length of a temporal filter; half a second in the paper.
        separable_s: Length of a filter of the separable convolution; half a second in the paper.
        dropout: Share of values dropped after each pooling; 0.5 within and 0.25 across subjects in the paper.
        spatial_norm_limit: Largest Euclidean norm of a spatial filter.

    Raises:
        ConfigError: A filter shorter than one sample.
        SpecMismatch: Windows shorter than one token (32 samples).

    Source: Lawhern et al. 2018, table 2. Differs: in the order of the arithmetic, not in the result. Temporal and
    spatial filters commute, so the few spatial combinations are formed before they are filtered in time; the batch
    normalisation between the two is folded into one scale and shift per temporal filter, its statistics taken from
    the moments of the signal. The norm limit of the classification layer is left to the head.
    """

    architecture = "eegnet"

    def __init__(
        self,
        signal_spec: SignalSpec,
        n_temporal: int = 8,
        n_spatial: int = 2,
        n_separable: int = 16,
        temporal_s: float = 0.5,
        separable_s: float = 0.5,
        dropout: float = 0.5,
        spatial_norm_limit: float = 1.0,
    ) -> None:
        super().__init__(signal_spec)
        self.n_tokens = signal_spec.n_times // POOLS[0] // POOLS[1]
        if self.n_tokens < 1:
            raise SpecMismatch(
                f"EEGNet needs windows of at least {POOLS[0] * POOLS[1]} samples, got {signal_spec.n_times}. "
                "Use longer windows or a higher rate."
            )
        n_maps = n_temporal * n_spatial
        temporal_samples = _samples("temporal_s", temporal_s, signal_spec.rate_hz)
        separable_samples = _samples("separable_s", separable_s, signal_spec.rate_hz / POOLS[0])
        self.spatial_norm_limit = spatial_norm_limit
        self.temporal = nn.Parameter(torch.empty(n_temporal, temporal_samples))
        self.temporal_norm = FoldedBatchNorm(n_temporal)
        self.spatial = nn.Parameter(torch.empty(n_temporal, n_spatial, signal_spec.n_channels))
        self.spatial_norm = nn.BatchNorm1d(n_maps)
        self.depthwise = nn.Parameter(torch.empty(n_maps, separable_samples))
        self.pointwise = nn.Linear(n_maps, n_separable, bias=False)
        self.separable_norm = nn.BatchNorm1d(n_separable)
        self.dropout = nn.Dropout(dropout)
        self.embedding_dim = n_separable * self.n_tokens
        self._initialise()

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened tokens, time before filters, and the tokens (batch, token, filter)."""
        self.require_spec(batch)
        maps = functional.elu(self.spatial_norm(self._filtered(batch.signal.to(self.temporal.dtype))))
        maps = self.dropout(functional.avg_pool1d(maps, POOLS[0]))
        maps = self.pointwise(_depthwise(maps, self.depthwise).transpose(1, 2)).transpose(1, 2)
        maps = functional.elu(self.separable_norm(maps))
        tokens = self.dropout(functional.avg_pool1d(maps, POOLS[1])).transpose(1, 2)
        return BrainEmbedding(tokens.flatten(1), tokens)

    def _filtered(self, signal: torch.Tensor) -> torch.Tensor:
        """Return (batch, map, time): temporal filters, their batch normalisation, and spatial filters."""
        self._limit_norms()
        scale, shift = self._temporal_scale_and_shift(signal)
        n_spatial = self.spatial.shape[1]
        mixed = self.spatial.flatten(0, 1) @ signal
        filters = (scale[:, None] * self.temporal).repeat_interleave(n_spatial, dim=0)
        offset = (shift[:, None] * self.spatial.sum(2)).flatten()
        return _depthwise(mixed, filters) + offset[:, None]

    def _temporal_scale_and_shift(self, signal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.temporal_norm.training:
            return self.temporal_norm.running_scale_and_shift()
        mean, variance = filter_moments(signal, self.temporal)
        return self.temporal_norm.scale_and_shift(mean, variance, signal.numel())

    @torch.no_grad()
    def _limit_norms(self) -> None:
        norms = self.spatial.norm(dim=2, keepdim=True)
        self.spatial.mul_((self.spatial_norm_limit / norms.clamp(min=1e-12)).clamp(max=1.0))

    def _initialise(self) -> None:
        """Draw weights uniformly as the authors' Keras layers do (Glorot, fan-ins and fan-outs of convolutions)."""
        for weight, fan in (
            (self.temporal, self.temporal.shape[1] * (1 + len(self.temporal))),
            (self.spatial, self.spatial.shape[2] * (self.spatial.shape[0] + self.spatial.shape[1])),
            (self.depthwise, self.depthwise.shape[1] * (len(self.depthwise) + 1)),
            (self.pointwise.weight, sum(self.pointwise.weight.shape)),
        ):
            limit = (6.0 / fan) ** 0.5
            nn.init.uniform_(weight, -limit, limit)


def _depthwise(maps: torch.Tensor, filters: torch.Tensor) -> torch.Tensor:
    """Correlate each map (batch, map, time) with its own filter (map, sample), keeping the length."""
    padded = functional.pad(maps, same_padding(filters.shape[1]))
    return functional.conv1d(padded, filters[:, None], groups=len(filters))


def _samples(name: str, seconds: float, rate_hz: float) -> int:
    samples = round(seconds * rate_hz)
    if samples < 1:
        raise ConfigError(f"{name}={seconds:g} s is less than one sample at {rate_hz:g} Hz. Choose a longer filter.")
    return samples
