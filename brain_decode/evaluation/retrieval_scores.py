"""A table of retrieval answers to scores, each with interval, chance level, permutation p-value and n."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.evaluation.predictions import require_predictions
from brain_decode.evaluation.retrieval import k_way_probability
from brain_decode.evaluation.retrieval_null import RankMetric, ShownNull
from brain_decode.evaluation.scoring import Score
from brain_decode.evaluation.statistics import (
    bootstrap_weights,
    interval,
    permutation_p,
    picture_clusters,
    weighted_mean,
)
from brain_decode.evaluation.ties import first_places, within_probability

__all__ = ["K_WAY", "P_METHOD", "k_way_values", "rank_columns", "score_retrieval"]

K_WAY = (2, 4, 10, 50, 100)
P_METHOD = "permutation of the shown stimuli, decoder fixed"


def score_retrieval(
    predictions: pd.DataFrame,
    *,
    single_test_set: bool = True,
    seed: int = 0,
    n_bootstrap: int = 2000,
    n_permutations: int = 2000,
) -> dict[str, Score]:
    """Return `top1`, `top5` and the exact `<k>_way` expectations of one decoder.

    Each is {"value", "ci95", "chance", "p_permutation", "p_method", "p_reason", "n_permutations", "p_smallest", "n"}.
    Equal candidates share credit, see `ties`. p permutes which shown stimulus belongs to which answer, and chance is
    the mean of that null, see `retrieval_null`; where the table lacks the ranks this needs, chance is that of a
    candidate drawn from the gallery and p is None. Where p is None, `p_reason` says why, else it is None.
    Intervals resample people, or pictures with all their showings where there are fewer than five people.

    Args:
        predictions: Rows of one decoder with `rank`, `n_ties` (0 where it is missing) and `gallery_size`; for chance
            and p with `truth` and the columns of `shown_ranks`.
        single_test_set: Nothing that is scored was trained on by any of the decoders. False for cross-validation, where
            each fold's decoder was fitted on the other folds' test parts: the answers of a fixed decoder are not
            exchangeable then.
        seed: Of resamples and permutations.
        n_bootstrap: Resamples of whole units.
        n_permutations: Permutations.

    Raises:
        DataError: No rows, or ranks that are not finite, lie outside the gallery or do not fit their ties.
    """
    ranks, n_ties, sizes = rank_columns(predictions)
    clusters, rng = picture_clusters(predictions), np.random.default_rng(seed)
    weights = bootstrap_weights(clusters, n_bootstrap, rng)
    metrics = _rank_metrics(sizes)
    null = ShownNull.of(predictions)
    reason = _reason_without_p(null, single_test_set, n_permutations)
    means = {} if null is None or reason else null.means(metrics, n_permutations, rng)
    scores = {}
    for name, metric in metrics.items():
        right = metric(ranks, n_ties, sizes)
        value = float(right.mean())
        scores[name] = {
            "value": value,
            "ci95": interval(weighted_mean(right, clusters, weights)),
            "chance": _drawn_from_gallery(name, sizes) if null is None else null.chance(metric),
            **_p_values(value, means.get(name), reason),
            "n": len(predictions),
        }
    return scores


def rank_columns(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (n,) mid-ranks, ties and gallery sizes of a table of answers.

    Raises:
        DataError: No rows, or ranks that are not finite, lie outside the gallery or do not fit their ties.
    """
    require_predictions(predictions, ["rank", "gallery_size"])
    ranks, sizes = predictions["rank"].to_numpy(float), predictions["gallery_size"].to_numpy(int)
    if (ranks < 0).any() or (ranks >= sizes).any():
        raise DataError(f"Ranks lie between 0 and the gallery size {sizes.min()} - 1; got up to {ranks.max():g}.")
    n_ties = predictions["n_ties"].to_numpy(int) if "n_ties" in predictions else np.zeros(len(ranks), dtype=int)
    if (first_places(ranks, n_ties) + n_ties >= sizes).any():
        raise DataError(f"A group of ties ends within the gallery of {sizes.min()}; got ranks up to {ranks.max():g}.")
    return ranks, n_ties, sizes


def k_way_values(ranks: np.ndarray, n_ties: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
    """Return the exact k-way probability of each rank, whose galleries may differ in size."""
    values = np.empty(np.shape(ranks))
    sizes = np.broadcast_to(sizes, values.shape)
    for size in np.unique(sizes):
        chosen = sizes == size
        values[chosen] = k_way_probability(ranks[chosen], int(size), k, n_ties=n_ties[chosen])
    return values


def _rank_metrics(sizes: np.ndarray) -> dict[str, RankMetric]:
    metrics: dict[str, RankMetric] = {f"top{k}": partial(_within, k=k) for k in (1, 5)}
    return metrics | {f"{k}_way": partial(k_way_values, k=k) for k in K_WAY if k < sizes.min()}


def _within(ranks: np.ndarray, n_ties: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
    return within_probability(ranks, n_ties, k)


def _drawn_from_gallery(metric: str, sizes: np.ndarray) -> float:
    """Return what a candidate drawn from the gallery scores."""
    if metric.startswith("top"):
        return float(np.minimum(int(metric.removeprefix("top")) / sizes, 1.0).mean())
    return 1 / int(metric.removesuffix("_way"))


def _reason_without_p(null: ShownNull | None, single_test_set: bool, n_permutations: int) -> str | None:
    if not n_permutations:
        return "no permutation was asked for"
    if not single_test_set:
        return "fixed decoders in cross-validation share training data"
    if null is None:
        return "the table of answers does not hold the ranks of the other shown stimuli"
    return None if null.is_exchangeable else "one shown stimulus cannot be permuted"


def _p_values(value: float, means: np.ndarray | None, reason: str | None) -> Mapping[str, Any]:
    if means is None:
        nothing = dict.fromkeys(("p_permutation", "p_method"))
        return nothing | {"p_reason": reason, "n_permutations": 0, "p_smallest": None}
    return {
        "p_permutation": permutation_p(value, means),
        "p_method": P_METHOD,
        "p_reason": None,
        "n_permutations": len(means),
        "p_smallest": 1 / (len(means) + 1),
    }
