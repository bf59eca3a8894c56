"""What closed-form classifiers share: column scaling, checks of class indices, and two-sided logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["class_logits", "class_targets", "column_scale"]


def column_scale(embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the (dim,) mean and standard deviation of each column; the deviation of a constant column is 1.

    Raises:
        DataError: No rows, or values that are not finite.
    """
    if not len(embedding):
        raise DataError("A head is fitted on at least one embedding; got none.")
    if not np.isfinite(embedding).all():
        raise DataError(
            f"Embeddings must be finite; {int((~np.isfinite(embedding).all(axis=1)).sum())} of {len(embedding)} are "
            "not."
        )
    deviation = embedding.std(axis=0)
    constant = deviation <= 1e-12 * np.maximum(np.abs(embedding).max(axis=0), np.finfo(float).tiny)
    return embedding.mean(axis=0), np.where(constant, 1.0, deviation)


def class_targets(target: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Return (n,) class indices after checking that every class is there.

    Raises:
        DataError: A class without training windows, or an index outside the classes.
    """
    indices = np.asarray(target).astype(int)
    if len(indices) and (indices.min() < 0 or indices.max() >= len(classes)):
        raise DataError(
            f"Class indices are 0 to {len(classes) - 1} for {list(classes)}; got {indices.min()} to {indices.max()}."
        )
    absent = [name for index, name in enumerate(classes) if not (indices == index).any()]
    if absent:
        raise DataError(
            f"Every class needs training windows; none for {', '.join(absent)} among {len(indices)}. "
            "Choose another split or leave the class out of the target."
        )
    return indices


def class_logits(decision: np.ndarray) -> np.ndarray:
    """Return (n, classes) logits; a single column of log odds becomes two of opposite sign."""
    return decision if decision.shape[1] > 1 else np.concatenate([-decision / 2, decision / 2], axis=1)
