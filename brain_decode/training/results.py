"""The files of a finished run: scores, predictions, evidence for the figures, receipt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.files import write_atomically
from brain_decode.evaluation import evidence
from brain_decode.evaluation.predictions import write_predictions
from brain_decode.evaluation.scoring import score_classification, score_regression, score_retrieval
from brain_decode.evaluation.statistics import cluster_level
from brain_decode.signals.spec import Task
from brain_decode.training.receipts import plain

__all__ = ["RunResult", "score", "write_results"]


@dataclass(frozen=True)
class RunResult:
    """Everything a run knows when it ends; see `docs` of the run folder in ARCHITECTURE.md for the files."""

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


def score(predictions: pd.DataFrame, run: RunResult) -> dict[str, Any]:
    """Return the metrics of one decoder's predictions."""
    if run.task == "classification":
        return score_classification(predictions, run.classes, seed=run.seed)
    if run.task == "regression":
        return score_regression(predictions, seed=run.seed)
    return score_retrieval(predictions, seed=run.seed)


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
    kept = run.predictions[run.predictions["rejected"] == ""]
    by_decoder = {name: score(frame, run) for name, frame in kept.groupby("decoder", sort=False)}
    own = run.predictions[run.predictions["decoder"] == run.decoder]
    return {
        "split": "test",
        "dataset": " + ".join(str(summary["name"]) for summary in run.datasets),
        "simulated": any(bool(summary.get("simulated")) for summary in run.datasets),
        "task": run.task,
        "protocol": run.protocol,
        "decoder": run.decoder,
        "selected": run.selected,
        "folds": list(run.folds),
        "cluster": cluster_level(own),
        "metrics": by_decoder[run.decoder],
        "metrics_without_rejection": score(own, run) if len(kept) < len(run.predictions) else None,
        "baselines": {name: scores for name, scores in by_decoder.items() if name != run.decoder},
        "oracle": run.oracle,
    }


def _report_data(run: RunResult) -> dict[str, Any]:
    own = run.predictions[(run.predictions["decoder"] == run.decoder) & (run.predictions["rejected"] == "")]
    data: dict[str, Any] = {
        "simulated": any(bool(summary.get("simulated")) for summary in run.datasets),
        "datasets": list(run.datasets),
        "evoked": run.evoked,
        "learning_curves": list(run.curves),
        "rejection": run.rejection,
        "exclusions": list(run.exclusions),
        "oracle": run.oracle,
        "groups": _groups(own, run),
    }
    if run.task == "classification":
        truth = own["truth"].to_numpy()
        probabilities = own[[f"probability_{label}" for label in run.classes]].to_numpy(float)
        data["confusion"] = evidence.confusion(truth, own["predicted"].to_numpy(), run.classes)
        data["calibration"] = evidence.calibration(truth, probabilities, run.classes)
    if run.task == "retrieval":
        data |= evidence.retrieval(own, seed=run.seed)
    return data


def _groups(own: pd.DataFrame, run: RunResult) -> list[dict[str, Any]]:
    groups = []
    for level, keys in (("subject", ["subject"]), ("run", ["subject", "session", "task", "run"])):
        parts = own.groupby(keys, sort=True)
        if parts.ngroups < 2:
            continue
        for key, frame in parts:
            if run.task != "classification" or frame["truth"].nunique() == len(run.classes):
                label = "_".join(str(part) for part in np.atleast_1d(np.array(key, dtype=object)) if part)
                groups.append({"level": level, "label": label, "n": len(frame), "metrics": score(frame, run)})
    return groups
