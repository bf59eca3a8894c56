"""Steps that choose or recombine channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.preprocessing.base import Continuous, SignalStep, WindowStep
from brain_decode.signals.sensors import SENSOR_TYPES
from brain_decode.signals.windows import Windows

__all__ = ["DropChannels", "KeepChannels", "Pick", "Rereference"]


@dataclass
class Pick(SignalStep):
    """Keep channels by name or by type, names in the order given.

    Args:
        names: Channel names; None picks by type.
        types: Sensor types; None keeps every type that measures the brain.
    """

    name = "pick"
    is_causal = True

    names: list[str] | None = None
    types: list[str] | None = None

    def __post_init__(self) -> None:
        if self.names is not None and self.types is not None:
            raise ConfigError("pick takes names or types, not both.")
        for kind in self.types or []:
            if kind not in SENSOR_TYPES:
                raise unknown_option("sensor type", kind, SENSOR_TYPES)

    def apply(self, signal: Continuous) -> Continuous:
        """Return the chosen channels.

        Raises:
            DataError: A name that is not there, or no channel of the types.
        """
        sensors = signal.sensors
        if self.names is not None:
            kept = sensors.indices(self.names)
        elif self.types is not None:
            kept = np.array([i for i, kind in enumerate(sensors.types) if kind in self.types], dtype=int)
        else:
            kept = sensors.brain_indices()
        if not len(kept):
            raise DataError(f"pick keeps no channel; the recording has the types {sorted(set(sensors.types))}.")
        return signal.with_channels(signal.data[kept], sensors.pick(kept))

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: channels are chosen."""
        return 0.0


@dataclass
class DropChannels(SignalStep):
    """Leave channels out by name; names that are not there are an error."""

    name = "drop_channels"
    is_causal = True

    names: list[str]

    def apply(self, signal: Continuous) -> Continuous:
        """Return the other channels."""
        dropped = set(signal.sensors.indices(self.names).tolist())
        kept = np.array([index for index in range(len(signal.sensors)) if index not in dropped], dtype=int)
        if not len(kept):
            raise DataError("drop_channels leaves no channel.")
        return signal.with_channels(signal.data[kept], signal.sensors.pick(kept))

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: channels are chosen."""
        return 0.0


@dataclass
class KeepChannels(WindowStep):
    """Keep channels of windows by name, in the order given: after a whitening that all channels took part in.

    Args:
        names: Channel names.
    """

    name = "keep_channels"
    is_causal = True
    changes_channels = True

    names: list[str]

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not len(self.names):
            raise ConfigError(f"keep_channels needs a list of channel names; got {self.names!r}.")

    def apply(self, windows: Windows) -> Windows:
        """Return windows of the chosen channels; a name that is not there is an error."""
        kept = windows.space.indices(self.names)
        return replace(windows, data=windows.data[:, kept], space=windows.space.pick(kept))


@dataclass
class Rereference(SignalStep):
    """Subtract from the EEG channels their average, or the mean of named channels.

    Channels marked as bad take no part in the average; it is subtracted from them too, so that all channels share one
    reference. On good channels this is `mne.io.Raw.set_eeg_reference`, which leaves the bad ones as they were.

    Args:
        to: "average", or channel names such as ["TP9", "TP10"] (which become zero when there is one).
    """

    name = "rereference"
    is_causal = True

    to: str | list[str] = "average"

    def __post_init__(self) -> None:
        if isinstance(self.to, str) and self.to != "average":
            raise unknown_option("reference", self.to, ["average", "a list of channel names"])
        if not len(self.to):
            raise ConfigError("rereference needs at least one channel name; got an empty list. Use to: average.")

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal against the new reference; channels of other types stay as they are.

        Raises:
            DataError: No EEG channel, none that is good, or a named reference that is marked as bad: its noise would
                go into every channel.
        """
        is_eeg = np.array([kind == "eeg" for kind in signal.sensors.types])
        if not is_eeg.any():
            raise DataError("rereference needs EEG channels; the recording has none.")
        left_out: list[str] = []
        if self.to == "average":
            used, left_out = self._good(signal, np.flatnonzero(is_eeg))
        else:
            used = self._named(signal, list(self.to))
        referenced = signal.data if len(used) == len(signal.data) else signal.data[used]
        data = signal.data.copy()
        np.subtract(data, referenced.mean(axis=0), out=data, where=is_eeg[:, None])
        notes = (f"average reference without channels marked as bad: {', '.join(left_out)}",) if left_out else ()
        return replace(signal, data=data, notes=(*signal.notes, *notes))

    def _good(self, signal: Continuous, members: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return the members that are not marked as bad, and the names of those that are."""
        names = signal.sensors.names
        is_bad = np.array([names[index] in signal.bads for index in members])
        if is_bad.all():
            raise DataError(
                f"rereference averages good EEG channels; all {len(members)} of the recording are marked as bad. "
                "Correct the marks, or put interpolate_bads before it."
            )
        return members[~is_bad], [names[index] for index in members[is_bad]]

    def _named(self, signal: Continuous, names: list[str]) -> np.ndarray:
        bad = [name for name in names if name in signal.bads]
        if bad:
            raise DataError(
                f"rereference needs good reference channels; {bad} of {names} are marked as bad in the recording, and "
                "their noise would go into every channel. Name others, use to: average, or put interpolate_bads before."
            )
        return signal.sensors.indices(names)

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: channels are combined at one time only."""
        return 0.0
