"""Scores with known values, and what guessing reaches."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from brain_decode.core.errors import DataError
from brain_decode.evaluation.metrics import (
    accuracy,
    auc,
    balanced_accuracy,
    chance_level,
    pearson,
    r2,
    rank_auc,
)


def two_columns(second: np.ndarray) -> np.ndarray:
    return np.stack([1 - second, second], axis=1)


def test_auc_is_one_for_perfect_zero_for_inverted_and_half_for_constant_scores() -> None:
    truth = np.array([0, 0, 1, 1])
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    assert auc(truth, two_columns(scores)) == 1.0
    assert auc(truth, two_columns(1 - scores)) == 0.0
    assert auc(truth, two_columns(np.full(4, 0.5))) == 0.5


def test_auc_of_three_classes_is_the_macro_mean_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth, probabilities = rng.integers(0, 3, 90), rng.dirichlet(np.ones(3), 90)
    assert auc(truth, probabilities) == pytest.approx(roc_auc_score(truth, probabilities, multi_class="ovr"))


def test_auc_leaves_out_a_class_without_windows() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.1, 0.9, 0.0], [0.2, 0.7, 0.1]])
    assert auc(truth, probabilities) == 1.0


def test_auc_of_one_class_is_an_error_with_a_remedy() -> None:
    with pytest.raises(DataError, match="at least two classes, the truth has 1"):
        auc(np.zeros(4, dtype=int), two_columns(np.linspace(0, 1, 4)))


def test_balanced_accuracy_weighs_classes_and_accuracy_weighs_windows() -> None:
    truth, predicted = np.array([0] * 9 + [1]), np.zeros(10, dtype=int)
    assert accuracy(truth, predicted) == 0.9
    assert balanced_accuracy(truth, predicted) == 0.5


def test_chance_levels() -> None:
    truth = np.array([0] * 6 + [1] * 3 + [2])
    assert chance_level("auc", truth, 3) == 0.5
    assert chance_level("balanced_accuracy", truth, 3) == pytest.approx(1 / 3)
    assert chance_level("accuracy", truth, 3) == 0.6
    assert chance_level("pearson", truth, 3) == chance_level("r2", truth, 3) == 0.0
    assert chance_level("ece", truth, 3) is None


def test_a_class_that_does_not_occur_does_not_lower_the_chance_of_balanced_accuracy() -> None:
    truth = np.array([0, 0, 2, 2, 2])
    constant = np.full(5, 2)
    assert chance_level("balanced_accuracy", truth, 3) == balanced_accuracy(truth, constant) == 0.5


def test_correlation_and_explained_variance_of_a_line() -> None:
    truth = np.arange(10.0)
    assert pearson(truth, 3 * truth - 2) == pytest.approx(1.0)
    assert pearson(truth, -truth) == pytest.approx(-1.0)
    assert r2(truth, truth) == 1.0
    assert r2(truth, np.full(10, truth.mean())) == 0.0
    assert pearson(truth, np.zeros(10)) == 0.0


def test_correlation_of_several_values_is_their_mean() -> None:
    truth = np.stack([np.arange(10.0), np.arange(10.0)], axis=1)
    assert pearson(truth, truth * [1, -1]) == pytest.approx(0.0)


def test_rank_auc_equals_scikit_learn_at_every_channel_and_time() -> None:
    rng = np.random.default_rng(1)
    values, positive = rng.integers(0, 5, (40, 3, 4)).astype(float), rng.random(40) < 0.4
    areas = rank_auc(values, positive)
    for channel, time in np.ndindex(3, 4):
        assert areas[channel, time] == pytest.approx(roc_auc_score(positive, values[:, channel, time]))
