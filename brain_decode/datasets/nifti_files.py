"""Functional MRI that lies outside BIDS: any list of 4D NIfTI files, OpenfMRI's layout among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DataError
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder, named_files
from brain_decode.datasets.fmri_runs import FmriRun, VolumeSettings, open_runs
from brain_decode.signals.recording import Recording

__all__ = ["NiftiFilesDataset"]


class NiftiFilesDataset(Dataset):
    """4D images found by a pattern, with a table of events in the folder of each.

    Args:
        root: The folder of the files, or the folder that holds it.
        name: Name of the entry.
        files: Glob pattern of the images below `root`.
        entities: Regular expression on the path below `root` with groups `subject`, `session`, `task`, `run`.
        events: Name of the events table in the folder of each image; None for runs without events.
        subjects, sessions, tasks, runs: Labels to keep; None keeps all.
        mask, regions, repetition_time_s: See `VolumeSettings`.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        files: str,
        entities: str,
        events: str | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        mask: str | None = None,
        regions: Mapping[str, str] | None = None,
        repetition_time_s: float | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.files = files
        self.entities = entities
        self.events = events
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}
        self.volumes = VolumeSettings(mask, dict(regions or {}), repetition_time_s)

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, self.files, self.name)
        found = named_files(sorted(folder.glob(self.files)), self.entities, name=self.name, below=folder)
        chosen = choose_recordings(found, self.wanted, name=self.name)
        runs = {entities: FmriRun(path, self._events(path)) for entities, path in chosen.items()}
        return open_runs(runs, folder, self.volumes)

    def _events(self, path: Path) -> Path | None:
        if self.events is None:
            return None
        table = path.with_name(self.events)
        if not table.is_file():
            raise DataError(f"{path.name} in {path.parent.name} has no events table '{self.events}' beside it.")
        return table
