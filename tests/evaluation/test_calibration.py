"""Calibration error and its bins."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.evaluation.calibration import ece, reliability_bins


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
