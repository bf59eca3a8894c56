"""Equal candidates share credit: mid-ranks, and what a metric expects when ties are broken at random.

A candidate of rank b with m - 1 equals lies on each of the places b to b + m - 1 with the same chance. Its mid-rank is
the mean of those places, and every metric is averaged over them. So an answer that tells nothing apart is exactly at
chance, and two pictures with the same features share what either of them earns.
"""

from __future__ import annotations

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["candidate_ranks", "distinct_rows", "first_places", "within_probability"]


def distinct_rows(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_distinct,) one row of each different vector, and (n,) which of them each row equals.

    What is computed once for equal rows is equal to the last bit, which a matrix product does not promise.
    """
    rows = np.ascontiguousarray(vectors) + 0.0  # no negative zeros
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return first, which.ravel()


def candidate_ranks(similarity: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (n, m) mid-ranks (0 = best) that some candidates have for each answer, and how many others equal them.

    Args:
        similarity: (n, n_candidates) finite.
        columns: (m,) candidates that are looked up for every answer.
    """
    better, ties = (np.empty((len(similarity), len(columns)), dtype=np.int64) for _ in range(2))
    for row, values in enumerate(similarity):
        ordered, own = np.sort(values), values[columns]
        above = np.searchsorted(ordered, own, side="right")
        better[row] = len(values) - above
        ties[row] = above - np.searchsorted(ordered, own, side="left") - 1
    return better + 0.5 * ties, ties


def first_places(ranks: np.ndarray, n_ties: np.ndarray | int) -> np.ndarray:
    """Return the best place of each mid-rank's group of equals, as whole numbers.

    Raises:
        DataError: A mid-rank that its number of ties cannot have.
    """
    first = np.asarray(ranks, dtype=float) - np.asarray(n_ties) / 2
    if (first < 0).any() or (first != np.floor(first)).any():
        wrong = np.flatnonzero(((first < 0) | (first != np.floor(first))).ravel())[0]
        raise DataError(
            f"A mid-rank less half its ties is a whole place from 0 up; got rank {np.ravel(ranks)[wrong]:g} with "
            f"{np.ravel(np.broadcast_to(n_ties, np.shape(ranks)))[wrong]:g} ties. Keep column 'n_ties' beside 'rank'."
        )
    return first.astype(np.int64)


def within_probability(ranks: np.ndarray, n_ties: np.ndarray | int, k: int) -> np.ndarray:
    """Return the chance that each candidate is among the best k when ties are broken at random."""
    places = np.asarray(n_ties) + 1
    return np.clip((k - first_places(ranks, n_ties)) / places, 0.0, 1.0)
