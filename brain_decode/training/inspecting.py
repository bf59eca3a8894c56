"""A dataset against its expected facts, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from omegaconf import DictConfig

from brain_decode.datasets.base import fact_disagreements, recording_notes
from brain_decode.signals.recording import Recording
from brain_decode.training.loading import LoadedRun, dataset_entries, load_recordings, load_windows

__all__ = ["Inspection", "inspect_datasets"]


@dataclass(frozen=True)
class Inspection:
    """What a look at the files found.

    Args:
        lines: What is there.
        disagreements: Facts of the entry that a recording breaks; training would refuse them.
        loaded: The windows; None where facts are broken.
    """

    lines: list[str]
    disagreements: list[str]
    loaded: LoadedRun | None


def inspect_datasets(config: DictConfig) -> Inspection:
    """Open every recording of the configured datasets, without reading signals, and compare it with the entry's facts.

    Args:
        config: Composed; needs `datasets` and `paths`.

    Raises:
        BrainDecodeError: Files that cannot be opened, or no window at all.
    """
    lines: list[str] = []
    disagreements: list[str] = []
    for entry in dataset_entries(config):
        dataset, recordings = load_recordings(entry)
        lines += [*_recording_lines(str(entry["name"]), recordings), *recording_notes(recordings)]
        disagreements += fact_disagreements(dataset.facts, recordings)
    loaded = None if disagreements else load_windows(config)
    if loaded is not None:
        lines += _window_lines(loaded)
    return Inspection(lines, disagreements, loaded)


def _recording_lines(name: str, recordings: list[Recording]) -> Iterator[str]:
    people = {recording.entities.subject for recording in recordings}
    hours = sum(_duration_s(recording) for recording in recordings) / 3600
    yield f"{name}: {len(recordings)} recordings of {len(people)} people, {hours:.2f} hours"
    sizes = sorted({len(recording.space.decoded_indices()) for recording in recordings})
    rates = sorted({recording.rate_hz for recording in recordings})
    yield f"channels: {_listed(sizes)}; sampling rate: {_listed(rates)} Hz"


def _duration_s(recording: Recording) -> float:
    return recording.duration_s * (1 if recording.continuous else len(recording.events))


def _window_lines(loaded: LoadedRun) -> Iterator[str]:
    counts = loaded.trials.table["label"].astype(str).value_counts()
    if loaded.trials.task == "classification":
        yield "windows: " + ", ".join(f"{label} {count}" for label, count in counts.items())
    else:
        yield f"windows: {len(loaded.trials.table)}"
    if loaded.exclusions:
        yield f"events without a whole window: {len(loaded.exclusions)}"
    yield from loaded.warnings


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
