"""The signal store: each recording once, float32 and time-major, read back as windows without a loop over them."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd

from brain_decode.core.errors import MOST_NAMED, DataError, SpecMismatch, and_more
from brain_decode.core.progress import track
from brain_decode.datasets.fingerprint import Fingerprint, fingerprint_of_signal, fingerprint_of_trials
from brain_decode.datasets.store_entry import (
    StoreEntry,
    find_entry,
    known_file_hashes,
    open_folder,
    sha256_of_files,
    write_entry,
    write_manifest,
)
from brain_decode.preprocessing.base import Continuous, SignalStep, apply_pass, require_continuous, signal_passes
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import Recording
from brain_decode.signals.sampling import nearest_samples
from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

__all__ = ["SignalStore", "prepare_store"]

_LOG = logging.getLogger(__name__)
_TRIALS_PER_BLOCK = 64
_BLOCK_VALUES = 1 << 21
_PICK = "pick"


def prepare_store(
    recordings: Sequence[Recording],
    steps: Sequence[SignalStep],
    folder: Path,
    *,
    workers: int = 1,
    progress: bool | None = None,
) -> SignalStore:
    """Return a store that holds every recording after the stateless steps; what is there already is kept.

    Voxels, brain sensors and features are stored, unless the first step is a `pick`, which then sees all channels.
    Entries are keyed by file contents, channels and steps, so other settings or changed files never meet in one entry.

    Args:
        recordings: Continuous recordings or cut trials.
        steps: Stateless steps; refused for cut trials.
        folder: Store folder, created where absent; several runs may share it.
        workers: Processes; 1 works in this one.
        progress: False shows no bar; otherwise a bar is shown on a terminal.

    Raises:
        SpecMismatch: Steps for cut trials.
        DataError: Samples that are not finite, or a recording that cannot be read.
        StorageError: The folder is full or not writable.
    """
    folder = Path(folder)
    for recording in recordings:
        if steps and not recording.continuous:
            raise require_continuous(steps[0].name, recording.label)
    open_folder(folder)
    known = known_file_hashes(folder)
    jobs = (joblib.delayed(_prepared)(recording, steps, folder, known) for recording in recordings)
    # One process for one job: starting another costs more than it saves.
    parallel = joblib.Parallel(n_jobs=min(workers, len(recordings)) or 1, return_as="generator")
    results = parallel(jobs)
    shown = results if progress is False else track(results, "Preparing recordings", len(recordings))
    return SignalStore(list(shown))


def _prepared(
    recording: Recording, steps: Sequence[SignalStep], folder: Path, known: dict[tuple[str, int, int], str]
) -> StoreEntry:
    """Return the entry of a recording, written unless it is there."""
    in_memory = not recording.files
    files = [] if in_memory else sha256_of_files(recording.files, known)
    key = _key(recording, steps, files)
    entry = find_entry(folder, key)
    if entry is not None:
        return _with_fingerprint(entry, recording) if _lacks_fingerprint(entry, recording) else entry
    if recording.continuous:
        return _write_continuous(recording, steps, folder / f"{key}.f32", files)
    return _write_trials(recording, folder / f"{key}.f32", files)


def _lacks_fingerprint(entry: StoreEntry, recording: Recording) -> bool:
    return entry.fingerprint is None or (not recording.continuous and entry.fingerprint.trial_hashes is None)


def _with_fingerprint(entry: StoreEntry, recording: Recording) -> StoreEntry:
    """Return an entry of an older release with the fingerprint it lacks, which its manifest then has."""
    _LOG.info("%s was prepared by an older release; its fingerprint is added.", recording.label)
    decoded = recording.space.decoded_indices()
    if recording.continuous:
        fingerprint = _fingerprint(recording, recording.read()[decoded])
    else:
        fingerprint = fingerprint_of_trials(_trial_blocks(recording, decoded), recording.rate_hz)
    entry = replace(entry, fingerprint=fingerprint)
    write_manifest(entry)
    return entry


def _fingerprint(recording: Recording, samples: np.ndarray) -> Fingerprint:
    return fingerprint_of_signal(samples, recording.rate_hz, is_spatial=isinstance(recording.space, Voxels))


def _key(recording: Recording, steps: Sequence[SignalStep], files: Sequence[dict[str, Any]]) -> str:
    """Return the hash of all that determines the stored samples."""
    described = {
        "files": [file["sha256"] for file in files],
        "sensors": recording.space.to_json(),
        "rate_hz": recording.rate_hz,
        "n_times": recording.n_times,
        "continuous": recording.continuous,
        "start_s": recording.start_s,
        "steps": [step.to_json() for step in steps],
        "code": _code(steps),
    }
    if recording.bads:  # they may be marked beside the files that hold the samples
        described["bads"] = list(recording.bads)
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    # The same file may be read as other numbers (unit, axes), so arrays in memory are hashed themselves.
    held = getattr(recording.source, "samples", getattr(recording.source, "trials", None))
    if held is not None:
        digest.update(np.ascontiguousarray(held).data)
    return digest.hexdigest()


def _code(steps: Sequence[SignalStep]) -> dict[str, str]:
    """Return what changes when steps compute other numbers: the source of their modules and MNE's release."""
    if not steps:
        return {}
    modules = {type(step).__module__ for step in steps}
    sources = {name: _source_of(name) for name in sorted(modules)}
    return sources | {name: version(name) for name in ("mne", "scipy")}


@cache
def _source_of(module: str) -> str:
    path = getattr(sys.modules[module], "__file__", None)  # none where a step was typed into a console
    return hashlib.sha256(Path(path).read_bytes()).hexdigest() if path else ""


def _write_continuous(
    recording: Recording, steps: Sequence[SignalStep], path: Path, files: list[dict[str, Any]]
) -> StoreEntry:
    signal, content_hash, fingerprint = _processed(recording, steps)
    _require_channels(signal.sensors, recording)
    _require_finite(signal.data, signal.sensors, f"{recording.label} after {[step.name for step in steps]}")
    entry = _entry(recording, path, files, content_hash, steps, signal.sensors, signal.rate_hz, signal.data.shape[1])
    entry = replace(entry, notes=signal.notes, fingerprint=fingerprint)
    write_entry(entry, _time_blocks(signal.data))
    return entry


def _write_trials(recording: Recording, path: Path, files: list[dict[str, Any]]) -> StoreEntry:
    decoded = recording.space.decoded_indices()
    sensors = recording.space.pick(decoded)
    _require_channels(sensors, recording)
    start = recording.read_trials([0])[0, decoded, :1]
    if not any((block != start).any() for block in _trial_blocks(recording, decoded)):
        raise _never_varies(recording)
    content_hash = _hash_blocks(_trial_blocks(recording, decoded))
    fingerprint = fingerprint_of_trials(_trial_blocks(recording, decoded), recording.rate_hz)
    entry = _entry(recording, path, files, content_hash, (), sensors, recording.rate_hz, recording.n_times)
    entry = replace(entry, fingerprint=fingerprint)
    write_entry(entry, _trial_blocks(recording, decoded))
    return entry


def _processed(recording: Recording, steps: Sequence[SignalStep]) -> tuple[Continuous, str, Fingerprint]:
    """Return the signal after the steps, and the content hash and fingerprint of the decoded channels before them."""
    sensors = recording.space
    decoded = sensors.decoded_indices()
    samples = recording.read()
    brain = samples if len(decoded) == len(samples) else samples[decoded]
    if not any(step.repairs_samples for step in steps[:1]):
        _require_finite(brain, sensors.pick(decoded), f"{recording.label}")
    if not (brain != brain[:, :1]).any():
        raise _never_varies(recording)
    content_hash, fingerprint = _hash_blocks(brain), _fingerprint(recording, brain)
    signal = Continuous.of_recording(recording, brain, sensors.pick(decoded))
    if steps and steps[0].name == _PICK:
        signal = Continuous.of_recording(recording, samples, sensors)
    del samples, brain  # a long recording is held once while steps run on it
    for group in signal_passes(steps):
        signal = apply_pass(group, signal)
    return signal, content_hash, fingerprint


def _entry(
    recording: Recording,
    path: Path,
    files: list[dict[str, Any]],
    content_hash: str,
    steps: Sequence[SignalStep],
    sensors: Space,
    rate_hz: float,
    n_times: int,
) -> StoreEntry:
    return StoreEntry(
        key=path.stem,
        label=recording.label,
        content_hash=content_hash,
        sensors=sensors,
        rate_hz=float(rate_hz),
        n_times=int(n_times),
        n_trials=0 if recording.continuous else int(recording.source.n_trials),
        continuous=recording.continuous,
        start_s=float(recording.start_s),
        steps=[step.to_json() for step in steps],
        files=files,
        path=path,
    )


def _time_blocks(data: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (time, channel) pieces of a (channel, time) signal, small beside the signal itself."""
    length = max(_BLOCK_VALUES // max(len(data), 1), 1)
    for first in range(0, data.shape[1], length):
        yield data[:, first : first + length].T


def _trial_blocks(recording: Recording, decoded: np.ndarray) -> Iterator[np.ndarray]:
    """Yield (trial, channel, time) pieces, checked."""
    for first in range(0, recording.source.n_trials, _TRIALS_PER_BLOCK):
        chosen = np.arange(first, min(first + _TRIALS_PER_BLOCK, recording.source.n_trials))
        block = recording.read_trials(chosen)[:, decoded]
        sensors = recording.space.pick(decoded)
        _require_finite(block.transpose(1, 0, 2).reshape(len(sensors), -1), sensors, recording.label)
        yield block


def _hash_blocks(blocks: Any) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(np.ascontiguousarray(block, dtype=np.float32).data)
    return digest.hexdigest()


def _require_finite(samples: np.ndarray, sensors: Space, label: str) -> None:
    finite = np.isfinite(samples).all(axis=1)
    if not finite.all():
        bad = [sensors.names[i] for i in np.flatnonzero(~finite)]
        count = int((~np.isfinite(samples)).sum())
        raise DataError(
            f"{label}: {count} samples of the channels {bad[:MOST_NAMED]}{and_more(bad)} are NaN or infinite. "
            "Repair the file or drop the channels."
        )


def _never_varies(recording: Recording) -> DataError:
    return DataError(
        f"{recording.label}: no channel to decode ever varies, so there is nothing to decode. Look at the file, or "
        "leave the recording out."
    )


def _require_channels(sensors: Space, recording: Recording) -> None:
    if len(sensors) == 0:
        kinds = sorted(set(recording.space.types))
        raise DataError(
            f"{recording.label} has no channel to decode: its channel types are {kinds}. "
            "Set loader.channel_types, or pick channels as the first preprocessing step."
        )


@dataclass
class SignalStore:
    """Prepared recordings, read as windows.

    Args:
        entries: One per recording, in the order of the `recording` column of window tables.
    """

    entries: list[StoreEntry]
    _arrays: dict[int, np.ndarray] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    def __getstate__(self) -> dict[str, Any]:
        """Memory maps are opened again by the process that receives the store."""
        return {"entries": self.entries, "_arrays": {}}

    @property
    def content_hashes(self) -> list[str]:
        """Content hash of each recording: equal for two copies of one."""
        return [entry.content_hash for entry in self.entries]

    @property
    def fingerprints(self) -> list[Fingerprint]:
        """Fingerprint of each recording: alike for disguised copies of one."""
        unknown = Fingerprint(absent="an older release prepared it")
        return [entry.fingerprint or unknown for entry in self.entries]

    def read(self, table: pd.DataFrame) -> Windows:
        """Return the windows of a window table, (window, channel, time) float32, in the order of its rows.

        Raises:
            SpecMismatch: Rows of different montages, rates or lengths; use `batch`.
            DataError: A window outside its recording.
        """
        if len(table) == 0:
            raise DataError("No window to read: the window table is empty.")
        recordings = table["recording"].to_numpy(dtype=int)
        present = np.unique(recordings)
        first = self.entries[present[0]]
        lengths = self._lengths(table, recordings)
        self._require_one_layout(present, lengths, table)
        n_times = int(lengths[0])
        starts = self._starts(table)
        # Kept time-major: each window is then one contiguous copy out of the memory map.
        if len(present) == 1:
            out = self._gather(present[0], table, starts, slice(None), n_times)
        else:
            out = np.empty((len(table), n_times, len(first.sensors)), dtype=np.float32)
            for position in present:
                rows = np.flatnonzero(recordings == position)
                out[rows] = self._gather(position, table, starts[rows], rows, n_times)
        relative = _relative_start_s(table, first)
        return Windows(out.transpose(0, 2, 1), first.rate_hz, relative, first.sensors, table)

    def batch(self, table: pd.DataFrame, subjects: Sequence[str] = ()) -> SignalBatch:
        """Return the windows of a table as tensors, padded where montages or lengths differ.

        Args:
            table: Rows of a window table, in any order.
            subjects: Training subjects in index order.

        Raises:
            SpecMismatch: Recordings of different sampling rates.
        """
        recordings = table["recording"].to_numpy(dtype=int)
        lengths = self._lengths(table, recordings)
        self.require_one_rate(np.unique(recordings))
        layouts: dict[Any, int] = {}
        group_of = {
            position: layouts.setdefault((self.entries[position].sensors, self.entries[position].rate_hz), len(layouts))
            for position in np.unique(recordings)
        }
        groups = pd.DataFrame({"layout": [group_of[position] for position in recordings], "length": lengths})
        members = list(groups.groupby(["layout", "length"], sort=False).indices.values())
        parts = [SignalBatch.from_windows(self.read(table.iloc[rows]), subjects) for rows in members]
        if len(parts) == 1:
            return parts[0]
        return SignalBatch.concatenate(parts).rows(np.argsort(np.concatenate(members), kind="stable"))

    def require_one_rate(self, positions: Iterable[int]) -> None:
        """Refuse recordings of different rates, naming one of each.

        Raises:
            SpecMismatch: Says which recordings, and what to do.
        """
        entries = [self.entries[position] for position in sorted(positions)]
        example = {entry.rate_hz: entry.label for entry in reversed(entries)}
        if len(example) > 1:
            named = ", ".join(f"'{label}' has {rate:g} Hz" for rate, label in reversed(example.items()))
            raise SpecMismatch(
                f"Recordings of one run need one sampling rate: {named}. Add a resample step to preprocessing, or "
                "leave the runs of the other rate out."
            )

    def _array(self, position: int) -> np.ndarray:
        if position not in self._arrays:
            self._arrays[position] = np.asarray(self.entries[position].array())
        return self._arrays[position]

    def _rates(self, table: pd.DataFrame) -> np.ndarray:
        rates = np.array([entry.rate_hz for entry in self.entries])
        return rates[table["recording"].to_numpy(dtype=int)]

    def _lengths(self, table: pd.DataFrame, recordings: np.ndarray) -> np.ndarray:
        if recordings.size and (recordings.min() < 0 or recordings.max() >= len(self.entries)):
            raise DataError(f"The window table names recording {recordings.max()}; the store has {len(self.entries)}.")
        durations = table["stop_s"].to_numpy(dtype=float) - table["start_s"].to_numpy(dtype=float)
        return nearest_samples(durations, self._rates(table))

    def _starts(self, table: pd.DataFrame) -> np.ndarray:
        """Return the first sample of each window, in its recording or trial."""
        origins = np.array([0.0 if entry.continuous else entry.start_s for entry in self.entries])
        relative = table["start_s"].to_numpy(dtype=float) - origins[table["recording"].to_numpy(dtype=int)]
        return nearest_samples(relative, self._rates(table))

    def _gather(
        self, position: int, table: pd.DataFrame, starts: np.ndarray, rows: np.ndarray | slice, n_times: int
    ) -> np.ndarray:
        """Return (window, time, channel) windows of one recording."""
        entry, array = self.entries[position], self._array(position)
        starts = _inside(starts, n_times, entry)
        if entry.continuous:
            n_samples, n_channels = array.shape
            step = array.strides[0]
            view = np.lib.stride_tricks.as_strided(
                array, (n_samples - n_times + 1, n_times, n_channels), (step, *array.strides), writeable=False
            )
            return view[starts]
        trials = table["event"].to_numpy(dtype=int)[rows]
        if (starts == starts[0]).all():
            return array[trials, :, starts[0] : starts[0] + n_times].transpose(0, 2, 1)
        samples = starts[:, None] + np.arange(n_times)
        return array[trials[:, None], :, samples]

    def _require_one_layout(self, present: np.ndarray, lengths: np.ndarray, table: pd.DataFrame) -> None:
        first = self.entries[present[0]]
        for position in present[1:]:
            other = self.entries[position]
            if other.sensors != first.sensors or other.rate_hz != first.rate_hz:
                raise SpecMismatch(
                    f"Windows read together need one montage and rate: {first.label} has {len(first.sensors)} channels "
                    f"at {first.rate_hz} Hz, {other.label} has {len(other.sensors)} at {other.rate_hz} Hz or other "
                    "positions. Pick common channels and resample in preprocessing; code that takes mixed montages "
                    "calls SignalStore.batch."
                )
        if (lengths != lengths[0]).any():
            raise SpecMismatch(
                f"Windows read together need one length; got {sorted(set(lengths.tolist()))} samples. Set one window= "
                "for all datasets; code that takes mixed lengths calls SignalStore.batch."
            )


def _inside(starts: np.ndarray, n_times: int, entry: StoreEntry) -> np.ndarray:
    """Return the starts; a window that ends one sample late through resampling is moved back by that sample."""
    last = entry.n_times - n_times
    late = starts == last + 1
    starts = np.where(late, last, starts)
    if starts.size and (starts.min() < 0 or starts.max() > last):
        outside = int(starts.min() if starts.min() < 0 else starts.max())
        raise DataError(
            f"{entry.label}: a window of {n_times} samples at sample {outside} leaves the recording of "
            f"{entry.n_times} samples. Cut windows again for this recording."
        )
    return starts


def _relative_start_s(table: pd.DataFrame, entry: StoreEntry) -> float:
    """Return the time of the first sample relative to the event."""
    start, onset = float(table["start_s"].iloc[0]), float(table["onset_s"].iloc[0])
    return start if not entry.continuous or np.isnan(onset) else round(start - onset, 9)
