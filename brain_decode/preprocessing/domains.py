"""The recording domain (person, session, run) of each window, for steps fitted per domain."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brain_decode.signals.windows import Windows

__all__ = ["domain_keys"]


def domain_keys(windows: Windows, columns: Sequence[str]) -> np.ndarray:
    """Return one text per window made of these table columns; a column that is absent counts as empty."""
    keys = np.full(len(windows), "", dtype=object)
    for column in columns:
        part = windows.table[column].astype(str).to_numpy() if column in windows.table else ""
        keys = keys + part + "/"
    return keys.astype(str)
