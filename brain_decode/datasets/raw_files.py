"""Names, types and positions of the channels of opened recordings, as a dataset file asks."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.signals.montages import standard_montage
from brain_decode.signals.sensors import SENSOR_TYPES

__all__ = [
    "ChannelSettings",
    "apply_settings",
    "electrode_names",
    "fill_positions",
    "recording_files",
    "set_types",
]

_LOG = logging.getLogger(__name__)
_NAME_RULES = ("stored", "clean")


@dataclass(frozen=True)
class ChannelSettings:
    """What a dataset file may say about channels beyond what the recording says.

    Args:
        names: "stored", or "clean": trailing dots are stripped and the case follows the 10-05 system (`Fc5.` → `FC5`).
        types: MNE type of named channels, where the file has none or a wrong one.
        montage: MNE montage that gives a position to EEG channels which have none; nothing is filled without it.
    """

    names: str = "stored"
    types: Mapping[str, str] = field(default_factory=dict)
    montage: str | None = None

    def __post_init__(self) -> None:
        if self.names not in _NAME_RULES:
            raise unknown_option("channel_names", self.names, _NAME_RULES)
        for kind in self.types.values():
            if kind not in SENSOR_TYPES:
                raise unknown_option("channel type", kind, SENSOR_TYPES)


def apply_settings(raw: Any, settings: ChannelSettings, label: str) -> tuple[str, ...]:
    """Rename, retype and place the channels of a recording this package opened itself.

    Returns:
        Sentences about what was filled in, for the recording's notes.

    Raises:
        DataError: A channel that is not there, names that stop being unique, or no position found.
    """
    if settings.names == "clean":
        _rename(raw, label)
    for name in settings.types:
        if name not in raw.ch_names:
            raise DataError(f"{label}: channel_types names '{name}', but the channels are {raw.ch_names}.")
    set_types(raw, dict(settings.types))
    return () if settings.montage is None else fill_positions(raw, settings.montage, label)


def electrode_names(names: Sequence[str]) -> list[str]:
    """Return the names that are positions of the 10-05 system, in their order; counters, qualities, motion are none."""
    # O9 and O10 are I1 and I2 in the finer of the two.
    montages = [standard_montage(name) for name in ("standard_1005", "standard_1020")]
    known = {name.lower() for montage in montages for name in montage.ch_names}
    return [name for name in names if name.lower() in known]


def set_types(raw: Any, types: dict[str, str]) -> None:
    """Set channel types of a recording this package opened itself."""
    current = dict(zip(raw.ch_names, raw.get_channel_types(), strict=True))
    changed = {name: kind for name, kind in types.items() if current[name] != kind}
    if changed:
        raw.set_channel_types(changed, on_unit_change="ignore", verbose="ERROR")


def _rename(raw: Any, label: str) -> None:
    """Strip trailing dots and follow the spelling of the 10-05 system."""
    standard = {name.lower(): name for name in standard_montage("standard_1005").ch_names}
    stripped = {name: name.rstrip(".").strip() for name in raw.ch_names}
    renamed = {name: standard.get(short.lower(), short) for name, short in stripped.items()}
    if len(set(renamed.values())) < len(renamed):
        raise DataError(f"{label}: cleaned channel names are not unique: {sorted(renamed.values())}.")
    raw.rename_channels({name: new for name, new in renamed.items() if name != new}, verbose="ERROR")


def fill_positions(raw: Any, montage: str, label: str) -> tuple[str, ...]:
    """Give EEG channels without a position the one their name has in a montage, and say so.

    Raises:
        DataError: No channel name is in the montage.
    """
    positions = standard_montage(montage)
    eeg = [n for n, kind in zip(raw.ch_names, raw.get_channel_types(), strict=True) if kind == "eeg"]
    known = raw.get_montage()
    placed = {} if known is None else known.get_positions()["ch_pos"]
    lacking = [name for name in eeg if name not in placed or not _is_placed(placed[name])]
    if not lacking:
        return ()
    allowed = {name.lower() for name in positions.ch_names}
    filled = [name for name in lacking if name.lower() in allowed]
    if not filled:
        raise DataError(
            f"{label}: none of the channels {lacking} is in montage '{montage}'. Remove or change `montage`."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        raw.set_montage(positions, match_case=False, on_missing="ignore", verbose="ERROR")
    note = f"positions of {len(filled)} of {len(eeg)} EEG channels are those of montage {montage}, not measured"
    if len(lacking) < len(eeg):
        note += "; measured positions of the others were replaced with them"
    _LOG.info("%s: %s.", label, note)
    return (note,)


def _is_placed(position: Any) -> bool:
    return bool((position == position).all() and (position != 0).any())


def recording_files(path: Path, raw: Any) -> tuple[Path, ...]:
    """Return the header file and the files that hold its samples."""
    samples = [Path(name) for name in (raw.filenames or ()) if name is not None]
    return tuple(dict.fromkeys([path, *samples]))
