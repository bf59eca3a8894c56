"""Mid-ranks and shared credit, held against breaking ties in every order."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.retrieval import ranks_of_truth
from brain_decode.evaluation.ties import candidate_ranks, distinct_rows, first_places, within_probability


def test_candidate_ranks_agree_with_each_truth_in_turn() -> None:
    similarity = np.random.default_rng(0).integers(0, 4, (20, 9)).astype(float)
    ranks, n_ties = candidate_ranks(similarity, np.arange(9))
    for column in range(9):
        expected = ranks_of_truth(similarity, np.full(20, column))
        assert np.array_equal(ranks[:, column], expected[0]) and np.array_equal(n_ties[:, column], expected[1])


def test_a_tied_group_shares_the_places_it_may_take() -> None:
    # Places 3 to 6: two of the four are among the best five, none among the best three.
    assert [within_probability(np.array([4.5]), 3, k)[0] for k in (1, 3, 4, 5, 7, 9)] == [0, 0, 0.25, 0.5, 1, 1]


def test_a_tie_of_all_is_k_out_of_n() -> None:
    for k in (1, 5, 10):
        assert within_probability(np.array([4.5]), 9, k)[0] == k / 10


def test_first_places_need_the_ties_that_made_the_rank() -> None:
    assert first_places(np.array([2.5, 3.0]), np.array([1, 2])).tolist() == [2, 2]
    with pytest.raises(DataError, match="got rank 0.5 with 3 ties"):
        first_places(np.array([0.5]), np.array([3]))


def test_distinct_rows_find_copies_and_ignore_the_sign_of_zero() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 3.0], [1.0, -0.0], [2.0, 3.0]])
    first, which = distinct_rows(vectors)
    assert len(first) == 2
    assert which[0] == which[2] != which[1] == which[3]
    assert np.array_equal(np.abs(vectors[first][which]), np.abs(vectors))
