"""Tables over several runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.reports.certainty import about, number, p_cell, p_notes, scored, stated_p
from brain_decode.reports.methods import protocol_name
from brain_decode.reports.sentences import headline_metric, is_picture_metric, metric_name

__all__ = ["results_table"]

_COLUMNS = (
    "dataset",
    "protocol",
    "decoder",
    "metric",
    "value [95 % interval]",
    "interval is about",
    "chance",
    "p",
    "n",
)
_SHOWN = ("auc", "balanced_accuracy", "accuracy", "pearson", "top1", "top5")


def results_table(folders: Sequence[Path], floors: Mapping[str, Mapping[str, float]] | None = None) -> str:
    """Return a Markdown table of the decoders of these run folders, each run's own decoder in bold.

    Below it stands how the p-values were made, and why others are missing.

    Args:
        folders: Finished runs; each gives its own decoder's scores, then the main score of every other decoder.
        floors: By dataset and metric key, what plain pipelines reached; adds a column.

    Raises:
        ConfigError: A folder that is not a finished run.
        DataError: Scores that are damaged.
    """
    columns = (*_COLUMNS, "floor") if floors else _COLUMNS
    lines = [_line(columns), "|" + "---|" * len(columns)]
    shown: dict[str, Mapping[str, Any]] = {}
    for folder in folders:
        metrics = _read_metrics(Path(folder))
        try:
            rows = _rows(metrics)
            floor = (floors or {}).get(str(metrics["dataset"]), {})
            lines += [_line(_cells(metrics, *row, floor)[: len(columns)]) for row in rows]
        except (KeyError, TypeError) as error:
            raise DataError(f"The scores of '{folder}' lack {error}. Run the command again.") from error
        shown |= {f"{metrics['dataset']}, {decoder}, {metric_name(key)}": entry for decoder, key, entry in rows}
    return "\n".join([*lines, *_footnotes(shown)])


def _footnotes(shown: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return how p was made and why it is missing, each once, without the rows it holds for."""
    made: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, entry in shown.items():
        if stated_p(entry) is not None:
            made.setdefault(str(entry.get("p_method")), {})[name] = entry
    told = [note for entries in made.values() for note in p_notes(entries)]
    told += [note for entry in shown.values() if entry.get("p_reason") for note in p_notes({"": entry})]
    notes = dict.fromkeys(" ".join(note.split()) for note in told)
    return ["", *(f"- {note}" for note in notes)] if notes else []


def _read_metrics(folder: Path) -> dict[str, Any]:
    path = folder / "metrics.json"
    if not path.is_file():
        raise ConfigError(f"'{folder}' is not a finished run: it has no metrics.json.")
    try:
        metrics: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is damaged: {error}. Run the command again.") from error
    return metrics


def _rows(metrics: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """Return (decoder, metric key, score) of the run's own decoder, then the main score of each other one."""
    main, scores = headline_metric(metrics), metrics["metrics"]
    keys = [key for key in _SHOWN if key in scores] + [key for key in scores if is_picture_metric(key)]
    own = [(str(metrics["decoder"]), key, scores[key]) for key in keys]
    baselines = metrics.get("baselines") or {}
    return own + [(name, main, entry[main]) for name, entry in baselines.items() if main in entry]


def _cells(
    metrics: Mapping[str, Any], decoder: str, key: str, entry: Mapping[str, Any], floors: Mapping[str, float]
) -> list[str]:
    is_own = decoder == metrics["decoder"]
    mark, floor = ("**", floors.get(key)) if is_own else ("", None)
    return [
        f"{metrics['dataset']}{' (simulated)' if metrics.get('simulated') else ''}",
        protocol_name(metrics["protocol"]),
        f"{mark}{decoder}{mark}",
        metric_name(key),
        f"{mark}{scored(entry)}{mark}",
        about([entry]) or "–",
        number(entry.get("chance")),
        p_cell(entry),
        str(entry.get("n", "–")),
        "" if floor is None else number(floor, 2),
    ]


def _line(cells: Sequence[str]) -> str:
    """Return a row; a bar or a line break in a name would end its cell."""
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
