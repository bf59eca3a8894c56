"""Calibration error and its bins."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from brain_decode.evaluation.calibration import calibration_gaps, ece, ece_bounds, reliability_bins


def test_an_always_sure_and_half_right_decoder_is_off_by_one_half() -> None:
    probabilities = np.tile([1.0, 0.0], (10, 1))
    assert ece(np.repeat([0, 1], 5), probabilities) == pytest.approx(0.5)


def test_a_decoder_that_is_right_as_often_as_it_says_has_no_error() -> None:
    probabilities = np.tile([0.7, 0.3], (10, 1))
    assert ece(np.array([0] * 7 + [1] * 3), probabilities) == pytest.approx(0.0)


def test_errors_in_different_bins_do_not_cancel() -> None:
    probabilities = np.array([[0.6, 0.4]] * 10 + [[0.9, 0.1]] * 10)
    truth = np.array([0] * 8 + [1] * 2 + [0] * 7 + [1] * 3)
    assert ece(truth, probabilities) == pytest.approx(0.2)


def test_bins_hold_every_window_once() -> None:
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet(np.ones(3), 200), rng.integers(0, 3, 200)
    bins = reliability_bins(truth, probabilities)
    assert sum(entry["n"] for entry in bins) == 200
    error = sum(entry["n"] / 200 * abs(entry["accuracy"] - entry["confidence"]) for entry in bins)
    assert error == pytest.approx(ece(truth, probabilities))


def simulated(overconfidence: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    second = rng.random(n)
    truth, stated = (rng.random(n) < second).astype(int), expit(overconfidence * logit(second))
    return truth, np.stack([1 - stated, stated], axis=1)


def test_gaps_of_a_calibrated_decoder_cancel_on_average() -> None:
    rng = np.random.default_rng(0)
    draws = [simulated(1.0, 200, rng) for _ in range(300)]
    means = [calibration_gaps(probabilities, truth).mean() for truth, probabilities in draws]
    assert abs(np.mean(means)) < 3 * np.std(means) / np.sqrt(len(means))
    assert np.mean([ece(truth, probabilities) for truth, probabilities in draws]) > 0.05


@pytest.mark.parametrize("overconfidence", [1.0, 3.0])
def test_bounds_hold_the_true_error(overconfidence: float) -> None:
    rng = np.random.default_rng(1)
    expected = 0.0 if overconfidence == 1.0 else ece(*simulated(overconfidence, 300_000, rng))
    bounds = [ece_bounds(*simulated(overconfidence, 200, rng)) for _ in range(300)]
    assert np.mean([low <= expected <= high for low, high in bounds]) >= 0.93
    assert np.mean([high - low for low, high in bounds]) < 0.2
