"""Scores of decoders that are perfect, inverted, at chance or degenerate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.evaluation.scoring import compare_decoders, score_classification, score_regression

FEW = {"n_bootstrap": 200, "n_permutations": 199}


def classification(truth: np.ndarray, probabilities: np.ndarray, runs: int = 6) -> pd.DataFrame:
    n = len(truth)
    names = np.array([f"c{i}" for i in range(probabilities.shape[1])], dtype=object)
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "decoder": "lda"}, index=range(n))
    frame["run"] = (np.arange(n) * runs // n).astype(str)
    frame["truth"], frame["predicted"] = names[truth], names[probabilities.argmax(axis=1)]
    frame[[f"probability_{name}" for name in names]] = probabilities
    return frame


def simulate(effect: float, n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    second = 1 / (1 + np.exp(-(effect * (truth - 0.5) + rng.normal(size=n))))
    return truth, np.stack([1 - second, second], axis=1)


def test_a_perfect_decoder_scores_one_with_the_smallest_p() -> None:
    truth = np.tile([0, 1], 30)
    scores = score_classification(classification(truth, np.eye(2)[truth]), ["c0", "c1"], **FEW)
    for name in ("auc", "balanced_accuracy", "accuracy"):
        assert scores[name] == {
            "value": 1.0,
            "ci95": [1.0, 1.0],
            "chance": 0.5,
            "p_permutation": 1 / 200,
            "n": 60,
        }
    assert scores["ece"] == {"value": 0.0, "ci95": [0.0, 0.0], "chance": None, "p_permutation": None, "n": 60}


def test_an_inverted_decoder_scores_zero_and_is_not_significant() -> None:
    truth = np.tile([0, 1], 30)
    scores = score_classification(classification(truth, np.eye(2)[1 - truth]), ["c0", "c1"], **FEW)
    assert scores["auc"]["value"] == 0.0 and scores["auc"]["p_permutation"] == 1.0
    assert scores["ece"]["value"] == 1.0


def test_the_same_seed_gives_the_same_numbers() -> None:
    frame = classification(*simulate(1.0))
    assert score_classification(frame, ["c0", "c1"], seed=3, **FEW) == score_classification(
        frame, ["c0", "c1"], seed=3, **FEW
    )


def test_p_is_uniform_for_decoders_that_know_nothing() -> None:
    p_values = [
        score_classification(classification(*simulate(0.0, 60, seed)), ["c0", "c1"], n_bootstrap=2, n_permutations=199)[
            "auc"
        ]["p_permutation"]
        for seed in range(150)
    ]
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_interval_of_auc_covers_the_truth() -> None:
    expected = norm.cdf(1.0 / np.sqrt(2))
    covered = 0
    for seed in range(150):
        frame = classification(*simulate(1.0, 150, seed), runs=30)
        low, high = score_classification(frame, ["c0", "c1"], n_bootstrap=300, n_permutations=0)["auc"]["ci95"]
        covered += low <= expected <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_three_classes_have_their_own_chance_level() -> None:
    truth = np.repeat([0, 1, 2], [30, 20, 10])
    truth = np.random.default_rng(0).permutation(truth)
    probabilities = np.random.default_rng(1).dirichlet(np.ones(3), 60)
    scores = score_classification(classification(truth, probabilities), ["c0", "c1", "c2"], **FEW)
    assert scores["balanced_accuracy"]["chance"] == pytest.approx(1 / 3)
    assert scores["accuracy"]["chance"] == 0.5
    assert scores["auc"]["ci95"][0] < scores["auc"]["value"] < scores["auc"]["ci95"][1]


def test_runs_of_one_class_give_no_permutation_p() -> None:
    truth = np.repeat([0, 1, 0, 1], 10)
    scores = score_classification(classification(truth, np.eye(2)[truth], runs=4), ["c0", "c1"], **FEW)
    assert scores["auc"]["p_permutation"] is None


def test_one_class_in_the_truth_is_an_error() -> None:
    frame = classification(np.zeros(10, dtype=int), np.full((10, 2), 0.5))
    with pytest.raises(DataError, match="AUC needs windows of at least two classes"):
        score_classification(frame, ["c0", "c1"], **FEW)


def test_empty_and_missing_probabilities_are_errors() -> None:
    frame = classification(*simulate(1.0))
    with pytest.raises(DataError, match="no predictions to score"):
        score_classification(frame.iloc[:0], ["c0", "c1"])
    frame.loc[3, "probability_c1"] = np.nan
    with pytest.raises(DataError, match=r"Decoder 'lda' gave 1 of 120 values in 'probability_c1'"):
        score_classification(frame, ["c0", "c1"])


def test_a_label_that_is_no_class_is_named() -> None:
    frame = classification(*simulate(1.0)).replace({"truth": {"c1": "other"}})
    with pytest.raises(DataError, match="Column 'truth' has 'other'"):
        score_classification(frame, ["c0", "c1"])


def test_comparing_a_decoder_with_itself_finds_nothing() -> None:
    frame = classification(*simulate(1.0))
    difference = compare_decoders(frame, frame, ["c0", "c1"], n_bootstrap=200)
    assert difference == {"difference": 0.0, "ci95": [0.0, 0.0], "p_bootstrap": 1.0, "cluster": "run"}


def test_a_better_decoder_is_told_apart_on_the_same_windows() -> None:
    truth, weak = simulate(0.3, 300)
    strong = 0.3 + 0.4 * np.eye(2)[truth]
    difference = compare_decoders(classification(truth, strong), classification(truth, weak), ["c0", "c1"])
    assert difference["ci95"][0] > 0 and difference["p_bootstrap"] < 0.01


def test_decoders_on_other_windows_are_not_compared() -> None:
    frame = classification(*simulate(1.0))
    with pytest.raises(DataError, match="same windows in the same order; got 120 and 119 rows"):
        compare_decoders(frame, frame.iloc[1:], ["c0", "c1"])
    with pytest.raises(ConfigError, match="Unknown metric 'acc'"):
        compare_decoders(frame, frame, ["c0", "c1"], metric="acc")


def regression(truth: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "decoder": "ridge", "truth": truth})
    return frame.assign(predicted=predicted, run=(np.arange(len(truth)) % 5).astype(str))


def test_a_line_is_correlated_and_a_shifted_line_explains_less() -> None:
    truth = np.arange(50.0)
    scores = score_regression(regression(truth, truth + 5), **FEW)
    assert scores["pearson"]["value"] == pytest.approx(1.0) and scores["pearson"]["p_permutation"] == 1 / 200
    assert scores["r2"]["value"] == pytest.approx(1 - 25 / truth.var())
    assert scores["pearson"]["ci95"] == pytest.approx([1.0, 1.0])


def test_regression_samples_agree_with_drawing_rows() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    scores = score_regression(regression(truth, truth + rng.normal(size=200)), n_bootstrap=2000, n_permutations=99)
    low, high = scores["pearson"]["ci95"]
    assert low < scores["pearson"]["value"] < high and high - low < 0.25
    assert scores["r2"]["ci95"][0] < scores["r2"]["value"] < scores["r2"]["ci95"][1]


def test_values_that_are_not_finite_name_decoder_and_column() -> None:
    with pytest.raises(DataError, match="Decoder 'ridge' gave 1 of 3 values in 'predicted'"):
        score_regression(regression(np.arange(3.0), np.array([0, np.nan, 1])))
