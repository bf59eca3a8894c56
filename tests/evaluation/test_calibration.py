"""Calibration error, its bins and temperature."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.calibration import apply_temperature, ece, fit_temperature, reliability_bins


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


def test_temperature_undoes_a_known_scale() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(40_000, 3)) * 2
    truth = (apply_temperature(logits, 1.0).cumsum(axis=1) < rng.random((40_000, 1))).sum(axis=1)
    assert fit_temperature(logits * 2.5, truth) == pytest.approx(2.5, rel=0.03)


def test_temperature_changes_no_answer() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 4))
    assert np.array_equal(apply_temperature(logits, 7.0).argmax(axis=1), logits.argmax(axis=1))


def test_temperature_of_useless_logits_stays_finite() -> None:
    logits = np.random.default_rng(0).normal(size=(200, 2))
    assert 1.0 < fit_temperature(logits, (logits[:, 0] > logits[:, 1]).astype(int)) <= 20.0 + 1e-9


def test_temperature_without_validation_windows_is_an_error() -> None:
    with pytest.raises(DataError, match="finite validation logits"):
        fit_temperature(np.zeros((0, 2)), np.zeros(0, dtype=int))
