"""The raw files of THINGS-EEG2: continuous signals with a trigger channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from brain_decode.core.errors import DataError
from brain_decode.datasets.numpy_pickle import read_pickled_mapping
from brain_decode.signals.sensors import SENSOR_TYPES

__all__ = ["RawFile", "read_raw_file"]

TARGET_TRIGGER = 99999  # the picture that participants had to report; its trials belong to no condition
_KEYS = ("raw_eeg_data", "ch_names", "ch_types", "sfreq")


@dataclass(frozen=True, eq=False)
class MappedSignal:
    """A (channel, time) array in a file, scaled where it is read."""

    array: np.ndarray
    factors: np.ndarray

    @property
    def n_times(self) -> int:
        return int(self.array.shape[1])

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples [start, stop) as (channel, time) float64 in SI units."""
        return np.asarray(self.array[:, start:stop], dtype=np.float64) * self.factors[:, None]


@dataclass(frozen=True)
class RawFile:
    """One partition of one session.

    Args:
        source: The signal with its trigger channel, left in the file.
        channel_names, channel_types: One per channel.
        rate_hz: Samples per second.
        triggers: (event,) condition numbers from 1; target trials are left out.
        onsets_s: (event,) when they came.
        notes: How many target trials were left out.
    """

    source: MappedSignal
    channel_names: tuple[str, ...]
    channel_types: tuple[str, ...]
    rate_hz: float
    triggers: np.ndarray
    onsets_s: np.ndarray
    notes: tuple[str, ...]


def read_raw_file(path: Path, unit_factor: float = 1.0) -> RawFile:
    """Return a raw file; only its trigger channel is read.

    Args:
        path: Of `raw_eeg_training.npy` or `raw_eeg_test.npy`.
        unit_factor: Of the stored EEG to volts.

    Raises:
        DataError: A wrong shape, channels that disagree with it, not exactly one trigger channel, or no picture.
    """
    content = read_pickled_mapping(path, _KEYS)
    array = content["raw_eeg_data"]
    names = tuple(str(name) for name in content["ch_names"])
    types = tuple(str(kind) for kind in content["ch_types"])
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        raise DataError(f"{path}: `raw_eeg_data` should hold numbers with the axes (channel, time). Replace the file.")
    if not len(array) == len(names) == len(types):
        raise DataError(
            f"{path}: `raw_eeg_data` has {len(array)} channels, `ch_names` {len(names)}, `ch_types` {len(types)}. "
            "Replace the file."
        )
    unknown = sorted(set(types) - set(SENSOR_TYPES))
    if unknown or types.count("stim") != 1:
        raise DataError(f"{path} needs one channel of type stim and known types besides; it has {sorted(set(types))}.")
    rate_hz = float(np.asarray(content["sfreq"]))
    samples, triggers = _triggers(array[types.index("stim")], path)
    is_target = triggers == TARGET_TRIGGER
    if is_target.all():
        raise DataError(f"{path}: its trigger channel shows no picture. Replace the file.")
    factors = np.where([kind == "eeg" for kind in types], unit_factor, 1.0)
    return RawFile(
        source=MappedSignal(array, factors),
        channel_names=names,
        channel_types=types,
        rate_hz=rate_hz,
        triggers=triggers[~is_target],
        onsets_s=samples[~is_target] / rate_hz,
        notes=(f"{is_target.sum()} target trials (trigger {TARGET_TRIGGER}) were left out",) if is_target.any() else (),
    )


def _triggers(channel: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return sample and value of each rise of the trigger channel, as MNE finds events."""
    values = np.asarray(channel, dtype=np.float64)
    samples = np.flatnonzero(values[1:] > values[:-1]) + 1
    triggers = values[samples]
    if not np.isfinite(values).all() or (triggers != np.round(triggers)).any() or (triggers < 1).any():
        raise DataError(f"{path}: its trigger channel holds values that are no condition numbers. Replace the file.")
    return samples, triggers.astype(int)
