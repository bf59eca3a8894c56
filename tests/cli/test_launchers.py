"""Sweeps run in other processes, and say what a launcher needs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_decode.cli import jobs
from brain_decode.cli.app import main

WriteTaps = Callable[..., None]


def words(folder: Path) -> list[str]:
    places = [f"catalogue={folder / 'catalogue'}", f"paths.data={folder / 'data'}", f"paths.store={folder / 'stores'}"]
    return [
        *places,
        "datasets=taps",
        "preprocessing=trials",
        "split=contiguous_kfold",
        "encoder=time_means",
        "permutations=9",
    ]


def auc_of(folder: Path) -> float:
    return float(json.loads((folder / "metrics.json").read_text())["metrics"]["auc"]["value"])


@pytest.mark.slow
@pytest.mark.parametrize(
    "launcher",
    [["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"], ["hydra/launcher=submitit_local"]],
    ids=["joblib", "submitit"],
)
def test_a_sweep_over_processes_gives_what_single_runs_give(
    tmp_path: Path, write_taps: WriteTaps, launcher: list[str]
) -> None:
    pytest.importorskip(f"hydra_plugins.hydra_{'joblib' if 'joblib' in launcher[0] else 'submitit'}_launcher")
    write_taps(tmp_path)
    swept = ["encoder=time_means,band_power", f"out={tmp_path / 'sweep'}", *launcher]
    assert main(["train", "--multirun", *words(tmp_path)[:-1], *swept]) == 0
    for number, encoder in enumerate(("time_means", "band_power")):
        single = tmp_path / encoder
        assert main(["train", *words(tmp_path)[:-1], f"encoder={encoder}", f"out={single}"]) == 0
        assert auc_of(tmp_path / "sweep" / str(number)) == auc_of(single)


@pytest.mark.slow
def test_one_dataset_is_prepared_by_several_processes_into_one_store(tmp_path: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sizes = {"n_subjects": 2, "n_train_concepts": 20, "n_test_concepts": 4, "n_runs": 1, "n_electrodes": 16}
    study = [f"datasets.loader.study.{name}={value}" for name, value in sizes.items()]
    places = [f"paths.data={tmp_path / 'data'}", f"paths.store={tmp_path / 'stores'}", f"out={tmp_path / 'runs'}"]
    launcher = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "datasets.subjects=[01],[02]"]
    assert main(["prepare", "--multirun", "datasets=simulated_things", *study, *places, *launcher]) == 0
    manifests = [json.loads(path.read_text()) for path in (tmp_path / "stores").glob("*.json")]
    assert {manifest["label"][:6] for manifest in manifests} == {"sub-01", "sub-02"}
    assert not list((tmp_path / "stores").glob(".*.part"))


def test_a_launcher_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(jobs.MissingExtra, match=r"hydra/launcher=joblib is not installed. Install brain_decode\[laun"):
        jobs._require_launcher(["hydra/launcher=joblib"], ["basic"])


def test_an_unknown_launcher_names_the_closest(
    tmp_path: Path, write_taps: WriteTaps, capsys: pytest.CaptureFixture[str]
) -> None:
    write_taps(tmp_path)
    assert main(["train", "--multirun", *words(tmp_path), "hydra/launcher=jobli", f"out={tmp_path / 'x'}"]) == 2
    assert "Unknown launcher 'jobli'. Did you mean 'joblib'?" in capsys.readouterr().err


def test_slurm_is_missed_in_one_sentence(
    tmp_path: Path, write_taps: WriteTaps, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setenv("PATH", "")
    write_taps(tmp_path)
    slurm = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=long", "hydra.launcher.cpus_per_task=4"]
    assert main(["train", "--multirun", *words(tmp_path), *slurm, f"out={tmp_path / 'x'}"]) == 2
    assert "needs Slurm, and this machine has no srun" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
