"""From a functional MRI run to the voxels a decoder was trained on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from brain_decode.core.errors import SpecMismatch
from brain_decode.signals.nibabel_conversion import recording_from_image, require_same_grid
from brain_decode.signals.recording import Recording
from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels

__all__ = ["pick_voxels", "recording_of_image", "require_same_interval"]

_RATE_TOLERANCE = 1e-3  # headers hold the repetition time in single precision


def recording_of_image(image: Any, wanted: Space) -> Recording:
    """Return the decoder's voxels of an open 4D nibabel image; it has no events.

    Raises:
        SpecMismatch: The decoder reads sensors, or voxels of another grid.
        DataError: An image without time axis or without the time between volumes.
    """
    if not isinstance(wanted, Voxels):
        raise SpecMismatch(f"An image was given; this decoder reads {len(wanted)} sensors. Give it their recording.")
    return recording_from_image(image, wanted)


def pick_voxels(recording: Recording, wanted: Voxels) -> tuple[np.ndarray, Voxels]:
    """Return the positions of the decoder's voxels in a recording, and these voxels.

    Raises:
        SpecMismatch: The recording has sensors, another grid, or lacks voxels of the decoder.
    """
    space = recording.space
    if not isinstance(space, Voxels):
        raise SpecMismatch(
            f"{recording.label} has {len(space)} sensors; this decoder reads {len(wanted)} voxels of a volume of shape "
            f"{wanted.mask.shape}. Give it an fMRI run."
        )
    own, grid = (space.mask.shape, space.affine), (wanted.mask.shape, wanted.affine)
    require_same_grid(own, grid, recording.label, "the decoder's mask", SpecMismatch)
    missing = int((wanted.mask & ~space.mask).sum())
    if missing:
        raise SpecMismatch(
            f"{recording.label} lacks {missing} of the {len(wanted)} voxels the decoder reads. Use the mask it was "
            "trained with, or a wider one."
        )
    return np.flatnonzero(wanted.mask[space.mask]), wanted


def require_same_interval(recording: Recording, rate_hz: float, steps: Collection[str]) -> None:
    """Refuse volumes at other intervals than those of training, unless a step resamples them.

    Raises:
        SpecMismatch: States both intervals.
    """
    if "resample" not in steps and abs(recording.rate_hz - rate_hz) > _RATE_TOLERANCE * rate_hz:
        raise SpecMismatch(
            f"The decoder was trained on volumes {1 / rate_hz:g} s apart; those of {recording.label} are "
            f"{1 / recording.rate_hz:g} s apart. Resample the run, or correct the repetition time in its header."
        )
