"""Retrieval with nothing to decode: how often p falls below a level, and how far the mean score is from its chance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.evaluation.retrieval import Gallery, ranks_of_truth, similarities
from brain_decode.evaluation.retrieval_null import shown_ranks
from brain_decode.evaluation.retrieval_scores import score_retrieval

N_DRAWS, N_SHOWN, N_ALL, DIM = 1000, 40, 400, 16
LEVELS = (0.05, 0.01, 0.005)
METRICS = ("top1", "top5", "2_way")
_PERMUTATIONS = 399  # the smallest p is 1 / 400, below every level

Answers = Callable[[np.ndarray, np.random.Generator], np.ndarray]  # features of what was shown to answers (n, DIM)


def measure(n_draws: int = N_DRAWS, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Yield {"setting", "promised", "measured", "n"} for each setting, metric and level.

    Args:
        n_draws: Simulated experiments a setting.
        seed: Of all of them.
    """
    settings: dict[str, tuple[Answers, dict[str, Any]]] = {
        "exact image, random answer": (_random, {}),
        "exact image, constant answer": (_constant, {}),
        "exact image, 4 single trials a stimulus that share noise": (_sharing, {"n_showings": 4}),
        "exact image, 5 people who share noise": (_sharing, {"n_showings": 5, "is_people": True}),
        "exact image, each of 5 people a fold": (_sharing, {"n_showings": 5, "is_people": True, "is_folds": True}),
        "exact image, every picture twice": (_random, {"copies": 2}),
        "all images, random answer": (_random, {"n_all": N_ALL}),
        "all images, answer leans to the shown ones": (_leaning, {"n_all": N_ALL}),
        "all images, constant answer": (_constant, {"n_all": N_ALL}),
        "all images, 5 people lean to the shown ones": (_leaning, {"n_all": N_ALL, "n_showings": 5, "is_people": True}),
    }
    for name, (answers, setting) in settings.items():
        rng = np.random.default_rng(seed)
        draws = [_scores(experiment(answers, rng, **setting), rng) for _ in range(n_draws)]
        for metric in METRICS:
            p_values = np.array([draw[metric]["p_permutation"] for draw in draws])
            for level in LEVELS:
                measured = float(np.mean(p_values <= level))
                yield {"setting": f"{name}, {metric}", "promised": level, "measured": measured, "n": n_draws}
            value, chance = (float(np.mean([draw[metric][key] for draw in draws])) for key in ("value", "chance"))
            yield {"setting": f"{name}, {metric}, mean score at chance", "promised": chance, "measured": value} | {
                "n": n_draws
            }


def experiment(
    answers: Answers,
    rng: np.random.Generator,
    *,
    n_all: int = N_SHOWN,
    n_showings: int = 1,
    is_people: bool = False,
    is_folds: bool = False,
    copies: int = 1,
) -> pd.DataFrame:
    """Return the answers of one simulated experiment, as a run keeps them.

    Shown pictures are special among all: they lie around a point of their own.

    Args:
        answers: Makes answers, given the features of the shown pictures.
        rng: Source of randomness.
        n_all: Pictures, the shown ones among them.
        n_showings: Answers to each shown picture.
        is_people: They are of several people; else repetitions for one.
        is_folds: Each person is a fold.
        copies: How often each picture is in the gallery.
    """
    features = rng.standard_normal((n_all, DIM))
    features[:N_SHOWN] += 1.5
    gallery = Gallery(tuple(map(str, range(n_all * copies))), np.tile(features, (copies, 1)))
    given = np.concatenate([answers(features[:N_SHOWN], rng) for _ in range(n_showings)])
    # Nothing to decode: which picture an answer was given to is drawn after the answers were.
    truth = np.tile(rng.permutation(N_SHOWN), n_showings)
    similarity = similarities(given, gallery)
    ranks, n_ties = ranks_of_truth(similarity, truth)
    names = [f"{candidate:04d}" for candidate in truth]
    people = np.repeat([f"{person:02d}" for person in range(n_showings)], N_SHOWN)
    return pd.DataFrame(
        {
            "dataset": "simulated",
            "subject": people if is_people else "00",
            "run": "1",
            "fold": people if is_folds else "all",
            "truth": names,
            "rank": ranks,
            "n_ties": n_ties,
            "gallery_size": len(gallery),
            **shown_ranks(similarity, names, truth),
        }
    )


def _scores(predictions: pd.DataFrame, rng: np.random.Generator) -> dict[str, dict[str, Any]]:
    seed = int(rng.integers(1 << 31))
    return score_retrieval(predictions, seed=seed, n_permutations=_PERMUTATIONS)


def _random(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shown.shape)


def _constant(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.tile(shown.mean(axis=0), (len(shown), 1))


def _leaning(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return shown.mean(axis=0) + rng.standard_normal(shown.shape)


def _sharing(shown: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return answers whose larger part is the same in every showing of the experiment."""
    shared = np.random.default_rng(int(abs(shown[0, 0]) * 1e9)).standard_normal(shown.shape)
    return shared + 0.5 * rng.standard_normal(shown.shape)
