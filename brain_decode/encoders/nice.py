"""NICE: temporal filters, a mean filter, one spatial filter bank and a projection (Song et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.folded_norm import FoldedBatchNorm
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["NICE", "from_official"]


class NICE(Encoder):
    """Encoder of NICE, for windows of one montage.

    Args:
        signal_spec: Sizes of the windows; 63 channels x 250 samples at 250 Hz in the paper.
        n_filters: Temporal filters, spatial filters and values per token.
        temporal_samples: Length of a temporal filter.
        pool_samples: Length of the mean filter.
        pool_step: Samples from one token to the next.
        dropout: Share of values dropped after the spatial filters.

    Raises:
        SpecMismatch: Windows shorter than one token.

    Source: Song et al. 2024 and the authors' `nice_stand.py`. Differs: in the order of the arithmetic, not in the
    result. The mean filter follows the temporal filters directly, both are linear and act along time, so it is applied
    to the one-channel input first and the filters step over its output; the first batch normalisation is folded into
    the filters, its statistics being those of the filters' input.
    """

    architecture = "nice"

    def __init__(
        self,
        signal_spec: SignalSpec,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = 51,
        pool_step: int = 5,
        dropout: float = 0.5,
    ) -> None:
        super().__init__(signal_spec)
        shortest = temporal_samples + pool_samples - 1
        if signal_spec.n_times < shortest:
            raise SpecMismatch(
                f"NICE needs windows of at least {shortest} samples, got {signal_spec.n_times}. "
                "Use longer windows, a higher rate, or smaller temporal_samples and pool_samples."
            )
        self.temporal_samples, self.pool_samples, self.pool_step = temporal_samples, pool_samples, pool_step
        self.n_tokens = (signal_spec.n_times - shortest) // pool_step + 1
        self.temporal = nn.Linear(temporal_samples, n_filters)
        self.temporal_norm = FoldedBatchNorm(n_filters)
        self.spatial = nn.Linear(signal_spec.n_channels * n_filters, n_filters)
        self.spatial_norm = nn.BatchNorm1d(n_filters)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(n_filters, n_filters)
        self.embedding_dim = self.n_tokens * n_filters
        self.apply(_initialise)

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened tokens, time before filters, and the tokens (batch, token, filter)."""
        self.require_spec(batch)
        frames = self._frames(batch.signal.to(self.temporal.weight.dtype))
        weight, bias = self._normalised_filters(frames)
        # In rows, because overwriting a view costs a copy of the whole map in the backward pass.
        maps = functional.elu(functional.linear(frames.flatten(0, 2), weight, bias), inplace=True)
        spatial = self.spatial_norm(self.spatial(maps.view(-1, self.spatial.in_features)))
        tokens = self.projection(self.dropout(functional.elu(spatial))).unflatten(0, (-1, self.n_tokens))
        return BrainEmbedding(tokens.flatten(1), tokens)

    def _frames(self, signal: torch.Tensor) -> torch.Tensor:
        """Return (batch, token, channel, sample) running means under each step of the temporal filters."""
        means = functional.avg_pool1d(signal, self.pool_samples, stride=1)
        frames = means.unfold(-1, self.temporal_samples, self.pool_step)
        return frames.permute(0, 2, 1, 3).contiguous()

    def _normalised_filters(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return temporal filters and biases with the first batch normalisation multiplied in."""
        weight, bias = self.temporal.weight, self.temporal.bias
        if not self.temporal_norm.training:
            scale, shift = self.temporal_norm.running_scale_and_shift()
            return scale[:, None] * weight, scale * bias + shift
        with torch.autocast(frames.device.type, enabled=False):
            rows = frames.flatten(0, 2)
            mean = rows.mean(0)
            centred = rows - mean
            covariance = centred.T @ centred / len(rows)
            output_mean = weight.to(mean.dtype) @ mean + bias
            output_variance = ((weight.to(mean.dtype) @ covariance) * weight).sum(1)
            scale, shift = self.temporal_norm.scale_and_shift(output_mean, output_variance, len(rows))
            return scale[:, None] * weight, scale * bias + shift


def _initialise(module: nn.Module) -> None:
    """Draw weights as the authors do."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm1d):
        nn.init.normal_(module.weight, 1.0, 0.02)


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
        encoder = {own: state_dict[f"Enc_eeg.0.{theirs}"].float() for own, theirs in _ENCODER_KEYS.items()}
    except KeyError as error:
        raise DataError(
            f"These are not NICE weights: {error} is missing. Prefix the encoder's keys with Enc_eeg."
        ) from error
    encoder["temporal.weight"] = encoder["temporal.weight"].flatten(1)
    encoder["spatial.weight"] = encoder["spatial.weight"].squeeze(-1).transpose(1, 2).flatten(1).contiguous()
    encoder["projection.weight"] = encoder["projection.weight"].flatten(1)
    for norm in ("temporal_norm", "spatial_norm"):
        encoder[f"{norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    present = {
        own: f"Proj_eeg.{theirs}" for own, theirs in _PROJECTOR_KEYS.items() if f"Proj_eeg.{theirs}" in state_dict
    }
    return encoder, {own: state_dict[theirs].float() for own, theirs in present.items()}


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_ENCODER_KEYS = {
    **{f"temporal.{part}": f"tsconv.0.{part}" for part in ("weight", "bias")},
    **{f"temporal_norm.{part}": f"tsconv.2.{part}" for part in _NORM_PARTS},
    **{f"spatial.{part}": f"tsconv.4.{part}" for part in ("weight", "bias")},
    **{f"spatial_norm.{part}": f"tsconv.5.{part}" for part in _NORM_PARTS},
    **{f"projection.{part}": f"projection.0.{part}" for part in ("weight", "bias")},
}
_PROJECTOR_KEYS = {
    f"{own}.{part}": f"{theirs}.{part}"
    for own, theirs in (("linear", "0"), ("residual.1", "1.fn.1"), ("normalise", "2"))
    for part in ("weight", "bias")
}
