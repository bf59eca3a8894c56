"""Scores of classification and regression, and what guessing would reach.

Classification works on class indices (n,) and probabilities (n, n_classes). AUC over more than two classes is the
mean of the one-versus-rest AUCs of the classes that occur in the truth.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata
from sklearn.metrics import r2_score, roc_auc_score

from brain_decode.core.errors import DataError

__all__ = [
    "accuracy",
    "auc",
    "auc_columns",
    "balanced_accuracy",
    "chance_level",
    "pearson",
    "r2",
    "rank_auc",
]


def auc(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Return the area under the ROC curve, macro one-versus-rest for more than two classes.

    Args:
        truth: (n,) class indices.
        probabilities: (n, n_classes).

    Raises:
        DataError: Only one class in the truth.
    """
    columns = auc_columns(truth, probabilities.shape[1])
    return float(np.mean([roc_auc_score(truth == column, probabilities[:, column]) for column in columns]))


def auc_columns(truth: np.ndarray, n_classes: int) -> list[int]:
    """Return the classes whose AUC is averaged: the second one of two, otherwise every class in the truth.

    Raises:
        DataError: Only one class in the truth.
    """
    present = np.unique(truth)
    if len(present) < 2:
        raise DataError(
            f"AUC needs windows of at least two classes, the truth has {len(present)}. Score more windows together, or "
            "use a split whose test parts hold every class."
        )
    return [1] if n_classes == 2 else [int(column) for column in present]


def balanced_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the mean recall of the classes that occur in the truth."""
    counts = np.bincount(truth)
    hits = np.bincount(truth, truth == predicted, minlength=len(counts))
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of right answers."""
    return float(np.mean(np.asarray(truth) == np.asarray(predicted)))


def pearson(truth: np.ndarray, predicted: np.ndarray, folds: np.ndarray | None = None) -> float:
    """Return the correlation over windows, averaged over the columns of (n, dim); 0 for a constant prediction.

    Args:
        truth: (n,) or (n, dim).
        predicted: The same shape.
        folds: (n,) both are centred within each fold; over all windows where None.
    """
    truth, predicted = (np.reshape(array, (len(array), -1)).astype(float) for array in (truth, predicted))
    codes = np.zeros(len(truth), dtype=int) if folds is None else folds
    truth, predicted = _centred(truth, codes), _centred(predicted, codes)
    scale = np.sqrt((truth**2).sum(axis=0) * (predicted**2).sum(axis=0))
    product = (truth * predicted).sum(axis=0)
    return float(np.divide(product, scale, out=np.zeros_like(product), where=scale > 0).mean())


def _centred(values: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return (n, dim) values without the mean of their fold."""
    sums = np.zeros((int(folds.max()) + 1, values.shape[1]))
    np.add.at(sums, folds, values)
    return values - (sums / np.bincount(folds)[:, None])[folds]


def r2(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the share of variance explained, averaged over columns; negative when worse than the mean."""
    return float(r2_score(truth, predicted))


def rank_auc(values: np.ndarray, positive: np.ndarray) -> np.ndarray:
    """Return the AUC of each column of `values` (n, ...) for telling the `positive` rows (n,) from the others.

    The Mann-Whitney statistic from mean ranks, so ties count one half.
    """
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(values, axis=0)
    return (ranks[positive].sum(axis=0) - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative)


def chance_level(metric: str, truth: np.ndarray, n_classes: int) -> float | None:
    """Return what a decoder that ignores the signal reaches; None where that has no fixed value (ece).

    AUC: 0.5. Balanced accuracy: 1 / the number of classes that occur in the truth, whose recalls it averages.
    Accuracy: the share of the largest class, which always answering that class reaches. Pearson and R²: 0.
    """
    if metric == "accuracy":
        return float(np.bincount(truth.astype(int)).max() / len(truth))
    if metric == "ece":
        return None
    return {"auc": 0.5, "balanced_accuracy": 1 / len(np.unique(truth)), "pearson": 0.0, "r2": 0.0}[metric]
