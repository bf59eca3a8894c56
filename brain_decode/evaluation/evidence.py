"""What the figures of a report need, computed here so that reports compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from brain_decode.core.errors import DataError
from brain_decode.datasets.splits import unit_codes
from brain_decode.evaluation import calibration
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.predictions import require_predictions
from brain_decode.evaluation.retrieval_null import ShownNull
from brain_decode.evaluation.retrieval_scores import k_way_values, mean_intervals, rank_columns, score_retrieval
from brain_decode.evaluation.scoring import score_classification, score_regression
from brain_decode.evaluation.volume_evidence import separability, strongest_voxels
from brain_decode.signals.spec import Task, probability_columns
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

__all__ = [
    "calibration_evidence",
    "confusion_evidence",
    "evoked_evidence",
    "group_evidence",
    "k_way_evidence",
    "rank_evidence",
    "rejection_evidence",
]

_SHOWN_DIGITS = 6  # of averages
K_WAY_CURVE = (2, 3, 4, 5, 10, 20, 50, 100, 200, 500, 1000)


def confusion_evidence(predictions: pd.DataFrame, classes: Sequence[str]) -> dict[str, Any]:
    """Return {"classes", "counts"}; row i counts the answers to windows of class i."""
    names = [str(name) for name in classes]
    counts = confusion_matrix(predictions["truth"].astype(str), predictions["predicted"].astype(str), labels=names)
    return {"classes": names, "counts": counts.tolist()}


def calibration_evidence(
    predictions: pd.DataFrame, classes: Sequence[str], *, temperature: float | None = None
) -> dict[str, Any]:
    """Return {"bins", "ece", "temperature"} of one decoder's predictions; `ece` is that of its scores."""
    columns = probability_columns(classes)
    require_predictions(predictions, columns)
    truth = pd.Index([str(name) for name in classes]).get_indexer(pd.Index(predictions["truth"].astype(str)))
    probabilities = predictions[columns].to_numpy(float)
    return {
        "bins": calibration.reliability_bins(truth, probabilities),
        "ece": max(float(calibration.calibration_gaps(probabilities, truth).mean()), 0.0),
        "temperature": temperature,
    }


def group_evidence(
    predictions: pd.DataFrame,
    task: Task = "classification",
    classes: Sequence[str] = (),
    *,
    design: Design | None = None,
    levels: Sequence[str] = ("subject", "run"),
) -> list[dict[str, Any]]:
    """Return [{"level", "label", "n", "metrics": {name: {"value", "ci95"}}}] for each subject and run.

    A group where a score is undefined (one class, one window) has no metrics. In cross-validation the interval of a
    group takes three folds, which a single run does not have.
    """
    design = design or Design()
    groups = []
    for level in levels:
        codes, names = unit_codes(predictions, level)
        for index, label in enumerate(names):
            rows = predictions[codes == index]
            scores = _group_scores(rows, task, classes, _within(design, rows))
            groups.append({"level": level, "label": label, "n": len(rows), "metrics": scores})
    return groups


def _within(design: Design, rows: pd.DataFrame) -> Design:
    """Return the design of some of the rows: of one fold, too, it stays a part of a cross-validation."""
    if not design.is_crossvalidated:
        return design
    return replace(design, left_out="run", n_folds=max(int(rows["fold"].nunique()), 2))


def rank_evidence(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return {"ranks", "n_tied", "gallery_size", "gallery_type"}; the size is the largest where folds differ.

    Ranks are mid-ranks; `n_tied` counts the answers to which another candidate fits just as well as the true one.
    """
    ranks, n_ties, _ = rank_columns(predictions)
    return {
        "ranks": ranks.tolist(),
        "n_tied": int((n_ties > 0).sum()),
        "gallery_size": int(predictions["gallery_size"].max()),
        "gallery_type": str(predictions["gallery"].iloc[0]),
    }


def k_way_evidence(
    predictions: pd.DataFrame, *, design: Design | None = None, counts: Sequence[int] = K_WAY_CURVE
) -> list[dict[str, Any]]:
    """Return [{"k", "expected", "ci95", "chance"}], the exact expectation for each k up to the smallest gallery.

    Chance is what the answers expect for the other shown stimuli; 1 / k where the table lacks the ranks of those.
    """
    ranks, n_ties, sizes = rank_columns(predictions)
    null = ShownNull.of(predictions)
    smallest = int(sizes.min())
    shown = sorted({count for count in counts if count <= smallest} | {smallest})
    right = {str(k): k_way_values(ranks, n_ties, sizes, k) for k in shown}
    intervals = mean_intervals(right, predictions, design or Design())
    return [
        {
            "k": k,
            "expected": float(right[str(k)].mean()),
            "ci95": intervals[str(k)]["ci95"],
            "chance": 1 / k if null is None else null.chance(partial(k_way_values, k=k)),
        }
        for k in shown
    ]


def rejection_evidence(table: pd.DataFrame, *, rule: str) -> dict[str, Any]:
    """Return {"rule", "n_rejected", "n_total", "per_run": [{"run", "n_rejected", "n_total"}]} of a window table."""
    is_rejected = table["rejected"].fillna("").astype(str).to_numpy() != ""
    codes, names = unit_codes(table, "run")
    rejected = np.bincount(codes, is_rejected, minlength=len(names)).astype(int)
    totals = np.bincount(codes, minlength=len(names))
    per_run = [{"run": name, "n_rejected": int(rejected[i]), "n_total": int(totals[i])} for i, name in enumerate(names)]
    return {"rule": rule, "n_rejected": int(is_rejected.sum()), "n_total": len(table), "per_run": per_run}


def evoked_evidence(windows: Windows, classes: Sequence[str], *, unit: str = "V", note: str = "") -> dict[str, Any]:
    """Return class means, standard errors, and how well each channel and time point alone separates the classes.

    Of voxels, only those that separate the classes most are kept; a map holds all. See `separability`.

    Args:
        windows: (window, channel, time); `table["label"]` holds the class of each.
        classes: Labels, in order.
        unit: Of the samples of sensors; voxels have none.
        note: Which windows these are; a description of data, no test of a decoder.

    Raises:
        DataError: A class without windows.
    """
    names = [str(name) for name in classes]
    labels = windows.table["label"].astype(str).to_numpy()
    members = [labels == name for name in names]
    for name, member in zip(names, members, strict=True):
        if not member.any():
            raise DataError(f"Class '{name}' has no windows to average; the windows have {sorted(set(labels))}.")
    volume_map: dict[str, Any] = {}
    if isinstance(windows.space, Voxels):
        found, windows = strongest_voxels(windows, windows.space, names)
        volume_map, unit = {"volume_map": found}, ""
    mean = np.stack([windows.data[member].mean(axis=0, dtype=float) for member in members])
    counts = np.array([int(member.sum()) for member in members])
    deviation = np.stack(
        [windows.data[m].std(axis=0, ddof=min(1, n - 1)) for m, n in zip(members, counts, strict=True)]
    )
    is_member = np.isin(labels, names)
    of_members = windows.data if is_member.all() else windows.data[is_member]
    positions = windows.space.positions_m
    return {
        "times_s": windows.times_s.tolist(),
        "channels": list(windows.space.names),
        "channel_types": list(windows.space.types),
        "positions_m": [row.tolist() if np.isfinite(row).all() else None for row in positions],
        "classes": names,
        "n": counts.tolist(),
        "mean": _shortened(mean),
        "sem": _shortened(deviation / np.sqrt(counts)[:, None, None]),
        "unit": unit,
        "separability": _shortened(separability(of_members, labels[is_member], names)),
        "note": note,
        **volume_map,
    }


def _shortened(values: np.ndarray) -> list[Any]:
    """Return numbers with the digits that a figure can show; in full they would be most of a run folder."""
    with np.errstate(divide="ignore"):
        exponents = np.where(values == 0, 0.0, np.floor(np.log10(np.abs(values))))
    scale = 10.0 ** (_SHOWN_DIGITS - 1 - exponents)
    shortened: list[Any] = (np.round(values * scale) / scale).tolist()
    return shortened


def _group_scores(rows: pd.DataFrame, task: Task, classes: Sequence[str], design: Design) -> dict[str, dict[str, Any]]:
    settings: dict[str, Any] = {"design": design, "n_permutations": 0}
    if task == "retrieval":
        scores = score_retrieval(rows, **settings)
    elif task == "regression":
        scores = score_regression(rows, **settings) if len(rows) > 1 else {}
    else:
        scores = score_classification(rows, classes, **settings) if rows["truth"].nunique() > 1 else {}
    return {name: {"value": score["value"], "ci95": score["ci95"]} for name, score in scores.items()}
