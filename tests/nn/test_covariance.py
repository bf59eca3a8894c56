"""Covariances of many windows at once."""

from __future__ import annotations

import numpy as np
import pytest
from pyriemann.geometry.mean import gmean
from pyriemann.geometry.tangentspace import tangent_space
from sklearn.covariance import ledoit_wolf, oas

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.nn.covariance import (
    require_live_channels,
    riemannian_mean,
    riemannian_tangent,
    signal_subspace,
    type_scale,
    window_covariances,
)
from brain_decode.signals.sensors import Sensors


@pytest.fixture
def windows() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(6, 4, 4)) @ rng.normal(size=(6, 4, 40)) + 3.0


@pytest.mark.parametrize(("name", "estimator"), [("oas", oas), ("ledoit_wolf", ledoit_wolf)])
def test_shrunk_covariances_equal_those_of_scikit_learn(windows, name, estimator):
    expected = np.stack([estimator(window.T)[0] for window in windows])
    np.testing.assert_allclose(window_covariances(windows, name), expected, rtol=1e-12)


def test_sample_covariance_is_not_shrunk(windows):
    expected = np.stack([np.cov(window, bias=True) for window in windows])
    np.testing.assert_allclose(window_covariances(windows, "sample"), expected, rtol=1e-12)


def test_unknown_estimator_is_refused_with_the_closest_word(windows):
    with pytest.raises(ConfigError, match="Unknown covariance estimator 'oass'. Did you mean 'oas'?"):
        window_covariances(windows, "oass")


def test_subspace_of_full_rank_data_is_the_identity():
    np.testing.assert_array_equal(signal_subspace(np.diag([1.0, 2.0, 3.0])), np.eye(3))


def test_subspace_leaves_out_the_direction_an_average_reference_removes(windows):
    referenced = windows - windows.mean(axis=1, keepdims=True)
    filters = signal_subspace(window_covariances(referenced, "sample").mean(axis=0))
    assert filters.shape == (3, 4)
    np.testing.assert_allclose(filters @ np.ones(4), 0.0, atol=1e-8)


def test_flat_channel_is_named(windows):
    windows[:, 2] = 1e-6
    with pytest.raises(DataError, match="flat in all 6 training windows: Cz"):
        require_live_channels(windows, ["Fz", "C3", "Cz", "C4"])


def test_channel_with_nan_is_named_and_its_windows_counted(windows):
    windows[4, 1, 0] = np.nan
    with pytest.raises(DataError, match="1 of 6 windows hold NaN or infinity in C3"):
        require_live_channels(windows, ["Fz", "C3", "Cz", "C4"])


def test_no_windows_are_refused():
    with pytest.raises(DataError, match="at least one window; got none"):
        require_live_channels(np.empty((0, 2, 5)), ["Fz", "Cz"])


def test_scale_is_shared_by_channels_of_one_type():
    rng = np.random.default_rng(1)
    windows = rng.normal(size=(20, 4, 200)) * np.array([1e-6, 1e-6, 1e-13, 1e-13])[:, None]
    scale = type_scale(windows, Sensors(("E1", "E2", "M1", "M2"), ("eeg", "eeg", "mag", "mag")))
    assert scale[0] == scale[1] == pytest.approx(1e-6, rel=0.05)
    assert scale[2] == scale[3] == pytest.approx(1e-13, rel=0.05)


def test_covariances_that_no_machine_holds_are_refused_before_they_are_made():
    many = np.broadcast_to(np.zeros(1, dtype=np.float32), (1000, 100_000, 2))
    with pytest.raises(DataError, match="1000 windows of 100000 channels need 74506 GiB.*without covariances"):
        window_covariances(many)


def test_an_error_names_some_of_many_flat_channels():
    flat = np.zeros((2, 20, 5))
    with pytest.raises(DataError, match="windows: v0, v1, v2, v3, v4, v5, v6, v7 and 12 more.*narrow the mask"):
        require_live_channels(flat, [f"v{number}" for number in range(20)])


def test_the_riemannian_mean_is_that_of_pyriemann() -> None:
    rng = np.random.default_rng(0)
    windows = rng.normal(size=(60, 6, 50)) * rng.lognormal(0, 1.0, size=(60, 6, 1))
    covariances = window_covariances(windows)
    expected = gmean(covariances, metric="riemann")
    assert np.linalg.norm(riemannian_mean(covariances) - expected) < 1e-7 * np.linalg.norm(expected)


def test_tangent_vectors_at_the_mean_are_those_of_pyriemann() -> None:
    rng = np.random.default_rng(1)
    covariances = window_covariances(rng.normal(size=(40, 6, 50)) * rng.lognormal(0, 0.5, size=(40, 6, 1)))
    mean, vectors = riemannian_tangent(covariances)
    np.testing.assert_allclose(vectors, tangent_space(covariances, mean, metric="riemann"), atol=1e-12)
    np.testing.assert_allclose(vectors.mean(axis=0), 0.0, atol=1e-7)


@pytest.mark.parametrize("spread", [0.1, 1.0, 3.0])
def test_the_riemannian_mean_is_found_however_far_matrices_spread(spread: float) -> None:
    rng = np.random.default_rng(2)
    windows = rng.normal(size=(30, 5, 60)) * rng.lognormal(0, spread, size=(30, 5, 1))
    covariances = window_covariances(rng.normal(size=(30, 5, 5)) @ windows)
    assert np.abs(riemannian_tangent(covariances)[1].mean(axis=0)).max() < 1e-7


def test_the_riemannian_mean_of_commuting_matrices_is_their_geometric_mean() -> None:
    matrices = np.stack([np.diag([1.0, 4.0]), np.diag([100.0, 9.0])])
    assert riemannian_mean(matrices) == pytest.approx(np.diag([10.0, 6.0]))
