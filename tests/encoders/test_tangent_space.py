"""Tangent space of window covariances."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("C3", "Cz", "C4"), ("eeg",) * 3), n_times=200, rate_hz=100.0)


def _windows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 3, 200)) * 1e-5


def test_dimension_is_the_upper_triangle_of_a_covariance():
    encoder = TangentSpace(SPEC)
    encoder.fit_arrays(_windows(), None)
    assert encoder.embedding_dim == 6


def test_a_direction_removed_by_the_reference_is_left_out():
    windows = _windows()
    encoder = TangentSpace(SPEC)
    encoder.fit_arrays(windows - windows.mean(axis=1, keepdims=True), None)
    assert encoder.embedding_dim == 3


def test_training_embeddings_average_to_zero_at_the_riemannian_mean():
    encoder = TangentSpace(SPEC)
    encoder.fit_arrays(_windows(), None)
    np.testing.assert_allclose(encoder.transform(_windows()).mean(axis=0), 0.0, atol=1e-6)


def test_without_shrinkage_mixing_the_channels_keeps_distances():
    windows, mixing = _windows(), np.array([[1.0, 0.3, 0.0], [0.0, 2.0, 0.1], [0.2, 0.0, 0.5]])
    encoder, mixed = TangentSpace(SPEC, estimator="sample"), TangentSpace(SPEC, estimator="sample")
    encoder.fit_arrays(windows, None)
    mixed.fit_arrays(mixing @ windows, None)
    np.testing.assert_allclose(
        np.linalg.norm(encoder.transform(windows), axis=1),
        np.linalg.norm(mixed.transform(mixing @ windows), axis=1),
        rtol=1e-5,
    )


def test_unknown_estimator_is_refused():
    with pytest.raises(ConfigError, match="Unknown covariance estimator 'lwf'"):
        TangentSpace(SPEC, estimator="lwf")
