"""What the scores of a run mean, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from brain_decode.core.errors import DataError
from brain_decode.reports.certainty import has_interval, number, p_value, scored, stated_p, untested_reason

__all__ = [
    "METRIC_MEANINGS",
    "METRIC_NAMES",
    "headline",
    "headline_metric",
    "is_picture_metric",
    "metric_meaning",
    "metric_name",
]

METRIC_NAMES = {
    "auc": "AUC",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "ece": "calibration error",
    "pearson": "Pearson r",
    "r2": "R²",
    "top1": "top-1",
    "top5": "top-5",
    "pixcorr": "PixCorr",
    "ssim": "SSIM",
}
NETWORK_NAMES = {
    "pixel_features": "plain features",
    "alexnet2": "AlexNet(2)",
    "alexnet5": "AlexNet(5)",
    "inception": "InceptionV3",
    "clip": "CLIP",
    "effnet": "EffNet-B",
    "swav": "SwAV",
    "resnet20_cifar10": "ResNet-20",
}
METRIC_MEANINGS = {
    "auc": "how often a window of one class is scored above a window of another: 1 is perfect, 0.5 is guessing",
    "balanced_accuracy": "share of correct answers, averaged over the classes",
    "accuracy": "share of correct answers",
    "ece": ("mean distance between stated probability and share correct, less what noise adds to it: 0 is best"),
    "pearson": "correlation of the predicted with the true value: 1 is perfect, 0 is guessing",
    "r2": "share of the variance that is predicted: below 0 is worse than always answering the mean",
    "top1": "share of answers in which the true candidate comes first in the gallery",
    "top5": "share of answers in which the true candidate is among the first five of the gallery",
    "pixcorr": "correlation of all pixel values with those of the seen picture: 1 is the same up to contrast",
    "ssim": "likeness of local light and structure to the seen picture: 1 is the same",
}
_HEADLINE = {
    "classification": ("auc", "balanced_accuracy", "accuracy"),
    "regression": ("pearson", "r2"),
    "retrieval": ("top1", "top5"),
}
_TWO_CLASS_CHANCE = 0.45  # chance of balanced accuracy below this means more than two classes
_LEVEL = 0.05
_TWO_WAY, _DISTANCE = "two_way_", "_distance"


def headline_metric(metrics: Mapping[str, Any]) -> str:
    """Return the metric a run is summarised by: AUC for two classes, balanced accuracy for more, r, or top-1.

    Raises:
        DataError: The run has no scores.
    """
    scores = metrics["metrics"]
    if not scores:
        raise DataError("metrics.json holds no scores of the run's decoder. Run the command again.")
    chance = (scores.get("balanced_accuracy") or {}).get("chance")
    if metrics["task"] == "classification" and chance is not None and chance < _TWO_CLASS_CHANCE:
        return "balanced_accuracy"
    candidates = _HEADLINE.get(str(metrics["task"]), ())
    return next((name for name in candidates if name in scores), str(next(iter(scores))))


def metric_name(key: str) -> str:
    """Return what a metric key is called in text: `2_way` becomes `2-way`."""
    if key.endswith("_way"):
        return key.replace("_", "-")
    if key.startswith(_TWO_WAY):
        return f"two-way {_network(key.removeprefix(_TWO_WAY))}"
    if key.endswith(_DISTANCE):
        return f"{_network(key.removesuffix(_DISTANCE))} distance"
    return METRIC_NAMES.get(key, key.replace("_", " "))


def metric_meaning(key: str) -> str:
    """Return one clause that explains a metric, or an empty string."""
    if key.endswith("_way"):
        return f"chance of picking the true candidate among {key.removesuffix('_way')} drawn at random"
    if key.startswith(_TWO_WAY):
        name = _network(key.removeprefix(_TWO_WAY))
        return f"how often a reconstruction is more like its own picture than like another, to {name}: 0.5 is guessing"
    if key.endswith(_DISTANCE):
        return f"1 - correlation of the features of {_network(key.removesuffix(_DISTANCE))}: lower is better"
    return METRIC_MEANINGS.get(key, "")


def is_picture_metric(key: str) -> bool:
    """Return whether a metric compares pictures."""
    return key in ("pixcorr", "ssim") or key.startswith(_TWO_WAY) or key.endswith(_DISTANCE)


def _network(name: str) -> str:
    return NETWORK_NAMES.get(name, name.replace("_", " "))


def headline(metrics: Mapping[str, Any], classes: Sequence[str], n_people: int, n_runs: int) -> str:
    """Return one sentence a person who did not run it can take home."""
    name = headline_metric(metrics)
    entry = metrics["metrics"][name]
    parts = [f"{_verdict(metrics, classes, entry)} {metric_name(name)} {scored(entry)}"]
    if entry.get("chance") is not None:
        parts.append(f"guessing gives {number(entry['chance'])}")
    parts.append(p_value(entry))
    if metrics.get("transductive"):
        steps = ", ".join(step.replace("_", " ") for step in metrics.get("transductive_steps") or [])
        parts.append(f"transductive: {steps} used the unlabelled signal of what is scored")
    vouched = len(metrics.get("distinct_recordings") or [])
    if vouched:
        parts.append(f"{vouched} {'pair' if vouched == 1 else 'pairs'} of recordings vouched for by hand")
    people = f"{n_people} {'person' if n_people == 1 else 'people'}"
    parts.append(f"{n_runs} {'recording' if n_runs == 1 else 'recordings'} of {people}")
    why = ""
    if stated_p(entry) is None and not has_interval(entry):
        why = untested_reason(entry)
    elif entry.get("confounded"):
        why = f"No p: {entry['p_reason']}."
    return f"{'; '.join(parts)}. {why}".strip()


def _verdict(metrics: Mapping[str, Any], classes: Sequence[str], entry: Mapping[str, Any]) -> str:
    """Return "The decoder does it:" only where each of interval and permutation test that is given says so.

    The test alone speaks of these recordings; the interval of more of them.
    """
    chance, p = entry.get("chance"), stated_p(entry)
    does, infinitive = _ability(str(metrics["task"]), classes)
    if chance is None:
        return f"How well the decoder {does}:"
    if p is None and not has_interval(entry):
        return f"It is not tested whether the decoder {does}:"
    low, high = entry["ci95"] if has_interval(entry) else (None, None)
    if entry.get("confounded") and low is not None and low > chance:
        return f"Whether the decoder {does}, or what goes with them in this design, cannot be told:"
    if (low is None or low > chance) and (p is None or p <= _LEVEL):
        return f"The decoder {does}:"
    if high is not None and high < chance:
        return f"The decoder is worse than guessing when it has to {infinitive}:"
    if low is not None and p is not None and p <= _LEVEL:
        return f"The decoder {does} in these recordings; that it will in more of them is not shown:"
    return f"These recordings do not show that the decoder {does}:"


def _ability(task: str, classes: Sequence[str]) -> tuple[str, str]:
    if task == "retrieval":
        return "finds the picture that was seen", "find the picture that was seen"
    if task == "regression":
        return "follows the value", "follow the value"
    if len(classes) == 2:
        what = f"{classes[0]} and {classes[1]}"
    else:
        what = f"{len(classes)} classes" if classes else "the classes"
    return f"tells {what} apart", f"tell {what} apart"
