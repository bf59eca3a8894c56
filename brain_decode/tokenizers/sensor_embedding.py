"""Where sensors are, how they are turned and what they measure, as vectors: no names, so any montage will do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.space import SPACE_TYPES

__all__ = ["MODELLED_TYPES", "SensorEmbedding", "SensorGeometry", "sensor_geometry"]

MODELLED_TYPES = ("eeg", "mag", "grad")  # in the order of the released weights; the paper's text swaps the last two


@dataclass(frozen=True)
class SensorGeometry:
    """Sensors of a batch as BrainOmni sees them.

    Args:
        positions: (batch, channel, 6): normalised position, then orientation (zeros for EEG).
        types: (batch, channel) index into `MODELLED_TYPES`; 0 where masked.
        mask: (batch, channel) bool; False where padded.
    """

    positions: torch.Tensor
    types: torch.Tensor
    mask: torch.Tensor


def sensor_geometry(batch: SignalBatch) -> SensorGeometry:
    """Return the geometry of a batch: positions centred and scaled within EEG and within MEG, per recording.

    Each group is centred on its mean position and divided by the root of three times its mean squared distance, so that
    a coordinate has about unit variance whatever the head and the unit.

    Raises:
        SpecMismatch: Sensors that are neither EEG nor MEG.
        DataError: Sensors without a position or MEG sensors without an orientation; one sensor of a kind.
    """
    types, mask = _modelled_types(batch), batch.channel_mask
    is_meg = (types > 0) & mask
    _require_geometry(batch, is_meg)
    positions = torch.zeros_like(batch.positions_m)
    for group in (~is_meg & mask, is_meg):
        positions = torch.where(group[..., None], _normalised(batch.positions_m, group), positions)
    orientations = torch.where(is_meg[..., None], batch.orientations, 0.0)
    return SensorGeometry(torch.cat([positions, orientations], dim=-1), types, mask)


def _modelled_types(batch: SignalBatch) -> torch.Tensor:
    number = torch.full((len(SPACE_TYPES),), -1, device=batch.sensor_types.device)
    for index, kind in enumerate(MODELLED_TYPES):
        number[SPACE_TYPES.index(kind)] = index
    types = number[batch.sensor_types.clamp(min=0)]
    unknown = (types < 0) & batch.channel_mask
    if unknown.any():
        kinds = sorted({SPACE_TYPES[int(kind)] for kind in batch.sensor_types[unknown].unique()})
        raise SpecMismatch(
            f"BrainTokenizer knows the sensor types {', '.join(MODELLED_TYPES)}; the recording has {kinds}. Pick EEG "
            "and MEG channels as the first preprocessing step."
        )
    return torch.where(batch.channel_mask, types, 0)


def _require_geometry(batch: SignalBatch, is_meg: torch.Tensor) -> None:
    lacking = batch.channel_mask & ~batch.positions_m.isfinite().all(-1)
    if lacking.any():
        raise DataError(
            f"{int(lacking.any(0).sum())} of {lacking.shape[1]} sensors have no position, and BrainTokenizer tells "
            "sensors apart by position. Name a montage (datasets.loader.montage=standard_1005; "
            "channels.montage=standard_1005 of a file), or drop them."
        )
    turned = is_meg & ~batch.orientations.isfinite().all(-1)
    if turned.any():
        raise DataError(
            f"{int(turned.any(0).sum())} MEG sensors have no coil orientation (unknown coil type). Read the recording "
            "with its device's own format, or drop them."
        )
    for name, group in (("EEG", ~is_meg & batch.channel_mask), ("MEG", is_meg)):
        if (group.sum(1) == 1).any():
            raise DataError(
                f"A recording has one {name} sensor; its position relative to the others, which BrainTokenizer works "
                "with, needs at least two. Add channels, or drop that sensor."
            )


def _normalised(positions: torch.Tensor, group: torch.Tensor) -> torch.Tensor:
    weight = group[..., None].to(positions.dtype)
    known = torch.where(group[..., None], positions, 0.0)
    count = weight.sum(1, keepdim=True).clamp(min=1)
    centred = (known - known.sum(1, keepdim=True) / count) * weight
    spread = torch.sqrt(3 * centred.square().sum((1, 2), keepdim=True) / count)
    if ((spread <= 0).flatten() & group.any(1)).any():
        raise DataError("All sensors of a kind have the same position. Give the dataset a montage.")
    return centred / torch.where(spread > 0, spread, 1.0)


class SensorEmbedding(nn.Module):
    """Geometry to one vector per sensor.

    Args:
        dim: Values per vector.

    Source: the sensor encoder of BrainOmni (arXiv 2505.18185); as in its code, no norm comes before the residual part.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.position_in = nn.Linear(6, dim // 2)
        self.position_out = nn.Linear(dim // 2, dim)
        self.kind = nn.Embedding(len(MODELLED_TYPES), dim)
        self.widen = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)
        self.norm = nn.RMSNorm(dim, eps=1e-6)

    def forward(self, geometry: SensorGeometry) -> torch.Tensor:
        """Return (batch, channel, dim)."""
        place = self.position_out(functional.selu(self.position_in(geometry.positions)))
        embedding = place + self.kind(geometry.types)
        return self.norm(embedding + self.narrow(functional.selu(self.widen(embedding))))
