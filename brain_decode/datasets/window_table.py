"""Which windows there are: one table row per window, the currency of splits, store, predictions and report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError, did_you_mean
from brain_decode.datasets.base import EventTarget, event_text
from brain_decode.signals.recording import Recording
from brain_decode.signals.sampling import n_samples, nearest_samples
from brain_decode.signals.windows import WINDOW_COLUMNS

__all__ = ["WindowTable", "build_window_table", "sliding_window_table"]

_PARTITIONS = ("train", "validation", "test", "")


@dataclass(frozen=True)
class WindowTable:
    """Windows, and the events that gave none.

    Args:
        table: One row per window with `WINDOW_COLUMNS`; index 0, 1, 2, ...
        exclusions: For each event left out: recording label, event row, onset and the rule.
    """

    table: pd.DataFrame
    exclusions: list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.table)


def build_window_table(
    recordings: Sequence[Recording], *, dataset: str, target: EventTarget, start_s: float, stop_s: float
) -> WindowTable:
    """Return a window [start_s, stop_s) around each event that has a class or value.

    Events of no class are not windows and not exclusions; events whose window leaves the recording, whose regression
    value is no number, or that stand twice at one moment are listed as exclusions.

    Raises:
        ConfigError: A window without samples, an event column or class value that no recording has.
        DataError: No window at all.
    """
    _require_duration(start_s, stop_s, recordings)
    parts, exclusions = [], []
    for position, recording in enumerate(recordings):
        part, left_out = _event_windows(recording, position, dataset, target, start_s, stop_s)
        parts.append(part)
        exclusions += left_out
    table = _joined(parts)
    _require_windows(table, recordings, target, exclusions)
    return WindowTable(table, exclusions)


def sliding_window_table(
    recordings: Sequence[Recording], *, dataset: str, length_s: float, step_s: float
) -> WindowTable:
    """Return windows of `length_s` every `step_s` of each recording, whatever its events.

    Raises:
        ConfigError: A length or step that is not positive.
        DataError: Cut trials, or recordings that are all shorter than a window.
    """
    if length_s <= 0 or step_s <= 0:
        raise ConfigError(f"Sliding windows need a positive length and step; got {length_s} s and {step_s} s.")
    parts = []
    for position, recording in enumerate(recordings):
        if not recording.continuous:
            raise DataError(f"{recording.label} holds cut trials; sliding windows need a continuous recording.")
        last = (recording.n_times - n_samples(length_s, recording.rate_hz)) / recording.rate_hz
        starts = np.arange(0.0, last + 0.5 / recording.rate_hz, step_s)
        part = _frame(recording, position, dataset, np.full(len(starts), -1), starts, starts, starts + length_s)
        parts.append(part.assign(label="", stimulus="", concept="", partition="", rejected=""))
    table = _joined(parts)
    if table.empty:
        raise DataError(f"No recording is as long as a window of {length_s} s. Choose a shorter one.")
    return WindowTable(table, [])


def _event_windows(
    recording: Recording, position: int, dataset: str, target: EventTarget, start_s: float, stop_s: float
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    events = recording.events
    labels, chosen = _labels(recording, target)
    onsets = events["onset_s"].to_numpy(dtype=float)
    length = n_samples(stop_s - start_s, recording.rate_hz)
    if recording.continuous:
        first = nearest_samples(onsets + start_s, recording.rate_hz)
        moments = first
        inside = (first >= 0) & (first + length <= recording.n_times)
        starts = onsets + start_s
    else:
        first_sample = n_samples(start_s - recording.start_s, recording.rate_hz)
        fits = first_sample >= 0 and first_sample + length <= recording.n_times
        inside, starts = np.full(len(events), fits), np.full(len(events), start_s)
        moments = np.arange(len(events))
    finite = np.isfinite(labels.astype(float)) if target.task == "regression" else np.ones(len(events), dtype=bool)
    usable = chosen & inside & finite
    again, disputed = _at_one_moment(moments, labels, usable)
    rows = np.flatnonzero(usable & ~again & ~disputed)
    table = _frame(recording, position, dataset, rows, onsets[rows], starts[rows], starts[rows] + (stop_s - start_s))
    stimulus = _texts(recording, target.stimulus_column)[rows]
    concept = _texts(recording, target.concept_column)[rows]
    partition = _texts(recording, target.partition_column)[rows]
    _require_partitions(recording, partition)
    retrieved = concept if target.concept_column else stimulus
    table = table.assign(
        label=retrieved if target.task == "retrieval" else labels[rows],
        stimulus=stimulus,
        concept=concept,
        partition=partition,
        rejected="",
    )
    rules = (
        (chosen & ~inside, _outside(recording, start_s, stop_s)),
        (chosen & inside & ~finite, "the target value is no number"),
        (again, "the same event stands there twice"),
        (disputed, "events of different labels stand at one moment"),
    )
    return table, [left for which, reason in rules for left in _exclusions(recording, which, onsets, reason)]


def _at_one_moment(moments: np.ndarray, labels: np.ndarray, usable: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which usable events repeat an earlier one, and which share their samples with one of another label.

    Two windows of the same samples are no independent evidence, and would count as such.
    """
    rows = np.flatnonzero(usable)
    frame = pd.DataFrame({"moment": moments[rows], "label": labels[rows].astype(str)})
    again, disputed = np.zeros(len(usable), dtype=bool), np.zeros(len(usable), dtype=bool)
    disputed[rows] = frame.groupby("moment")["label"].transform("nunique").to_numpy(dtype=int) > 1
    again[rows] = frame.duplicated().to_numpy()
    return again & ~disputed, disputed


def _labels(recording: Recording, target: EventTarget) -> tuple[np.ndarray, np.ndarray]:
    """Return the (event,) labels, and which events have one."""
    if target.task == "retrieval":
        shown = _texts(recording, target.stimulus_column or target.concept_column)
        return shown, shown != ""
    texts = _texts(recording, target.column)
    if target.task == "regression":
        return pd.to_numeric(pd.Series(texts), errors="coerce").to_numpy(dtype=float), texts != ""
    class_of_value = target.class_of_value()
    if not class_of_value:
        return texts, texts != ""
    labels = pd.Series(texts, dtype=object).map(class_of_value).fillna("").to_numpy(dtype=object)
    return labels, labels != ""


def _texts(recording: Recording, column: str | None) -> np.ndarray:
    if column is None:
        return np.full(len(recording.events), "", dtype=object)
    if column not in recording.events:
        columns = list(recording.events.columns)
        raise ConfigError(
            f"{recording.label} has no event column '{column}'.{did_you_mean(column, columns)} It has {columns}."
        )
    return recording.events[column].map(event_text).fillna("").to_numpy(dtype=object)


def _frame(
    recording: Recording,
    position: int,
    dataset: str,
    events: np.ndarray,
    onsets: np.ndarray,
    starts: np.ndarray,
    stops: np.ndarray,
) -> pd.DataFrame:
    entities = recording.entities
    return pd.DataFrame(
        {
            "recording": position,
            "event": events,
            "dataset": dataset,
            "subject": entities.subject,
            "session": entities.session,
            "task": entities.task,
            "run": entities.run,
            "onset_s": onsets,
            "start_s": starts,
            "stop_s": stops,
            "is_cut": not recording.continuous,
        }
    )


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if len(part)]
    table = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(WINDOW_COLUMNS))
    return table[list(WINDOW_COLUMNS)]


def _outside(recording: Recording, start_s: float, stop_s: float) -> str:
    what = "recording" if recording.continuous else "cut trial"
    return f"the window {start_s:g}..{stop_s:g} s leaves the {what}"


def _exclusions(recording: Recording, which: np.ndarray, onsets: np.ndarray, reason: str) -> list[dict[str, Any]]:
    return [
        {"recording": recording.label, "event": int(row), "onset_s": float(onsets[row]), "reason": reason}
        for row in np.flatnonzero(which)
    ]


def _require_duration(start_s: float, stop_s: float, recordings: Sequence[Recording]) -> None:
    for recording in recordings:
        if n_samples(stop_s - start_s, recording.rate_hz) < 1:
            raise ConfigError(
                f"A window must stop at least one sample after its start; got {start_s} s to {stop_s} s at "
                f"{recording.rate_hz} Hz. Change window.start_s or window.stop_s."
            )


def _require_partitions(recording: Recording, partition: np.ndarray) -> None:
    unknown = sorted(set(partition) - set(_PARTITIONS))
    if unknown:
        raise DataError(f"{recording.label}: the official split must be one of {_PARTITIONS[:3]}; found {unknown}.")


def _require_windows(
    table: pd.DataFrame, recordings: Sequence[Recording], target: EventTarget, exclusions: list[dict[str, Any]]
) -> None:
    if not recordings:
        raise DataError("No recording was given to cut windows from.")
    if target.classes is not None:
        _require_classes(recordings, target)
    if len(table):
        return
    if exclusions:
        raise DataError(f"None of the {len(exclusions)} events gave a window: {exclusions[0]['reason']}.")
    raise DataError(
        f"No event has a value in column '{target.column}' in any of {len(recordings)} recordings "
        f"(first: {recordings[0].label}, {len(recordings[0].events)} events). Check the events files and target.column."
    )


def _require_classes(recordings: Sequence[Recording], target: EventTarget) -> None:
    """Refuse a class none of whose values occurs."""
    present = {value for recording in recordings for value in _texts(recording, target.column)} - {""}
    class_of_value = target.class_of_value()
    for name in dict.fromkeys(class_of_value.values()):
        values = [value for value, label in class_of_value.items() if label == name]
        if not present.intersection(values):
            hint = did_you_mean(values[0], present)
            raise ConfigError(
                f"Class '{name}' stands for {values}, which do not occur in column '{target.column}'.{hint} "
                f"Present: {sorted(present)}."
            )
