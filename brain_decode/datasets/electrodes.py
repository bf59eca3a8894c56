"""Measured electrode positions of BIDS folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
from mne_bids.config import BIDS_TO_MNE_FRAMES

from brain_decode.core.errors import DataError

__all__ = ["apply_electrodes"]

_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}


def apply_electrodes(raw: Any, table: pd.DataFrame, system: dict[str, Any], source: Path) -> int:
    """Give channels the positions of `electrodes.tsv`, and return how many got one.

    Args:
        raw: Recording this package opened itself.
        table: Columns `name`, `x`, `y`, `z`; "n/a" where unknown.
        system: `coordsystem.json`: unit and frame. Frames that MNE does not know stay unknown; nothing is transformed.
        source: The table's file, for messages.

    Raises:
        DataError: Missing columns, coordinates that are no numbers, or an unknown unit.
    """
    lacking = [column for column in ("name", "x", "y", "z") if column not in table]
    if lacking:
        raise DataError(f"{source.name} needs the columns name, x, y, z; it lacks {lacking}.")
    places = table[["x", "y", "z"]].replace("n/a", "nan")
    coordinates = places.apply(pd.to_numeric, errors="coerce").to_numpy(float)
    wrong = np.isnan(coordinates) & (places.to_numpy() != "nan")
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise DataError(f"{source.name}: the position in row {row + 1} must be numbers or n/a. Correct the file.")
    factor = _factor(system, source)
    known = set(raw.ch_names)
    placed = {
        str(name): place * factor
        for name, place in zip(table["name"], coordinates, strict=True)
        if str(name) in known and np.isfinite(place).all()
    }
    if placed:
        montage = mne.channels.make_dig_montage(placed, coord_frame=_frame(system))
        raw.set_montage(montage, on_missing="ignore", verbose="ERROR")
    return len(placed)


def _value(system: dict[str, Any], ending: str) -> str:
    return next((str(value) for key, value in system.items() if key.endswith(ending)), "")


def _factor(system: dict[str, Any], source: Path) -> float:
    unit = _value(system, "CoordinateUnits") or "m"
    if unit not in _METRES:
        raise DataError(f"{source.name}: coordinates must be in m, cm or mm; coordsystem.json says '{unit}'.")
    return _METRES[unit]


def _frame(system: dict[str, Any]) -> str:
    return str(BIDS_TO_MNE_FRAMES.get(_value(system, "CoordinateSystem"), "unknown"))
