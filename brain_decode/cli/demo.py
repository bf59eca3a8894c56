"""Simulate a study, decode which picture was seen, of which category, and what it looked like, and report all three."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import unknown_option

__all__ = ["CONFIG", "run"]

CONFIG = "demo"
_EXPERIMENTS = {
    "retrieval": "simulated_things",
    "classification": "simulated_things_category",
    "reconstruction": "simulated_things_reconstruction",
}
_KEY_SCORES = {
    "retrieval": ("top1", "top5"),
    "classification": ("auc", "balanced_accuracy"),
    "reconstruction": ("pixcorr", "ssim", "two_way_pixel_features"),
}
_QUESTIONS = {
    "retrieval": "Which of the new pictures was seen?",
    "classification": "Was it an organic or a constructed object?",
    "reconstruction": "What did the new pictures look like?",
}
_SHEET = Path("reconstruction", "pictures", "contact_sheet.png")
_SIZES: Mapping[str, Mapping[str, float]] = {
    "standard": {"n_exemplars": 16},  # enough showings for drawings that resemble what was seen
    "tiny": {
        "n_train_concepts": 80,
        "n_exemplars": 2,
        "n_test_concepts": 12,
        "test_repetitions": 4,
        "n_runs": 1,
        "n_electrodes": 16,
        "rate_hz": 100.0,
        "n_features": 24,
        "noise": 0.7,
    },
}


def run(config: DictConfig, folder: Path) -> None:
    """Write three run folders, `retrieval`, `classification` and `reconstruction`, and one summary of all."""
    from brain_decode.reports.html import write_report
    from brain_decode.training.run import train

    if config.size not in _SIZES:
        raise unknown_option("size", str(config.size), _SIZES)
    started = datetime.now(UTC)
    for task in _EXPERIMENTS:
        part = folder / task
        shutil.rmtree(part, ignore_errors=True)  # left by a demo that was interrupted
        part.mkdir()
        write_report(train(_experiment(config, folder, task), part))
    _summarise(config, folder, started)


def _experiment(config: DictConfig, folder: Path, task: str) -> DictConfig:
    """Return the configuration of one part, as `brain-decode train` would compose it."""
    from brain_decode.cli.composition import compose
    from brain_decode.cli.overrides import quoted

    data, store = config.paths.data or folder / "data", config.paths.store or folder / "stores"
    study = {**_SIZES[config.size], "seed": config.seed}
    words = [f"{'+' if key == 'n_features' else ''}datasets.loader.study.{key}={value}" for key, value in study.items()]
    return compose(
        "train",
        [
            f"experiment={_EXPERIMENTS[task]}",
            f"paths.data={quoted(str(data))}",
            f"paths.store={quoted(str(store))}",
            f"out={quoted(str(folder / task))}",
            f"seed={config.seed}",
            f"workers={config.workers}",
            *words,
        ],
    )


def _summarise(config: DictConfig, folder: Path, started: datetime) -> None:
    import pandas as pd

    from brain_decode.core.files import write_atomically
    from brain_decode.evaluation.predictions import read_predictions, write_predictions

    parts = {task: _read(folder / task / "metrics.json") for task in _EXPERIMENTS}
    receipts = {task: _read(folder / task / "receipt.json") for task in _EXPERIMENTS}
    frames = [read_predictions(folder / task / "predictions.parquet").assign(target_task=task) for task in parts]
    write_predictions(pd.concat(frames, ignore_index=True), folder / "predictions.parquet")
    write_atomically(folder / "metrics.json", _merged(parts))
    write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    write_atomically(folder / "report.html", _index_page(parts, (folder / _SHEET).read_bytes()))
    write_atomically(folder / "receipt.json", _receipt(receipts, started, config))
    _print(parts, folder)


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _merged(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the metrics of all parts in one table; where two parts have one of a name, it is that of the first."""
    first = next(iter(parts.values()))
    shared = ("split", "dataset", "simulated", "protocol", "decoder", "selected", "oracle")
    return {
        **{key: first[key] for key in shared},
        "tasks": list(parts),
        "decoders": {task: part["decoder"] for task, part in parts.items()},
        "folds": [{"task": task, **fold} for task, part in parts.items() for fold in part["folds"]],
        "metrics": _key_metrics(parts),
        "metrics_without_rejection": None,
        "baselines": {name: scores for part in parts.values() for name, scores in part["baselines"].items()},
    }


def _key_metrics(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for part in parts.values():
        merged = {**part["metrics"], **merged}
    return merged


def _receipt(receipts: Mapping[str, Mapping[str, Any]], started: datetime, config: DictConfig) -> dict[str, Any]:
    first = dict(next(iter(receipts.values())))
    openings = [{"task": task, **opening} for task, receipt in receipts.items() for opening in receipt["test_openings"]]
    return first | {
        "command": CONFIG,
        "created": started.isoformat(timespec="seconds"),
        "duration_s": round((datetime.now(UTC) - started).total_seconds(), 3),
        "seed": int(config.seed),
        "peak_memory_mb": max(float(receipt["peak_memory_mb"]) for receipt in receipts.values()),
        "test_openings": openings,
    }


def _rows(parts: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str, str, str]]:
    """Return (task, metric, value, interval with what it is about, chance, ceiling) of the key scores."""
    from brain_decode.reports.certainty import has_interval, number
    from brain_decode.reports.sentences import metric_name

    rows = []
    for task, part in parts.items():
        for name in _KEY_SCORES[task]:
            entry, oracle = part["metrics"][name], (part.get("oracle") or {}).get(name)
            best = oracle if oracle is not None else (entry.get("ceiling") or {}).get("value")
            ceiling = "" if best is None else f"{best:.2f}"
            label = metric_name(name)
            interval = "–"
            if has_interval(entry):
                interval = f"{entry['ci95'][0]:.2f} to {entry['ci95'][1]:.2f} ({entry['ci95_about']})"
            rows.append((task, label, number(entry["value"], 2), interval, number(entry["chance"], 2), ceiling))
    return rows


def _index_page(parts: Mapping[str, Mapping[str, Any]], sheet: bytes) -> str:
    """Return a page with the key scores, links to the reports and the contact sheet."""
    import base64

    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True)
    return environment.get_template("demo.html.j2").render(
        rows=_rows(parts), questions=_QUESTIONS, sheet=base64.b64encode(sheet).decode("ascii")
    )


def _print(parts: Mapping[str, Mapping[str, Any]], folder: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Simulated participants looking at drawn objects", title_justify="left")
    for column in ("task", "metric", "value", "95 % interval", "chance", "ceiling"):
        table.add_column(column)
    for row in _rows(parts):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"Contact sheet: {folder / _SHEET}", highlight=False, soft_wrap=True)
    console.print(f"Report: {folder / 'report.html'}", highlight=False, soft_wrap=True)
