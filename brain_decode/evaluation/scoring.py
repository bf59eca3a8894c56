"""A predictions table to scores, each with interval, chance level, permutation p-value and n."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.datasets.splits import unit_codes
from brain_decode.evaluation import calibration, metrics
from brain_decode.evaluation.predictions import dimension_columns, require_predictions
from brain_decode.evaluation.statistics import (
    Clusters,
    bootstrap_weights,
    clusters_of,
    interval,
    paired_difference,
    permutation_p,
    permuted_within,
    weighted_auc,
    weighted_mean,
)
from brain_decode.signals.spec import probability_columns

__all__ = ["Score", "compare_decoders", "score_classification", "score_regression"]

Score = dict[str, Any]
CLASSIFICATION_METRICS = ("auc", "balanced_accuracy", "accuracy", "ece")


@dataclass(frozen=True)
class _Answers:
    """Classification answers as arrays: (n,) truth and predicted class indices, (n, n_classes) probabilities."""

    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray

    @property
    def n_classes(self) -> int:
        return self.probabilities.shape[1]


def score_classification(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    seed: int = 0,
    n_bootstrap: int = 2000,
    n_permutations: int = 2000,
) -> dict[str, Score]:
    """Return `auc`, `balanced_accuracy`, `accuracy` and `ece` of one decoder's pooled predictions.

    Each is {"value", "ci95", "chance", "p_permutation", "n"}. p is None for ece, where no permutation was asked for,
    and where no run holds two classes (then permuting within runs changes nothing).

    Args:
        predictions: Rows of one decoder with `truth`, `predicted` and a probability for each class.
        classes: Labels in the order of the classes.
        seed: Of resamples and permutations.
        n_bootstrap: Resamples of whole units.
        n_permutations: Permutations of the truth within run; the decoder is not fitted again.

    Raises:
        DataError: No rows, probabilities that are not finite, unknown labels, or one class only.
    """
    answers = _answers(predictions, classes)
    metrics.auc_columns(answers.truth, answers.n_classes)
    clusters = clusters_of(predictions)
    values = _classification_values(answers)
    rng = np.random.default_rng(seed)
    samples = _classification_samples(answers, clusters, bootstrap_weights(clusters, n_bootstrap, rng))
    null = _classification_null(answers, unit_codes(predictions, "run")[0], n_permutations, rng)
    return {
        name: {
            "value": values[name],
            "ci95": interval(samples[name]),
            "chance": metrics.chance_level(name, answers.truth, answers.n_classes),
            "p_permutation": permutation_p(values[name], null[name]) if name in null else None,
            "n": len(predictions),
        }
        for name in CLASSIFICATION_METRICS
    }


def score_regression(
    predictions: pd.DataFrame, *, seed: int = 0, n_bootstrap: int = 2000, n_permutations: int = 2000
) -> dict[str, Score]:
    """Return `pearson` and `r2` of one decoder, averaged over the values of the target.

    Args:
        predictions: Rows of one decoder with `truth` and `predicted` (or `truth_0`, `predicted_0`, …).
        seed: Of resamples and permutations.
        n_bootstrap: Resamples of whole units.
        n_permutations: Permutations of the truth within run.

    Raises:
        DataError: No rows, or values that are not finite.
    """
    truth_columns, predicted_columns = (dimension_columns(predictions, name) for name in ("truth", "predicted"))
    if not truth_columns or len(truth_columns) != len(predicted_columns):
        raise DataError(f"A regression has as many truths as predictions; got {truth_columns} and {predicted_columns}.")
    require_predictions(predictions, [*truth_columns, *predicted_columns])
    truth, predicted = predictions[truth_columns].to_numpy(float), predictions[predicted_columns].to_numpy(float)
    if len(truth) < 2:
        raise DataError("A correlation needs at least 2 windows, got 1.")
    clusters, rng = clusters_of(predictions), np.random.default_rng(seed)
    values = {"pearson": metrics.pearson(truth, predicted), "r2": metrics.r2(truth, predicted)}
    samples = _regression_samples(truth, predicted, clusters, bootstrap_weights(clusters, n_bootstrap, rng))
    null = _regression_null(truth, predicted, unit_codes(predictions, "run")[0], n_permutations, rng)
    return {
        name: {
            "value": value,
            "ci95": interval(samples[name]),
            "chance": 0.0,
            "p_permutation": permutation_p(value, null[name]) if n_permutations else None,
            "n": len(predictions),
        }
        for name, value in values.items()
    }


def compare_decoders(
    first: pd.DataFrame,
    second: pd.DataFrame,
    classes: Sequence[str],
    *,
    metric: str = "auc",
    seed: int = 0,
    n_bootstrap: int = 2000,
) -> dict[str, Any]:
    """Return {"difference", "ci95", "p_bootstrap", "cluster"} of two decoders on the same windows.

    Raises:
        DataError: Tables that do not hold the same windows in the same order.
        ConfigError: An unknown metric.
    """
    if metric not in CLASSIFICATION_METRICS:
        raise unknown_option("metric", metric, CLASSIFICATION_METRICS)
    keys = [name for name in ("recording", "event", "start_s", "stop_s", "truth") if name in first and name in second]
    if len(first) != len(second) or not (first[keys].to_numpy() == second[keys].to_numpy()).all():
        raise DataError(
            f"Two decoders are compared on the same windows in the same order; got {len(first)} and {len(second)} rows "
            "that differ. Sort both tables by recording and event, and keep the rows they share."
        )
    both = [_answers(frame, classes) for frame in (first, second)]
    clusters = clusters_of(first)
    observed = [_classification_values(answers)[metric] for answers in both]
    bootstrap = partial(_paired_samples, both, clusters, metric)
    return paired_difference(bootstrap, (observed[0], observed[1]), clusters, n_bootstrap=n_bootstrap, seed=seed)


def _answers(predictions: pd.DataFrame, classes: Sequence[str]) -> _Answers:
    columns = probability_columns(classes)
    require_predictions(predictions, columns)
    names = pd.Index([str(name) for name in classes])
    codes = [names.get_indexer(pd.Index(predictions[column].astype(str))) for column in ("truth", "predicted")]
    for column, code in zip(("truth", "predicted"), codes, strict=True):
        if (code < 0).any():
            unknown = predictions[column].iloc[int(np.flatnonzero(code < 0)[0])]
            raise DataError(f"Column '{column}' has '{unknown}', which is not among the classes {list(names)}.")
    return _Answers(codes[0], codes[1], predictions[columns].to_numpy(float))


def _classification_values(answers: _Answers) -> dict[str, float]:
    return {
        "auc": metrics.auc(answers.truth, answers.probabilities),
        "balanced_accuracy": metrics.balanced_accuracy(answers.truth, answers.predicted),
        "accuracy": metrics.accuracy(answers.truth, answers.predicted),
        "ece": calibration.ece(answers.truth, answers.probabilities),
    }


def _paired_samples(
    both: Sequence[_Answers], clusters: Clusters, metric: str, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    return (
        _classification_samples(both[0], clusters, weights)[metric],
        _classification_samples(both[1], clusters, weights)[metric],
    )


def _classification_samples(answers: _Answers, clusters: Clusters, weights: np.ndarray) -> dict[str, np.ndarray]:
    truth, predicted = answers.truth, answers.predicted
    is_right = (truth == predicted).astype(float)
    columns = metrics.auc_columns(truth, answers.n_classes)
    aucs = [weighted_auc(truth == column, answers.probabilities[:, column], clusters, weights) for column in columns]
    confidence, is_top, bins = calibration.top_confidence(answers.probabilities, truth)
    gaps = weights @ _per_cluster(clusters, bins, calibration.N_BINS, is_top - confidence)
    n_drawn = weights @ np.bincount(clusters.codes, minlength=clusters.n_units)
    hits = weights @ _per_cluster(clusters, truth, answers.n_classes, is_right)
    counts = weights @ _per_cluster(clusters, truth, answers.n_classes, np.ones(len(truth)))
    recalls = np.divide(hits, counts, out=np.zeros_like(hits), where=counts > 0)
    return {
        "auc": np.mean(aucs, axis=0),
        "balanced_accuracy": recalls.sum(axis=1) / (counts > 0).sum(axis=1),
        "accuracy": weighted_mean(is_right, clusters, weights),
        "ece": np.abs(gaps).sum(axis=1) / n_drawn,
    }


def _per_cluster(clusters: Clusters, columns: np.ndarray, n_columns: int, values: np.ndarray) -> np.ndarray:
    """Return (n_units, n_columns) sums of values."""
    flat = np.bincount(clusters.codes * n_columns + columns, values, minlength=clusters.n_units * n_columns)
    return flat.reshape(clusters.n_units, n_columns)


def _classification_null(
    answers: _Answers, runs: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    truth = answers.truth
    classes_per_run = pd.Series(truth).groupby(runs).nunique()
    if not n_permutations or classes_per_run.max() < 2:
        return {}
    counts = np.bincount(truth, minlength=answers.n_classes)
    columns = metrics.auc_columns(truth, answers.n_classes)
    ranks = rankdata(answers.probabilities[:, columns], axis=0)
    hits, rank_sums = [], []
    for positions in permuted_within(runs, n_permutations, rng):
        permuted = truth[positions]
        right = permuted == answers.predicted
        hits.append(np.stack([(right & (permuted == c)).sum(axis=1) for c in range(answers.n_classes)], axis=1))
        rank_sums.append(np.stack([(permuted == c) @ ranks[:, i] for i, c in enumerate(columns)], axis=1))
    n_right, n_positive = np.concatenate(hits), counts[columns]
    won = np.concatenate(rank_sums) - n_positive * (n_positive + 1) / 2
    present = counts > 0
    return {
        "auc": (won / (n_positive * (len(truth) - n_positive))).mean(axis=1),
        "balanced_accuracy": (n_right[:, present] / counts[present]).mean(axis=1),
        "accuracy": n_right.sum(axis=1) / len(truth),
    }


def _regression_samples(
    truth: np.ndarray, predicted: np.ndarray, clusters: Clusters, weights: np.ndarray
) -> dict[str, np.ndarray]:
    centred = [truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)]
    products = (np.ones_like(truth), *centred, centred[0] ** 2, centred[1] ** 2, centred[0] * centred[1])
    moments = np.stack([*products, (truth - predicted) ** 2])
    per_unit = np.zeros((clusters.n_units, *moments.shape[::2]))
    np.add.at(per_unit, clusters.codes, moments.transpose(1, 0, 2))
    n, x, y, xx, yy, xy, error = np.moveaxis(np.tensordot(weights, per_unit, axes=1), 1, 0)
    variance_x, variance_y = xx - x * x / n, yy - y * y / n
    scale = np.sqrt(np.maximum(variance_x * variance_y, 0))
    covariance = xy - x * y / n
    correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
    explained = 1 - np.divide(error, variance_x, out=np.full_like(error, np.nan), where=variance_x > 0)
    return {"pearson": correlation.mean(axis=1), "r2": explained.mean(axis=1)}


def _regression_null(
    truth: np.ndarray, predicted: np.ndarray, runs: np.ndarray, n_permutations: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    x, y = truth - truth.mean(axis=0), predicted - predicted.mean(axis=0)
    products = [
        np.stack([x[positions, d] @ y[:, d] for d in range(x.shape[1])], axis=1)
        for positions in permuted_within(runs, n_permutations, rng)
    ]
    product = np.concatenate(products) if products else np.zeros((0, x.shape[1]))
    scale = np.sqrt((x**2).sum(axis=0) * (y**2).sum(axis=0))
    total = (x**2).sum(axis=0)
    error = total + (y**2).sum(axis=0) - 2 * product + len(x) * (truth.mean(axis=0) - predicted.mean(axis=0)) ** 2
    correlation = np.divide(product, scale, out=np.zeros_like(product), where=scale > 0)
    explained = 1 - np.divide(error, total, out=np.full_like(error, np.nan), where=total > 0)
    return {"pearson": correlation.mean(axis=1), "r2": explained.mean(axis=1)}
