"""The report of a run: one self-contained page made from the files of its folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup

from brain_decode.core.errors import ConfigError, DataError, StorageError
from brain_decode.core.files import write_atomically
from brain_decode.evaluation.predictions import read_predictions
from brain_decode.reports import code_figures, score_figures, signal_figures
from brain_decode.reports.certainty import (
    about,
    has_interval,
    has_two_statements,
    interval,
    interval_notes,
    number,
    p_cell,
    p_notes,
    scored,
)
from brain_decode.reports.methods import method_sentences, protocol_name, quantity
from brain_decode.reports.picture_section import picture_context
from brain_decode.reports.pretraining_page import pretraining_context, read_examples
from brain_decode.reports.sentences import headline, headline_metric, is_picture_metric, metric_meaning, metric_name
from brain_decode.reports.volume_figures import volume_map_figure

__all__ = ["write_report"]

_TEMPLATE, _PRETRAINING_TEMPLATE = "report.html.j2", "pretraining.html.j2"
_NEEDED = ("metrics.json", "predictions.parquet", "receipt.json", "report_data.json", "config.yaml")
_METRIC_KEYS = ("metrics", "decoder", "task")
_COMPARED = ("auc", "balanced_accuracy", "accuracy", "ece", "pearson", "r2", "top1", "top5", "2_way")
_RECORDING = ("dataset", "subject", "session", "task", "run")
_MOST_ROWS = 40  # of a table on the page; the rest is counted


def write_report(folder: Path) -> Path:
    """Write `report.html` of a run folder and return its path.

    Raises:
        ConfigError: Not a run folder.
        DataError: A file of it that is missing or damaged.
        StorageError: The page cannot be written.
    """
    folder = Path(folder)
    is_pretraining = (folder / "pretraining.json").is_file()
    run = _read_pretraining(folder) if is_pretraining else _read_run(folder)
    try:
        context = pretraining_context(run) if is_pretraining else _context(run, folder)
    except (KeyError, TypeError, IndexError, ValueError) as error:
        raise DataError(
            f"The files of '{folder}' do not hold what a report needs ({type(error).__name__}: {error}). "
            "Run the command again."
        ) from error
    page = _environment().get_template(_PRETRAINING_TEMPLATE if is_pretraining else _TEMPLATE).render(context)
    return write_atomically(folder / "report.html", page.encode("utf-8", "replace"))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    words = (number, scored, interval, p_cell, metric_name, metric_meaning, protocol_name, quantity)
    environment.filters |= {word.__name__: word for word in words}
    environment.tests |= {test.__name__: test for test in (has_interval, has_two_statements)}
    return environment


def _read_pretraining(folder: Path) -> dict[str, Any]:
    needed = ("metrics.json", "pretraining.json", "receipt.json", "config.yaml")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise DataError(f"'{folder}' lacks {', '.join(missing)}. Run the command again.")
    run: dict[str, Any] = {name: _read_mapping(folder / name) for name in needed}
    run["examples"] = read_examples(folder / "examples.npz")
    return run


def _read_run(folder: Path) -> dict[str, Any]:
    if not (folder / "metrics.json").is_file():
        raise ConfigError(f"'{folder}' is not a finished run: it has no metrics.json. Give run= the folder of a run.")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise DataError(f"'{folder}' lacks {', '.join(missing)}. Run the command again.")
    run: dict[str, Any] = {name: _read_mapping(folder / name) for name in _NEEDED if not name.endswith(".parquet")}
    absent = [key for key in _METRIC_KEYS if not run["metrics.json"].get(key)]
    if absent:
        raise DataError(f"'{folder / 'metrics.json'}' lacks {', '.join(absent)}. Run the command again.")
    try:
        run["predictions"] = read_predictions(folder / "predictions.parquet")
    except StorageError as error:
        raise DataError(str(error)) from error
    return run


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text) or {}
    except (json.JSONDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is damaged: {error}. Run the command again.") from error
    if not isinstance(content, dict):
        raise DataError(f"'{path}' must hold a mapping; it holds a {type(content).__name__}. Run the command again.")
    return content


def _context(run: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    metrics, data = run["metrics.json"], run["report_data.json"]
    name = headline_metric(metrics)
    own = run["predictions"]
    own = own[own["decoder"] == metrics["decoder"]]
    classes = (data.get("confusion") or {}).get("classes") or []
    people, recordings = _count(own, _RECORDING[:2]), _count(own, _RECORDING)
    return {
        "metrics": metrics,
        "data": data,
        "receipt": run["receipt.json"],
        "simulated": bool(data.get("simulated") or metrics.get("simulated")),
        "key": name,
        "headline": headline(metrics, classes, people, recordings),
        "facts": _facts(metrics, data, own, name),
        "decoders": _decoders(metrics, run["config.yaml"]),
        **_certainty(metrics, data, name),
        "compared": [key for key in _COMPARED if key in metrics["metrics"]],
        "oracle": _ceiling(metrics, data, name),
        "pictures": picture_context(folder, data, metrics),
        "methods": method_sentences(run["config.yaml"], metrics, run["receipt.json"]),
        "figures": {key: Markup(svg) for key, svg in _figures(metrics, data, name).items() if svg is not None},
        "most_rows": _MOST_ROWS,
    }


def _count(own: pd.DataFrame, columns: Sequence[str]) -> int:
    return len(own[[column for column in columns if column in own]].drop_duplicates())


def _facts(metrics: Mapping[str, Any], data: Mapping[str, Any], own: pd.DataFrame, name: str) -> list[tuple[str, str]]:
    """Return (what, how much) pairs that say what the score rests on."""
    n = metrics["metrics"][name].get("n")
    evoked = data.get("evoked") or {}
    facts = [
        ("people", str(_count(own, _RECORDING[:2]))),
        ("recordings", str(_count(own, _RECORDING))),
        ("scored answers" if metrics["task"] == "retrieval" else "scored windows", "–" if n is None else str(n)),
    ]
    if evoked.get("volume_map"):
        facts.append(("voxels", str(len(evoked["volume_map"]["values"]))))
    elif evoked.get("channels"):
        facts.append(("channels", str(len(evoked["channels"]))))
    if (data.get("ranks") or {}).get("gallery_size"):
        facts.append(("candidates", str(data["ranks"]["gallery_size"])))
    if metrics.get("folds"):
        facts.append(("folds", str(len(metrics["folds"]))))
    return facts


def _decoders(metrics: Mapping[str, Any], config: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the run's own decoder, then the others, each with the part it plays."""
    candidates = config.get("candidates") or {}
    rows = [{"name": metrics["decoder"], "part": "this run", "scores": metrics["metrics"], "is_own": True}]
    for name, scores in (metrics.get("baselines") or {}).items():
        part = "candidate" if name in candidates else "baseline"
        rows.append({"name": name, "part": part, "scores": scores, "is_own": False})
    return rows


def _certainty(metrics: Mapping[str, Any], data: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return what the intervals of each table are about, and the lines below it that say what is missing and why."""
    decoders = {metrics["decoder"]: metrics["metrics"], **(metrics.get("baselines") or {})}
    beside = {decoder: scores[name] for decoder, scores in decoders.items() if name in scores}
    pictures = {metric_name(key): entry for key, entry in metrics["metrics"].items() if is_picture_metric(key)}
    own = {metric_name(key): entry for key, entry in metrics["metrics"].items() if not is_picture_metric(key)}
    compared = metrics.get("comparisons") or {}
    told = interval_notes(beside) + p_notes(beside)
    methods = {str(entry["p_method"]) for entry in beside.values() if entry.get("p_method")}
    of_own = interval_notes(own) + [note for note in p_notes(own) if not any(method in note for method in methods)]
    return {
        "statement": about([*beside.values(), *own.values()]),
        "decoder_notes": told,
        "score_notes": [note for note in of_own if note not in told],
        "comparison_statement": about(list(compared.values())),
        "comparison_methods": list(dict.fromkeys(e["p_method"] for e in compared.values() if e.get("p_method"))),
        "comparison_notes": [note for note in interval_notes(compared) if note not in told],
        "n_tested": sum(entry.get("p_holm") is not None for entry in compared.values()),
        "picture_statement": about(list(pictures.values())),
        "picture_notes": interval_notes(pictures) + p_notes(pictures),
        "bands": {key: any(has_interval(point) for point in data.get(key) or []) for key in ("k_way", "repetitions")},
        "bars": {level: _have_bars(data, level, name) for level in ("subject", "run")},
    }


def _have_bars(data: Mapping[str, Any], level: str, name: str) -> bool:
    groups = [group for group in data.get("groups") or [] if group["level"] == level]
    return any(has_interval((group.get("metrics") or {}).get(name) or {}) for group in groups)


def _ceiling(metrics: Mapping[str, Any], data: Mapping[str, Any], name: str) -> float | None:
    value = (metrics.get("oracle") or data.get("oracle") or {}).get(name)
    return value["value"] if isinstance(value, Mapping) else value


def _figures(metrics: Mapping[str, Any], data: Mapping[str, Any], name: str) -> dict[str, str | None]:
    """Return the figures there is data for, as SVG (matplotlib escapes the texts in them)."""
    label, chance = metric_name(name), metrics["metrics"][name].get("chance")
    decoders = {metrics["decoder"]: metrics["metrics"], **(metrics.get("baselines") or {})}
    rows = [{"name": decoder, **scores[name]} for decoder, scores in decoders.items() if name in scores]
    drawn = {"forest": score_figures.forest_figure(rows, label, chance, _ceiling(metrics, data, name))}
    for level in ("subject", "run"):
        groups = [group for group in data.get("groups") or [] if group["level"] == level]
        groups = [group for group in groups if name in (group.get("metrics") or {})]
        if len(groups) > 1:
            drawn[level] = score_figures.groups_figure(groups, name, label, chance)
    signals, codes = _signal_figures(data.get("evoked") or {}), _code_figures(data.get("codes") or {})
    return drawn | _score_figures(data, chance) | signals | codes


def _code_figures(reading: Mapping[str, Any]) -> dict[str, str | None]:
    if not reading:
        return {}
    return {
        "code_markers": code_figures.markers_figure(reading),
        "code_heat": code_figures.heat_figure(reading),
        "code_waveforms": code_figures.waveforms_figure(reading),
    }


def _score_figures(data: Mapping[str, Any], chance: float | None) -> dict[str, str | None]:
    drawn: dict[str, str | None] = {}
    confusion, calibration, ranks = (data.get(key) or {} for key in ("confusion", "calibration", "ranks"))
    if confusion.get("classes"):
        drawn["confusion"] = score_figures.confusion_figure(confusion["classes"], confusion["counts"])
    if calibration.get("bins"):
        drawn["calibration"] = score_figures.calibration_figure(calibration["bins"])
    if ranks.get("ranks"):
        drawn["ranks"] = score_figures.ranks_figure(ranks["ranks"], int(ranks["gallery_size"]))
    if len(data.get("k_way") or []) > 1:
        drawn["k_way"] = score_figures.k_way_figure(data["k_way"])
    if len(data.get("repetitions") or []) > 1:
        drawn["repetitions"] = score_figures.repetitions_figure(data["repetitions"], chance)
    if data.get("learning_curves"):
        drawn["learning"] = score_figures.learning_figure(data["learning_curves"])
    return drawn


def _signal_figures(evoked: Mapping[str, Any]) -> dict[str, str | None]:
    if not evoked.get("channels") or not evoked.get("times_s"):
        return {}
    drawn = {
        "evoked": signal_figures.evoked_figure(evoked),
        "separability": signal_figures.separability_figure(evoked),
    }
    if signal_figures.has_map(evoked):
        drawn["topography"] = signal_figures.topography_figure(evoked)
    if evoked.get("volume_map"):
        drawn["volume"] = volume_map_figure(evoked["volume_map"], len(evoked["classes"]))
    return drawn
