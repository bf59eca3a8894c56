"""Temporal filters, a mean filter and one spatial filter bank: the convolutions that NICE, ATM and BrainFLORA share."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import SpecMismatch
from brain_decode.nn.folded_norm import FoldedBatchNorm

__all__ = ["POOL_SAMPLES", "POOL_STEP", "StemLayers", "TemporalSpatialStem", "initialise_stem", "stem_from_official"]

POOL_SAMPLES, POOL_STEP = 51, 5  # Song et al. 2024
_TOKENS_AT_ONCE = 16  # of one product of moments: work grows with the length of rows, not with its square


class StemLayers:
    """The layers and the arithmetic of the stem, for a module that keeps the layers under its own names.

    Source: Song et al. 2024 (NICE, `nice_stand.py`); ATM and BrainFLORA took the same layers over. Differs: in the
    order of the arithmetic, not in the result. The mean filter follows the temporal filters directly, both are linear
    and act along time, so it is applied to the input first and the filters step over its output; the first batch
    normalisation is folded into the filters, its statistics being those of the filters' input.
    """

    temporal: nn.Linear
    temporal_norm: FoldedBatchNorm
    spatial: nn.Linear
    spatial_norm: nn.BatchNorm1d
    dropout: nn.Dropout
    projection: nn.Linear

    def add_stem(
        self,
        n_rows: int,
        n_samples: int,
        *,
        model: str,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = POOL_SAMPLES,
        pool_step: int = POOL_STEP,
        dropout: float = 0.5,
    ) -> None:
        """Add the layers to this module; arguments as of `TemporalSpatialStem`."""
        shortest = temporal_samples + pool_samples - 1
        if n_samples < shortest:
            raise SpecMismatch(
                f"{model} needs windows of at least {shortest} samples, got {n_samples}. "
                "Use longer windows, a higher rate, or smaller temporal_samples and pool_samples."
            )
        self.temporal_samples, self.pool_samples, self.pool_step = temporal_samples, pool_samples, pool_step
        self.n_tokens = (n_samples - shortest) // pool_step + 1
        self.temporal = nn.Linear(temporal_samples, n_filters)
        self.temporal_norm = FoldedBatchNorm(n_filters)
        self.spatial = nn.Linear(n_rows * n_filters, n_filters)
        self.spatial_norm = nn.BatchNorm1d(n_filters)
        self.dropout = nn.Dropout(dropout)
        self.projection = nn.Linear(n_filters, n_filters)

    def stem_tokens(self, rows: torch.Tensor) -> torch.Tensor:
        """Return tokens (batch, token, filter) of rows (batch, row, sample)."""
        return self.projection(self.dropout(self.stem_maps(rows)))

    def stem_maps(self, rows: torch.Tensor) -> torch.Tensor:
        """Return what comes before dropout and projection, (batch, token, filter)."""
        means = functional.avg_pool1d(rows.to(self.temporal.weight.dtype), self.pool_samples, stride=1)
        weight, bias = self._normalised_filters(means)
        frames = self._frames(means).flatten(0, 2)
        # In rows, because overwriting a view costs a copy of the whole map in the backward pass.
        maps = functional.elu(functional.linear(frames, weight, bias), inplace=True)
        spatial = self.spatial_norm(self.spatial(maps.view(-1, self.spatial.in_features)))
        return functional.elu(spatial).unflatten(0, (-1, self.n_tokens))

    def _frames(self, means: torch.Tensor) -> torch.Tensor:
        """Return (batch, token, row, sample) running means under each step of the temporal filters."""
        return means.unfold(-1, self.temporal_samples, self.pool_step).permute(0, 2, 1, 3).contiguous()

    def _normalised_filters(self, means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return temporal filters and biases with the first batch normalisation multiplied in."""
        weight, bias = self.temporal.weight, self.temporal.bias
        if not self.temporal_norm.training:
            scale, shift = self.temporal_norm.running_scale_and_shift()
            return scale[:, None] * weight, scale * bias + shift
        with torch.autocast(means.device.type, enabled=False):
            mean, covariance = self._frame_moments(means)
            output_mean = weight.to(mean.dtype) @ mean + bias
            output_variance = ((weight.to(mean.dtype) @ covariance) * weight).sum(1)
            count = means.shape[0] * means.shape[1] * self.n_tokens
            scale, shift = self.temporal_norm.scale_and_shift(output_mean, output_variance, count)
            return scale[:, None] * weight, scale * bias + shift

    def _frame_moments(self, means: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean (sample,) and biased covariance (sample, sample) of the frames, which overlap.

        Their products are blocks on the diagonal of the products of pieces of rows, so that the frames themselves,
        several times larger, are not read for it. Everything is centred before it is multiplied.
        """
        rows = means.flatten(0, 1)
        place_means = rows.mean(0)
        centred, frame_means = rows - place_means, self._steps(place_means, 0)
        mean = frame_means.mean(0)
        between = frame_means - mean
        products = between.T @ between * len(rows)
        for first in range(0, self.n_tokens, _TOKENS_AT_ONCE):
            products = products + self._products(centred, first)
        return mean, products / (len(rows) * self.n_tokens)

    def _products(self, rows: torch.Tensor, first: int) -> torch.Tensor:
        """Return the (sample, sample) products within the frames of some tokens, summed over tokens and rows."""
        last = min(first + _TOKENS_AT_ONCE, self.n_tokens) - 1
        piece = rows[:, first * self.pool_step : last * self.pool_step + self.temporal_samples]
        return self._steps(self._steps(piece.T @ piece, 0), 1).diagonal(dim1=0, dim2=1).sum(-1)

    def _steps(self, values: torch.Tensor, axis: int) -> torch.Tensor:
        """Return what lies under each step of the filters along an axis; the steps come in its place, samples last."""
        return values.unfold(axis, self.temporal_samples, self.pool_step)


class TemporalSpatialStem(StemLayers, nn.Module):
    """Rows of samples to tokens: temporal filters, a mean filter, filters over all rows, and a projection.

    Args:
        n_rows: Rows of a map: channels, or the tokens of an attention layer. One spatial filter spans all of them.
        n_samples: Samples of a row; 250 in the papers.
        model: Name of the model in the error.
        n_filters: Temporal filters, spatial filters and values per token.
        temporal_samples: Length of a temporal filter.
        pool_samples: Length of the mean filter.
        pool_step: Samples from one token to the next.
        dropout: Share of values dropped after the spatial filters.

    Raises:
        SpecMismatch: Rows shorter than one token.

    Source and differences: `StemLayers`.
    """

    def __init__(
        self,
        n_rows: int,
        n_samples: int,
        *,
        model: str,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = POOL_SAMPLES,
        pool_step: int = POOL_STEP,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.add_stem(
            n_rows,
            n_samples,
            model=model,
            n_filters=n_filters,
            temporal_samples=temporal_samples,
            pool_samples=pool_samples,
            pool_step=pool_step,
            dropout=dropout,
        )
        self.output_dim = self.n_tokens * n_filters

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return tokens (batch, token, filter) of rows (batch, row, sample)."""
        return self.stem_tokens(rows)


def initialise_stem(module: nn.Module) -> None:
    """Draw the weights of a layer as the authors of NICE do; give it to `apply`."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm1d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def stem_from_official(state_dict: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the authors' stem as the state dict of `StemLayers`, in float32.

    Args:
        state_dict: Their weights.
        prefix: What stands before `tsconv` and `projection` in their keys, such as "Enc_eeg.0.".

    Raises:
        KeyError: A weight is missing.
    """
    own = {name: state_dict[f"{prefix}{theirs}"].float() for name, theirs in _KEYS.items()}
    own["temporal.weight"] = own["temporal.weight"].flatten(1)
    own["spatial.weight"] = own["spatial.weight"].squeeze(-1).transpose(1, 2).flatten(1).contiguous()
    own["projection.weight"] = own["projection.weight"].flatten(1)
    for norm in ("temporal_norm", "spatial_norm"):
        own[f"{norm}.num_batches_tracked"] = torch.zeros((), dtype=torch.long)
    return own


_NORM_PARTS = ("weight", "bias", "running_mean", "running_var")
_KEYS = {
    **{f"temporal.{part}": f"tsconv.0.{part}" for part in ("weight", "bias")},
    **{f"temporal_norm.{part}": f"tsconv.2.{part}" for part in _NORM_PARTS},
    **{f"spatial.{part}": f"tsconv.4.{part}" for part in ("weight", "bias")},
    **{f"spatial_norm.{part}": f"tsconv.5.{part}" for part in _NORM_PARTS},
    **{f"projection.{part}": f"projection.0.{part}" for part in ("weight", "bias")},
}
