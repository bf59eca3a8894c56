"""Steps that remove drifts and bring voxels to one scale, run by run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal as scipy_signal

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.preprocessing.trends import Detrend, PercentSignalChange, ZScoreRecording
from brain_decode.signals.voxels import Voxels

VOXELS = Voxels(np.ones((2, 2, 1), dtype=bool), np.eye(4))


def run(data: np.ndarray) -> Continuous:
    return Continuous(data, 0.5, VOXELS)


def noise(n_times: int = 50) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((4, n_times))


def test_a_line_is_removed_as_scipy_removes_it() -> None:
    data = noise() + np.arange(50) * np.array([[1.0], [2.0], [-3.0], [0.0]]) + 100
    detrended = Detrend(keep_mean=False).apply(run(data))
    np.testing.assert_allclose(detrended.data, scipy_signal.detrend(data, axis=1), atol=1e-11)
    assert detrended.sensors is VOXELS


def test_the_mean_of_a_voxel_stays_where_it_was() -> None:
    data = noise() + 1000 + 0.5 * np.arange(50)
    np.testing.assert_allclose(Detrend().apply(run(data)).data.mean(axis=1), data.mean(axis=1))


def test_a_polynomial_of_the_degree_vanishes_and_one_of_a_higher_degree_does_not() -> None:
    time = np.linspace(-1, 1, 40)
    cubic = np.tile(1 + time - 2 * time**2 + 3 * time**3, (4, 1))
    assert np.abs(Detrend(3, keep_mean=False).apply(run(cubic)).data).max() < 1e-12
    assert np.abs(Detrend(2, keep_mean=False).apply(run(cubic)).data).max() > 0.1


@pytest.mark.parametrize("degree", [0, -1, 1.5, True])
def test_a_degree_that_is_no_polynomial_is_refused(degree: object) -> None:
    with pytest.raises(ConfigError, match=f"whole degree of 1 or more, got {degree}"):
        Detrend(degree)  # type: ignore[arg-type]


def test_a_run_shorter_than_the_polynomial_is_refused() -> None:
    with pytest.raises(DataError, match="needs more than 3 samples, got 3"):
        Detrend(3).apply(run(np.ones((4, 3))))


def test_percent_signal_change_of_a_tenth_is_ten() -> None:
    data = np.tile([90.0, 110.0], (4, 5))
    np.testing.assert_allclose(PercentSignalChange().apply(run(data)).data, np.tile([-10.0, 10.0], (4, 5)))


def test_voxels_without_a_positive_mean_have_no_percentage() -> None:
    data = noise() + 10
    data[1] -= 20
    with pytest.raises(DataError, match="positive means; 1 of 4 voxels have none.*zscore_recording"):
        PercentSignalChange().apply(run(data))


def test_each_voxel_of_a_run_gets_zero_mean_and_unit_variance() -> None:
    scaled = ZScoreRecording().apply(run(noise() * np.array([[1], [10], [1e-6], [1e6]]) + 5)).data
    np.testing.assert_allclose(scaled.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(scaled.std(axis=1), 1)


def test_a_voxel_that_never_varies_becomes_zero() -> None:
    data = noise()
    data[2] = 0.1
    scaled = ZScoreRecording().apply(run(data)).data
    assert (scaled[2] == 0).all() and np.isfinite(scaled).all()


def test_the_steps_are_written_in_yaml_by_name() -> None:
    steps = [{"step": "detrend", "settings": {"degree": 2}}, {"step": "zscore_recording"}]
    pipeline = Preprocessing.from_json({"signal_steps": steps})
    assert not pipeline.is_causal
    assert pipeline.apply_signal(run(noise())).data.shape == (4, 50)
