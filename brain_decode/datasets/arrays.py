"""Recordings kept as plain arrays (npz, npy, mat, text), described by a YAML entry."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import scipy.io

from brain_decode.core.errors import DataError, did_you_mean, unknown_option
from brain_decode.datasets.base import Dataset, Facts, choose_labels, dataset_folder, event_text
from brain_decode.datasets.raw_files import fill_positions
from brain_decode.signals.mne_conversion import sensors_from_info
from brain_decode.signals.recording import ArraySource, Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import SENSOR_TYPES, Sensors
from brain_decode.signals.units import UNIT_FACTORS

__all__ = ["ArrayDataset", "load_arrays"]

_LOG = logging.getLogger(__name__)
_AXES = ("trial", "channel", "time")


class ArrayDataset(Dataset):
    """One recording from arrays in a file: cut trials, or a continuous signal with event times.

    Args:
        root: The folder of the file, or the folder that holds it.
        name: Name of the entry.
        file: File name: `.npz`, `.npy`, `.mat` (up to MATLAB 7.2), or `.txt` and `.csv` with numbers only.
        data: Key of the signal; not used for `.npy` and text.
        axes: Meaning of its axes, of "trial", "channel" and "time" in any order. Without "trial" it is continuous;
            without "time" each trial is one vector; without "channel" there is one channel.
        unit: Unit of the stored numbers ("V", "uV", "fT", "1", ...), times `scale`.
        scale: Stored numbers are in this multiple of `unit` (0.1 for tenths).
        rate_hz: Samples per second, or the key that holds it.
        channel_names: Names, or the key that holds them; None numbers them.
        channel_type: Type of all channels; "feature" for vectors that are no sensor signal.
        start_s: Time of the first sample of a trial relative to its event.
        columns: Event columns: column name → key of a (trial,) array. A continuous signal needs `onset_s` among them.
        column_files: Files of columns that lie in another file than the signal (for `.npy`).
        entities: Labels of the recording: subject, session, task, run.
        line_frequency_hz: Mains frequency where the recording was made.
        montage: MNE montage that gives positions by channel name.
        subjects, sessions, tasks, runs: Labels to keep; None keeps all.
        facts: What the recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        file: str,
        axes: Sequence[str],
        unit: str,
        rate_hz: float | str,
        data: str | None = None,
        scale: float = 1.0,
        channel_names: Sequence[str] | str | None = None,
        channel_type: str = "eeg",
        start_s: float = 0.0,
        columns: Mapping[str, str] | None = None,
        column_files: Mapping[str, str] | None = None,
        entities: Mapping[str, str] | None = None,
        line_frequency_hz: float | None = None,
        montage: str | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.file, self.data, self.axes = file, data, _checked_axes(axes)
        if unit not in UNIT_FACTORS:
            raise unknown_option("unit", unit, UNIT_FACTORS)
        self.factor = UNIT_FACTORS[unit] * scale
        if channel_type not in SENSOR_TYPES:
            raise unknown_option("channel type", channel_type, SENSOR_TYPES)
        self.rate_hz, self.channel_names, self.channel_type = rate_hz, channel_names, channel_type
        self.start_s, self.montage, self.line_frequency_hz = start_s, montage, line_frequency_hz
        self.columns, self.column_files = dict(columns or {}), dict(column_files or {})
        self.entities = Entities(**{"subject": "01"} | {key: str(value) for key, value in (entities or {}).items()})
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, self.file, self.name)
        for level, wanted in self.wanted.items():
            if wanted is not None:
                choose_labels(level, wanted, {getattr(self.entities, level)})
        path = folder / self.file
        arrays = load_arrays(path)
        signal = self._signal(_entry(arrays, self.data, path), path)
        trials = "trial" in self.axes
        n_channels = signal.shape[1 if trials else 0]
        return [
            Recording(
                entities=self.entities,
                space=self._sensors(arrays, n_channels, path),
                rate_hz=self._rate(arrays, path),
                events=self._events(folder, arrays, len(signal) if trials else None, path),
                source=TrialArraySource(signal) if trials else ArraySource(signal),
                continuous=not trials,
                start_s=self.start_s if trials else 0.0,
                line_frequency_hz=self.line_frequency_hz,
                files=(path,),
            )
        ]

    def _signal(self, stored: np.ndarray, path: Path) -> np.ndarray:
        """Return (trial, channel, time) or (channel, time) float64 in the SI unit."""
        if stored.ndim != len(self.axes) or stored.dtype.kind not in "fiu":
            raise DataError(
                f"{path.name}: '{self.data}' should hold numbers with the axes {list(self.axes)}; "
                f"it has shape {stored.shape} and type {stored.dtype}. Correct loader.axes or loader.data."
            )
        axes = self.axes
        if "channel" not in axes:
            stored, axes = stored[..., np.newaxis], (*axes, "channel")
        order = [axes.index(axis) for axis in _AXES if axis in axes]
        signal = np.transpose(stored, order).astype(np.float64) * self.factor
        return signal if "time" in self.axes else signal[..., np.newaxis]

    def _rate(self, arrays: Mapping[str, np.ndarray], path: Path) -> float:
        if isinstance(self.rate_hz, str):
            return float(np.ravel(_entry(arrays, self.rate_hz, path))[0])
        return float(self.rate_hz)

    def _sensors(self, arrays: Mapping[str, np.ndarray], n_channels: int, path: Path) -> Sensors:
        if isinstance(self.channel_names, str):
            names = [_text(name).strip() for name in np.ravel(_entry(arrays, self.channel_names, path))]
        elif self.channel_names is not None:
            names = [str(name) for name in self.channel_names]
        else:
            names = [f"{self.channel_type}{index:04d}" for index in range(n_channels)]
        if len(names) != n_channels:
            raise DataError(
                f"{path.name}: {n_channels} channels but {len(names)} channel names. Correct loader.channel_names."
            )
        if self.montage is None:
            return Sensors(tuple(names), (self.channel_type,) * n_channels)
        placed = mne.io.RawArray(
            np.zeros((n_channels, 1)), mne.create_info(names, 1.0, self.channel_type), verbose="ERROR"
        )
        fill_positions(placed, self.montage, path.name)
        return sensors_from_info(placed.info)

    def _events(self, folder: Path, arrays: Mapping[str, np.ndarray], n_trials: int | None, path: Path) -> pd.DataFrame:
        columns = {name: self._column(folder, arrays, name, key, path) for name, key in self.columns.items()}
        lengths = {name: len(values) for name, values in columns.items()}
        expected = n_trials if n_trials is not None else len(columns.get("onset_s", ()))
        wrong = {name: length for name, length in lengths.items() if length != expected}
        if wrong:
            raise DataError(f"{path.name}: {expected} events are expected, but the columns have {wrong}.")
        if n_trials is None and columns and "onset_s" not in columns:
            raise DataError(
                f"Dataset '{self.name}': a continuous signal with events needs `onset_s` in loader.columns."
            )
        onset = columns.pop("onset_s", np.full(expected, np.nan))
        duration = columns.pop("duration_s", np.zeros(expected))
        names = columns.pop("trial_type", np.full(expected, "", dtype=object))
        table = pd.DataFrame({"onset_s": onset, "duration_s": duration, "trial_type": [event_text(n) for n in names]})
        return table.assign(**columns)

    def _column(self, folder: Path, arrays: Mapping[str, np.ndarray], name: str, key: str, path: Path) -> np.ndarray:
        if name in self.column_files:
            path = folder / self.column_files[name]
            arrays = load_arrays(path)
        values = np.ravel(_entry(arrays, key, path))
        if values.dtype.kind in "OUS":
            return np.array([_text(value) for value in values], dtype=object)
        return values


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file by key; the single array of an `.npy` or text file has the key "".

    Raises:
        DataError: An absent or unreadable file, or one that holds pickled objects.
    """
    if not path.is_file():
        raise DataError(f"The file {path} does not exist.")
    try:
        if path.suffix == ".npy":
            return {"": np.load(path, allow_pickle=False)}
        if path.suffix in (".txt", ".csv"):
            return {"": np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=1)}
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as saved:
                return {key: saved[key] for key in saved.files}
        if path.suffix == ".mat":
            return {key: value for key, value in scipy.io.loadmat(path).items() if not key.startswith("__")}
    except NotImplementedError as error:
        raise DataError(f"{path.name} is a MATLAB 7.3 file. Save it with -v7, or as npz.") from error
    except (ValueError, OSError, EOFError) as error:
        raise DataError(f"{path.name} could not be read: {error}. Save it as plain arrays.") from error
    raise unknown_option("array format", path.suffix, [".npz", ".npy", ".mat", ".txt", ".csv"])


def _checked_axes(axes: Sequence[str]) -> tuple[str, ...]:
    for axis in axes:
        if axis not in _AXES:
            raise unknown_option("axis", axis, _AXES)
    if len(set(axes)) != len(axes) or not {"trial", "time"} & set(axes):
        raise DataError(f"loader.axes needs 'trial' or 'time', and each axis once; got {list(axes)}.")
    return tuple(axes)


def _entry(arrays: Mapping[str, np.ndarray], key: str | None, path: Path) -> np.ndarray:
    if set(arrays) == {""}:
        return arrays[""]
    if key is None or key not in arrays:
        hint = "" if key is None else did_you_mean(key, arrays)
        raise DataError(f"{path.name} has no array '{key}'.{hint} It holds {sorted(arrays)}.")
    return arrays[key]


def _text(value: Any) -> str:
    """Return a name; MATLAB cell arrays nest each text in an array of its own."""
    while isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode() if isinstance(value, bytes) else str(value)
