"""Ranks, exact k-way expectations, galleries and repetition curves."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.evaluation.retrieval import (
    Gallery,
    k_way_probability,
    ranks_of_truth,
    similarities,
)


def enumerate_k_way(rank: int, size: int, k: int, top: int) -> float:
    """Return the share of all distractor sets in which fewer than `top` are ranked better."""
    draws = list(combinations(range(size - 1), k - 1))
    return sum(sum(other < rank for other in draw) < top for draw in draws) / len(draws)


@pytest.mark.parametrize(("k", "top"), [(2, 1), (3, 1), (4, 2), (7, 1), (5, 4)])
def test_k_way_equals_enumeration_of_all_distractors(k: int, top: int) -> None:
    size = 7
    expected = [enumerate_k_way(rank, size, k, top) for rank in range(size)]
    assert k_way_probability(np.arange(size), size, k, top=top) == pytest.approx(expected)


def test_k_way_over_uniform_ranks_is_at_chance() -> None:
    assert k_way_probability(np.arange(200), 200, 10).mean() == pytest.approx(0.1)
    assert k_way_probability(np.arange(200), 200, 10, top=3).mean() == pytest.approx(0.3)


def test_k_way_over_the_whole_gallery_is_top_1() -> None:
    assert k_way_probability(np.array([0, 1, 9]), 10, 10).tolist() == [1.0, 0.0, 0.0]


def test_a_tie_of_two_takes_the_mean_of_both_places() -> None:
    low, half, high = k_way_probability(np.array([2, 2.5, 3]), 10, 4, n_ties=np.array([0, 1, 0]))
    assert half == pytest.approx((low + high) / 2)


@pytest.mark.parametrize("k", [2, 4, 10])
def test_a_tie_of_all_candidates_is_exactly_one_of_k(k: int) -> None:
    assert k_way_probability(np.array([4.5]), 10, k, n_ties=9) == pytest.approx(1 / k)


def test_a_tie_equals_breaking_it_in_every_order() -> None:
    places = k_way_probability(np.arange(3, 7), 10, 4, top=2)
    assert k_way_probability(np.array([4.5]), 10, 4, top=2, n_ties=3) == pytest.approx(places.mean())


def test_a_mid_rank_without_its_ties_is_refused() -> None:
    with pytest.raises(DataError, match="got rank 2.5 with 0 ties. Keep column 'n_ties' beside 'rank'"):
        k_way_probability(np.array([2.5]), 10, 4)


@pytest.mark.parametrize(("k", "top"), [(1, 1), (11, 1), (4, 4), (4, 0)])
def test_impossible_k_is_refused(k: int, top: int) -> None:
    with pytest.raises(ConfigError, match=rf"got k={k}, top={top}"):
        k_way_probability(np.array([0]), 10, k, top=top)


def test_ranks_count_better_candidates() -> None:
    similarity = np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.2, 0.3, 0.1]])
    ranks, n_ties = ranks_of_truth(similarity, np.array([0, 1, 2]))
    assert ranks.tolist() == [0, 1, 2] and n_ties.tolist() == [0, 0, 0]


def test_a_constant_answer_lies_in_the_middle_of_all_candidates() -> None:
    ranks, n_ties = ranks_of_truth(np.ones((3, 5)), np.array([0, 2, 4]))
    assert ranks.tolist() == [2, 2, 2] and n_ties.tolist() == [4, 4, 4]


def test_entries_with_the_same_features_are_equally_similar_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((37, 129)).astype(np.float32)
    doubled = Gallery(tuple(map(str, range(74))), np.concatenate([features, features[::-1]]))
    similarity = similarities(rng.standard_normal((21, 129)).astype(np.float32), doubled)
    assert np.array_equal(similarity[:, :37], similarity[:, 37:][:, ::-1])


def test_similarities_that_are_not_finite_are_refused() -> None:
    with pytest.raises(DataError, match="Similarities are not finite"):
        ranks_of_truth(np.array([[np.nan, 1.0]]), np.array([0]))
    gallery = Gallery(("a", "b"), np.eye(2))
    with pytest.raises(DataError, match="Query 1 is not finite"):
        similarities(np.array([[1.0, 0.0], [np.inf, 0.0]]), gallery)
    with pytest.raises(DataError, match=r"Queries \(1, 3\) do not fit"):
        similarities(np.ones((1, 3)), gallery)


def test_a_gallery_checks_what_it_holds() -> None:
    with pytest.raises(DataError, match="'a' is repeated"):
        Gallery(("a", "a"), np.eye(2))
    with pytest.raises(DataError, match="'b' are not finite"):
        Gallery(("a", "b"), np.array([[0.0], [np.nan]]))
    with pytest.raises(DataError, match=r"got 3, \(2, 2\)"):
        Gallery(("a", "b", "c"), np.eye(2))
    with pytest.raises(ConfigError, match="Unknown gallery kind 'exact'"):
        Gallery(("a", "b"), np.eye(2), "exact")  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"'c' was shown but is not among the 2 gallery entries \(exact_image\)"):
        Gallery(("a", "b"), np.eye(2)).positions(["a", "c"])


def test_concept_centres_leave_out_what_was_shown() -> None:
    features = np.array([[1.0, 0], [3, 0], [100, 0], [0, 2]])
    gallery = Gallery.concept_centres(["c1", "c2", "c3", "d1"], ["cat", "cat", "cat", "dog"], features, shown=["c3"])
    assert gallery.kind == "concept_centre" and gallery.ids == ("cat", "dog")
    assert gallery.features.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    with pytest.raises(DataError, match="Every image of concept 'dog' was shown"):
        Gallery.concept_centres(["c1", "d1"], ["cat", "dog"], features[:2], shown=["d1"])


@pytest.mark.parity
def test_ranks_equal_the_reference(reference_folder: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    file = reference_folder / "metrics_visual" / "io.safetensors"
    if not file.is_file():
        pytest.skip("no metrics_visual reference")
    tensors = safetensors.load_file(file)
    if not {"retrieval_query", "retrieval_gallery"} <= set(tensors):
        pytest.skip("the metrics_visual reference has no retrieval")
    features = tensors["retrieval_gallery"]
    gallery = Gallery(tuple(map(str, range(len(features)))), features)
    queries = tensors["retrieval_query"]
    ranks, n_ties = ranks_of_truth(similarities(queries, gallery), np.arange(len(queries)))
    assert not n_ties.any()
    if "retrieval_rank" in tensors:
        assert np.array_equal(ranks, tensors["retrieval_rank"])
    for k in (1, 5):
        if f"retrieval_top{k}" in tensors:
            assert (ranks < k).mean() == pytest.approx(float(tensors[f"retrieval_top{k}"][0]))
