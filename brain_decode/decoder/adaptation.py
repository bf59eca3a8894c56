"""Doing to a recording what its passport says, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from brain_decode.core.errors import SpecMismatch
from brain_decode.core.log import get_logger
from brain_decode.decoder.channel_matching import mixing_matrix
from brain_decode.decoder.input_volumes import pick_voxels
from brain_decode.decoder.passport import Passport
from brain_decode.preprocessing.base import Continuous
from brain_decode.preprocessing.filters import Resample
from brain_decode.signals.recording import ArraySource, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels

__all__ = ["AdaptedContinuous", "AdaptedTrials", "adapted_recording", "is_unchanged"]

_LOG = get_logger(__name__)


@dataclass(frozen=True)
class _Adapted:
    """A source whose channels are picked, or mixed, and scaled as they are read.

    Args:
        source: The recording's own source.
        picked: Channels that are read, where each of the decoder's is one of the recording's.
        mixing: (wanted, found) weights where some are estimated; None where channels are only picked.
        factor: What the samples are multiplied by.
    """

    source: Any
    picked: np.ndarray
    mixing: np.ndarray | None
    factor: float

    @property
    def n_times(self) -> int:
        return int(self.source.n_times)

    def _apply(self, samples: np.ndarray) -> np.ndarray:
        chosen = samples[..., self.picked, :] if self.mixing is None else self.mixing @ samples
        return chosen if self.factor == 1.0 else chosen * self.factor


@dataclass(frozen=True)
class AdaptedContinuous(_Adapted):
    """A continuous source with the decoder's channels, read lazily."""

    @property
    def samples(self) -> np.ndarray:
        """The whole adapted signal: what tells it from the file it was read from."""
        return self.read(0, self.n_times)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self._apply(self.source.read(start, stop))


@dataclass(frozen=True)
class AdaptedTrials(_Adapted):
    """Cut trials with the decoder's channels, read lazily."""

    @property
    def n_trials(self) -> int:
        return int(self.source.n_trials)

    @property
    def trials(self) -> np.ndarray:
        """All adapted trials: what tells them from the file they were read from."""
        return self.read_trials(np.arange(self.n_trials))

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self._apply(self.source.read_trials(indices))


def is_unchanged(passport: Passport) -> bool:
    """Return True when the recording is read as it is (channels it has besides do not matter)."""
    is_named = all(match.way == "name" for match in passport.channels)
    return is_named and passport.unit_factor == 1.0 and passport.resampled_to_hz is None


def adapted_recording(recording: Recording, wanted: Space, passport: Passport) -> Recording:
    """Return the recording with the decoder's channels in the decoder's order, unit and rate; reads lazily.

    Changes are logged as warnings. A recording whose rate changes is held in memory.

    Args:
        recording: Not changed.
        wanted: The decoder's channels or voxels.
        passport: Of this recording.

    Raises:
        SpecMismatch: Everything the passport refuses.
    """
    passport.require_accepted()
    if isinstance(wanted, Voxels):
        picked, voxels = pick_voxels(recording, wanted)
        return replace(recording, space=voxels, source=_reader(recording)(recording.source, picked, None, 1.0))
    if not isinstance(recording.space, Sensors):
        raise SpecMismatch(f"{recording.label} holds voxels; decoders of this kind read sensors.")
    for line in (*passport.changes, *passport.remarks):
        _LOG.warning("%s: %s: %s; %s.", passport.recording, line.what, line.found, line.action)
    mixing, sensors = mixing_matrix(wanted, recording.space, passport.channels)
    only_picked = not passport.matched("interpolated")
    source = _reader(recording)(
        recording.source, mixing.argmax(axis=1), None if only_picked else mixing, passport.unit_factor
    )
    header = _header_of_bads(recording, sensors, passport)
    adapted = replace(recording, space=sensors, source=source, header=header, annotations=None)
    return adapted if passport.resampled_to_hz is None else _resampled(adapted, passport.resampled_to_hz)


def _header_of_bads(recording: Recording, sensors: Sensors, passport: Passport) -> Any:
    """Return a header that marks the channels read from bad ones, under the decoder's names; None where none is."""
    bads = [match.name for match in passport.channels if match.source and match.source in recording.bads]
    if not bads:
        return None
    from brain_decode.signals.mne_conversion import info_from_sensors

    header = info_from_sensors(sensors, recording.rate_hz)
    header["bads"] = bads
    return header


def _reader(recording: Recording) -> type[AdaptedContinuous] | type[AdaptedTrials]:
    return AdaptedContinuous if recording.continuous else AdaptedTrials


def _resampled(recording: Recording, rate_hz: float) -> Recording:
    space = recording.space
    if not isinstance(space, Sensors):
        raise SpecMismatch(f"{recording.label} holds voxels, which are not resampled.")
    signal = Resample(rate_hz).apply(Continuous(recording.read(), recording.rate_hz, space))
    return replace(recording, source=ArraySource(signal.data), rate_hz=rate_hz)
