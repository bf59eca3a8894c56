"""What every model receives: padded tensors and masks, montages mixed within a batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.signals.space import SPACE_TYPES, Space
from brain_decode.signals.windows import Windows

__all__ = ["SignalBatch", "subject_indices"]


@dataclass(frozen=True)
class SignalBatch:
    """Windows of one or several montages as tensors.

    Args:
        signal: (batch, channel, time) float; zero where padded.
        channel_mask: (batch, channel) bool; False where padded.
        time_mask: (batch, time) bool; False where padded.
        positions_m: (batch, channel, 3) metres; NaN where unknown or padded.
        orientations: (batch, channel, 3) unit vectors, see `Sensors.orientations`; NaN where a sensor has none.
        sensor_types: (batch, channel) index into `SPACE_TYPES`; -1 where padded.
        subjects: (batch,) subject index, -1 for a subject unknown in training.
        rate_hz: Samples per second, one for the batch.
        start_s: Time of the first sample relative to the event.
    """

    signal: torch.Tensor
    channel_mask: torch.Tensor
    time_mask: torch.Tensor
    positions_m: torch.Tensor
    orientations: torch.Tensor
    sensor_types: torch.Tensor
    subjects: torch.Tensor
    rate_hz: float
    start_s: float = 0.0

    def __len__(self) -> int:
        return int(self.signal.shape[0])

    @property
    def is_padded(self) -> bool:
        """True when some windows lack channels or samples that others have."""
        return not bool(self.channel_mask.all() and self.time_mask.all())

    @classmethod
    def from_array(
        cls,
        signal: np.ndarray | torch.Tensor,
        sensors: Space,
        rate_hz: float,
        *,
        start_s: float = 0.0,
        subjects: np.ndarray | torch.Tensor | None = None,
    ) -> SignalBatch:
        """Return the batch of (batch, channel, time) windows that share one montage."""
        tensor = torch.as_tensor(signal)
        if tensor.dtype != torch.float64:
            tensor = tensor.to(torch.float32)
        batch, channels, times = tensor.shape
        if channels != len(sensors):
            raise SpecMismatch(f"A batch of {channels} channels was given with {len(sensors)} sensors.")
        kinds = torch.tensor([SPACE_TYPES.index(kind) for kind in sensors.types])
        return cls(
            signal=tensor,
            channel_mask=torch.ones(batch, channels, dtype=torch.bool),
            time_mask=torch.ones(batch, times, dtype=torch.bool),
            positions_m=torch.tensor(sensors.positions_m, dtype=torch.float32).expand(batch, -1, -1),
            orientations=torch.tensor(sensors.orientations, dtype=torch.float32).expand(batch, -1, -1),
            sensor_types=kinds.expand(batch, -1),
            subjects=torch.full((batch,), -1) if subjects is None else torch.as_tensor(subjects).long(),
            rate_hz=rate_hz,
            start_s=start_s,
        )

    @classmethod
    def from_windows(cls, windows: Windows, subjects: Sequence[str] = ()) -> SignalBatch:
        """Return windows as a batch; `subjects` lists the training subjects in index order."""
        labels = windows.table["subject"] if "subject" in windows.table else [""] * len(windows)
        return cls.from_array(
            windows.data,
            windows.space,
            windows.rate_hz,
            start_s=windows.start_s,
            subjects=subject_indices(list(labels), subjects),
        )

    @classmethod
    def concatenate(cls, batches: Sequence[SignalBatch]) -> SignalBatch:
        """Join batches of different montages and lengths, padding at the end of the channel and time axes.

        Raises:
            SpecMismatch: Sampling rates that differ; resample first.
        """
        rates = {batch.rate_hz for batch in batches}
        if len(rates) != 1:
            raise SpecMismatch(f"One batch has one sampling rate, got {sorted(rates)} Hz. Add a resample step.")
        channels = max(batch.signal.shape[1] for batch in batches)
        times = max(batch.signal.shape[2] for batch in batches)
        padded = [batch._padded(channels, times) for batch in batches]
        joined = {
            name: torch.cat([getattr(batch, name) for batch in padded])
            for name in (entry.name for entry in fields(cls))
            if name not in ("rate_hz", "start_s")
        }
        return replace(padded[0], **joined)  # type: ignore[arg-type]

    def _padded(self, channels: int, times: int) -> SignalBatch:
        more_channels, more_times = channels - self.signal.shape[1], times - self.signal.shape[2]
        pad = torch.nn.functional.pad
        return replace(
            self,
            signal=pad(self.signal, (0, more_times, 0, more_channels)),
            channel_mask=pad(self.channel_mask, (0, more_channels), value=False),
            time_mask=pad(self.time_mask, (0, more_times), value=False),
            positions_m=pad(self.positions_m, (0, 0, 0, more_channels), value=float("nan")),
            orientations=pad(self.orientations, (0, 0, 0, more_channels), value=float("nan")),
            sensor_types=pad(self.sensor_types, (0, more_channels), value=-1),
        )

    def to(self, device: torch.device | str) -> SignalBatch:
        """Return the batch on another device."""
        moved = {
            entry.name: value.to(device)
            for entry in fields(self)
            if isinstance(value := getattr(self, entry.name), torch.Tensor)
        }
        return replace(self, **moved)  # type: ignore[arg-type]

    def rows(self, indices: torch.Tensor | np.ndarray) -> SignalBatch:
        """Return the windows at these positions."""
        chosen = torch.as_tensor(indices)
        picked = {
            entry.name: value[chosen]
            for entry in fields(self)
            if isinstance(value := getattr(self, entry.name), torch.Tensor)
        }
        return replace(self, **picked)  # type: ignore[arg-type]


def subject_indices(labels: Sequence[str], known: Sequence[str]) -> torch.Tensor:
    """Return the position of each subject label among the known ones, -1 for an unknown subject."""
    order = {subject: index for index, subject in enumerate(known)}
    return torch.tensor([order.get(str(label), -1) for label in labels], dtype=torch.long)
