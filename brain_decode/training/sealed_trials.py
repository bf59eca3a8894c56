"""Trials as training code gets them: nothing of the sealed test rows can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from brain_decode.core.errors import LeakageError
from brain_decode.datasets.sealed import SealedTest
from brain_decode.datasets.store import SignalStore
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import Recording
from brain_decode.signals.space import Space
from brain_decode.signals.windows import Windows
from brain_decode.training.trials import Trials

__all__ = ["SealedTrials"]

_HIDDEN = ("label", "stimulus", "concept")  # columns that say what was shown


class _SealedValue:
    """Stands for a label that training code may not know; whatever asks for its value is refused."""

    def __init__(self, fold: str) -> None:
        self.fold = fold

    def _refuse(self, *_: object) -> NoReturn:
        raise LeakageError(
            f"A label, stimulus or concept of the sealed test part of fold '{self.fold}' was read while training. "
            "Use rows of the training part only, table.iloc[train]."
        )

    __str__ = __hash__ = __eq__ = __ne__ = __lt__ = __gt__ = __float__ = __int__ = __index__ = __bool__ = _refuse


class _SealedSource:
    """Has the sizes of a recording's signal and gives no sample of it."""

    def __init__(self, source: Any, label: str) -> None:
        self.n_times, self.n_trials, self.label = int(source.n_times), int(getattr(source, "n_trials", 0)), label

    def read(self, start: int, stop: int) -> np.ndarray:
        raise self._refusal()

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        raise self._refusal()

    def _refusal(self) -> LeakageError:
        return LeakageError(
            f"{self.label} was read past the seal of its test rows. Training code reads windows by row: "
            "trials.windows(preprocessing, rows)."
        )


class SealedTrials(Trials):
    """A view of trials whose sealed rows have no label, stimulus, concept, target or signal.

    Every other row is that of the whole, which keeps what is prepared once for all views. Sizes, classes and the
    features of all pictures are known beforehand and stay.

    Args:
        whole: All of the run.
        test: The rows that stay shut until they are opened.
    """

    def __init__(self, whole: Trials, test: SealedTest) -> None:
        super().__init__(**{entry.name: getattr(whole, entry.name) for entry in fields(Trials) if entry.init})
        self._whole, self._test = whole, test
        self._rows = np.arange(len(whole.table))
        self._is_sealed = test.mask(len(whole.table))
        self.table = _blanked(whole.table, self._is_sealed, test.fold)
        self.recordings = [_shut(recording) for recording in whole.recordings]

    def store(self, preprocessing: Preprocessing) -> SignalStore:
        """Refuse: a store gives every sample.

        Raises:
            LeakageError: Always.
        """
        raise LeakageError(
            f"The signal store holds the sealed test part of fold '{self._test.fold}'. Training code reads windows by "
            "row: trials.windows(preprocessing, rows)."
        )

    def content_hashes(self, preprocessing: Preprocessing) -> list[str]:
        """Return the content hash of each recording."""
        return self._whole.content_hashes(preprocessing)

    def first_amplitudes(self, read: Space) -> dict[str, float]:
        """Return the typical amplitude of each sensor type in the first recording, which passports show."""
        return self._whole.first_amplitudes(read)

    def blank_window(self, preprocessing: Preprocessing) -> Windows:
        """Return one window of zeros of the size that all windows have."""
        return self._whole.blank_window(preprocessing)

    def windows(self, preprocessing: Preprocessing, rows: np.ndarray) -> Windows:
        """Return windows after the stateless steps only.

        Raises:
            LeakageError: Sealed rows.
        """
        return self._whole.windows(preprocessing, self._allowed(rows))

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Return the targets of rows.

        Raises:
            LeakageError: Sealed rows.
        """
        return self._whole.targets(self._allowed(rows))

    def feature_rows(self, stimuli: Sequence[str]) -> np.ndarray:
        """Return the feature row of each stimulus.

        Raises:
            LeakageError: A stimulus that only sealed rows show.
        """
        met = self._only_sealed.intersection(str(stimulus) for stimulus in stimuli)
        if met:
            self._test.refuse(np.flatnonzero(self._is_sealed & self._whole.table["stimulus"].isin(met).to_numpy()))
        return self._whole.feature_rows(stimuli)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class labels, sorted: those of all rows, as a task states its classes beforehand."""
        return self._whole.classes

    @property
    def _class_indices(self) -> NoReturn:  # type: ignore[override]
        raise LeakageError("Class indices of all rows hold sealed ones. Training code asks for trials.targets(rows).")

    @cached_property
    def _only_sealed(self) -> frozenset[str]:
        shown = self._whole.table["stimulus"].astype(str)
        return frozenset(shown[self._is_sealed]) - frozenset(shown[~self._is_sealed])

    def _allowed(self, rows: np.ndarray) -> np.ndarray:
        """Return the rows as positions from 0 on, however they were given, and none of them sealed."""
        positions = self._rows[rows]
        if self._is_sealed[positions].any():
            self._test.refuse(positions)
        return positions


def _blanked(table: pd.DataFrame, is_sealed: np.ndarray, fold: str) -> pd.DataFrame:
    blank = table.copy()
    for name in set(_HIDDEN) & set(table):
        if pd.api.types.is_numeric_dtype(table[name]):
            blank[name] = table[name].astype(float).mask(is_sealed)
        else:
            values = table[name].to_numpy(dtype=object, copy=True)
            values[is_sealed] = _SealedValue(fold)
            blank[name] = pd.Series(values, index=table.index, dtype=object)
    return blank


def _shut(recording: Recording) -> Recording:
    """Return a recording of the same sizes and sensors that tells no sample and no event's kind."""
    events = recording.events[["onset_s", "duration_s"]].assign(trial_type="")
    source = _SealedSource(recording.source, recording.label)
    return replace(recording, events=events, source=source, annotations=None, files=())
