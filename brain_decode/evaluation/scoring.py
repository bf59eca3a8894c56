"""A predictions table to scores, each with intervals, chance level, permutation p-value and n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from scipy.stats import t as student

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.evaluation import calibration, metrics
from brain_decode.evaluation.exchangeability import label_exchange
from brain_decode.evaluation.intervals import (
    NEW_SUBJECTS,
    Design,
    Units,
    interval_entries,
    jackknife_deviation,
    left_out_weights,
    new_subject_units,
    shares_stimuli,
    these_subject_units,
    trial_units,
    unit_means,
)
from brain_decode.evaluation.permutation import PermutationValue, p_entry, p_value_of
from brain_decode.evaluation.predictions import dimension_columns, require_predictions
from brain_decode.evaluation.statistics import weighted_auc
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.signals.spec import probability_columns

__all__ = [
    "P_METRICS",
    "PValues",
    "Score",
    "classification_values",
    "compare_decoders",
    "regression_values",
    "score_classification",
    "score_regression",
]

Score = dict[str, Any]
PValues = Mapping[str, "PermutationValue | Unavailable"]  # by metric
CLASSIFICATION_METRICS = ("auc", "balanced_accuracy", "accuracy", "ece")
P_METRICS = {
    "classification": ("auc", "balanced_accuracy", "accuracy"),
    "regression": ("pearson", "r2"),
}
_NOT_REFITTED = Unavailable("in cross-validation a p-value takes decoders that are fitted again to permuted labels")
_NO_NULL = Unavailable("a calibration error has no value that guessing reaches; 0 is the best")
_LOWEST_R2 = -np.inf


@dataclass(frozen=True, eq=False)
class _Answers:
    """Classification answers as arrays: (n,) truth, predicted class and fold, (n, n_classes) probabilities."""

    truth: np.ndarray
    predicted: np.ndarray
    probabilities: np.ndarray
    folds: np.ndarray

    @property
    def n_classes(self) -> int:
        return self.probabilities.shape[1]


def score_classification(
    predictions: pd.DataFrame,
    classes: Sequence[str],
    *,
    design: Design | None = None,
    p_values: PValues | None = None,
    seed: int = 0,
    n_permutations: int = 1999,
) -> dict[str, Score]:
    """Return `auc`, `balanced_accuracy`, `accuracy` and `ece` of one decoder's predictions.

    Each is {"value", "ci95", "ci95_about", "ci95_new_subjects", "chance", "p_permutation", "n"}, with "ci95_reason" or
    "p_reason" where one is not given, "ci95_same_stimuli" where folds share their stimuli, and "p_method",
    "n_permutations", "p_smallest" where p is. AUC compares windows of one fold only, because decoders of different
    folds have different offsets; where no fold holds two classes it compares all, and "pooling" says so.

    Args:
        predictions: Rows of one decoder with `truth`, `predicted` and a probability for each class; `fold` in
            cross-validation.
        classes: Labels in the order of the classes.
        design: How the answers came about; None: one test set, one decoder fitted beforehand.
        p_values: Of decoders that were fitted again; None permutes the labels of one test set with the decoder fixed,
            and gives no p in cross-validation.
        seed: Of the permutations.
        n_permutations: Of labels, with the decoder fixed; 0 leaves p out.

    Raises:
        DataError: No rows, probabilities that are not finite, unknown labels, or one class only.
    """
    design = design or Design()
    answers = _answers(predictions, classes)
    columns = metrics.auc_columns(answers.truth, answers.n_classes)
    pooled = _pooled_where_needed(answers, columns)
    values = _values(pooled)
    counts = np.bincount(answers.truth)
    rarest = int(counts[counts > 0].min())
    same_stimuli = design.is_crossvalidated and shares_stimuli(predictions)
    these, new = these_subject_units(predictions, design), new_subject_units(predictions, design)
    intervals = interval_entries(
        values,
        lambda units: _without_units(pooled, units),
        predictions,
        design,
        bounds={**dict.fromkeys(P_METRICS["classification"], (0.0, 1.0)), "ece": (-1.0, 1.0)},
        n_perfect={"auc": rarest, "balanced_accuracy": rarest, "accuracy": len(predictions)},
        these=these,
    )
    values["ece"] = max(values["ece"], 0.0)  # noise may bring the debiased error below 0
    intervals["ece"] = _calibration_interval(
        pooled, trial_units(predictions), these, new, intervals["ece"], values["ece"]
    )
    if p_values is None:
        tested = {name: values[name] for name in P_METRICS["classification"]}
        null_of = partial(_null_values, pooled)
        p_values = _fixed_p_values(predictions, pooled.truth, tested, null_of, design, n_permutations, seed)
    return {
        name: {
            "value": values[name],
            **intervals[name],
            **({"ci95_same_stimuli": True} if same_stimuli else {}),
            "chance": metrics.chance_level(name, answers.truth, answers.n_classes),
            **p_entry(_NO_NULL if name == "ece" else p_values.get(name)),
            "n": len(predictions),
            **({"pooling": "over folds"} if name == "auc" and pooled is not answers else {}),
        }
        for name in CLASSIFICATION_METRICS
    }


def score_regression(
    predictions: pd.DataFrame,
    *,
    design: Design | None = None,
    p_values: PValues | None = None,
    seed: int = 0,
    n_permutations: int = 1999,
) -> dict[str, Score]:
    """Return `pearson` and `r2` of one decoder, averaged over the values of the target.

    Pearson's r is taken of values that are centred within folds: the mean of the training part goes against that of
    the test part, which alone makes pooled answers correlate negatively with the truth.

    Args:
        predictions: Rows of one decoder with `truth` and `predicted` (or `truth_0`, `predicted_0`, …).
        design: As in `score_classification`.
        p_values: As in `score_classification`.
        seed: Of the permutations.
        n_permutations: As in `score_classification`.

    Raises:
        DataError: No rows, or values that are not finite.
    """
    design = design or Design()
    truth, predicted = _regression_arrays(predictions)
    folds = _fold_codes(predictions)
    values = regression_values(truth, predicted, folds)
    intervals = interval_entries(
        values,
        lambda units: _regression_without_units(truth, predicted, folds, units),
        predictions,
        design,
        bounds={"pearson": (-1.0, 1.0), "r2": (_LOWEST_R2, 1.0)},
    )
    if p_values is None:
        null_of = partial(_null_regression, truth, predicted, folds)
        p_values = _fixed_p_values(predictions, truth[:, 0], values, null_of, design, n_permutations, seed)
    return {
        name: {
            "value": value,
            **intervals[name],
            "chance": 0.0,
            **p_entry(p_values.get(name)),
            "n": len(predictions),
        }
        for name, value in values.items()
    }


def compare_decoders(
    first: pd.DataFrame,
    second: pd.DataFrame,
    classes: Sequence[str],
    *,
    design: Design | None = None,
    metric: str = "auc",
) -> dict[str, Any]:
    """Return {"metric", "difference", "ci95", "ci95_about", "p_value", "p_method"} of two decoders on the same windows.

    The interval is that of the difference, made as that of a score; p is two-sided and 0.05 where the interval just
    touches 0. Without an interval there is no p, and "ci95_reason" says why.

    Args:
        first: Rows of one decoder.
        second: Rows of the other.
        classes: Labels in the order of the classes.
        design: As in `score_classification`.
        metric: "auc", "balanced_accuracy", "accuracy" or "ece".

    Raises:
        DataError: Tables of different windows.
        ConfigError: An unknown metric.
    """
    if metric not in CLASSIFICATION_METRICS:
        raise unknown_option("metric", metric, CLASSIFICATION_METRICS)
    keys = [name for name in ("dataset", "subject", "session", "task", "run", "event", "onset_s") if name in first]
    rows = [frame[keys].reset_index(drop=True) for frame in (first, second)]
    if not rows[0].equals(rows[1]):  # cut trials have no onset, and NaN is no difference here
        raise DataError(
            f"Two decoders are compared on the same windows in the same order; got {len(first)} and {len(second)} rows "
            "that differ. Sort both tables by recording and event, and keep the rows they share."
        )
    design = design or Design()
    both = [_answers(frame, classes) for frame in (first, second)]
    columns = metrics.auc_columns(both[0].truth, both[0].n_classes)
    both = [_pooled_where_needed(answers, columns) for answers in both]
    observed = [_values(answers)[metric] for answers in both]
    difference = observed[0] - observed[1]
    these, new = these_subject_units(first, design), new_subject_units(first, design)
    units = new if isinstance(these, Unavailable) else these
    told: dict[str, Any] = {"metric": metric, "difference": difference, "ci95": [None, None], "p_value": None}
    if isinstance(units, Unavailable):
        reasons = [found.reason for found in (these, new) if isinstance(found, Unavailable)]
        return told | {"ci95_about": None, "ci95_reason": "; ".join(dict.fromkeys(reasons))}
    deviations = []
    for part in (units, trial_units(first, design.inflation)):
        without = [_without_units(answers, part)[metric] for answers in both]
        deviations.append((part.n_units - 1, jackknife_deviation(difference, without[0] - without[1], part.inflation)))
    return told | {"ci95_about": units.about} | _tested_difference(difference, deviations)


def classification_values(
    truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray, folds: np.ndarray
) -> dict[str, float]:
    """Return the scores that have a p-value, of class indices (n,) and probabilities (n, n_classes)."""
    answers = _Answers(truth, predicted, probabilities, folds)
    values = _values(_pooled_where_needed(answers, metrics.auc_columns(truth, answers.n_classes)))
    return {name: values[name] for name in P_METRICS["classification"]}


def regression_values(truth: np.ndarray, predicted: np.ndarray, folds: np.ndarray) -> dict[str, float]:
    """Return `pearson`, centred within folds, and `r2`, of (n, dim) values."""
    return {"pearson": metrics.pearson(truth, predicted, folds), "r2": metrics.r2(truth, predicted)}


def _calibration_interval(
    answers: _Answers,
    windows: Units,
    these: Units | Unavailable,
    new: Units | Unavailable,
    entry: Mapping[str, Any],
    value: float,
) -> dict[str, Any]:
    """Return the entry of the calibration error with bounds of its own kind: no jackknife of it holds its value.

    Bins are as uncertain as windows are, and more where units differ by more than their windows explain.
    """
    gaps = calibration.calibration_gaps(answers.probabilities, answers.truth)
    deviation = jackknife_deviation(gaps.mean(), unit_means(gaps, windows, left_out_weights(windows)), 1.0)
    told = dict(entry)
    for key, about in (("ci95", entry["ci95_about"]), ("ci95_new_subjects", NEW_SUBJECTS)):
        units = new if about == NEW_SUBJECTS else these
        if entry[key][0] is None or isinstance(units, Unavailable):
            continue
        between = jackknife_deviation(gaps.mean(), unit_means(gaps, units, left_out_weights(units)), 1.0)
        excess = max((between / deviation) ** 2, 1.0) if deviation > 0 else 1.0
        low, high = calibration.ece_bounds(answers.truth, answers.probabilities, inflation=units.inflation * excess)
        told[key] = [min(low, value), max(high, value)]
    return told


def _fold_codes(predictions: pd.DataFrame) -> np.ndarray:
    if "fold" not in predictions:
        return np.zeros(len(predictions), dtype=int)
    return pd.factorize(predictions["fold"])[0]


def _answers(predictions: pd.DataFrame, classes: Sequence[str]) -> _Answers:
    columns = probability_columns(classes)
    require_predictions(predictions, columns)
    names = pd.Index([str(name) for name in classes])
    codes = [names.get_indexer(pd.Index(predictions[column].astype(str))) for column in ("truth", "predicted")]
    for column, code in zip(("truth", "predicted"), codes, strict=True):
        if (code < 0).any():
            unknown = predictions[column].iloc[int(np.flatnonzero(code < 0)[0])]
            raise DataError(f"Column '{column}' has '{unknown}', which is not among the classes {list(names)}.")
    return _Answers(codes[0], codes[1], predictions[columns].to_numpy(float), _fold_codes(predictions))


def _pooled_where_needed(answers: _Answers, columns: Sequence[int]) -> _Answers:
    """Return the answers as of one fold where a class shares no fold with another one."""
    present = np.zeros((int(answers.folds.max()) + 1, answers.n_classes), dtype=bool)
    present[answers.folds, answers.truth] = True
    has_pairs = present & (present.sum(axis=1, keepdims=True) > 1)
    if has_pairs[:, list(columns)].any(axis=0).all():
        return answers
    return replace(answers, folds=np.zeros_like(answers.folds))


def _values(answers: _Answers) -> dict[str, float]:
    aucs = _aucs(answers, np.zeros(len(answers.truth), dtype=int), np.ones((1, 1)))
    return {
        "auc": float(aucs[0]),
        "balanced_accuracy": metrics.balanced_accuracy(answers.truth, answers.predicted),
        "accuracy": metrics.accuracy(answers.truth, answers.predicted),
        "ece": float(calibration.calibration_gaps(answers.probabilities, answers.truth).mean()),
    }


def _aucs(answers: _Answers, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    columns = metrics.auc_columns(answers.truth, answers.n_classes)
    aucs = [
        weighted_auc(answers.truth == column, answers.probabilities[:, column], answers.folds, codes, weights)
        for column in columns
    ]
    return np.mean(aucs, axis=0)


def _without_units(answers: _Answers, units: Units) -> dict[str, np.ndarray]:
    """Return each score without each unit."""
    truth, weights = answers.truth, left_out_weights(units)
    is_right = (truth == answers.predicted).astype(float)
    hits = weights @ _per_unit(units, truth, answers.n_classes, is_right)
    counts = weights @ _per_unit(units, truth, answers.n_classes, np.ones(len(truth)))
    recalls = np.divide(hits, counts, out=np.zeros_like(hits), where=counts > 0)
    n_classes = (counts > 0).sum(axis=1)
    balanced = np.divide(recalls.sum(axis=1), n_classes, out=np.full(len(weights), np.nan), where=n_classes > 0)
    return {
        "auc": _aucs(answers, units.codes, weights),
        "balanced_accuracy": balanced,
        "accuracy": unit_means(is_right, units, weights),
        "ece": unit_means(calibration.calibration_gaps(answers.probabilities, truth), units, weights),
    }


def _per_unit(units: Units, columns: np.ndarray, n_columns: int, values: np.ndarray) -> np.ndarray:
    """Return (n_units, n_columns) sums of values."""
    flat = np.bincount(units.codes * n_columns + columns, values, minlength=units.n_units * n_columns)
    return flat.reshape(units.n_units, n_columns)


def _fixed_p_values(
    predictions: pd.DataFrame,
    labels: np.ndarray,
    values: Mapping[str, float],
    null_of: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    design: Design,
    n_permutations: int,
    seed: int,
) -> PValues:
    """Return p-values of one decoder on one test set, whose labels are exchanged as the design allows.

    Args:
        predictions: Rows of the decoder.
        labels: (n,) what is exchanged.
        values: The scores.
        null_of: Turns (n_draws, n) positions, for each window that whose label it gets, into scores (n_draws,).
        design: How the answers came about.
        n_permutations: 0 leaves p out.
        seed: Of the permutations.
    """
    if not n_permutations:
        return {}
    exchange = _NOT_REFITTED if design.needs_refit else label_exchange(predictions, labels)
    if isinstance(exchange, Unavailable):
        return dict.fromkeys(values, exchange)
    draws = [null_of(positions) for positions in exchange.batches(n_permutations, np.random.default_rng(seed))]
    method = f"labels exchanged ({exchange.method}), decoder fixed"
    return {
        name: p_value_of(values[name], np.concatenate([part[name] for part in draws]), method, exchange.n_arrangements)
        for name in draws[0]
    }


def _null_values(answers: _Answers, positions: np.ndarray) -> dict[str, np.ndarray]:
    """Return the scores (n_draws,) of the same answers to permuted truths, from (n_draws, n) rows."""
    truths = answers.truth[positions]
    n_folds = int(answers.folds.max()) + 1
    in_fold = answers.folds[:, None] == np.arange(n_folds)
    aucs = []
    for column in metrics.auc_columns(answers.truth, answers.n_classes):
        ranks = np.zeros(len(answers.truth))
        for fold in range(n_folds):
            ranks[in_fold[:, fold]] = rankdata(answers.probabilities[in_fold[:, fold], column])
        positive = (truths == column).astype(float)
        n_positive, rank_sums = positive @ in_fold, positive @ (in_fold * ranks[:, None])
        won = (rank_sums - n_positive * (n_positive + 1) / 2).sum(axis=1)
        aucs.append(won / (n_positive * (in_fold.sum(axis=0) - n_positive)).sum(axis=1))
    is_right = truths == answers.predicted
    classes = np.unique(answers.truth)
    recalls = [(is_right & (truths == c)).sum(axis=1) / (truths == c).sum(axis=1) for c in classes]
    return {
        "auc": np.mean(aucs, axis=0),
        "balanced_accuracy": np.mean(recalls, axis=0),
        "accuracy": is_right.mean(axis=1),
    }


def _regression_arrays(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    truth_columns, predicted_columns = (dimension_columns(predictions, name) for name in ("truth", "predicted"))
    if not truth_columns or len(truth_columns) != len(predicted_columns):
        raise DataError(f"A regression has as many truths as predictions; got {truth_columns} and {predicted_columns}.")
    require_predictions(predictions, [*truth_columns, *predicted_columns])
    if len(predictions) < 2:
        raise DataError("A correlation needs at least 2 windows, got 1.")
    return predictions[truth_columns].to_numpy(float), predictions[predicted_columns].to_numpy(float)


def _regression_without_units(
    truth: np.ndarray, predicted: np.ndarray, folds: np.ndarray, units: Units
) -> dict[str, np.ndarray]:
    weights, n_folds = left_out_weights(units), int(folds.max()) + 1
    ones = np.ones_like(truth)
    moments = np.stack(
        [ones, truth, predicted, truth**2, predicted**2, truth * predicted, (truth - predicted) ** 2], axis=1
    )
    per_unit = np.zeros((units.n_units, n_folds, *moments.shape[1:]))
    np.add.at(per_unit, (units.codes, folds), moments)
    by_fold = np.tensordot(weights, per_unit, axes=1)  # (weights, fold, moment, dim)
    n, x, y, xx, yy, xy, _ = np.moveaxis(by_fold, 2, 0)
    n = np.maximum(n, 1)
    within = [(part - product / n).sum(axis=1) for part, product in ((xx, x * x), (yy, y * y), (xy, x * y))]
    scale = np.sqrt(np.maximum(within[0] * within[1], 0))
    correlation = np.divide(within[2], scale, out=np.zeros_like(scale), where=scale > 0)
    count, total, _, square, _, _, error = np.moveaxis(by_fold.sum(axis=1), 1, 0)
    variance = square - total * total / np.maximum(count, 1)
    explained = 1 - np.divide(error, variance, out=np.full_like(error, np.nan), where=variance > 0)
    return {"pearson": correlation.mean(axis=1), "r2": explained.mean(axis=1)}


def _null_regression(
    truth: np.ndarray, predicted: np.ndarray, folds: np.ndarray, positions: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the scores (n_draws,) of the same answers to permuted values, from (n_draws, n) rows."""
    draws = [regression_values(truth[row], predicted, folds) for row in positions]
    return {name: np.array([draw[name] for draw in draws]) for name in P_METRICS["regression"]}


def _tested_difference(difference: float, deviations: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Return interval and p of the larger of two standard errors, each with its degrees of freedom."""
    if not all(np.isfinite(deviation) for _, deviation in deviations):
        return {"ci95_reason": "without one unit a score has no value"}
    half = max(student.ppf(0.975, freedom) * deviation for freedom, deviation in deviations)
    p = max(
        2 * student.sf(abs(difference) / deviation, freedom) if deviation > 0 else float(difference == 0)
        for freedom, deviation in deviations
    )
    return {
        "ci95": [float(difference - half), float(difference + half)],
        "p_value": float(p),
        "p_method": "Student's t over units, corrected for shared training sets",
    }
