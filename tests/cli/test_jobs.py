"""Where runs and sweeps write."""

from __future__ import annotations

from pathlib import Path

import pytest

from brain_decode.core.run_folder import LOCK_NAME


def test_a_run_writes_into_a_dated_folder(echo) -> None:
    assert echo() == 0
    folder = echo.folders[0]
    assert folder.parent == Path("runs/echo")
    assert sorted(path.name for path in folder.iterdir()) == ["receipt.json"]


def test_out_names_the_folder(echo, tmp_path: Path) -> None:
    assert echo(f"out={tmp_path / 'a b'}") == 0
    assert echo.folders == [tmp_path / "a b"]


def test_a_finished_run_is_not_overwritten(echo, capsys: pytest.CaptureFixture[str]) -> None:
    assert echo("out=once") == 0
    assert echo("out=once") == 1
    assert "StorageError: 'once' holds a finished run." in capsys.readouterr().err


def test_a_sweep_runs_every_combination_in_numbered_folders(echo) -> None:
    assert echo("--multirun", "encoder=quick,slow", "seed=1,2", "out=sweep") == 0
    assert [(next(iter(c["encoder"])), c["seed"]) for c in echo.configs] == [
        ("width", 1),
        ("width", 2),
        ("depth", 1),
        ("depth", 2),
    ]
    assert [folder.resolve() for folder in echo.folders] == [Path("sweep", str(n)).resolve() for n in range(4)]


def test_a_sweep_leaves_no_litter_in_run_folders(echo, capsys: pytest.CaptureFixture[str]) -> None:
    assert echo("-m", "seed=1,2") == 0
    for folder in echo.folders:
        assert folder.parent.parent == Path("runs/echo").resolve()
        assert [path.name for path in folder.iterdir()] == ["receipt.json"]
    assert capsys.readouterr() == ("", "")


def test_a_sweep_of_datasets_and_a_list_of_datasets_both_work(echo) -> None:
    assert echo("-m", "datasets=small,large") == 0
    assert echo("-m", "datasets=[small,large]", "seed=1,2") == 0
    assert [config["datasets"]["name"] for config in echo.configs] == ["small", "large", "small", "small"]
    assert list(echo.configs[3]["also"]) == ["large"]


def test_a_sweep_with_an_unknown_choice_runs_nothing(echo, capsys: pytest.CaptureFixture[str]) -> None:
    assert echo("-m", "encoder=quick,quik") == 2
    assert "Unknown encoder 'quik'. Did you mean 'quick'?" in capsys.readouterr().err
    assert echo.configs == []


def test_a_failed_run_can_be_repeated_in_its_folder(echo, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("again").mkdir()
    Path("again", LOCK_NAME).write_text('{"command": "echo"}')
    Path("again", "half.txt").write_text("x")
    assert echo("out=again") == 0
    assert not Path("again", LOCK_NAME).exists()
