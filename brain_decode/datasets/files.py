"""Recordings that lie outside BIDS: any list of files of any format this package opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.io

from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder, event_text, named_files
from brain_decode.datasets.formats import holds_trials, open_noted_raw, open_noted_trials
from brain_decode.datasets.raw_files import ChannelSettings, apply_settings, recording_files
from brain_decode.datasets.split_files import first_parts
from brain_decode.signals.mne_conversion import annotation_events, recording_from_epochs, recording_from_raw
from brain_decode.signals.recording import Entities, Recording

__all__ = ["FilesDataset"]


class FilesDataset(Dataset):
    """Files found by a pattern; their events are the annotations, for EEGLAB sets with all event fields.

    Files of epochs, averages or several EEGLAB trials become recordings of cut trials.

    Args:
        root: The folder of the files, or the folder that holds it.
        name: Name of the entry.
        files: Glob pattern below `root`.
        entities: Regular expression on the file name with groups `subject`, `session`, `task`, `run`; without it all
            files are runs of participant "01", numbered in the order of their names.
        task: Task label of files whose name has none.
        subjects, sessions, runs: Labels to keep; None keeps all.
        line_frequency_hz: Mains frequency where the recordings were made.
        channel_names, channel_types, montage: See `ChannelSettings`.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        files: str,
        entities: str | None = None,
        task: str = "",
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        line_frequency_hz: float | None = None,
        channel_names: str = "stored",
        channel_types: Mapping[str, str] | None = None,
        montage: str | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.files = files
        self.entities = entities
        self.task = task
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}
        self.line_frequency_hz = line_frequency_hz
        self.channels = ChannelSettings(channel_names, dict(channel_types or {}), montage)

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, self.files, self.name)
        paths = first_parts(sorted(folder.glob(self.files)))
        found = named_files(paths, self.entities, name=self.name, task=self.task)
        chosen = choose_recordings(found, self.wanted, name=self.name)
        return [self._open(entities, chosen[entities]) for entities in sorted(chosen)]

    def _open(self, entities: Entities, path: Path) -> Recording:
        if holds_trials(path):
            return self._open_trials(entities, path)
        raw, lost = open_noted_raw(path)
        filled = apply_settings(raw, self.channels, path.name)
        if self.line_frequency_hz is not None:
            raw.info["line_freq"] = float(self.line_frequency_hz)
        events = _eeglab_events(path, raw) if path.suffix == ".set" else annotation_events(raw)
        recording = recording_from_raw(raw, entities, events=events)
        return replace(recording, files=recording_files(path, raw), notes=(*lost, *filled))

    def _open_trials(self, entities: Entities, path: Path) -> Recording:
        epochs, lost = open_noted_trials(path)
        filled = apply_settings(epochs, self.channels, path.name)
        recording = recording_from_epochs(epochs, entities)
        line_frequency_hz = self.line_frequency_hz or recording.line_frequency_hz
        return replace(recording, files=(path,), line_frequency_hz=line_frequency_hz, notes=(*lost, *filled))


def _eeglab_events(path: Path, raw: Any) -> pd.DataFrame:
    """Return the event structure of an EEGLAB set with all its fields; MNE keeps only types and latencies."""
    try:
        saved = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["EEG", "event"])
    except NotImplementedError:
        # MATLAB 7.3 sets are HDF5; their annotations hold what MNE understood of them.
        return annotation_events(raw)
    events = saved["EEG"].event if "EEG" in saved else saved.get("event", [])
    rows = [{field: _scalar(getattr(event, field)) for field in event._fieldnames} for event in np.atleast_1d(events)]
    if not rows:
        return annotation_events(raw)
    table = pd.DataFrame(rows)
    durations = table["duration"] if "duration" in table else pd.Series(0.0, index=table.index)
    times = pd.DataFrame(
        {
            # EEGLAB counts samples from one.
            "onset_s": (table["latency"].astype(float) - 1.0) / raw.info["sfreq"],
            "duration_s": pd.to_numeric(durations, errors="coerce").fillna(0.0) / raw.info["sfreq"],
            "trial_type": table["type"].map(event_text),
        }
    )
    return pd.concat([times, table.drop(columns=["type", "latency", "duration"], errors="ignore")], axis=1)


def _scalar(value: Any) -> Any:
    return "" if isinstance(value, np.ndarray) and value.size == 0 else value
