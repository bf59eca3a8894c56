"""Recordings whose FIF file was split for its size: the first part leads to the others, which are no runs of their own.

MNE follows the chain from any part to the last, so a later part read by itself is a copy of the end of the recording.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import mne

from brain_decode.core.errors import DataError, listed

__all__ = ["first_parts"]

_LOG = logging.getLogger(__name__)
_NUMBERED = re.compile(r"^(?P<stem>.+)-(?P<number>\d+)(?P<ending>\.fif(\.gz)?)$")
_BIDS = re.compile(r"^(?P<stem>.+_split-)(?P<number>\d+)(?P<ending>_.+\.fif(\.gz)?)$")
_EPOCHS = ("-epo", "_epo")  # MNE numbers later parts after this ending
_READ_ERRORS = (ValueError, OSError, RuntimeError, KeyError, TypeError)


def first_parts(paths: Sequence[Path]) -> list[Path]:
    """Return the files that are recordings or begin one, and log which later parts are read through them.

    A file is a later part when the file before it by number says so; `run-1.fif` beside `run-2.fif` are two recordings.

    Raises:
        DataError: A later part whose first part is beside it and was not asked for.
    """
    leading = {path: first for path in paths if (first := _first_part(path)) != path}
    for part, first in leading.items():
        if first not in paths:
            raise DataError(
                f"{part.name} continues {first.name}, which is beside it and would not be read. Widen the pattern of "
                "files so that it finds the first part; the others are read through it."
            )
    if leading:
        names = listed([part.name for part in leading])
        _LOG.info("%d continuation files are read through their first part, not as runs: %s.", len(leading), names)
    return [path for path in paths if path not in leading]


def _first_part(path: Path) -> Path:
    """Return the file that the chain of this one begins with, itself where it continues none."""
    first = path
    while (before := _numbered_before(first)) is not None and path.name in _chain(before):
        first = before
    return first


def _numbered_before(path: Path) -> Path | None:
    """Return the file whose number is one less, where there is one."""
    for pattern in (_BIDS, _NUMBERED):
        found = pattern.match(path.name)
        if found is None or int(found["number"]) == 0:
            continue
        digits = str(int(found["number"]) - 1).zfill(len(found["number"]))
        names = [f"{found['stem']}{digits}{found['ending']}"] if pattern is _BIDS else [
            f"{found['stem']}-{digits}{found['ending']}", f"{found['stem']}{found['ending']}"
        ]  # fmt: skip
        return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    return None


def _chain(first: Path) -> set[str]:
    """Return the names of the files that a recording lies in; those of epochs are known by their numbers."""
    stem = re.sub(r"(-\d+)?\.fif(\.gz)?$", "", first.name)
    if stem.endswith(_EPOCHS):
        return {path.name for path in first.parent.glob(f"{stem}-*") if _NUMBERED.match(path.name)}
    try:
        raw = mne.io.read_raw_fif(first, allow_maxshield="yes", preload=False, verbose="ERROR")
    except _READ_ERRORS:
        return set()  # opening it says what is wrong
    return {Path(name).name for name in raw.filenames if name is not None}
