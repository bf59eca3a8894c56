"""Noise normalisation equals the authors' three variants."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from brain_decode.preprocessing.noise_normalisation import (
    NoiseNormalisation,
    gifford_whitener,
    inverse_square_root,
    mean_shrinkage_covariance,
    noise_covariance,
)
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows

pytestmark = pytest.mark.parity
TOLERANCE = 1e-9

Vectors = tuple[dict[str, np.ndarray], int]


@pytest.fixture(scope="module")
def vectors(reference_folder: Path) -> Vectors:
    folder = reference_folder / "mvnn"
    if not folder.is_dir():
        pytest.skip("no mvnn vectors among the reference folders")
    config = json.loads((folder / "config.json").read_text())
    return load_file(folder / "io.safetensors"), int(config["sessions"])


def session_windows(trials: np.ndarray, conditions: np.ndarray) -> Windows:
    """Trials (trial, channel, time) of one session as windows."""
    names = tuple(f"c{index}" for index in range(trials.shape[1]))
    table = pd.DataFrame({"subject": "01", "session": "1", "stimulus": conditions.astype(str)})
    return Windows(trials, 100.0, 0.0, Sensors(names, ("eeg",) * len(names)), table)


def flat(partition: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(condition, repetition, channel, time) as trials and their conditions."""
    return partition.reshape(-1, *partition.shape[2:]), np.repeat(np.arange(len(partition)), partition.shape[1])


def test_one_shrinkage_covariance_equals_the_reference(vectors: Vectors) -> None:
    io, _ = vectors
    np.testing.assert_allclose(
        mean_shrinkage_covariance(io["cov_example.in"][None]), io["cov_example.out"], atol=TOLERANCE
    )


def test_the_covariance_and_its_root_equal_nice(vectors: Vectors) -> None:
    io, sessions = vectors
    for session in range(sessions):
        if f"nice.epochs.ses{session}.sigma" not in io:
            continue
        sigma = noise_covariance(*flat(io[f"ses{session}.train"]), mode="epochs")
        np.testing.assert_allclose(sigma, io[f"nice.epochs.ses{session}.sigma"], atol=TOLERANCE)
        root = io[f"nice.epochs.ses{session}.sigma_inv_sqrt"]
        np.testing.assert_allclose(inverse_square_root(sigma), root, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["epochs", "time"])
def test_whitened_partitions_equal_nice(vectors: Vectors, mode: str) -> None:
    io, sessions = vectors
    for session in range(sessions):
        step = NoiseNormalisation(variant="nice", mode=mode)
        step.fit(session_windows(*flat(io[f"ses{session}.train"])))
        for partition in ("train", "test"):
            given = io[f"ses{session}.{partition}"]
            whitened = step.apply(session_windows(*flat(given))).data.reshape(given.shape)
            np.testing.assert_allclose(whitened, io[f"nice.{mode}.ses{session}.{partition}"], atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["epochs", "time"])
def test_whitened_partitions_equal_gifford(vectors: Vectors, mode: str) -> None:
    io, sessions = vectors
    for session in range(sessions):
        whitener = gifford_whitener(io[f"ses{session}.train"], io[f"ses{session}.test"], mode=mode)
        for partition in ("train", "test"):
            expected = io[f"gifford.{mode}.ses{session}.{partition}"]
            np.testing.assert_allclose(whitener @ io[f"ses{session}.{partition}"], expected, atol=TOLERANCE)


@pytest.mark.parametrize("mode", ["epochs", "time"])
def test_shuffled_trials_equal_alljoined(vectors: Vectors, mode: str) -> None:
    io, sessions = vectors
    for session in range(sessions):
        windows = session_windows(io[f"alljoined.ses{session}.trials"], io[f"alljoined.ses{session}.image_index"])
        step = NoiseNormalisation(variant="alljoined", mode=mode)
        step.fit(windows)
        expected = io[f"alljoined.{mode}.ses{session}.whitened"]
        np.testing.assert_allclose(step.apply(windows).data, expected, atol=TOLERANCE)
