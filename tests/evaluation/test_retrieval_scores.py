"""Scores of retrieval that is perfect, at chance or constant."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.retrieval import all_ranks, ranks_of_truth
from brain_decode.evaluation.retrieval_scores import score_retrieval

FEW = {"n_bootstrap": 200, "n_permutations": 199}


def retrieval(ranks: np.ndarray, size: int) -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "decoder": "nice", "rank": ranks})
    return frame.assign(run="1", fold="official", truth=[f"s{i}" for i in range(len(ranks))], gallery_size=size)


def test_perfect_retrieval_is_one_everywhere() -> None:
    scores = score_retrieval(retrieval(np.zeros(40), 200), **FEW)
    assert set(scores) == {"top1", "top5", "2_way", "4_way", "10_way", "50_way", "100_way"}
    assert all(score["value"] == 1.0 and score["p_permutation"] == 1 / 200 for score in scores.values())
    assert scores["top1"]["chance"] == 1 / 200 and scores["top5"]["chance"] == 5 / 200
    assert scores["10_way"]["chance"] == 0.1


def test_ranks_spread_evenly_are_exactly_at_chance() -> None:
    scores = score_retrieval(retrieval(np.arange(100), 100), **FEW)
    for score in scores.values():
        assert score["value"] == pytest.approx(score["chance"])
        assert score["p_permutation"] > 0.2


def test_retrieval_permutes_which_candidate_belongs_to_which_stimulus() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(20), 3)
    similarity = rng.normal(size=(60, 20))
    similarity[np.arange(60), truth] += 1.5
    frame = retrieval(ranks_of_truth(similarity, truth), 20)
    scores = score_retrieval(frame, similarity=similarity, truth=truth, **FEW)
    assert scores["top1"]["p_permutation"] == 1 / 200
    # A decoder that always names one candidate is right as often as that candidate is shown, and never significant.
    constant = np.tile(np.arange(20.0), (60, 1))
    ranks = all_ranks(constant)[np.arange(60), truth]
    scores = score_retrieval(retrieval(ranks, 20), similarity=constant, truth=truth, **FEW)
    assert scores["top1"]["value"] == 0.05 and scores["top1"]["p_permutation"] == 1.0


def test_ranks_outside_the_gallery_are_refused() -> None:
    with pytest.raises(DataError, match="Ranks lie between 0 and the gallery size 5 - 1; got up to 5"):
        score_retrieval(retrieval(np.array([0, 5]), 5))
