"""Intervals, permutation tests and corrections, vectorised over resamples.

Windows of one run are not independent, so intervals resample whole units: the highest of subject, session, run and
trial that has at least five.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from brain_decode.core.errors import DataError
from brain_decode.datasets.splits import trial_codes, unit_codes

__all__ = [
    "Clusters",
    "benjamini_hochberg",
    "bootstrap_weights",
    "chunks",
    "clusters_of",
    "holm",
    "interval",
    "paired_difference",
    "permutation_p",
    "permuted_within",
    "picture_clusters",
    "weighted_auc",
    "weighted_mean",
]

LEAST_CLUSTERS = 5
_CHUNK = 4_000_000  # numbers held at once, 32 MB


@dataclass(frozen=True)
class Clusters:
    """The units that are resampled.

    Args:
        level: "subject", "session", "run" or "trial"; "picture" where retrieval resamples what was shown.
        codes: (n,) unit of each window, 0 to `n_units` - 1.
    """

    level: str
    codes: np.ndarray

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return int(self.codes.max()) + 1


def clusters_of(table: pd.DataFrame) -> Clusters:
    """Return the highest of subject, session, run and trial with at least five units; trials where none has."""
    for level in ("subject", "session", "run"):
        codes, names = unit_codes(table, level)
        if len(names) >= LEAST_CLUSTERS:
            return Clusters(level, codes)
    if {"recording", "event", "onset_s"} <= set(table.columns):
        return Clusters("trial", trial_codes(table))
    return Clusters("trial", np.arange(len(table)))


def picture_clusters(table: pd.DataFrame) -> Clusters:
    """Return the units of retrieval: subjects where there are at least five, else the pictures that were shown.

    What is claimed is that other pictures would be found too. Showings of one picture, by one person or several, are
    no independent evidence for that, and an answer averaged over runs belongs to none.
    """
    if "truth" not in table or len(unit_codes(table, "subject")[1]) >= LEAST_CLUSTERS:
        return clusters_of(table)
    return Clusters("picture", pd.factorize(table["truth"].astype(str))[0])


def bootstrap_weights(clusters: Clusters, n_bootstrap: int, rng: np.random.Generator) -> np.ndarray:
    """Return (n_bootstrap, n_units) how often each unit is drawn, with replacement."""
    n = clusters.n_units
    return rng.multinomial(n, np.full(n, 1 / n), size=n_bootstrap).astype(float)


def interval(samples: np.ndarray, level: float = 0.95) -> list[float | None]:
    """Return the percentile interval of bootstrap values; resamples without a value (NaN) are left out.

    [None, None] where fewer than half of the resamples have a value.
    """
    samples = np.asarray(samples, dtype=float)
    valid = samples[~np.isnan(samples)]
    if len(valid) * 2 < len(samples) or len(valid) < 2:
        return [None, None]
    low, high = np.quantile(valid, [(1 - level) / 2, (1 + level) / 2])
    return [float(low), float(high)]


def weighted_mean(values: np.ndarray, clusters: Clusters, weights: np.ndarray) -> np.ndarray:
    """Return (n_bootstrap,) the mean of (n,) values in each resample."""
    n_units = clusters.n_units
    sums = np.bincount(clusters.codes, values, minlength=n_units)
    counts = np.bincount(clusters.codes, minlength=n_units)
    return (weights @ sums) / (weights @ counts)


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


def permuted_within(groups: np.ndarray, n_permutations: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield chunks (rows, n) of positions that permute windows within their group only."""
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.diff(groups[order], prepend=-1))
    blocks = np.split(order, bounds[1:])
    for rows in chunks(n_permutations, len(groups)):
        chunk = np.empty((rows.stop - rows.start, len(groups)), dtype=np.int32)
        for block in blocks:
            chunk[:, block] = rng.permuted(np.tile(block.astype(np.int32), (len(chunk), 1)), axis=1)
        yield chunk


def permutation_p(observed: float, null: np.ndarray) -> float:
    """Return (1 + number of null values at least as large) / (1 + number of null values)."""
    return float((1 + np.sum(np.asarray(null) >= observed - 1e-12)) / (1 + len(null)))


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


def paired_difference(
    bootstrap: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    observed: tuple[float, float],
    clusters: Clusters,
    *,
    n_bootstrap: int = 2000,
    seed: int = 0,
) -> dict[str, object]:
    """Return {"difference", "ci95", "p_bootstrap", "cluster"} of two scores on the same windows.

    Both are computed on the same resamples, so what they share cancels. The p-value is two-sided.

    Args:
        bootstrap: Turns (n_bootstrap, n_units) weights into the two scores (n_bootstrap,) of each resample.
        observed: The two scores.
        clusters: Units of the windows.
        n_bootstrap: Resamples.
        seed: Of the resamples.
    """
    weights = bootstrap_weights(clusters, n_bootstrap, np.random.default_rng(seed))
    first, second = bootstrap(weights)
    differences = first - second
    differences = differences[~np.isnan(differences)]
    tail = min(int((differences <= 0).sum()), int((differences >= 0).sum()))
    return {
        "difference": observed[0] - observed[1],
        "ci95": interval(differences),
        "p_bootstrap": float(min(1.0, 2 * (1 + tail) / (1 + len(differences)))),
        "cluster": clusters.level,
    }


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
