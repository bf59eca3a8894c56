"""Intervals that cover, p-values that are uniform without an effect, and exact corrections."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from brain_decode.core.errors import DataError
from brain_decode.evaluation.statistics import (
    Clusters,
    benjamini_hochberg,
    bootstrap_weights,
    clusters_of,
    holm,
    interval,
    permutation_p,
    permuted_within,
    picture_clusters,
    weighted_auc,
    weighted_mean,
)


def table_of(subjects: int, runs: int, trials: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([range(subjects), range(runs), range(trials)], names=["subject", "run", "event"])
    frame = index.to_frame(index=False)
    frame["recording"] = frame["subject"] * runs + frame["run"]
    return frame.assign(onset_s=1.0, subject=frame["subject"].astype(str), run=frame["run"].astype(str))


@pytest.mark.parametrize(
    ("subjects", "runs", "level", "units"), [(5, 2, "subject", 5), (2, 3, "run", 6), (2, 2, "trial", 12)]
)
def test_the_highest_level_with_five_units_is_resampled(subjects: int, runs: int, level: str, units: int) -> None:
    clusters = clusters_of(table_of(subjects, runs, 3))
    assert clusters.level == level and clusters.n_units == units


def test_weighted_auc_equals_scikit_learn_on_every_resample_with_ties() -> None:
    rng = np.random.default_rng(0)
    positive, scores = rng.random(60) < 0.5, rng.integers(0, 8, 60).astype(float)
    clusters = Clusters("run", np.repeat(np.arange(12), 5))
    weights = bootstrap_weights(clusters, 50, rng)
    expected = [roc_auc_score(positive, scores, sample_weight=row[clusters.codes]) for row in weights]
    assert np.allclose(weighted_auc(positive, scores, clusters, weights), expected)


def test_weighted_auc_of_a_resample_with_one_class_has_no_value() -> None:
    clusters = Clusters("run", np.array([0, 1]))
    values = weighted_auc(np.array([True, False]), np.array([0.9, 0.1]), clusters, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(values[0]) and values[1] == 1.0


@pytest.mark.parametrize(("subjects", "level", "units"), [(1, "picture", 3), (4, "picture", 3), (5, "subject", 5)])
def test_retrieval_resamples_people_or_what_they_saw(subjects: int, level: str, units: int) -> None:
    table = table_of(subjects, 6, 3)
    table["truth"] = [f"picture-{row % 3}" for row in range(len(table))]
    clusters = picture_clusters(table)
    assert clusters.level == level and clusters.n_units == units
    if level == "picture":
        assert clusters.codes.tolist() == [row % 3 for row in range(len(table))]


def test_interval_of_clustered_data_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    clusters = Clusters("subject", np.repeat(np.arange(25), 8))
    covered = 0
    for _ in range(300):
        values = rng.normal(size=25)[clusters.codes] + rng.normal(size=200)
        low, high = interval(weighted_mean(values, clusters, bootstrap_weights(clusters, 400, rng)))
        covered += low <= 0.0 <= high
    assert 0.89 <= covered / 300 <= 0.98


def test_ignoring_clusters_would_not_cover() -> None:
    rng = np.random.default_rng(0)
    groups, alone = np.repeat(np.arange(25), 8), Clusters("trial", np.arange(200))
    covered = 0
    for _ in range(200):
        values = rng.normal(size=25)[groups] + rng.normal(size=200)
        low, high = interval(weighted_mean(values, alone, bootstrap_weights(alone, 200, rng)))
        covered += low <= 0.0 <= high
    assert covered / 200 < 0.8


def test_interval_without_values_is_empty() -> None:
    assert interval(np.array([np.nan, np.nan, 0.5])) == [None, None]


def test_permutations_stay_within_their_run() -> None:
    groups = np.array([1, 0, 1, 0, 1, 2])
    positions = np.concatenate(list(permuted_within(groups, 200, np.random.default_rng(0))))
    assert positions.shape == (200, 6)
    assert np.array_equal(groups[positions], np.tile(groups, (200, 1)))
    assert np.array_equal(np.sort(positions, axis=1), np.tile(np.arange(6), (200, 1)))
    assert len({tuple(row) for row in positions[:, [1, 3]]}) == 2


def test_permutation_p_counts_the_observed_value_itself() -> None:
    assert permutation_p(1.0, np.array([0.1, 0.2, 0.3])) == 0.25
    assert permutation_p(0.0, np.array([0.1, 0.2, 0.3])) == 1.0


def test_permutation_p_is_uniform_without_an_effect() -> None:
    rng = np.random.default_rng(0)
    runs, p_values = np.repeat(np.arange(4), 15), []
    for _ in range(200):
        values, labels = rng.normal(size=60) + runs, rng.integers(0, 2, 60)
        positions = np.concatenate(list(permuted_within(runs, 199, rng)))
        p_values.append(permutation_p(values @ labels, labels[positions] @ values))
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_holm_multiplies_by_the_number_of_tests_left() -> None:
    assert holm(np.array([0.01, 0.04, 0.03])).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]


def test_benjamini_hochberg_of_a_textbook_example() -> None:
    assert benjamini_hochberg(np.array([0.01, 0.02, 0.03, 0.5])).tolist() == pytest.approx([0.04, 0.04, 0.04, 0.5])


def test_impossible_p_values_are_refused() -> None:
    with pytest.raises(DataError, match=r"lie in \[0, 1\]"):
        holm(np.array([0.1, 1.2]))
