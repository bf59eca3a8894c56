"""Tables over several runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError
from brain_decode.reports.sentences import METRIC_NAMES, headline_metric, number, scored

__all__ = ["results_table"]

_HEADER = (
    "| dataset | protocol | decoder | metric | value [95 % interval] | chance | p | n |",
    "|---|---|---|---|---|---|---|---|",
)
_SHOWN = ("auc", "balanced_accuracy", "accuracy", "pearson", "top1", "top5")


def results_table(folders: Sequence[Path]) -> str:
    """Return a Markdown table of the decoders of these run folders, each run's own decoder in bold.

    Raises:
        ConfigError: A folder that is not a finished run.
    """
    lines = list(_HEADER)
    for folder in folders:
        path = Path(folder) / "metrics.json"
        if not path.is_file():
            raise ConfigError(f"'{folder}' is not a finished run: it has no metrics.json.")
        lines += _rows(json.loads(path.read_text(encoding="utf-8")))
    return "\n".join(lines)


def _rows(metrics: Mapping[str, Any]) -> list[str]:
    name = headline_metric(metrics)
    own = [
        _row(metrics, metrics["decoder"], key, metrics["metrics"][key], bold=True) for key in _keys(metrics["metrics"])
    ]
    others = [_row(metrics, decoder, name, scores[name]) for decoder, scores in metrics["baselines"].items()]
    return own + others


def _keys(scores: Mapping[str, Any]) -> list[str]:
    return [key for key in _SHOWN if key in scores]


def _row(metrics: Mapping[str, Any], decoder: str, key: str, entry: Mapping[str, Any], *, bold: bool = False) -> str:
    mark = "**" if bold else ""
    dataset = f"{metrics['dataset']}{' (simulated)' if metrics.get('simulated') else ''}"
    cells = (
        dataset,
        str(metrics["protocol"]).replace("_", " "),
        f"{mark}{decoder}{mark}",
        METRIC_NAMES.get(key, key),
        f"{mark}{scored(entry)}{mark}",
        number(entry["chance"]),
        number(entry["p_permutation"], 4),
        str(entry["n"]),
    )
    return "| " + " | ".join(cells) + " |"
