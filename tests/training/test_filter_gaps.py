"""A run within one recording keeps its filters' reach free, says so, and refuses steps that reach everywhere."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from brain_decode.cli.app import main
from brain_decode.preprocessing.filters import BandPass

RATE_HZ, N_TRIALS = 100.0, 60
Train = Callable[..., int]


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Train on one recording of a trial every two seconds."""
    rng = np.random.default_rng(0)
    (tmp_path / "data").mkdir()
    onsets = 2.0 + 2.0 * np.arange(N_TRIALS)
    kinds = np.array(["left", "right"])[rng.permutation(np.arange(N_TRIALS) % 2)]
    signal = rng.standard_normal((4, 13000)) * 1e-5
    np.savez(tmp_path / "data" / "taps.npz", x=signal, onset=onsets, hand=kinds)
    entry: dict[str, Any] = {
        "name": "taps",
        "loader": {
            "_target_": "brain_decode.datasets.arrays.ArrayDataset",
            "root": "${paths.data}",
            "file": "taps.npz",
            "data": "x",
            "axes": ["channel", "time"],
            "unit": "V",
            "rate_hz": RATE_HZ,
            "columns": {"hand": "hand", "onset_s": "onset"},
        },
        "subjects": None,
        "target": {"column": "hand", "task": "classification"},
        "window": {"start_s": 0.0, "stop_s": 0.5},
        "simulated": True,
        "licence": "CC0",
    }
    (tmp_path / "catalogue" / "datasets").mkdir(parents=True)
    (tmp_path / "catalogue" / "datasets" / "taps.yaml").write_text(yaml.safe_dump(entry))
    paths = [f"catalogue={tmp_path / 'catalogue'}", f"paths.data={tmp_path / 'data'}", f"out={tmp_path / 'out'}"]
    paths += [
        f"paths.store={tmp_path / 'stores'}",
        "datasets=taps",
        "split=contiguous_kfold",
        "encoder=time_means",
        "permutations=0",
    ]
    return lambda *words: main(["train", *paths, *words])


def test_the_gap_is_the_reach_of_the_filter_and_is_told(train: Train, tmp_path: Path) -> None:
    assert train("preprocessing=broadband") == 0
    folds = json.loads((tmp_path / "out" / "metrics.json").read_text())["folds"]
    reach_s = BandPass(1.0, 45.0).reach_s(RATE_HZ)
    assert reach_s > 1.0 and {fold["gap_s"] for fold in folds} == {reach_s}
    assert all(fold["n_in_gap"] == N_TRIALS - fold["n_train"] - fold["n_test"] > 0 for fold in folds)
    assert (
        f"Training windows within {reach_s:g} s of a test window were left out"
        in (tmp_path / "out" / "report.html").read_text()
    )


def test_a_step_on_the_whole_recording_is_refused(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("preprocessing=fmri") != 0
    told = capsys.readouterr().err
    assert "contiguous_kfold holds out parts of recordings" in told and "'detrend' fits its polynomial" in told


def test_alignment_by_the_windows_that_are_scored_is_called_transductive_beside_the_score(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = "preprocessing.window_steps=[{step:euclidean_alignment,settings:{unseen:own}}]"
    assert train("preprocessing=broadband", own) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["transductive"] is True and metrics["transductive_steps"] == ["euclidean_alignment"]
    assert "transductive: euclidean alignment used" in (tmp_path / "out" / "report.html").read_text()
    assert "transductive" in capsys.readouterr().out
