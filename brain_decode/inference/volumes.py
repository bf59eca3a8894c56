"""Answers for functional MRI: a NIfTI file opened with the voxels a decoder reads."""

from __future__ import annotations

from pathlib import Path

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.datasets.bids import inherited_file, merged_sidecar, read_events, sidecar_number
from brain_decode.signals.nibabel_conversion import recording_from_image
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels

__all__ = ["is_image_file", "read_image"]


def is_image_file(path: Path) -> bool:
    """Return whether the name is that of a NIfTI file."""
    return path.name.endswith((".nii", ".nii.gz"))


def read_image(path: Path, wanted: Space) -> Recording:
    """Return the decoder's voxels of a 4D image, with the events table and the sidecar that lie beside it.

    Raises:
        SpecMismatch: The decoder reads sensors, or voxels of another grid.
        DataError: No such file, no 4D image, or no time between volumes.
    """
    if not path.is_file():
        raise DataError(f"No file '{path}'. Give input= the 4D image of a run (.nii, .nii.gz).")
    if not isinstance(wanted, Voxels):
        raise SpecMismatch(
            f"'{path.name}' is an image; this decoder reads {len(wanted)} sensors. Give input= their recording."
        )
    events = inherited_file(path.parent, path, "events", ".tsv")
    return recording_from_image(
        path,
        wanted,
        Entities(subject=path.name.split(".")[0]),
        repetition_time_s=sidecar_number(merged_sidecar(path.parent, path), "RepetitionTime"),
        events=None if events is None else read_events(events),
    )
