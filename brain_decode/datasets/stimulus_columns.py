"""Event columns that seem to name what was shown, where nobody said so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brain_decode.datasets.base import event_text
from brain_decode.signals.recording import Recording

__all__ = ["unnamed_stimuli"]

_TIMES = ("onset_s", "duration_s", "sample")
_LEAST_SHOWINGS = 2.0  # of a value, on average
_LEAST_NAMED = 0.9  # of the windows


def unnamed_stimuli(recordings: Sequence[Recording], table: pd.DataFrame, target_column: str) -> str:
    """Return why labels may go with stimuli that nobody named, or an empty string.

    A column is taken for one where its values come again, each has one label, and each label has several.

    Args:
        recordings: In the order `table.recording` counts them.
        table: Windows of a classification.
        target_column: Event column that the labels came from.
    """
    labels = table["label"].astype(str).to_numpy()
    shared = set.intersection(*(set(recording.events.columns) for recording in recordings))
    for column in sorted(shared - {*_TIMES, target_column}):
        values = _values(recordings, table, column)
        named = values != ""
        n_values, n_named = len(np.unique(values[named])), int(named.sum())
        if n_named < _LEAST_NAMED * len(table) or n_values < 2 * len(np.unique(labels)) or _are_measures(values[named]):
            continue
        has_one_label = (pd.Series(labels[named]).groupby(values[named]).nunique() == 1).all()
        if has_one_label and n_named >= _LEAST_SHOWINGS * n_values:
            return (
                f"event column '{column}' seems to name what was shown ({n_values} values, each with one label, shown "
                f"{n_named / n_values:.0f} times each), and showings of one thing are no independent evidence: say "
                f"datasets.target.stimulus_column={column}"
            )
    return ""


def _are_measures(values: np.ndarray) -> bool:
    """Return whether values are numbers with fractions, which name nothing."""
    numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(dtype=float)
    return bool((np.isfinite(numbers) & (numbers % 1 != 0)).any())


def _values(recordings: Sequence[Recording], table: pd.DataFrame, column: str) -> np.ndarray:
    """Return the value of an event column for each window."""
    values = np.full(len(table), "", dtype=object)
    of_window, events = table["recording"].to_numpy(dtype=int), table["event"].to_numpy(dtype=int)
    for number, recording in enumerate(recordings):
        rows = np.flatnonzero((of_window == number) & (events >= 0))
        values[rows] = recording.events[column].map(event_text).to_numpy(dtype=object)[events[rows]]
    return values
