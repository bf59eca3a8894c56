"""Ridge from embeddings to values and stimulus features."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.ridge import Ridge
from brain_decode.signals.spec import TargetSpec

RNG_SEED = 0


def _linear() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(RNG_SEED)
    vectors, weights = rng.normal(size=(200, 5)), rng.normal(size=(5, 3))
    return vectors, weights, vectors @ weights + np.array([1.0, -2.0, 0.5])


def test_noiseless_data_return_the_weights():
    vectors, weights, values = _linear()
    head = Ridge(5, TargetSpec("regression", dim=3), alphas=[1e-9])
    head.fit_arrays(vectors, values)
    np.testing.assert_allclose(head.fitted("weights") / head.fitted("scale")[:, None], weights, atol=1e-8)
    np.testing.assert_allclose(head.scores(vectors), values, atol=1e-8)


def test_one_value_per_window_is_accepted_as_a_column():
    vectors, _, values = _linear()
    head = Ridge(5, TargetSpec("regression", dim=1))
    head.fit_arrays(vectors, values[:, 0])
    assert head.scores(vectors).shape == (200, 1)


def test_noise_chooses_a_large_penalty_and_signal_a_small_one():
    vectors, _, values = _linear()
    signal, noise = Ridge(5, TargetSpec("regression", dim=3)), Ridge(5, TargetSpec("regression", dim=3))
    signal.fit_arrays(vectors, values)
    noise.fit_arrays(vectors, np.random.default_rng(1).normal(size=(200, 3)))
    assert signal.fitted("alpha") < 1.0 < noise.fitted("alpha")


def test_targets_of_another_size_are_refused():
    vectors, _, values = _linear()
    with pytest.raises(DataError, match=r"finite targets of 2 values, got shape \(200, 3\)"):
        Ridge(5, TargetSpec("retrieval", dim=2)).fit_arrays(vectors, values)


def test_penalties_must_be_positive():
    with pytest.raises(ConfigError, match=r"positive penalties, got alphas=\[0.0, 1.0\]"):
        Ridge(5, TargetSpec("retrieval", dim=2), alphas=[0, 1])


def test_loss_of_exact_values_is_zero():
    vectors, _, values = _linear()
    head = Ridge(5, TargetSpec("regression", dim=3), alphas=[1e-9])
    head.fit_arrays(vectors, values)
    output = head(BrainEmbedding(torch.from_numpy(vectors)))
    assert head.loss(output, torch.from_numpy(values)).item() == pytest.approx(0.0, abs=1e-12)
