"""What the scores of a run mean, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["METRIC_NAMES", "headline", "headline_metric", "method_sentences", "number", "scored"]

METRIC_NAMES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "pearson": "Pearson r",
    "r2": "R²",
    "top1": "top-1",
    "top5": "top-5",
}
_HEADLINE = {"classification": ("auc", "balanced_accuracy"), "regression": ("pearson",), "retrieval": ("top1",)}


def headline_metric(metrics: Mapping[str, Any]) -> str:
    """Return the metric a run is summarised by: AUC for two classes, balanced accuracy for more, r, or top-1."""
    candidates = _HEADLINE.get(str(metrics["task"]), ())
    probabilities = metrics["metrics"].get("balanced_accuracy", {}).get("chance")
    if metrics["task"] == "classification" and probabilities is not None and probabilities < 0.45:
        return "balanced_accuracy"
    return next((name for name in candidates if name in metrics["metrics"]), next(iter(metrics["metrics"])))


def number(value: Any, digits: int = 3) -> str:
    """Return a number for a table, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def scored(entry: Mapping[str, Any]) -> str:
    """Return `0.671 [0.646, 0.696]`."""
    low, high = entry.get("ci95") or (None, None)
    interval = "" if low is None or high is None else f" [{number(low)}, {number(high)}]"
    return number(entry["value"]) + interval


def p_value(value: Any) -> str:
    """Return `p = 0.012`, or the bound that the number of permutations allows."""
    if value is None:
        return "no permutation test"
    return "p < 0.001" if value < 0.001 else f"p = {value:.3f}"


def headline(metrics: Mapping[str, Any], classes: Sequence[str], n_people: int, n_runs: int) -> str:
    """Return one sentence a person who did not run it can take home."""
    name = headline_metric(metrics)
    entry = metrics["metrics"][name]
    low = (entry.get("ci95") or [None])[0]
    found = low is not None and entry["chance"] is not None and low > entry["chance"]
    what = _what(metrics, classes, name, found=found)
    chance = "" if entry["chance"] is None else f"guessing gives {number(entry['chance'])}; "
    people = f"{n_people} {'person' if n_people == 1 else 'people'}"
    runs = f"{n_runs} {'recording' if n_runs == 1 else 'recordings'}"
    windows = f"{entry['n']} {'stimuli' if metrics['task'] == 'retrieval' else 'windows'}"
    test = p_value(entry.get("p_permutation"))
    return f"{what} {METRIC_NAMES.get(name, name)} {scored(entry)}; {chance}{test}; {windows}, {runs} of {people}."


def _what(metrics: Mapping[str, Any], classes: Sequence[str], name: str, *, found: bool) -> str:
    if metrics["task"] == "retrieval":
        return "The decoder finds the picture that was seen:" if found else "The decoder does not find the picture:"
    if metrics["task"] == "regression":
        return "The decoder follows the value:" if found else "The decoder does not follow the value:"
    listed = " and ".join(map(str, classes)) if len(classes) == 2 else f"{len(classes)} classes"
    return f"The decoder tells {listed} apart:" if found else f"The decoder does not tell {listed} apart:"


def method_sentences(config: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return the methods paragraph: data, protocol, preprocessing, decoder, statistics."""
    window = config.get("window") or (config.get("datasets") or {}).get("window") or {}
    sentences = [f"Data: {metrics['dataset']}{' (simulated)' if metrics.get('simulated') else ''}."]
    if window.get("start_s") is not None:
        sentences.append(f"Windows run from {window['start_s']:g} to {window['stop_s']:g} s around each event.")
    steps = config.get("preprocessing") or {}
    named = [_step(step) for key in ("signal_steps", "window_steps") for step in steps.get(key) or []]
    sentences.append(f"Preprocessing: {', then '.join(named) if named else 'none'}.")
    sentences.append(
        f"Protocol: {str(metrics['protocol']).replace('_', ' ')}, {len(metrics['folds'])} "
        f"{'fold' if len(metrics['folds']) == 1 else 'folds'}; whatever is fitted or chosen saw the training part "
        "only, and each test part was opened once, after fitting."
    )
    if metrics["decoder"] == "nested_selection":
        sentences.append("The decoder of each fold was chosen by validation inside that fold's training part.")
    sentences.append(
        f"Intervals are 95 % bootstraps over {metrics['cluster']}s; p permutes the truth within recordings with the "
        "decoder fixed."
    )
    return sentences


def _step(step: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{key} {value}" for key, value in (step.get("settings") or {}).items() if value is not None)
    return f"{str(step['step']).replace('_', ' ')}{f' ({settings})' if settings else ''}"
