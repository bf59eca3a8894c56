"""What a killed run leaves is used by the same run and by no other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from brain_decode.core.errors import DataError, StorageError
from brain_decode.training.unfinished import (
    describe_run,
    fit_folder,
    require_still_there,
    state_folder,
    unfinished,
)


def description(**changes: object) -> dict:
    config = OmegaConf.create({"seed": 0, "encoder": {"width": 8}, "out": "a", "paths": {"data": "d"}} | changes)
    return describe_run(config, ["hash of a recording"])


def kill(folder: Path, described: dict) -> None:
    """Leave what a process leaves that is killed after a network was trained for a while."""
    with pytest.raises(KeyboardInterrupt), unfinished(folder, described):
        fit = fit_folder(state_folder(folder), rows=np.arange(3))
        fit.mkdir()
        (fit / "last.ckpt").write_text("weights")
        raise KeyboardInterrupt


def test_the_same_run_finds_its_state_and_removes_it_in_the_end(tmp_path: Path) -> None:
    kill(tmp_path, description())
    with unfinished(tmp_path, description(out="b", paths={"data": "elsewhere"})):
        assert (fit_folder(state_folder(tmp_path), rows=np.arange(3)) / "last.ckpt").read_text() == "weights"
    assert list(tmp_path.iterdir()) == []


def test_a_run_with_other_settings_is_refused_and_loses_nothing(tmp_path: Path) -> None:
    kill(tmp_path, description())
    match = r"unfinished run with other settings: encoder\.width was 8 and is 16\. Repeat its command"
    with pytest.raises(StorageError, match=match), unfinished(tmp_path, description(encoder={"width": 16})):
        pass
    assert list(tmp_path.rglob("last.ckpt"))


def test_other_recordings_are_refused(tmp_path: Path) -> None:
    kill(tmp_path, description())
    changed = description() | {"recordings": ["another hash"]}
    with pytest.raises(StorageError, match="recordings was"), unfinished(tmp_path, changed):
        pass


def test_state_without_settings_is_not_trusted(tmp_path: Path) -> None:
    kill(tmp_path, description())
    (state_folder(tmp_path) / "settings.json").write_text("{")
    with unfinished(tmp_path, description()):
        assert not list(tmp_path.rglob("last.ckpt"))


def test_a_run_that_fails_before_anything_is_learnt_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError), unfinished(tmp_path, description()):
        raise DataError("no such class")
    assert list(tmp_path.iterdir()) == []


def test_fits_are_told_apart_by_rows_and_settings(tmp_path: Path) -> None:
    folders = [
        fit_folder(tmp_path, rows=np.arange(3), settings=[0]),
        fit_folder(tmp_path, rows=np.arange(4), settings=[0]),
        fit_folder(tmp_path, rows=np.arange(3), settings=[1]),
    ]
    assert len(set(folders)) == 3
    assert folders[0] == fit_folder(tmp_path, settings=[0], rows=np.arange(3))


def test_results_are_not_written_where_the_drive_was_removed(tmp_path: Path) -> None:
    with unfinished(tmp_path, description()):
        require_still_there(tmp_path)
    with pytest.raises(StorageError, match="was removed or replaced"):
        require_still_there(tmp_path)
