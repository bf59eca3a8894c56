"""A receipt is run again, and every number that differs is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from brain_decode.cli.app import main
from brain_decode.training.replaying import compare_runs

WriteTaps = Callable[..., None]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory, write_taps: WriteTaps) -> Path:
    """A folder with a finished run in `run` and one of a network in `network`."""
    folder = tmp_path_factory.mktemp("study")
    write_taps(folder)
    network = ["encoder=eegnet", "trainer.max_epochs=2", "trainer.accelerator=cpu"]
    for out, words in (("run", ["encoder=time_means"]), ("network", network)):
        common = ["datasets=taps", "preprocessing=trials", "split=contiguous_kfold", "permutations=9"]
        places = [f"catalogue={folder / 'catalogue'}", f"paths.data={folder / 'data'}", f"paths.store={folder / 'st'}"]
        assert main(["train", *common, *places, f"out={folder / out}", *words]) == 0
    return folder


def copied(study: Path, name: str, target: Path) -> Path:
    """Return a copy of a run that may be changed."""
    return Path(shutil.copytree(study / name, target / name))


def replay(run: Path, out: Path, *words: str) -> int:
    return main(["replay", f"run={run}", f"out={out}", *words])


@pytest.mark.parametrize("name", ["run", "network"])
def test_a_run_comes_out_again_to_the_bit(
    study: Path, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert replay(study / name, tmp_path / "again") == 0
    said = json.loads((tmp_path / "again" / "replay.json").read_text())
    assert said["equal"] and said["n_compared"] > 100 and said["differing"] == {}
    assert "The same: all" in capsys.readouterr().out
    assert (tmp_path / "again" / "report.html").is_file()


def test_a_number_that_differs_is_named(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(study, "run", tmp_path)
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["metrics"]["auc"]["value"] += 0.01
    (run / "metrics.json").write_text(json.dumps(metrics))
    assert replay(run, tmp_path / "again") == 1
    assert list(json.loads((tmp_path / "again" / "replay.json").read_text())["differing"]) == ["metrics.auc.value"]
    assert "1 of" in capsys.readouterr().out
    assert replay(run, tmp_path / "tolerated", "tolerance=0.02") == 0


def test_a_prediction_and_a_weight_that_differ_are_named(study: Path, tmp_path: Path) -> None:
    run = copied(study, "run", tmp_path)
    predictions = pd.read_parquet(run / "predictions.parquet")
    predictions.loc[3, "predicted"] = "neither"
    predictions.to_parquet(run / "predictions.parquet", index=False)
    weights = load_file(run / "checkpoint" / "model.safetensors")
    name = next(name for name, values in weights.items() if values.dtype.kind == "f" and values.size)
    weights[name] = weights[name] + np.ones((), weights[name].dtype)
    save_file(weights, run / "checkpoint" / "model.safetensors")
    assert list(compare_runs(study / "run", run).differing) == ["predictions.predicted", f"checkpoint.{name}"]


def test_recordings_that_changed_are_named_before_anything_is_computed(
    study: Path, tmp_path: Path, write_taps: WriteTaps, capsys: pytest.CaptureFixture[str]
) -> None:
    write_taps(tmp_path, seed=1)
    assert replay(study / "run", tmp_path / "again", f"paths.data={tmp_path / 'data'}") == 1
    assert "The recordings are not those of the run (changed: " in capsys.readouterr().err
    assert not (tmp_path / "again").exists()


def test_recordings_may_have_moved(study: Path, tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    words = [f"paths.data={tmp_path / 'data'}", f"paths.store={tmp_path / 'stores'}"]
    assert replay(study / "run", tmp_path / "again", *words) == 0


def test_a_folder_without_a_receipt_is_no_run(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(study, "run", tmp_path)
    (run / "receipt.json").unlink()
    assert replay(run, tmp_path / "again") == 2
    assert "is not a finished run: it lacks receipt.json" in capsys.readouterr().err


def test_a_damaged_receipt_is_named(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = copied(study, "run", tmp_path)
    (run / "receipt.json").write_text('{"command": "tra')
    assert replay(run, tmp_path / "again") == 1
    assert "receipt.json' is damaged" in capsys.readouterr().err


def test_what_differs_in_the_environment_is_told(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = copied(study, "run", tmp_path)
    receipt = json.loads((run / "receipt.json").read_text())
    receipt["versions"]["torch"] = "1.0"
    (run / "receipt.json").write_text(json.dumps(receipt))
    assert replay(run, tmp_path / "again") == 0
    assert "other than then: versions.torch was 1.0, is" in capsys.readouterr().out
