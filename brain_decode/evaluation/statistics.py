"""Corrections for many tests, and weighted scores of many weightings at once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy.stats import false_discovery_control

from brain_decode.core.errors import DataError

__all__ = ["benjamini_hochberg", "chunks", "holm", "weighted_auc"]

_CHUNK = 4_000_000  # numbers held at once, 32 MB


def weighted_auc(
    positive: np.ndarray, scores: np.ndarray, folds: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return (n_weights,) the AUC over pairs of one fold, for each weighting; NaN where no fold holds both classes.

    Windows are sorted once; a weighting changes only what they count, so each AUC is a cumulative sum. Ties count half.

    Args:
        positive: (n,) bool.
        scores: (n,).
        folds: (n,) windows are compared within their fold only.
        codes: (n,) unit of each window.
        weights: (n_weights, n_units).
    """
    order = np.lexsort((scores, folds))
    codes, is_positive = codes[order], positive[order].astype(float)
    new_fold = np.diff(folds[order], prepend=-1) != 0
    starts = np.flatnonzero(new_fold | (np.diff(scores[order], prepend=-np.inf) != 0))
    first_of_fold = np.flatnonzero(new_fold[starts])
    fold_of = np.cumsum(new_fold[starts]) - 1
    values = np.empty(len(weights))
    for rows in chunks(len(weights), len(scores)):
        counted = weights[rows][:, codes]
        above = np.add.reduceat(counted * is_positive, starts, axis=1)
        below = np.add.reduceat(counted * (1 - is_positive), starts, axis=1)
        cumulative = np.cumsum(below, axis=1)
        before_fold = (cumulative - below)[:, first_of_fold]
        positives, negatives = (np.add.reduceat(part, first_of_fold, axis=1) for part in (above, below))
        pairs = (positives * negatives).sum(axis=1)
        won = (above * (cumulative - 0.5 * below - before_fold[:, fold_of])).sum(axis=1)
        values[rows] = np.divide(won, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return values


def holm(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted so that the chance of any false discovery stays below the level (Holm 1979)."""
    p_values = _checked_p(p_values)
    order = np.argsort(p_values)
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def benjamini_hochberg(p_values: np.ndarray) -> np.ndarray:
    """Return p-values adjusted to the expected share of false discoveries (Benjamini and Hochberg 1995)."""
    return false_discovery_control(_checked_p(p_values), method="bh")


def chunks(n_rows: int, width: int) -> Iterator[slice]:
    """Yield slices of `n_rows` rows so that rows of `width` numbers stay within 32 MB."""
    size = max(1, _CHUNK // max(width, 1))
    for start in range(0, n_rows, size):
        yield slice(start, min(start + size, n_rows))


def _checked_p(p_values: np.ndarray) -> np.ndarray:
    p_values = np.asarray(p_values, dtype=float)
    if not np.all((p_values >= 0) & (p_values <= 1)):
        raise DataError(f"p-values lie in [0, 1]; got {p_values.tolist()}.")
    return p_values
