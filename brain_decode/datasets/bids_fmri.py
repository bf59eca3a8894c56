"""Functional MRI of any BIDS folder, raw or preprocessed, from a YAML entry alone."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DataError
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder
from brain_decode.datasets.bids import inherited_file, merged_sidecar, sidecar_number
from brain_decode.datasets.fmri_runs import FmriRun, VolumeSettings, open_runs
from brain_decode.signals.recording import Entities, Recording

__all__ = ["BidsFmriDataset"]

_LOG = logging.getLogger(__name__)
_IMAGES = ("*_bold.nii", "*_bold.nii.gz")
_LEVELS = {"sub": "subject", "ses": "session", "task": "task", "run": "run"}


class BidsFmriDataset(Dataset):
    """The functional runs of a BIDS folder: `sub-*/[ses-*/]func/*_bold.nii[.gz]`.

    The sidecar gives `RepetitionTime` (else the header does), `events.tsv` the events, each beside the image or higher
    up. Preprocessed images (`desc-preproc`) take the `_mask` image that lies beside them.

    Args:
        root: The BIDS folder, or the folder that holds it.
        name: Name of the entry.
        tasks, subjects, sessions, runs: Labels to keep, without their prefix; None keeps all.
        select: Further BIDS entities to keep where a run is stored in several forms, for example
            {space: MNI152NLin2009cAsym, desc: preproc}.
        mask, regions, repetition_time_s: See `VolumeSettings`.
        events_root: BIDS folder with the events, where the images are derivatives of it.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "bids_fmri",
        tasks: Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        select: Mapping[str, str | int] | None = None,
        mask: str | None = None,
        regions: Mapping[str, str] | None = None,
        repetition_time_s: float | None = None,
        events_root: str | Path | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}
        self.select = {key: str(value) for key, value in (select or {}).items()}
        self.volumes = VolumeSettings(mask, dict(regions or {}), repetition_time_s)
        self.events_root = None if events_root is None else Path(events_root).expanduser()

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, "sub-*/**/*_bold.nii*", self.name)
        chosen = choose_recordings(_images(folder, self.select), self.wanted, name=self.name)
        runs = {entities: self._run(folder, path) for entities, path in chosen.items()}
        return open_runs(runs, folder, self.volumes)

    def _run(self, folder: Path, path: Path) -> FmriRun:
        sidecar = merged_sidecar(folder, path)
        if "VolumeTiming" in sidecar and "RepetitionTime" not in sidecar:
            raise DataError(
                f"{path.name}: its sidecar states VolumeTiming, volumes at unequal intervals, which are not supported. "
                "Resample the run to one interval and state RepetitionTime."
            )
        events_folder = self.events_root or folder
        events = inherited_file(events_folder, events_folder / path.relative_to(folder), "events", ".tsv")
        beside = path.with_name(path.name.replace("_bold.nii", "_mask.nii"))
        brain = path.with_name(path.name.replace("desc-preproc_bold.nii", "desc-brain_mask.nii"))
        masks = [candidate for candidate in (beside, brain) if candidate != path and candidate.is_file()]
        return FmriRun(path, events, sidecar_number(sidecar, "RepetitionTime"), masks[0] if masks else None)


def _images(folder: Path, select: Mapping[str, str]) -> dict[Entities, Path]:
    """Return the image of each run.

    Raises:
        DataError: No image, or two forms of one run.
    """
    found: dict[Entities, Path] = {}
    for path in sorted(path for image in _IMAGES for path in folder.glob(f"sub-*/**/func/{image}")):
        parts = dict(part.split("-", 1) for part in path.name.split(".")[0].split("_") if "-" in part)
        if any(parts.get(key) != value for key, value in select.items()):
            continue
        entities = Entities(**{level: parts.get(prefix, "") for prefix, level in _LEVELS.items()})
        if entities in found:
            raise DataError(
                f"{entities.label} is stored twice: {found[entities].name} and {path.name}. Choose one with "
                "loader.select, for example {space: MNI152NLin2009cAsym, desc: preproc}, or remove one."
            )
        found[entities] = path
    if not found:
        kept = f" with {dict(select)}" if select else ""
        raise DataError(f"No image func/*_bold.nii[.gz]{kept} below {folder}/sub-*.")
    return found
