"""A table of retrieval answers to scores, each with interval, chance level, permutation p-value and n."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.evaluation.predictions import require_predictions
from brain_decode.evaluation.retrieval import all_ranks, k_way_probability
from brain_decode.evaluation.scoring import Score
from brain_decode.evaluation.statistics import (
    bootstrap_weights,
    chunks,
    interval,
    permutation_p,
    picture_clusters,
    weighted_mean,
)

__all__ = ["K_WAY", "score_retrieval"]

K_WAY = (2, 4, 10, 50, 100)


def score_retrieval(
    predictions: pd.DataFrame,
    *,
    similarity: np.ndarray | None = None,
    truth: np.ndarray | None = None,
    design: object = None,
    seed: int = 0,
    n_bootstrap: int = 2000,
    n_permutations: int = 2000,
) -> dict[str, Score]:
    """Return `top1`, `top5` and the exact `<k>_way` expectations of one decoder.

    With `similarity` and `truth`, p permutes which candidate belongs to which stimulus (repetitions stay together).
    Without, ranks are drawn uniformly, one draw per stimulus and fold, as for an answer that ignores the signal.
    Intervals resample people, or pictures with all their showings where there are fewer than five people.

    Args:
        predictions: Rows of one decoder with `rank` and `gallery_size`.
        similarity: (n, n_candidates) of the same rows.
        truth: (n,) column of the true candidate.
        seed: Of resamples and permutations.
        n_bootstrap: Resamples of whole units.
        n_permutations: Permutations.

    Raises:
        DataError: No rows, or ranks that are not finite or lie outside the gallery.
    """
    require_predictions(predictions, ["rank", "gallery_size"])
    ranks, sizes = predictions["rank"].to_numpy(float), predictions["gallery_size"].to_numpy(int)
    if (ranks < 0).any() or (ranks >= sizes).any():
        raise DataError(f"Ranks lie between 0 and the gallery size {sizes.min()} - 1; got up to {ranks.max():g}.")
    clusters, rng = picture_clusters(predictions), np.random.default_rng(seed)
    weights = bootstrap_weights(clusters, n_bootstrap, rng)
    functions = _rank_functions(sizes)
    null: dict[str, list[np.ndarray]] = {name: [] for name in functions}
    for null_ranks in _null_ranks(predictions, sizes, similarity, truth, n_permutations, rng):
        for name, (function, _) in functions.items():
            null[name].append(function(null_ranks).mean(axis=1))
    scores = {}
    for name, (function, chance) in functions.items():
        right = function(ranks)
        value = float(right.mean())
        scores[name] = {
            "value": value,
            "ci95": interval(weighted_mean(right, clusters, weights)),
            "chance": float(np.mean(chance)),
            "p_permutation": permutation_p(value, np.concatenate(null[name])) if n_permutations else None,
            "n": len(predictions),
        }
    return scores


def _rank_functions(sizes: np.ndarray) -> dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]]:
    """Return, for each metric, ranks → probability of being right, and chance."""
    functions: dict[str, tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]] = {
        f"top{k}": (partial(_within, k=k), np.minimum(k / sizes, 1.0)) for k in (1, 5)
    }
    for k in K_WAY:
        if k < sizes.min():
            functions[f"{k}_way"] = (partial(_k_way_lookup, sizes=sizes, k=k), np.array(1 / k))
    return functions


def _within(ranks: np.ndarray, k: int) -> np.ndarray:
    return (ranks < k).astype(float)


def _k_way_lookup(ranks: np.ndarray, sizes: np.ndarray, k: int) -> np.ndarray:
    """Exact k-way probabilities through one table of all (half) ranks per gallery size."""
    different, which = np.unique(sizes, return_inverse=True)
    table = np.zeros((len(different), 2 * int(sizes.max())))
    for row, size in enumerate(different):
        table[row, : 2 * size - 1] = k_way_probability(np.arange(2 * size - 1) / 2, int(size), k)
    return table[which, (2 * np.asarray(ranks)).astype(int)]


def _null_ranks(
    predictions: pd.DataFrame,
    sizes: np.ndarray,
    similarity: np.ndarray | None,
    truth: np.ndarray | None,
    n_permutations: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Yield chunks (rows, n) of ranks of a decoder that knows nothing."""
    slices = chunks(n_permutations, len(predictions))
    if similarity is not None and truth is not None:
        names, codes = np.unique(truth, return_inverse=True)
        ranks, rows = all_ranks(similarity), np.arange(len(predictions))
        for part in slices:
            permuted = rng.permuted(np.tile(names, (part.stop - part.start, 1)), axis=1)
            yield ranks[rows, permuted[:, codes]]
        return
    keys = [name for name in ("fold", "truth") if name in predictions]
    units = predictions.groupby(keys).ngroup().to_numpy() if "truth" in keys else np.arange(len(predictions))
    for part in slices:
        drawn = rng.random((part.stop - part.start, int(units.max()) + 1))
        yield np.floor(drawn[:, units] * sizes)
