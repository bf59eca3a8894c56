"""The report of a run: one self-contained page made from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.core.files import write_atomically
from brain_decode.evaluation.predictions import read_predictions
from brain_decode.reports import figures
from brain_decode.reports.sentences import METRIC_NAMES, headline, headline_metric, method_sentences, number, scored

__all__ = ["write_report"]

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_NEEDED = ("metrics.json", "predictions.parquet", "receipt.json", "report_data.json", "config.yaml")
_MOST_GROUPS = 40  # more bars than this are not read on one page


def write_report(folder: Path) -> Path:
    """Write `report.html` of a run folder and return its path.

    Raises:
        ConfigError: Not a run folder.
        DataError: A file of it that is missing or damaged.
    """
    run = _read_run(Path(folder))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATE.parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"number": number, "scored": scored}
    page = environment.get_template(_TEMPLATE.name).render(_context(run))
    return write_atomically(Path(folder) / "report.html", page)


def _read_run(folder: Path) -> dict[str, Any]:
    if not (folder / "metrics.json").is_file():
        raise ConfigError(f"'{folder}' is not a finished run: it has no metrics.json. Give run= the folder of a run.")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise DataError(f"'{folder}' lacks {', '.join(missing)}; run the command again.")
    try:
        loaded: dict[str, Any] = {
            name: json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
            for name in ("metrics", "receipt", "report_data")
        }
        loaded["config"] = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")) or {}
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"A file of '{folder}' is damaged: {error}. Run the command again.") from error
    loaded["predictions"] = read_predictions(folder / "predictions.parquet")
    return loaded


def _context(run: Mapping[str, Any]) -> dict[str, Any]:
    metrics, data, predictions = run["metrics"], run["report_data"], run["predictions"]
    own = predictions[predictions["decoder"] == metrics["decoder"]]
    name = headline_metric(metrics)
    classes = (data.get("confusion") or {}).get("classes") or []
    return {
        "metrics": metrics,
        "data": data,
        "receipt": run["receipt"],
        "receipt_text": json.dumps(run["receipt"], indent=1, ensure_ascii=False),
        "metric": METRIC_NAMES.get(name, name),
        "metric_key": name,
        "metric_names": METRIC_NAMES,
        "headline": headline(metrics, classes, own["subject"].nunique(), _n_recordings(own)),
        "methods": method_sentences(run["config"], metrics),
        "figures": _figures(metrics, data, name),
        "oracle": _oracle(metrics, name),
    }


def _n_recordings(own: pd.DataFrame) -> int:
    return len(own[["dataset", "subject", "session", "task", "run"]].drop_duplicates())


def _oracle(metrics: Mapping[str, Any], name: str) -> float | None:
    return (metrics.get("oracle") or {}).get(name)


def _figures(
    metrics: Mapping[str, Any], data: Mapping[str, Any], name: str
) -> dict[str, jinja2.utils.markupsafe.Markup]:
    """Return the figures there is data for, as safe markup (matplotlib escapes the texts in them)."""
    label = METRIC_NAMES.get(name, name)
    chance = metrics["metrics"][name]["chance"]
    decoders = {metrics["decoder"]: metrics["metrics"], **metrics["baselines"]}
    rows = [{"name": decoder, **scores[name]} for decoder, scores in decoders.items() if name in scores]
    makers: dict[str, Callable[[], str | None]] = {"forest": lambda: figures.forest_figure(rows, label, chance)}
    for level in ("subject", "run"):
        chosen = [group for group in data.get("groups") or [] if group["level"] == level and group["metrics"]]
        if 1 < len(chosen) <= _MOST_GROUPS:
            makers[level] = _group_maker(chosen, name, chance)
    if data.get("confusion"):
        confusion = data["confusion"]
        makers["confusion"] = lambda: figures.confusion_figure(confusion["classes"], confusion["counts"])
    if data.get("calibration"):
        makers["calibration"] = lambda: figures.calibration_figure(data["calibration"]["bins"])
    if data.get("ranks"):
        makers["ranks"] = lambda: figures.ranks_figure(data["ranks"]["ranks"], data["ranks"]["gallery_size"])
    if len(data.get("k_way") or []) > 1:
        makers["k_way"] = lambda: figures.k_way_figure(data["k_way"])
    if len(data.get("repetitions") or []) > 1:
        makers["repetitions"] = lambda: figures.repetitions_figure(data["repetitions"], chance)
    if data.get("learning_curves"):
        makers["learning"] = lambda: figures.learning_figure(data["learning_curves"])
    if data.get("evoked"):
        makers["evoked"] = lambda: figures.evoked_figure(data["evoked"])
        makers["topography"] = lambda: figures.topography_figure(data["evoked"])
    drawn = {key: make() for key, make in makers.items()}
    return {key: jinja2.utils.markupsafe.Markup(svg) for key, svg in drawn.items() if svg is not None}


def _group_maker(groups: list[dict[str, Any]], name: str, chance: float | None) -> Callable[[], str]:
    return lambda: figures.groups_figure(groups, name, METRIC_NAMES.get(name, name), chance)
