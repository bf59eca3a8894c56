"""Scores of self-supervised models on numbers that can be worked out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.evaluation.pretraining_scores import (
    band_correlations,
    codebook_use,
    correlations,
    mean_with_interval,
    most_frequent,
)


def test_correlation_is_one_with_itself_minus_one_with_its_opposite_and_unknown_for_a_flat_line():
    signal = np.random.default_rng(0).standard_normal((3, 100))
    np.testing.assert_allclose(correlations(signal, 2 * signal + 1), 1.0)
    np.testing.assert_allclose(correlations(signal, -signal), -1.0)
    assert np.isnan(correlations(signal, np.zeros_like(signal))).all()


def test_bands_are_told_apart():
    times = np.arange(512) / 256
    alpha, beta = np.sin(2 * np.pi * 10 * times), np.sin(2 * np.pi * 20 * times)
    found = band_correlations(alpha + beta, alpha - beta, 256.0)
    assert found["alpha"] == pytest.approx(1.0) and found["beta"] == pytest.approx(-1.0)
    assert "gamma" in found and "gamma" not in band_correlations(alpha[:64], alpha[:64], 40.0)


def test_even_use_of_half_the_codewords_has_half_the_perplexity():
    codes = np.stack([np.arange(800) % 4, np.zeros(800, dtype=int)], axis=1)
    used = codebook_use(codes, 8)
    assert used["used_share"] == [0.5, 0.125]
    np.testing.assert_allclose(used["perplexity_share"], [0.5, 0.125])


def test_the_most_frequent_code_is_found_level_by_level():
    codes = np.array([[0, 3], [2, 3], [2, 1], [2, 3]])
    assert most_frequent(codes, 4).tolist() == [2, 3]


def test_the_mean_leaves_out_unknown_values_and_its_interval_covers_it():
    values = np.r_[np.linspace(0, 1, 60), np.nan]
    table = pd.DataFrame(
        {"dataset": "d", "subject": [str(i % 6) for i in range(61)], "session": "", "task": "", "run": ""}
    )
    entry = mean_with_interval(values, table)
    low, high = entry["ci95"]
    assert entry["value"] == pytest.approx(0.5) and low < 0.5 < high
    assert (entry["n"], entry["people"], entry["ci95_about"]) == (60, 6, "new subjects")
