"""From NIfTI images to recordings of voxels, read block by block where the image lies."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from nibabel.filebasedimages import ImageFileError

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.voxels import Voxels

__all__ = [
    "ImageSource",
    "header_repetition_time_s",
    "is_image",
    "open_run_image",
    "read_mask",
    "recording_from_image",
    "require_same_grid",
]

_BLOCK_BYTES = 1 << 26  # of whole volumes held at once while the masked voxels are kept
_AFFINE_TOLERANCE_MM = 1e-3  # programs round affines differently when they write them
_SECONDS = {"sec": 1.0, "msec": 1e-3, "usec": 1e-6}
_READ_ERRORS = (EOFError, OSError, ValueError, zlib.error)


@dataclass(frozen=True)
class ImageSource:
    """The masked voxels of a 4D image; only one block of whole volumes is in memory at a time.

    Args:
        image: Path of the image, opened for each read, or an open nibabel image.
        mask: (x, y, z) bool.
        n_times: Volumes.
    """

    image: Any
    mask: np.ndarray
    n_times: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return volumes [start, stop) as (voxel, time) float64.

        Raises:
            DataError: A file that ends early or is damaged, or voxels that are NaN or infinite.
        """
        name = self.image.name if isinstance(self.image, Path) else "the image"
        stop = min(stop, self.n_times)
        samples = np.empty((int(self.mask.sum()), max(stop - start, 0)))
        per_block = max(_BLOCK_BYTES // (8 * self.mask.size), 1)
        try:
            # An open file lets a compressed image be read forward once, not from its start for each block.
            opened: Any = nibabel.load(self.image, keep_file_open=True) if isinstance(self.image, Path) else self.image
            for first in range(start, stop, per_block):
                last = min(first + per_block, stop)
                samples[:, first - start : last - start] = np.asarray(opened.dataobj[..., first:last])[self.mask]
        except _READ_ERRORS as error:
            raise DataError(
                f"{name} cannot be read to its end: {_one_line(error)}. It is truncated or damaged; copy it again."
            ) from error
        broken = int((~np.isfinite(samples)).any(axis=1).sum())
        if broken:
            raise DataError(
                f"{name}: {broken} of {len(samples)} voxels in the mask are NaN or infinite. "
                "Leave them out of the mask, or repair the image."
            )
        return samples


def is_image(given: Any) -> bool:
    """Return whether this is an open nibabel image."""
    return isinstance(given, nibabel.spatialimages.SpatialImage)


def open_run_image(path: Path) -> Any:
    """Return the 4D image of a run; its samples are not read.

    Raises:
        DataError: No such file, no image, or an image without a time axis.
    """
    image = _opened(path)
    require_time_axis(image, path.name)
    return image


def require_time_axis(image: Any, name: str) -> None:
    """Refuse an image that is not (x, y, z, time) with two volumes or more.

    Raises:
        DataError: States the shape.
    """
    if len(image.shape) != 4 or image.shape[3] < 2:
        raise DataError(
            f"{name} is an image of shape {tuple(image.shape)}; a run needs four axes (x, y, z, time) and several "
            "volumes. Give the 4D image of the run; single volumes and statistical maps have no time course."
        )


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"No image '{path}'. Check the path.")
    try:
        return nibabel.load(path)
    except (ImageFileError, *_READ_ERRORS) as error:
        raise DataError(
            f"{path.name} cannot be read as a NIfTI image: {_one_line(error)}. Convert or copy it again."
        ) from error


def header_repetition_time_s(image: Any) -> float | None:
    """Return the seconds between volumes that the header states, None where it states none or no unit of time."""
    units = getattr(image.header, "get_xyzt_units", lambda: ("unknown", "unknown"))()
    zooms = image.header.get_zooms()
    if len(zooms) < 4 or units[1] not in _SECONDS or not np.isfinite(zooms[3]) or zooms[3] <= 0:
        return None
    return round(float(zooms[3]) * _SECONDS[units[1]], 6)


def read_mask(path: Path, image: Any, image_name: str) -> np.ndarray:
    """Return a mask or region file as (x, y, z) bool: values above zero are inside.

    Raises:
        DataError: A mask on another grid than the image, with values that are not finite, or empty.
    """
    mask = _opened(path)
    shape = mask.shape[:3] if len(mask.shape) == 4 and mask.shape[3] == 1 else mask.shape
    require_same_grid((shape, mask.affine), (image.shape[:3], image.affine), f"The mask {path.name}", image_name)
    try:
        values = np.asarray(mask.dataobj).reshape(shape)
    except _READ_ERRORS as error:
        raise DataError(f"The mask {path.name} cannot be read: {_one_line(error)}. Copy it again.") from error
    if not np.isfinite(values).all():
        raise DataError(f"The mask {path.name} holds values that are NaN or infinite. Write zero outside the mask.")
    if not (values > 0).any():
        raise DataError(f"The mask {path.name} is empty: no voxel is above zero. Choose another mask.")
    return values > 0


def require_same_grid(
    first: tuple[tuple[int, ...], np.ndarray],
    second: tuple[tuple[int, ...], np.ndarray],
    first_name: str,
    second_name: str,
    error: type[DataError] | type[SpecMismatch] = DataError,
) -> None:
    """Refuse two volumes, each (shape, affine), whose voxels are not the same places.

    Raises:
        DataError: Or `error`; states both shapes, or by how much the affines differ.
    """
    if tuple(first[0]) != tuple(second[0]):
        raise error(
            f"{first_name} has shape {tuple(map(int, first[0]))}, {second_name} {tuple(map(int, second[0]))}. "
            "Resample one to the grid of the other."
        )
    apart = float(np.abs(np.asarray(first[1]) - np.asarray(second[1])).max())
    if not apart <= _AFFINE_TOLERANCE_MM:
        raise error(
            f"{first_name} and {second_name} have one shape but lie elsewhere: their affines differ by up to "
            f"{apart:.3g} mm. Resample one to the grid of the other."
        )


def recording_from_image(
    image: Any,
    voxels: Voxels,
    entities: Entities | None = None,
    *,
    repetition_time_s: float | None = None,
    events: pd.DataFrame | None = None,
) -> Recording:
    """Return a run that is read from the image lazily.

    Args:
        image: Path, or open nibabel image, of shape (x, y, z, time).
        voxels: Which voxels are kept; must be on the grid of the image.
        entities: Which run of which participant this is.
        repetition_time_s: Seconds between volumes, where the header does not state it or is wrong.
        events: Event table; `onset_s` counts from the first volume.

    Raises:
        DataError: An image without time axis or repetition time.
        SpecMismatch: Voxels on another grid.
    """
    path = Path(image) if isinstance(image, str | Path) else None
    opened = open_run_image(path) if path is not None else image
    name = path.name if path is not None else "the image"
    require_time_axis(opened, name)
    grid = (voxels.mask.shape, voxels.affine)
    require_same_grid((opened.shape[:3], opened.affine), grid, name, "the voxel mask", SpecMismatch)
    seconds = repetition_time_s or header_repetition_time_s(opened)
    if seconds is None:
        raise DataError(
            f"{name}: the header states no time between volumes (pixdim[4] with a unit of time). Give "
            "repetition_time_s, or RepetitionTime in the JSON sidecar."
        )
    return Recording(
        entities=entities or Entities("unknown"),
        space=voxels,
        rate_hz=1.0 / seconds,
        events=_empty_events() if events is None else events,
        source=ImageSource(path or opened, voxels.mask, int(opened.shape[3])),
        files=() if path is None else (path,),
    )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".?")


def _empty_events() -> pd.DataFrame:
    return pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []}).astype({"trial_type": object})
