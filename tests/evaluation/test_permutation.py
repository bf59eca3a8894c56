"""Permutation tests that stop when the answer is clear, and keep their level."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.evaluation.permutation import ENOUGH, PermutationTest, PermutationValue, p_entry, p_value_of
from brain_decode.evaluation.unavailable import Unavailable


def test_a_score_above_every_null_value_gets_the_smallest_p() -> None:
    test = PermutationTest(1.0, 199)
    test.add(np.zeros(199))
    assert test.is_decided and test.p == 1 / 200


def test_a_test_stops_at_the_tenth_value_that_is_as_large() -> None:
    test = PermutationTest(0.5, 199)
    test.add(np.tile([0.0, 0.5], 40))
    assert test.is_decided and (test.n_drawn, test.n_reached) == (20, ENOUGH)
    test.add(np.zeros(100))
    assert test.p == 10 / 20


def test_batches_give_what_one_batch_gives() -> None:
    null = np.random.default_rng(0).normal(size=199)
    whole, parts = PermutationTest(1.2, 199), PermutationTest(1.2, 199)
    whole.add(null)
    for part in np.array_split(null, 7):
        parts.add(part)
    assert (whole.p, whole.n_drawn) == (parts.p, parts.n_drawn)


def test_no_more_than_the_agreed_number_is_looked_at() -> None:
    test = PermutationTest(1.0, 9)
    test.add(np.zeros(50))
    assert (test.n_drawn, test.p) == (9, 0.1)


def test_labels_that_cannot_be_fitted_count_against_the_score() -> None:
    test = PermutationTest(1.0, 19)
    test.add(np.r_[np.nan, np.zeros(18)])
    assert test.p == 2 / 20


def test_a_sequential_p_keeps_its_level() -> None:
    rng, n_draws, p_values = np.random.default_rng(0), 4000, []
    for _ in range(n_draws):
        test = PermutationTest(rng.normal(), 199)
        test.add(rng.normal(size=199))
        p_values.append(test.p)
    for level in (0.05, 0.01, 0.005):
        bound = level + 2.58 * np.sqrt(level * (1 - level) / n_draws)
        assert np.mean(np.array(p_values) <= level) <= bound


def test_all_null_values_count_where_they_are_there() -> None:
    assert p_value_of(1.0, [0.1, 0.2, 0.3], "made", np.inf).p == 0.25
    assert p_value_of(0.0, [0.1, 0.2, 0.3], "made", np.inf).p == 1.0


def test_few_labellings_bound_the_smallest_p() -> None:
    assert p_value_of(1.0, np.zeros(199), "made", 70).smallest == 1 / 70
    assert PermutationValue.of(PermutationTest(1.0, 199), "made").smallest == 1 / 200


def test_a_missing_p_leaves_its_reason() -> None:
    assert p_entry(Unavailable("the test set is a network's")) == {
        "p_permutation": None,
        "p_reason": "the test set is a network's",
    }
    assert p_entry(None) == {"p_permutation": None}
    assert p_entry(PermutationValue(0.5, "made", 20, 0.005)) == {
        "p_permutation": 0.5,
        "p_method": "made",
        "n_permutations": 20,
        "p_smallest": 0.005,
    }


def test_a_test_of_no_permutation_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least 1 permutation, got 0"):
        PermutationTest(1.0, 0)
