"""Tables over several runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.reports.methods import protocol_name
from brain_decode.reports.sentences import headline_metric, is_picture_metric, metric_name, number, scored

__all__ = ["results_table"]

_COLUMNS = ("dataset", "protocol", "decoder", "metric", "value [95 % interval]", "chance", "p", "n")
_SHOWN = ("auc", "balanced_accuracy", "accuracy", "pearson", "top1", "top5")


def results_table(folders: Sequence[Path], floors: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """Return a Markdown table of the decoders of these run folders, each run's own decoder in bold.

    Args:
        folders: Finished runs; each gives its own decoder's scores, then the main score of every other decoder.
        floors: By dataset and metric key, what plain pipelines reached; adds a column.

    Raises:
        ConfigError: A folder that is not a finished run.
        DataError: Scores that are damaged.
    """
    columns = (*_COLUMNS, "floor") if floors else _COLUMNS
    lines = [_line(columns), "|" + "---|" * len(columns)]
    for folder in folders:
        metrics = _read_metrics(Path(folder))
        try:
            lines += [_line(cells[: len(columns)]) for cells in _rows(metrics, floors or {})]
        except (KeyError, TypeError) as error:
            raise DataError(f"The scores of '{folder}' lack {error}. Run the command again.") from error
    return "\n".join(lines)


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not path.is_file():
        raise ConfigError(f"'{folder}' is not a finished run: it has no metrics.json.")
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is damaged: {error}. Run the command again.") from error
    return metrics


def _rows(metrics: Mapping[str, Any], floors: Mapping[str, Mapping[str, float]]) -> list[list[str]]:
    main, scores = headline_metric(metrics), metrics["metrics"]
    floor = floors.get(str(metrics["dataset"]), {})
    keys = [key for key in _SHOWN if key in scores] + [key for key in scores if is_picture_metric(key)]
    own = [_row(metrics, metrics["decoder"], key, scores[key], floor.get(key)) for key in keys]
    baselines = metrics.get("baselines") or {}
    others = [_row(metrics, name, main, entry[main]) for name, entry in baselines.items() if main in entry]
    return own + others


def _row(
    metrics: Mapping[str, Any], decoder: str, key: str, entry: Mapping[str, Any], floor: float | None = None
) -> list[str]:
    mark = "**" if decoder == metrics["decoder"] else ""
    return [
        f"{metrics['dataset']}{' (simulated)' if metrics.get('simulated') else ''}",
        protocol_name(metrics["protocol"]),
        f"{mark}{decoder}{mark}",
        metric_name(key),
        f"{mark}{scored(entry)}{mark}",
        number(entry.get("chance")),
        number(entry.get("p_permutation"), 4),
        str(entry.get("n", "–")),
        "" if floor is None else number(floor, 2),
    ]


def _line(cells: Sequence[str]) -> str:
    """Return a row; a bar or a line break in a name would end its cell."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
