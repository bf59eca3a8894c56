"""From the 4D images of functional MRI runs to recordings: mask, regions, time between volumes and events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.bids import read_events
from brain_decode.signals.nibabel_conversion import (
    ImageSource,
    header_repetition_time_s,
    open_run_image,
    read_mask,
    recording_from_image,
    require_same_grid,
)
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.voxels import Voxels

__all__ = ["FmriRun", "VolumeSettings", "brain_mask_of_mean", "open_runs"]

_LOG = logging.getLogger(__name__)
_HISTOGRAM_BINS = 256


@dataclass(frozen=True)
class FmriRun:
    """Where the files of one run are.

    Args:
        image: The 4D image.
        events: Table of events, None where there is none.
        sidecar_repetition_time_s: `RepetitionTime` of the JSON sidecar, None where there is none.
        mask: Brain mask that lies beside the image, None where there is none.
    """

    image: Path
    events: Path | None = None
    sidecar_repetition_time_s: float | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class VolumeSettings:
    """Which voxels of the volumes are kept, and the time between volumes.

    Args:
        mask: Path of a mask below the dataset folder, in which {subject}, {session}, {task} and {run} stand for the
            labels of the run; "computed" (a brain mask from the mean image of the participant's first run); "all";
            None takes the mask that lies beside each image. Where runs have masks of their own, the voxels that all
            runs of the participant share are kept.
        regions: Region name to a mask path of the same form; membership is kept with the voxels.
        repetition_time_s: Seconds between volumes; None reads sidecar and header.
    """

    mask: str | None = None
    regions: Mapping[str, str] = field(default_factory=dict)
    repetition_time_s: float | None = None

    def __post_init__(self) -> None:
        if self.repetition_time_s is not None and not 0 < self.repetition_time_s < np.inf:
            raise ConfigError(f"repetition_time_s must be positive seconds, got {self.repetition_time_s}.")


def open_runs(runs: Mapping[Entities, FmriRun], folder: Path, settings: VolumeSettings) -> list[Recording]:
    """Return a recording per run, sorted by entities; the runs of a participant share their voxels.

    Raises:
        DataError: Images, masks or events that break a rule; see `VolumeSettings`.
    """
    recordings: list[Recording] = []
    for subject in sorted({entities.subject for entities in runs}):
        own = {entities: runs[entities] for entities in sorted(runs) if entities.subject == subject}
        voxels = _voxels(own, folder, settings)
        recordings += [_open(entities, run, voxels, settings) for entities, run in own.items()]
    return recordings


def _open(entities: Entities, run: FmriRun, voxels: Voxels, settings: VolumeSettings) -> Recording:
    image = open_run_image(run.image)
    seconds = _repetition_time_s(image, run, settings)
    events = None if run.events is None else read_events(run.events)
    if events is None:
        _LOG.info("%s has no events table.", run.image.name)
    else:
        _require_events_inside(events, seconds * image.shape[3], run)
    return recording_from_image(run.image, voxels, entities, repetition_time_s=seconds, events=events)


def _repetition_time_s(image: Any, run: FmriRun, settings: VolumeSettings) -> float:
    """Return the seconds between volumes: of the settings, then the sidecar, then the header.

    Raises:
        DataError: None of them states it, or sidecar and header disagree.
    """
    sidecar, header = run.sidecar_repetition_time_s, header_repetition_time_s(image)
    if settings.repetition_time_s is not None:
        return float(settings.repetition_time_s)
    if sidecar is not None and header is not None and abs(sidecar - header) > 1e-3 * sidecar:
        raise DataError(
            f"{run.image.name}: the sidecar states RepetitionTime {sidecar:g} s, the header {header:g} s. Correct the "
            "file that is wrong, or set loader.repetition_time_s."
        )
    stated = sidecar if sidecar is not None else header
    if stated is None or stated <= 0:
        raise DataError(
            f"{run.image.name}: neither a JSON sidecar (RepetitionTime) nor the header (pixdim[4] with a unit of time) "
            "states the time between volumes. Set loader.repetition_time_s to its seconds."
        )
    return stated


def _require_events_inside(events: pd.DataFrame, duration_s: float, run: FmriRun) -> None:
    """Refuse events that all lie after the run; single ones are left to the window table, which lists them."""
    outside = (events["onset_s"] >= duration_s).to_numpy()
    name = run.events.name if run.events is not None else run.image.name
    if outside.any():
        first = float(events["onset_s"].to_numpy()[outside][0])
        what = f"{int(outside.sum())} of {len(events)} events of {name} begin at {first:g} s or later; {run.image.name}"
        if outside.all():
            raise DataError(
                f"{what} lasts {duration_s:g} s. Onsets are seconds from the first volume; correct the table."
            )
        _LOG.warning("%s lasts %g s. They give no window.", what, duration_s)


def _voxels(runs: Mapping[Entities, FmriRun], folder: Path, settings: VolumeSettings) -> Voxels:
    """Return the voxels of a participant's runs, which lie on one grid."""
    (first_entities, first), *others = runs.items()
    image = open_run_image(first.image)
    for _, other in others:
        opened = open_run_image(other.image)
        own, wanted = (opened.shape[:3], opened.affine), (image.shape[:3], image.affine)
        require_same_grid(own, wanted, other.image.name, f"the first run {first.image.name}")
    mask = _mask(runs, folder, settings, image)
    regions = {
        name: read_mask(_placed(pattern, folder, first_entities), image, first.image.name)[mask]
        for name, pattern in settings.regions.items()
    }
    empty = [name for name, member in regions.items() if not member.any()]
    if empty:
        raise DataError(f"{first_entities.label}: the regions {empty} have no voxel in the mask. Choose a wider mask.")
    return Voxels(mask, image.affine, regions)


def _mask(runs: Mapping[Entities, FmriRun], folder: Path, settings: VolumeSettings, image: Any) -> np.ndarray:
    entities, first = next(iter(runs.items()))
    if settings.mask == "all":
        return np.ones(image.shape[:3], dtype=bool)
    if settings.mask == "computed":
        return brain_mask_of_mean(_mean_volume(first.image, image), entities.label)
    paths = {_mask_path(settings.mask, folder, own, run): run.image.name for own, run in runs.items()}
    masks = [read_mask(path, image, name) for path, name in paths.items()]
    shared = np.logical_and.reduce(masks)
    if not shared.any():
        raise DataError(f"{entities.label}: the masks of its {len(masks)} runs share no voxel. Choose one loader.mask.")
    if len(masks) > 1:
        kept, largest = int(shared.sum()), max(int(mask.sum()) for mask in masks)
        _LOG.info("sub-%s: %d of at most %d voxels lie in the masks of all runs.", entities.subject, kept, largest)
    return shared


def _mask_path(mask: str | None, folder: Path, entities: Entities, run: FmriRun) -> Path:
    if mask is not None:
        return _placed(mask, folder, entities)
    if run.mask is None:
        raise DataError(
            f"{run.image.name} has no mask beside it. Set loader.mask to a mask file, to 'computed' (a brain mask from "
            "the mean image), or to 'all'."
        )
    return run.mask


def _placed(pattern: str, folder: Path, entities: Entities) -> Path:
    labels = {level: getattr(entities, level) for level in ("subject", "session", "task", "run")}
    try:
        return folder / pattern.format(**labels)
    except (KeyError, IndexError, ValueError) as error:
        raise ConfigError(f"The mask '{pattern}' names {error}; it may name {', '.join(labels)} in braces.") from error


def _mean_volume(path: Path, image: Any) -> np.ndarray:
    everywhere = np.ones(image.shape[:3], dtype=bool)
    n_times, block = int(image.shape[3]), 16
    source = ImageSource(path, everywhere, n_times)
    total = np.zeros(everywhere.sum())
    for start in range(0, n_times, block):
        total += source.read(start, start + block).sum(axis=1)
    return (total / n_times).reshape(everywhere.shape)


def brain_mask_of_mean(mean: np.ndarray, label: str) -> np.ndarray:
    """Return the largest connected bright part of a mean volume, its holes filled: a plain brain mask.

    Args:
        mean: (x, y, z) mean over volumes.
        label: Of the run, for messages.

    Raises:
        DataError: A volume that is constant.

    Source: threshold of Otsu 1979, on a histogram of 256 bins. Real brain extraction is better; give its mask.
    """
    if not np.ptp(mean) > 0:
        raise DataError(f"{label}: its mean image is constant and gives no mask. Set loader.mask to a mask file.")
    labelled, _ = ndimage.label(mean > _otsu_threshold(mean.ravel()))
    sizes = np.bincount(labelled.ravel())
    return np.asarray(ndimage.binary_fill_holes(labelled == 1 + int(sizes[1:].argmax())))


def _otsu_threshold(values: np.ndarray) -> float:
    """Return the edge that leaves the largest variance between the values above and below it."""
    counts, edges = np.histogram(values, bins=_HISTOGRAM_BINS)
    centres = (edges[:-1] + edges[1:]) / 2
    below, sums = np.cumsum(counts)[:-1].astype(float), np.cumsum(counts * centres)
    above = len(values) - below
    between = below * above * (sums[:-1] / np.maximum(below, 1) - (sums[-1] - sums[:-1]) / np.maximum(above, 1)) ** 2
    return float(edges[1 + int(between.argmax())])
