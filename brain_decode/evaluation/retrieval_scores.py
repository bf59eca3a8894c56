"""A table of retrieval answers to scores, each with interval, chance level, permutation p-value and n."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.evaluation.intervals import Design, interval_entries, left_out_weights, picture_units, unit_means
from brain_decode.evaluation.permutation import PermutationValue, p_entry, p_value_of
from brain_decode.evaluation.predictions import require_predictions
from brain_decode.evaluation.retrieval import k_way_probability
from brain_decode.evaluation.retrieval_null import RankMetric, ShownNull
from brain_decode.evaluation.scoring import Score
from brain_decode.evaluation.ties import first_places, within_probability
from brain_decode.evaluation.unavailable import Unavailable

__all__ = ["K_WAY", "P_METHOD", "k_way_values", "mean_intervals", "rank_columns", "score_retrieval"]

K_WAY = (2, 4, 10, 50, 100)
P_METHOD = "permutation of the shown stimuli, decoder fixed"


def score_retrieval(
    predictions: pd.DataFrame,
    *,
    design: Design | None = None,
    seed: int = 0,
    n_permutations: int = 1999,
) -> dict[str, Score]:
    """Return `top1`, `top5` and the exact `<k>_way` expectations of one decoder.

    Each is made up as those of `score_classification`.
    Equal candidates share credit, see `ties`. p permutes which shown stimulus belongs to which answer, and chance is
    the mean of that null, see `retrieval_null`; where the table lacks the ranks this needs, chance is that of a
    candidate drawn from the gallery and there is no p. Of one test set, the interval about these subjects is over the
    shown pictures, with all their showings.

    Args:
        predictions: Rows of one decoder with `rank`, `n_ties` (0 where it is missing) and `gallery_size`; for chance
            and p with `truth` and the columns of `shown_ranks`.
        design: How the answers came about. Where folds were trained on each other's test parts, the answers of fixed
            decoders are not exchangeable, and there is no p.
        seed: Of the permutations.
        n_permutations: Permutations; 0 leaves p out.

    Raises:
        DataError: No rows, or ranks that are not finite, lie outside the gallery or do not fit their ties.
    """
    ranks, n_ties, sizes = rank_columns(predictions)
    design = design or Design()
    metrics = _rank_metrics(sizes)
    right = {name: metric(ranks, n_ties, sizes) for name, metric in metrics.items()}
    intervals = mean_intervals(right, predictions, design)
    null = ShownNull.of(predictions)
    p_values = _p_values(right, metrics, null, design, n_permutations, np.random.default_rng(seed))
    return {
        name: {
            "value": float(right[name].mean()),
            **intervals[name],
            "chance": _drawn_from_gallery(name, sizes) if null is None else null.chance(metric),
            **p_entry(p_values.get(name)),
            "n": len(predictions),
        }
        for name, metric in metrics.items()
    }


def mean_intervals(right: Mapping[str, np.ndarray], predictions: pd.DataFrame, design: Design) -> dict[str, Any]:
    """Return the intervals of means of (n,) values, by name; of one test set over the shown pictures."""
    by_picture = not design.is_crossvalidated and "truth" in predictions
    return interval_entries(
        {name: float(values.mean()) for name, values in right.items()},
        lambda units: {name: unit_means(values, units, left_out_weights(units)) for name, values in right.items()},
        predictions,
        design,
        bounds=dict.fromkeys(right, (0.0, 1.0)),
        n_perfect=dict.fromkeys(right, len(predictions)),
        these=picture_units(predictions) if by_picture else None,
    )


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


def _p_values(
    right: Mapping[str, np.ndarray],
    metrics: Mapping[str, RankMetric],
    null: ShownNull | None,
    design: Design,
    n_permutations: int,
    rng: np.random.Generator,
) -> Mapping[str, PermutationValue | Unavailable]:
    if not n_permutations:
        return {}
    if design.needs_refit:
        return dict.fromkeys(metrics, Unavailable("fixed decoders in cross-validation share training data"))
    if null is None:
        return dict.fromkeys(metrics, Unavailable("the answers do not hold the ranks of the other shown stimuli"))
    if not null.is_exchangeable:
        return dict.fromkeys(metrics, Unavailable("one shown stimulus cannot be permuted"))
    draws = null.means(metrics, n_permutations, rng)
    return {name: p_value_of(float(right[name].mean()), draws[name], P_METHOD, np.inf) for name in metrics}
