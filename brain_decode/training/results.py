"""The files of a finished run: scores, predictions, evidence for the figures, receipt."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import listed
from brain_decode.core.files import write_atomically
from brain_decode.evaluation.evidence import (
    calibration_evidence,
    confusion_evidence,
    group_evidence,
    k_way_evidence,
    rank_evidence,
)
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.predictions import (
    rows_of_all_trials,
    rows_of_kept_trials,
    unanswered_stimuli,
    write_predictions,
)
from brain_decode.evaluation.retrieval_scores import score_retrieval
from brain_decode.evaluation.scoring import (
    P_METRICS,
    PValues,
    compare_decoders,
    score_classification,
    score_regression,
)
from brain_decode.evaluation.statistics import holm
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.signals.spec import Task
from brain_decode.training.receipts import plain
from brain_decode.training.reconstructing import Reconstructed

__all__ = ["RunResult", "score", "write_results"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunResult:
    """Everything a run knows when it ends; ARCHITECTURE.md lists the files it becomes."""

    command: str
    decoder: str
    protocol: str
    task: Task
    predictions: pd.DataFrame
    folds: Sequence[Mapping[str, Any]]
    curves: Sequence[Mapping[str, Any]]
    datasets: Sequence[Mapping[str, Any]]
    exclusions: Sequence[Mapping[str, Any]]
    rejection: Mapping[str, Any] | None
    evoked: Mapping[str, Any] | None
    receipt: Mapping[str, Any]
    selected: str
    seed: int
    classes: tuple[str, ...]
    oracle: Mapping[str, float] | None = None
    repairs: Sequence[Mapping[str, str]] = ()
    passport: Mapping[str, Any] | None = None
    codes: Mapping[str, Any] | None = None
    pictures: Reconstructed | None = None
    design: Design = field(default_factory=Design)
    p_values: Mapping[str, PValues] | None = None
    no_p_reason: str = ""  # why labels of one test set may not be exchanged
    transductive: Sequence[str] = ()  # steps of any decoder that use the unlabelled signal of what is scored
    vouched: Sequence[Mapping[str, Any]] = ()  # pairs of recordings that a person says are no copies


def score(predictions: pd.DataFrame, run: RunResult, p_values: PValues | None = None) -> dict[str, Any]:
    """Return the metrics of one decoder's predictions."""
    settings: dict[str, Any] = {"design": run.design, "seed": run.seed}
    if p_values is None and run.no_p_reason:
        p_values = dict.fromkeys(P_METRICS.get(run.task, ()), Unavailable(run.no_p_reason, is_confounded=True))
    if run.task == "classification":
        return score_classification(predictions, run.classes, p_values=p_values, **settings)
    if run.task == "regression":
        return score_regression(predictions, p_values=p_values, **settings)
    return score_retrieval(predictions, **settings)


def write_results(run: RunResult, config: DictConfig, folder: Path) -> dict[str, Any]:
    """Write config, predictions, metrics, evidence and receipt; returns the metrics."""
    metrics = plain(_metrics(run))
    write_predictions(run.predictions, folder / "predictions.parquet")
    write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    _write_json(folder / "report_data.json", plain(_report_data(run)))
    _write_json(folder / "receipt.json", plain(run.receipt))
    _write_json(folder / "metrics.json", metrics)
    return metrics


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    write_atomically(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False))


def _metrics(run: RunResult) -> dict[str, Any]:
    """Scores of the kept windows; where windows were rejected, those of all windows beside them."""
    scored = _most_repetitions(run.predictions)
    kept, every = rows_of_kept_trials(scored), rows_of_all_trials(scored)
    p_values = run.p_values or {}
    by_decoder = {
        str(name): score(frame, run, p_values.get(str(name))) for name, frame in kept.groupby("decoder", sort=False)
    }
    own = every[every["decoder"] == run.decoder]
    return {
        "split": "test",
        "dataset": " + ".join(str(summary["name"]) for summary in run.datasets),
        "simulated": _is_simulated(run),
        "task": run.task,
        "protocol": run.protocol,
        "transductive": bool(run.transductive),
        "transductive_steps": list(run.transductive),
        "distinct_recordings": list(run.vouched),
        "decoder": run.decoder,
        "selected": run.selected,
        "folds": list(run.folds),
        "metrics": by_decoder[run.decoder] | ({} if run.pictures is None else run.pictures.metrics),
        "metrics_without_rejection": score(own, run) if not kept.index.equals(every.index) else None,
        "baselines": {name: scores for name, scores in by_decoder.items() if name != run.decoder},
        "comparisons": _comparisons(kept, run),
        "oracle": run.oracle,
    }


def _comparisons(kept: pd.DataFrame, run: RunResult) -> dict[str, Any]:
    """Return how much better the run's decoder is than each decoder beside it, with Holm's correction for their number.

    Two classes are compared by AUC, more by balanced accuracy.
    """
    if run.task != "classification":
        return {}
    metric = "auc" if len(run.classes) == 2 else "balanced_accuracy"
    frames = {str(name): frame for name, frame in kept.groupby("decoder", sort=False)}
    own = frames.pop(run.decoder)
    found = {
        name: compare_decoders(own, frame, run.classes, design=run.design, metric=metric)
        for name, frame in frames.items()
    }
    tested = [name for name, entry in found.items() if entry["p_value"] is not None]
    corrected = dict(zip(tested, holm(np.array([found[name]["p_value"] for name in tested])), strict=True))
    return {
        name: {**entry, "p_holm": float(corrected[name]) if name in corrected else None}
        for name, entry in found.items()
    }


def _is_simulated(run: RunResult) -> bool:
    return any(bool(summary.get("simulated")) for summary in run.datasets)


def _most_repetitions(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that carry the score: for retrieval, those that average the most repetitions."""
    if "n_repetitions" not in predictions:
        return predictions
    most = predictions.groupby(["decoder", "fold"])["n_repetitions"].transform("max")
    return predictions[predictions["n_repetitions"] == most]


def _report_data(run: RunResult) -> dict[str, Any]:
    answers = run.predictions[run.predictions["decoder"] == run.decoder]
    kept = rows_of_kept_trials(answers)
    own = _most_repetitions(kept)
    data: dict[str, Any] = {
        "simulated": _is_simulated(run),
        "datasets": list(run.datasets),
        "evoked": run.evoked,
        "learning_curves": list(run.curves),
        "rejection": _rejection(run, unanswered_stimuli(_most_repetitions(answers))),
        "exclusions": list(run.exclusions),
        "repairs": list(run.repairs),
        "oracle": run.oracle,
        "passport": run.passport,
        "codes": run.codes,
        "reconstruction": None if run.pictures is None else run.pictures.evidence,
        "groups": group_evidence(own, run.task, run.classes, design=run.design),
    }
    if run.task == "classification":
        data["confusion"] = confusion_evidence(own, run.classes)
        data["calibration"] = calibration_evidence(own, run.classes)
    if run.task == "retrieval":
        data["ranks"] = rank_evidence(own)
        data["k_way"] = k_way_evidence(own, design=run.design)
        data["repetitions"] = _repetition_curve(kept, run)
    return data


def _rejection(run: RunResult, unanswered: Sequence[str]) -> Mapping[str, Any] | None:
    """Return the evidence of a rejection rule, with the stimuli that it left without a single trial."""
    if not unanswered:
        return run.rejection
    _LOG.warning(
        "%d stimuli have no answer, because each of their trials was rejected: %s.", len(unanswered), listed(unanswered)
    )
    return {**(run.rejection or {}), "stimuli_without_trials": list(unanswered)}


def _repetition_curve(kept: pd.DataFrame, run: RunResult) -> list[dict[str, Any]]:
    """Return top-1 and top-5 for each number of averaged repetitions; 1 scores every single trial.

    With a rejection rule, a stimulus with fewer kept repetitions is averaged over those it has.
    """
    curve = []
    for count in sorted(kept["n_repetitions"].unique()):
        frame = kept[kept["n_repetitions"] == count]
        scores = score_retrieval(frame, design=run.design, n_permutations=0)
        point = {"n": int(count), "top1": scores["top1"]["value"], "top5": scores["top5"]["value"]}
        curve.append(point | {"ci95": scores["top1"]["ci95"], "ci95_top5": scores["top5"]["ci95"]})
    return curve
