"""Recordings made at the same time by two systems, as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brain_decode.core.errors import SpecMismatch
from brain_decode.signals.mne_conversion import sensors_in_head_frame
from brain_decode.signals.recording import Recording
from brain_decode.signals.sensors import Sensors

__all__ = ["join_recordings"]


@dataclass(frozen=True)
class _JoinedSource:
    """Reads the channels of two sources one after the other."""

    first: Any
    second: Any

    @property
    def n_times(self) -> int:
        return int(self.first.n_times)

    def read(self, start: int, stop: int) -> np.ndarray:
        return np.concatenate([self.first.read(start, stop), self.second.read(start, stop)])


def join_recordings(first: Recording, second: Recording) -> Recording:
    """Return one recording with the channels of both; events and reference are those of the first.

    Where positions lie in different frames, coils are moved from the device to the head frame.

    Args:
        first: Continuous, of sensors.
        second: Of the same run, rate and length.

    Raises:
        SpecMismatch: Rates or lengths that differ, or no two recordings of sensors.
        DataError: A channel name that both have, or frames without a transform between them.
    """
    pair = (first, second)
    if not all(isinstance(recording.space, Sensors) and recording.continuous for recording in pair):
        raise SpecMismatch(f"{first.label}: only continuous recordings of sensors can be joined.")
    sizes = [(recording.rate_hz, recording.n_times) for recording in pair]
    if sizes[0] != sizes[1]:
        raise SpecMismatch(
            f"{first.label}: recordings are joined at one rate and length; one has {sizes[0][1]} samples at "
            f"{sizes[0][0]:g} Hz, the other {sizes[1][1]} at {sizes[1][0]:g} Hz. Resample and cut them before."
        )
    return replace(
        first,
        space=_joined_sensors(pair),
        source=_JoinedSource(first.source, second.source),
        files=(*first.files, *second.files),
        notes=(*first.notes, *second.notes),
        header=None,
        annotations=None,
    )


def _joined_sensors(pair: Sequence[Recording]) -> Sensors:
    spaces: list[Sensors] = [recording.space for recording in pair]  # type: ignore[misc]
    if len({space.coordinate_frame for space in spaces}) > 1:
        spaces = [sensors_in_head_frame(space, one.header) for space, one in zip(spaces, pair, strict=True)]
    first, second = spaces
    return Sensors(
        (*first.names, *second.names),
        (*first.types, *second.types),
        np.concatenate([first.locations, second.locations]),
        (*first.coil_types, *second.coil_types),
        first.coordinate_frame,
    )
