"""What a dataset is: recordings, a target, and facts that each recording must agree with."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, did_you_mean, unknown_option
from brain_decode.signals.amplitude import unit_factor_guess
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import Task

__all__ = [
    "Dataset",
    "EventTarget",
    "Facts",
    "check_facts",
    "fact_disagreements",
    "choose_labels",
    "choose_recordings",
    "dataset_folder",
    "event_text",
    "named_files",
    "recording_notes",
]

_LOG = logging.getLogger(__name__)
_TASKS = ("classification", "regression", "retrieval")
# Typical spread of a channel in SI units; outside it the unit of the file was misread (for instance µV read as V).
_PLAUSIBLE_SPREAD = {"V": (1e-8, 1e-2), "T": (1e-16, 1e-8), "T/m": (1e-15, 1e-7)}
_SPREAD_SAMPLES = 4096
_SPREAD_TRIALS = 16


@dataclass(frozen=True)
class EventTarget:
    """What is decoded from the events.

    Args:
        column: Event column that holds the class or the value.
        classes: Class to its event value or values; None makes every value a class of its own.
        task: "classification", "regression" or "retrieval".
        stimulus_column: Column with the identity of what was shown.
        concept_column: Column with the category of what was shown.
        partition_column: Column with "train", "validation" or "test" of an official split.
    """

    column: str = "trial_type"
    classes: Mapping[str, Sequence[str] | str] | None = None
    task: Task = "classification"
    stimulus_column: str | None = None
    concept_column: str | None = None
    partition_column: str | None = None

    def __post_init__(self) -> None:
        if self.task not in _TASKS:
            raise unknown_option("task", self.task, _TASKS)
        values = list(self.class_of_value())
        if self.classes is not None and len(values) != sum(len(_as_list(v)) for v in self.classes.values()):
            raise ConfigError(f"An event value belongs to one class only; target.classes is {dict(self.classes)}.")

    def class_of_value(self) -> dict[str, str]:
        """Return the class of each event value; empty when every value is its own class."""
        if self.classes is None:
            return {}
        return {value: str(name) for name, values in self.classes.items() for value in _as_list(values)}

    @classmethod
    def from_config(cls, config: EventTarget | Mapping[str, Any] | str | None) -> EventTarget:
        """Build a target from the `target:` block of a dataset file, or from the name of an event column.

        Raises:
            ConfigError: An unknown key, with the closest allowed one.
        """
        if isinstance(config, EventTarget):
            return config
        if config is None or isinstance(config, str):
            return cls(column=config or "trial_type")
        allowed = [entry.name for entry in fields(cls)]
        for key in config:
            if key not in allowed:
                raise unknown_option("key of target", key, allowed)
        return cls(**dict(config))


def _as_list(values: object) -> list[str]:
    many = values if isinstance(values, Sequence) and not isinstance(values, str) else [values]
    return [event_text(value) for value in many]


def event_text(value: object) -> str:
    """Return an event value as text: 6 and 6.0 are "6", an absent value is ""."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return ""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


@dataclass(frozen=True)
class Facts:
    """What each recording of a dataset is known to be.

    Args:
        channels: Names of the decoded channels in order, or their number.
        rate_hz: Samples per second.
        unit: SI unit of the signal: "V", "T", "T/m" or "1"; the size of the samples must be plausible for it.
        events: Values that may occur in `event_column`; each recording holds at least one and no other.
        event_column: Event column that `events` describes.
        subjects: Participants the card describes; others only warn.
    """

    channels: Sequence[str] | int | None = None
    rate_hz: float | None = None
    unit: str | None = None
    events: Sequence[str] | None = None
    event_column: str = "trial_type"
    subjects: Sequence[str] | None = None

    @classmethod
    def from_config(cls, config: Facts | Mapping[str, Any] | None) -> Facts:
        """Build facts from the `facts:` block of a dataset file.

        Raises:
            ConfigError: An unknown key, with the closest allowed one.
        """
        if isinstance(config, Facts):
            return config
        allowed = [entry.name for entry in fields(cls)]
        for key in config or {}:
            if key not in allowed:
                raise unknown_option("key of facts", key, allowed)
        return cls(**dict(config or {}))


def check_facts(facts: Facts, recordings: Sequence[Recording]) -> list[str]:
    """Check each recording, and return warnings.

    They tell of participants the facts do not list, and of signals whose size belongs to another unit.

    Raises:
        DataError: A broken fact, with the file, what was expected and what is there.
    """
    for disagreement in fact_disagreements(facts, recordings):
        raise DataError(disagreement)
    doubts = [doubt for recording in recordings for doubt in _unit_doubts(recording)]
    return _unlisted_subjects(facts, recordings) + doubts


def _unlisted_subjects(facts: Facts, recordings: Sequence[Recording]) -> list[str]:
    if facts.subjects is None:
        return []
    listed = {str(subject) for subject in facts.subjects}
    others = sorted({recording.entities.subject for recording in recordings} - listed)
    return (
        [f"Participants {others} are not among those the dataset card describes ({sorted(listed)})."] if others else []
    )


def recording_notes(recordings: Sequence[Recording]) -> list[str]:
    """Return each note once, with how many recordings have it."""
    holders: dict[str, list[str]] = {}
    for recording in recordings:
        for note in recording.notes:
            holders.setdefault(note, []).append(recording.label)
    counted = {note: f" and {len(labels) - 1} more" if len(labels) > 1 else "" for note, labels in holders.items()}
    return [f"{holders[note][0]}{others}: {note}" for note, others in counted.items()]


def _unit_doubts(recording: Recording) -> list[str]:
    """Return a warning where the first samples are a thousand times too large or small for their sensors."""
    if not isinstance(recording.space, Sensors):
        return []
    decoded = recording.space.decoded_indices()
    samples = _first_samples(recording)[..., decoded, :]
    flat = samples if recording.continuous else samples.transpose(1, 0, 2).reshape(len(decoded), -1)
    factor = unit_factor_guess(flat, [recording.space.types[index] for index in decoded])
    if factor in (None, 1.0):
        return []
    return [
        f"{_where(recording)}: its samples are of a size that becomes believable times {factor:g}; their unit is "
        "probably labelled wrongly. Correct the unit in the file, or describe it in the dataset's entry."
    ]


def _first_samples(recording: Recording) -> np.ndarray:
    if recording.continuous:
        return recording.read(0, min(_SPREAD_SAMPLES, recording.n_times))
    return recording.read_trials(range(min(_SPREAD_TRIALS, recording.source.n_trials)))


def fact_disagreements(facts: Facts, recordings: Sequence[Recording]) -> Iterator[str]:
    """Yield a sentence for each fact that a recording breaks."""
    for recording in recordings:
        for what, expected, received in _disagreements(facts, recording):
            yield f"{_where(recording)}: expected {what} {expected}, received {received}."


def _where(recording: Recording) -> str:
    return f"{recording.label} ({recording.files[0].name})" if recording.files else recording.label


def _disagreements(facts: Facts, recording: Recording) -> Iterable[tuple[str, object, object]]:
    space = recording.space
    names = [space.names[i] for i in space.decoded_indices()] if isinstance(space, Sensors) else list(space.names)
    if isinstance(facts.channels, int) and len(names) != facts.channels:
        yield "number of channels", facts.channels, f"{len(names)}: {names}"
    if facts.channels is not None and not isinstance(facts.channels, int) and names != list(facts.channels):
        yield "channels", list(facts.channels), names
    if facts.rate_hz is not None and abs(recording.rate_hz - facts.rate_hz) > 1e-6 * facts.rate_hz:
        yield "sampling rate in Hz", facts.rate_hz, recording.rate_hz
    if facts.events is not None:
        yield from _event_disagreements(facts, recording)
    if facts.unit is not None:
        yield from _unit_disagreements(facts.unit, recording)


def _event_disagreements(facts: Facts, recording: Recording) -> Iterable[tuple[str, object, object]]:
    expected = sorted(str(value) for value in facts.events or ())
    if facts.event_column not in recording.events:
        yield "event column", facts.event_column, list(recording.events.columns)
        return
    found = {event_text(value) for value in recording.events[facts.event_column]} - {""}
    if not found or not found <= set(expected):
        yield f"events in '{facts.event_column}' among", expected, sorted(found) or "none"


def _unit_disagreements(unit: str, recording: Recording) -> Iterable[tuple[str, object, object]]:
    if unit == "1":
        return
    if unit not in _PLAUSIBLE_SPREAD:
        raise unknown_option("unit in facts", unit, [*_PLAUSIBLE_SPREAD, "1"])
    low, high = _PLAUSIBLE_SPREAD[unit]
    samples = _first_samples(recording)
    if isinstance(recording.space, Sensors):
        samples = samples[..., recording.space.decoded_indices(), :]
    spread = float(np.median(np.nanstd(samples, axis=-1)))
    if not low <= spread <= high:
        yield f"samples in {unit} (a spread between {low:g} and {high:g})", f"unit {unit}", f"a spread of {spread:.3g}"


class Dataset(ABC):
    """Recordings found on disk, in the order of their entities.

    Args:
        root: Folder of the dataset, or the folder that holds it.
        name: Name of the entry, as in `datasets=<name>`.
        facts: What each recording must agree with.
    """

    def __init__(self, root: str | Path, *, name: str, facts: Facts | Mapping[str, Any] | None = None) -> None:
        self.root = Path(root).expanduser()
        self.name = name
        self.facts = Facts.from_config(facts)

    @abstractmethod
    def recordings(self) -> list[Recording]:
        """Return the recordings, sorted by entities, without reading their samples.

        Raises:
            DataError: A folder or file that is absent, empty or unreadable.
            ConfigError: A participant, session, task or run that is not there.
        """

    def check_facts(self, recordings: Sequence[Recording]) -> list[str]:
        """Return warnings; see `check_facts`."""
        return check_facts(self.facts, recordings)


def dataset_folder(root: Path, pattern: str, name: str) -> Path:
    """Return the folder with files that match `pattern`: `root`; where it is absent, its parent if that is the dataset.

    Raises:
        DataError: Neither folder holds such a file.
    """
    for folder in (root,) if root.is_dir() else (root.parent,):
        if folder.is_dir() and next(folder.glob(pattern), None) is not None:
            if folder != root:
                _LOG.info("Dataset '%s' is read from %s itself.", name, folder)
            return folder
    if not root.parent.is_dir():
        raise DataError(
            f"Dataset '{name}': the folder {root.parent} does not exist. Set paths.data to the data folder."
        )
    if not root.is_dir():
        present = sorted(entry.name for entry in root.parent.iterdir() if entry.is_dir())
        raise DataError(
            f"Dataset '{name}': the folder {root} does not exist.{did_you_mean(root.name, present)} "
            "Set paths.data to the folder that holds it."
        )
    raise DataError(f"Dataset '{name}': no file {pattern} in {root}. Set paths.data to the folder that holds it.")


def named_files(
    paths: Sequence[Path], expression: str | None, *, name: str, task: str = "", below: Path | None = None
) -> dict[Entities, Path]:
    """Return the entities each file states; without an expression, files are runs of participant "01".

    Args:
        paths: In the order of their numbers.
        expression: Regular expression on the file name, or on the path below `below`.
        name: Of the dataset.
        task: Task label of files that state none.
        below: Folder; None looks at file names only.

    Raises:
        DataError: A name that does not fit the expression.
        ConfigError: Two files with the same entities.
    """
    found: dict[Entities, Path] = {}
    for number, path in enumerate(paths, start=1):
        stated = _stated(path, below)
        match = re.search(expression, stated) if expression is not None else None
        if expression is not None and match is None:
            raise DataError(f"{stated} does not fit the expression '{expression}' of loader.entities.")
        parts = {"subject": "01", "task": task, "run": f"{number:02d}"} if match is None else match.groupdict("")
        entities = Entities(**({"subject": "01", "task": task} | {key: value for key, value in parts.items() if value}))
        if entities in found:
            raise ConfigError(
                f"Dataset '{name}': {_stated(found[entities], below)} and {stated} are both {entities.label}. "
                "Extend loader.entities so that it tells them apart."
            )
        found[entities] = path
    return found


def _stated(path: Path, below: Path | None) -> str:
    return path.name if below is None else path.relative_to(below).as_posix()


def choose_recordings(
    found: Mapping[Entities, Path], wanted: Mapping[str, Sequence[object] | None], *, name: str
) -> dict[Entities, Path]:
    """Keep the participants that are wanted, then of these the sessions, tasks and runs.

    Raises:
        ConfigError: A label that none of the remaining recordings has.
        DataError: Nothing remains.
    """
    chosen = dict(found)
    for level, labels in wanted.items():
        if labels is not None:
            kept = set(choose_labels(level, labels, {getattr(entities, level) for entities in chosen}))
            chosen = {entities: path for entities, path in chosen.items() if getattr(entities, level) in kept}
    if not chosen:
        raise DataError(f"Dataset '{name}': no recording is left of {len(found)} with {dict(wanted)}. Ask for fewer.")
    return chosen


def choose_labels(kind: str, wanted: Sequence[object] | str | int | None, known: Iterable[str]) -> list[str]:
    """Return the known labels that were asked for, all of them when nothing was.

    A number is accepted where it means one label only (1 for "01"); "sub-01" means "01".

    Raises:
        ConfigError: A label that is not there, or a number that fits several.
    """
    labels = sorted(set(known))
    if wanted is None:
        return labels
    chosen = [wanted] if isinstance(wanted, str | int) else list(wanted)
    return [_known_label(kind, label, labels) for label in chosen]


def _known_label(kind: str, label: object, labels: list[str]) -> str:
    text = str(label).split("-", 1)[-1]
    if text in labels:
        return text
    same_number = [known for known in labels if known.isdigit() and text.isdigit() and int(known) == int(text)]
    if isinstance(label, int) and len(same_number) == 1:
        return same_number[0]
    raise unknown_option(f"{kind} label", label, labels)
