"""Averages of repetitions after every step, made once and kept as a memory map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from brain_decode.core.files import fill_atomically
from brain_decode.core.progress import track
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.windows import Windows
from brain_decode.training.batches import Batch

__all__ = ["StoredAverages", "store_averages"]

_AVERAGED_AT_ONCE = 256


class _Averages(Protocol):
    """Whatever averages windows by position."""

    def __len__(self) -> int: ...

    def windows(self, positions: np.ndarray) -> Windows:
        """Return one averaged window per position."""

    def target_tensor(self, positions: np.ndarray) -> torch.Tensor:
        """Return the target of each position."""

    def subject_indices(self, positions: np.ndarray) -> torch.Tensor:
        """Return the training index of each position's subject."""


@dataclass(frozen=True)
class StoredAverages:
    """Averages on disk, read a batch at a time: a network sees them in every epoch, and they cost as much as its step.

    Args:
        path: (position, channel, time) float32.
        signal_spec: What they look like.
        reader: Made them; knows targets and subjects.
    """

    path: Path
    signal_spec: SignalSpec
    reader: _Averages

    def batch(self, positions: np.ndarray) -> Batch:
        """Return the averages at these positions and their targets."""
        rows = np.asarray(positions)
        signal = SignalBatch.from_array(
            np.load(self.path, mmap_mode="r")[rows],
            self.signal_spec.sensors,
            self.signal_spec.rate_hz,
            start_s=self.signal_spec.start_s,
            subjects=self.reader.subject_indices(rows),
        )
        return signal, self.reader.target_tensor(rows)


def store_averages(reader: _Averages, spec: SignalSpec, path: Path) -> StoredAverages:
    """Average the windows of every position once; what a killed run has finished is used again.

    Args:
        reader: Reads and averages windows of the fitted preprocessing.
        spec: What the averages look like.
        path: Of the memory map; written beside and renamed.

    Raises:
        StorageError: The disk is full.
    """
    if not path.is_file():
        fill_atomically(path, partial(_write, reader, spec))
    return StoredAverages(path, spec, reader)


def _write(reader: _Averages, spec: SignalSpec, path: Path) -> None:
    shape = (len(reader), spec.n_channels, spec.n_times)
    averages = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    starts = range(0, len(reader), _AVERAGED_AT_ONCE)
    for start in track(starts, "Averaging repetitions", len(starts)):
        rows = np.arange(start, min(start + _AVERAGED_AT_ONCE, len(reader)))
        averages[rows] = reader.windows(rows).data
    averages.flush()
