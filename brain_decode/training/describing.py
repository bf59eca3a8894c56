"""Class averages of a run's windows, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from brain_decode.evaluation.evidence import evoked_evidence
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.training.trials import Trials

__all__ = ["describe_windows"]

_MOST_WINDOWS, _MOST_BYTES = 4000, 1 << 27  # averages of more windows look the same


def describe_windows(
    trials: Trials, preprocessing: Preprocessing, rows: np.ndarray, classes: Sequence[str], *, note: str
) -> dict[str, Any]:
    """Return class averages after the stateless steps: a description of the data, never used to fit.

    Args:
        trials: The run's windows.
        preprocessing: Its stateless steps made the store.
        rows: Scored windows; of many, some are drawn, so that memory does not grow with them.
        classes: Labels, in order.
        note: What the windows are.
    """
    window_bytes = trials.windows(preprocessing, rows[:1]).data.nbytes
    at_most = min(_MOST_WINDOWS, max(_MOST_BYTES // window_bytes, 2 * len(classes)))
    if len(rows) > at_most:
        rows = _drawn_by_class(trials, rows, at_most)
    return evoked_evidence(trials.windows(preprocessing, rows), classes, note=note)


def _drawn_by_class(trials: Trials, rows: np.ndarray, at_most: int) -> np.ndarray:
    """Return rows drawn at random, in the order of the table, with every class among them."""
    rng = np.random.default_rng(0)
    labels = trials.table["label"].astype(str).to_numpy()[rows]
    shuffled = rng.permutation(len(rows))
    first_of_class = shuffled[np.unique(labels[shuffled], return_index=True)[1]]
    others = np.setdiff1d(shuffled, first_of_class)
    chosen = np.r_[first_of_class, rng.permutation(others)[: at_most - len(first_of_class)]]
    return np.sort(rows[chosen])
