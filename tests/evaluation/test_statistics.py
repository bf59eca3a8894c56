"""Weighted areas under the curve, and exact corrections for many tests."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from brain_decode.core.errors import DataError
from brain_decode.evaluation.statistics import benjamini_hochberg, holm, weighted_auc


def test_weighted_auc_equals_scikit_learn_for_every_weighting_with_ties() -> None:
    rng = np.random.default_rng(0)
    positive, scores = rng.random(60) < 0.5, rng.integers(0, 8, 60).astype(float)
    codes, weights = np.repeat(np.arange(12), 5), rng.integers(0, 4, (50, 12)).astype(float)
    expected = [roc_auc_score(positive, scores, sample_weight=row[codes]) for row in weights]
    assert np.allclose(weighted_auc(positive, scores, np.zeros(60, dtype=int), codes, weights), expected)


def test_weighted_auc_compares_windows_of_one_fold_only() -> None:
    rng = np.random.default_rng(1)
    folds, positive = np.repeat(np.arange(3), [20, 10, 30]), rng.random(60) < 0.4
    scores = rng.integers(0, 6, 60) + 10.0 * folds
    pairs = [int(positive[folds == k].sum()) * int((~positive[folds == k]).sum()) for k in range(3)]
    aucs = [roc_auc_score(positive[folds == k], scores[folds == k]) for k in range(3)]
    found = weighted_auc(positive, scores, folds, np.zeros(60, dtype=int), np.ones((1, 1)))
    assert found[0] == pytest.approx(np.average(aucs, weights=pairs))


def test_weighted_auc_of_one_class_has_no_value() -> None:
    positive, scores, codes = np.array([True, False]), np.array([0.9, 0.1]), np.array([0, 1])
    values = weighted_auc(positive, scores, np.zeros(2, dtype=int), codes, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(values[0]) and values[1] == 1.0


def test_holm_multiplies_by_the_number_of_tests_left() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_benjamini_hochberg_of_a_textbook_example() -> None:
    assert benjamini_hochberg(np.array([0.01, 0.02, 0.03, 0.5])).tolist() == pytest.approx([0.04, 0.04, 0.04, 0.5])


def test_impossible_p_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        holm(np.array([0.1, 1.2]))
