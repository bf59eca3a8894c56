"""Test rows that can be used only after saying why, and every opening is remembered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np

from brain_decode.core.errors import LeakageError
from brain_decode.datasets.splits import Fold

__all__ = ["SealedFold", "SealedTest", "collect_openings", "seal"]


class SealedTest:
    """The test positions of one fold.

    `len()` is known; indexing, iterating and conversion to an array are refused until `open`, and `refuse` stops any
    selection of rows that contains sealed ones. A second opening is possible and recorded like the first.

    Args:
        fold: The fold's name, for the record.
        positions: Positions (iloc) in the window table.
    """

    def __init__(self, fold: str, positions: np.ndarray) -> None:
        self.fold = fold
        self._positions = np.array(positions, dtype=int)
        self.openings: list[dict[str, str]] = []

    def open(self, reason: str) -> np.ndarray:
        """Return the positions and record when and why.

        Raises:
            LeakageError: No reason was given.
        """
        if not str(reason).strip():
            raise LeakageError(f"Opening the test part of fold '{self.fold}' needs a reason; it goes into the receipt.")
        time = datetime.now(UTC).isoformat(timespec="seconds")
        self.openings.append({"time": time, "fold": self.fold, "reason": str(reason)})
        return self._positions.copy()

    @property
    def is_open(self) -> bool:
        """True after the first opening."""
        return bool(self.openings)

    def mask(self, n_rows: int) -> np.ndarray:
        """Return (n_rows,) True for each row of the window table that belongs to the test part."""
        return np.isin(np.arange(n_rows), self._positions)

    def refuse(self, positions: np.ndarray) -> None:
        """Pass in silence unless some of these positions are sealed.

        Raises:
            LeakageError: Test rows of a fold that has not been opened.
        """
        if self.is_open:
            return
        sealed = np.intersect1d(np.asarray(positions, dtype=int), self._positions)
        if len(sealed):
            raise LeakageError(
                f"Row {sealed[0]} and {len(sealed) - 1} more belong to the sealed test part of fold '{self.fold}'. "
                "Train and select on training rows only; score with open(reason)."
            )

    def __len__(self) -> int:
        return len(self._positions)

    def __getitem__(self, index: object) -> np.ndarray:
        raise self._still_sealed()

    def __iter__(self) -> Iterator[int]:
        raise self._still_sealed()

    def __array__(self, dtype: object = None, copy: bool | None = None) -> np.ndarray:
        raise self._still_sealed()

    def __repr__(self) -> str:
        return f"SealedTest(fold='{self.fold}', n={len(self)}, openings={len(self.openings)})"

    def _still_sealed(self) -> LeakageError:
        return LeakageError(f"The test part of fold '{self.fold}' is read with open(reason), never directly.")


@dataclass(frozen=True, eq=False)
class SealedFold:
    """What training code receives: open training positions, sealed test positions."""

    name: str
    train: np.ndarray
    test: SealedTest
    gap: Mapping[str, float] = field(default_factory=dict)


def seal(fold: Fold) -> SealedFold:
    """Return the fold with its test part sealed."""
    return SealedFold(fold.name, np.array(fold.train, dtype=int), SealedTest(fold.name, fold.test), fold.gap)


def collect_openings(folds: Iterable[SealedFold]) -> list[dict[str, str]]:
    """Return every opening of these folds in order of time, for the receipt."""
    return sorted((opening for fold in folds for opening in fold.test.openings), key=lambda opening: opening["time"])
