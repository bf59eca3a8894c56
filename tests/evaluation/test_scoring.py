"""Scores of decoders that are perfect, inverted, at chance or degenerate."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kstest, norm

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.permutation import PermutationValue
from brain_decode.evaluation.scoring import compare_decoders, score_classification, score_regression

FEW = {"n_permutations": 199}
FOLDS = Design("run", 6, 0.2, needs_refit=True)


def classification(truth: np.ndarray, probabilities: np.ndarray, runs: int = 6) -> pd.DataFrame:
    n = len(truth)
    names = np.array([f"c{i}" for i in range(probabilities.shape[1])], dtype=object)
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "decoder": "lda"}, index=range(n))
    frame["run"] = (np.arange(n) * runs // n).astype(str)
    frame["truth"], frame["predicted"] = names[truth], names[probabilities.argmax(axis=1)]
    frame[[f"probability_{name}" for name in names]] = probabilities
    return frame


def alternating(n: int) -> np.ndarray:
    """Return two classes in random order, equally often."""
    return np.random.default_rng(4).permutation(np.arange(n) % 2)


def simulate(effect: float, n: int = 120, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    second = 1 / (1 + np.exp(-(effect * (truth - 0.5) + rng.normal(size=n))))
    return truth, np.stack([1 - second, second], axis=1)


def test_a_perfect_decoder_scores_one_with_the_smallest_p() -> None:
    truth = alternating(60)
    scores = score_classification(classification(truth, np.eye(2)[truth]), ["c0", "c1"], **FEW)
    for name, n_perfect in (("auc", 30), ("balanced_accuracy", 30), ("accuracy", 60)):
        low = pytest.approx(0.025 ** (1 / n_perfect))
        assert scores[name] == {
            "value": 1.0,
            "ci95": [low, 1.0],
            "ci95_about": "these subjects",
            "ci95_new_subjects": [None, None],
            "ci95_reason": "new subjects: 1 subject was scored; a statement about new subjects takes 5",
            "chance": 0.5,
            "p_permutation": 1 / 200,
            "p_method": "labels exchanged (trials within runs), decoder fixed",
            "n_permutations": 199,
            "p_smallest": 1 / 200,
            "n": 60,
        }
    assert (scores["ece"]["value"], scores["ece"]["ci95"], scores["ece"]["p_permutation"]) == (0.0, [0.0, 0.0], None)


def test_an_inverted_decoder_scores_zero_and_is_not_significant() -> None:
    truth = alternating(60)
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
        score_classification(classification(*simulate(0.0, 60, seed)), ["c0", "c1"], n_permutations=199)["auc"][
            "p_permutation"
        ]
        for seed in range(150)
    ]
    p_values = [p for p in p_values if p is not None]  # a random order may look like blocks, one in 500
    assert len(p_values) >= 148
    assert kstest(p_values, "uniform").pvalue > 0.01


def test_interval_of_auc_covers_the_truth() -> None:
    expected = norm.cdf(1.0 / np.sqrt(2))
    covered = 0
    for seed in range(150):
        frame = classification(*simulate(1.0, 150, seed), runs=30)
        low, high = score_classification(frame, ["c0", "c1"], n_permutations=0)["auc"]["ci95"]
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
    score = score_classification(classification(truth, np.eye(2)[truth], runs=4), ["c0", "c1"], **FEW)["auc"]
    assert score["p_permutation"] is None and "only 6 labellings (whole runs within subjects)" in score["p_reason"]


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
    difference = compare_decoders(frame, frame, ["c0", "c1"])
    assert (difference["difference"], difference["ci95"], difference["p_value"]) == (0.0, [0.0, 0.0], 1.0)
    assert difference["ci95_about"] == "these subjects"


def test_a_better_decoder_is_told_apart_on_the_same_windows() -> None:
    truth, weak = simulate(0.3, 300)
    strong = 0.3 + 0.4 * np.eye(2)[truth]
    difference = compare_decoders(classification(truth, strong), classification(truth, weak), ["c0", "c1"])
    assert difference["ci95"][0] > 0 and difference["p_value"] < 0.01


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
    truth = np.random.default_rng(0).permutation(50).astype(float)
    scores = score_regression(regression(truth, truth + 5), **FEW)
    assert scores["pearson"]["value"] == pytest.approx(1.0) and scores["pearson"]["p_permutation"] == 1 / 200
    assert scores["r2"]["value"] == pytest.approx(1 - 25 / truth.var())
    assert scores["pearson"]["ci95"][1] == pytest.approx(1.0) and scores["pearson"]["ci95"][0] > 0.8


def test_regression_intervals_hold_their_value() -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    scores = score_regression(regression(truth, truth + rng.normal(size=200)), n_permutations=99)
    low, high = scores["pearson"]["ci95"]
    assert low < scores["pearson"]["value"] < high and high - low < 0.25
    assert scores["r2"]["ci95"][0] < scores["r2"]["value"] < scores["r2"]["ci95"][1]


def test_values_that_are_not_finite_name_decoder_and_column() -> None:
    with pytest.raises(DataError, match="Decoder 'ridge' gave 1 of 3 values in 'predicted'"):
        score_regression(regression(np.arange(3.0), np.array([0, np.nan, 1])))


def test_auc_of_folds_compares_windows_of_one_fold_only() -> None:
    truth = np.tile([0, 1], 40)
    folds = np.repeat(np.arange(4), 20)
    # Within each fold the order is perfect; the offsets of the folds would spoil a pooled ranking.
    second = 0.2 * folds + 0.05 + 0.1 * truth
    frame = classification(truth, np.stack([1 - second, second], axis=1)).assign(fold=folds)
    score = score_classification(frame, ["c0", "c1"], design=Design("run", 4, 1 / 3, needs_refit=True))["auc"]
    assert score["value"] == 1.0 and "pooling" not in score


def test_folds_of_one_class_are_pooled_and_it_is_said() -> None:
    truth = np.repeat([0, 1, 0, 1, 0, 1], 10)
    frame = classification(truth, np.eye(2)[truth]).assign(fold=np.repeat(np.arange(6), 10))
    score = score_classification(frame, ["c0", "c1"], design=FOLDS)["auc"]
    assert score["value"] == 1.0 and score["pooling"] == "over folds"


def test_a_cross_validation_takes_p_from_decoders_fitted_again() -> None:
    frame = classification(*simulate(1.0)).assign(fold=np.repeat(np.arange(6), 20))
    alone = score_classification(frame, ["c0", "c1"], design=FOLDS)["auc"]
    assert alone["p_permutation"] is None and "fitted again to permuted labels" in alone["p_reason"]
    given = {"auc": PermutationValue(0.01, "fitted again", 199, 0.005)}
    score = score_classification(frame, ["c0", "c1"], design=FOLDS, p_values=given)["auc"]
    assert (score["p_permutation"], score["p_method"], score["p_smallest"]) == (0.01, "fitted again", 0.005)


def test_folds_that_share_their_stimuli_say_so() -> None:
    frame = classification(*simulate(1.0)).assign(fold=np.repeat(np.arange(6), 20))
    shown = pd.Series(np.arange(120) % 10).astype(str) + frame["truth"]
    score = score_classification(frame.assign(stimulus=shown), ["c0", "c1"], design=FOLDS)["auc"]
    assert score["ci95_same_stimuli"] is True
    once = frame.assign(stimulus=[f"picture-{number}" for number in range(120)])
    assert "ci95_same_stimuli" not in score_classification(once, ["c0", "c1"], design=FOLDS)["auc"]


def cross_validated_noise(rng: np.random.Generator, n_folds: int, n_each: int) -> tuple[np.ndarray, ...]:
    """Return truth, folds and two decoders' log odds: means of classes learnt from the other folds, of pure noise."""
    folds = np.repeat(np.arange(n_folds), n_each)
    truth = np.concatenate([rng.permutation(np.arange(n_each) % 2) for _ in range(n_folds)])
    found = []
    for _ in range(2):
        signal, odds = rng.normal(size=(len(truth), 4)), np.empty(len(truth))
        for fold in range(n_folds):
            train = folds != fold
            means = [signal[train & (truth == label)].mean(axis=0) for label in (0, 1)]
            odds[~train] = (signal[~train] - np.mean(means, axis=0)) @ (means[1] - means[0])
        found.append(odds)
    return truth, folds, *found


def test_intervals_and_comparisons_of_cross_validated_noise_hold_their_level() -> None:
    rng, n_draws, missed, differ = np.random.default_rng(0), 250, 0, 0
    design = Design("run", 5, 0.25, needs_refit=True)
    for _ in range(n_draws):
        truth, folds, *both = cross_validated_noise(rng, 5, 20)
        second = [1 / (1 + np.exp(-odds)) for odds in both]
        first, other = (classification(truth, np.stack([1 - p, p], axis=1), 5).assign(fold=folds) for p in second)
        low, high = score_classification(first, ["c0", "c1"], design=design)["auc"]["ci95"]
        missed += not low <= 0.5 <= high
        differ += compare_decoders(first, other, ["c0", "c1"], design=design)["p_value"] <= 0.05
    assert missed / n_draws <= 0.06 and differ / n_draws <= 0.06


def test_correlation_of_cross_validated_noise_is_zero_on_average() -> None:
    rng, values, pooled = np.random.default_rng(0), [], []
    for _ in range(300):
        truth, folds = rng.normal(size=40), np.repeat(np.arange(8), 5)
        # A decoder of noise answers the mean of its training part, and nothing else.
        answers = np.array([truth[folds != fold].mean() for fold in folds]) + 0.01 * rng.normal(size=40)
        frame = regression(truth, answers).assign(fold=folds)
        values.append(score_regression(frame, design=Design("run", 8, 1 / 7, needs_refit=True))["pearson"]["value"])
        pooled.append(np.corrcoef(truth, answers)[0, 1])
    assert np.mean(pooled) < -0.15
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def test_calibration_error_of_a_calibrated_decoder_is_near_zero_and_in_its_interval() -> None:
    rng, values = np.random.default_rng(0), []
    for _ in range(100):
        second = rng.random(120)
        frame = classification((rng.random(120) < second).astype(int), np.stack([1 - second, second], axis=1), 12)
        score = score_classification(frame, ["c0", "c1"], n_permutations=0)["ece"]
        assert score["ci95"][0] <= score["value"] <= score["ci95"][1]
        values.append(score["value"])
    assert np.mean(values) < 0.03  # the plain estimate is 0.1 here
