"""What the page of a pretraining run shows, from the files of its folder."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from brain_decode.core.errors import DataError
from brain_decode.reports import pretraining_figures
from brain_decode.reports.certainty import about, interval_notes, scored

__all__ = ["pretraining_context", "read_examples"]

_MOST_ROWS = 40


def read_examples(path: Path) -> list[dict[str, Any]]:
    """Return signals beside their reconstructions; none where the run has none.

    Raises:
        DataError: A damaged file.
    """
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as stored:
            return [
                {
                    "signals": stored[f"signals_{number}"],
                    "names": [str(name) for name in stored[f"names_{number}"]],
                    "rate_hz": float(stored["rate_hz"]),
                }
                for number in range(sum(name.startswith("signals_") for name in stored.files))
            ]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"'{path}' is damaged: {error}. Run the command again.") from error


def pretraining_context(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the template."""
    told, metrics = run["pretraining.json"], run["metrics.json"]
    name = next(iter(metrics["metrics"]))
    entry = metrics["metrics"][name]
    return {
        "told": told,
        "metrics": metrics,
        "receipt": run["receipt.json"],
        "headline": _headline(name, entry, told),
        "statement": about(list(metrics["metrics"].values())),
        "notes": interval_notes({key.replace("_", " "): score for key, score in metrics["metrics"].items()}),
        "simulated": bool(metrics.get("simulated")),
        "facts": [
            ("people kept out", str(entry["people"])),
            ("windows trained on", str(told["n_train"])),
            ("windows kept out", str(told["n_validation"])),
            ("seconds per window", f"{told['window_s']:g}"),
            ("best epoch", f"{told['best_epoch']} of {len(told['curves'])}"),
        ],
        "figures": {key: Markup(svg) for key, svg in _figures(run).items()},
        "most_rows": _MOST_ROWS,
    }


def _headline(name: str, entry: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    beside = f"; {entry['baseline']:.3f} by the most frequent code" if entry.get("baseline") is not None else ""
    meaning = (
        "hidden codes predicted" if name == "accuracy" else f"correlation of {told['reconstructs']} and reconstruction"
    )
    return f"{told['architecture']}: {meaning} {scored(entry)}{beside}"


def _figures(run: Mapping[str, Any]) -> dict[str, str]:
    told, metrics = run["pretraining.json"], run["metrics.json"]["metrics"]
    drawn = {
        "curves": pretraining_figures.curves_figure(told["curves"]),
        "use": pretraining_figures.codebook_figure(told["codebook_use"]),
    }
    bands = {name.removeprefix("pearson_"): entry for name, entry in metrics.items() if name.startswith("pearson_")}
    if bands:
        drawn["bands"] = pretraining_figures.levels_figure(bands, "correlation")
    levels = {name.removeprefix("accuracy_"): entry for name, entry in metrics.items() if name.startswith("accuracy_")}
    if levels:
        drawn["levels"] = pretraining_figures.levels_figure(levels, "share predicted")
    for number, example in enumerate(run["examples"]):
        drawn[f"example_{number}"] = pretraining_figures.example_figure(example)
    return drawn
