"""Cut trials from MNE epochs files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne

from brain_decode.core.errors import DataError
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder, named_files
from brain_decode.datasets.split_files import first_parts
from brain_decode.signals.mne_conversion import recording_from_epochs
from brain_decode.signals.recording import Entities, Recording

__all__ = ["EpochsDataset"]

_READ_ERRORS = (ValueError, OSError, RuntimeError, KeyError, TypeError)


class EpochsDataset(Dataset):
    """Recordings of cut trials, one per `-epo.fif` file; metadata columns are event columns.

    Args:
        root: The folder of the files, or the folder that holds it.
        name: Name of the entry.
        files: Glob pattern below `root`.
        entities: Regular expression on the file name with groups `subject`, `session`, `task`, `run`; without it all
            files are runs of participant "01", numbered in the order of their names.
        subjects, sessions, tasks, runs: Labels to keep; None keeps all.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        files: str = "*epo.fif*",
        entities: str | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.files = files
        self.entities = entities
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, self.files, self.name)
        paths = first_parts(sorted(folder.glob(self.files)))
        found = named_files(paths, self.entities, name=self.name)
        chosen = choose_recordings(found, self.wanted, name=self.name)
        return [_open(chosen[entities], entities) for entities in sorted(chosen)]


def _open(path: Path, entities: Entities) -> Recording:
    try:
        epochs = mne.read_epochs(path, preload=False, verbose="ERROR")
    except _READ_ERRORS as error:
        raise DataError(f"{path.name} could not be read as MNE epochs: {error}. Check or replace the file.") from error
    return replace(recording_from_epochs(epochs, entities), files=(path,))
