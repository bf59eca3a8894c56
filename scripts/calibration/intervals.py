"""How often intervals hold the truth, and how often two equal decoders seem to differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from calibration.designs import CLASSES, Experiment
from scipy.special import expit, logit

from brain_decode.evaluation.calibration import ece
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.scoring import compare_decoders, score_classification

N_DRAWS = 1000
_TRUTH_DRAWS = 3000  # experiments whose mean score is the truth
NOISE = {
    "leave run out, 8 x 20": Experiment(),
    "leave run out, 3 x 40": Experiment(runs=3, trials=40),
    "leave run out, 5 x 20": Experiment(runs=5),
    "leave subject out, 6 x 40": Experiment(people=6, runs=1, trials=40, folds="subject"),
    "contiguous 5-fold, 100": Experiment(runs=1, trials=100, folds=5),
    "contiguous 5-fold, 40": Experiment(runs=1, trials=40, folds=5),
}
PEOPLE = Experiment(runs=1, trials=60, folds="subject", effect=1.2, spread=0.6)
RUNS = {
    "leave run out, 6 x 30, d' 1": Experiment(runs=6, trials=30, effect=1.0),
    "leave run out, 4 x 40, d' 2": Experiment(runs=4, trials=40, effect=2.0),
}


def measure(n_draws: int = N_DRAWS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield {"setting", "promised", "measured", "n"}."""
    rng = np.random.default_rng(seed)
    for name, experiment in NOISE.items():
        draws = [experiment.draw(rng) for _ in range(n_draws)]
        scores = [score_classification(draw.predictions(), CLASSES, design=draw.design) for draw in draws]
        for metric in ("auc", "balanced_accuracy"):
            missed = np.mean([not _holds(score[metric]["ci95"], 0.5) for score in scores])
            yield _row(f"{name}, noise: interval of {metric} misses 0.5", "at most 0.06", missed, n_draws)
        yield _row(f"{name}: two equal decoders, p <= 0.05", "at most 0.06", _differ(experiment, n_draws, rng), n_draws)
        equal = replace(experiment, effect=1.0)
        yield _row(
            f"{name}, d' 1: two equal decoders, p <= 0.05", "at most 0.06", _differ(equal, n_draws, rng), n_draws
        )
    for people in (5, 9, 20):
        told = f"leave subject out, {people} heterogeneous people: interval about new subjects holds the mean AUC"
        yield _row(told, "at least 0.93", _covers(replace(PEOPLE, people=people), n_draws, rng), n_draws)
        told = f"a finished decoder, {people} heterogeneous people: interval about new subjects holds the mean accuracy"
        yield _row(told, "at least 0.93", _covers_fixed(people, n_draws, rng), n_draws)
    for name, experiment in RUNS.items():
        told = f"{name}: interval about these subjects holds the mean AUC"
        yield _row(told, "at least 0.93", _covers(experiment, n_draws, rng), n_draws)
    for overconfidence in (1.0, 3.0):
        value, truth, held, plain = _calibration(overconfidence, n_draws, rng)
        told = f"calibration error of log odds x {overconfidence:g}, 200 windows"
        yield _row(f"{told}: mean estimate (plain estimate: {plain:.3f})", f"{truth:.3f}", value, n_draws)
        yield _row(f"{told}: interval holds it", "at least 0.93", held, n_draws)


def _row(setting: str, promised: str, measured: float, n: int) -> dict[str, Any]:
    return {"setting": setting, "promised": promised, "measured": float(measured), "n": n}


def _holds(interval: list[float], truth: float) -> bool:
    return interval[0] <= truth <= interval[1]


def _differ(experiment: Experiment, n_draws: int, rng: np.random.Generator) -> float:
    """Return how often two decoders that see signals of the same quality differ."""
    n_significant = 0
    for _ in range(n_draws):
        first = experiment.draw(rng)
        other = replace(first, signal=_another_signal(experiment, first.labels, rng), _inverse={})
        paired = compare_decoders(first.predictions(), other.predictions(), CLASSES, design=first.design)
        n_significant += paired["p_value"] <= 0.05
    return n_significant / n_draws


def _another_signal(experiment: Experiment, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    signal = rng.normal(size=(len(labels), experiment.features))
    signal[:, 0] += experiment.effect * (labels - 0.5)
    return signal


def _covers(experiment: Experiment, n_draws: int, rng: np.random.Generator) -> float:
    """Return how often the interval holds what the same experiment reaches on average."""
    values = []
    for _ in range(_TRUTH_DRAWS):
        draw = experiment.draw(rng)
        values.append(draw.scores(draw.labels[None])["auc"][0])
    truth, held = float(np.mean(values)), 0
    for _ in range(n_draws):
        draw = experiment.draw(rng)
        score = score_classification(draw.predictions(), CLASSES, design=draw.design)["auc"]
        held += _holds(score["ci95"], truth)
    return held / n_draws


def _covers_fixed(people: int, n_draws: int, rng: np.random.Generator) -> float:
    """Return how often the interval over people holds the mean accuracy of all people, for one finished decoder."""
    table = Experiment(people=people, runs=2, trials=30).draw(rng)
    truth = float(expit(rng.normal(1.2, 0.7, 1_000_000)).mean())
    held = 0
    for _ in range(n_draws):
        is_right = rng.random(len(table.labels)) < np.repeat(expit(rng.normal(1.2, 0.7, people)), 60)
        odds = np.where(is_right == (table.labels == 1), 1.0, -1.0)
        score = score_classification(table.predictions(odds), CLASSES, design=Design(), n_permutations=0)
        held += _holds(score["accuracy"]["ci95_new_subjects"], truth)
    return held / n_draws


def _calibration(overconfidence: float, n_draws: int, rng: np.random.Generator) -> tuple[float, ...]:
    """Return the mean debiased error, the true one, how often the interval holds it, and the mean plain error."""
    many = rng.random(1_000_000)
    truth = _plain((rng.random(len(many)) < many).astype(int), expit(overconfidence * logit(many)))
    table, values, plain, held = Experiment(runs=10).draw(rng), [], [], 0
    for _ in range(n_draws):
        second = rng.random(len(table.labels))
        draw = replace(table, labels=(rng.random(len(second)) < second).astype(int))
        answers = draw.predictions(overconfidence * logit(second))
        score = score_classification(answers, CLASSES, design=Design(), n_permutations=0)["ece"]
        values.append(score["value"])
        plain.append(_plain(draw.labels, expit(overconfidence * logit(second))))
        held += _holds(score["ci95"], truth if overconfidence != 1 else 0.0)
    return float(np.mean(values)), truth if overconfidence != 1 else 0.0, held / n_draws, float(np.mean(plain))


def _plain(labels: np.ndarray, second: np.ndarray) -> float:
    return ece(labels, np.stack([1 - second, second], axis=1))
