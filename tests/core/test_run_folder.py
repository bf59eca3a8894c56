"""One run, one folder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from brain_decode.core.errors import StorageError
from brain_decode.core.run_folder import LOCK_NAME, STATE_NAME, new_folder_name, open_run_folder, unfinished_run

HOLD = (
    "import sys, time; from pathlib import Path; from brain_decode.core.run_folder import open_run_folder\n"
    "with open_run_folder('train', Path(sys.argv[1])) as folder:\n"
    "    (folder / 'half.txt').write_text('x'); print('open', flush=True); time.sleep(60)"
)


def test_a_run_that_writes_nothing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_run_folder("doctor") as folder:
        assert folder.is_dir()
    assert os.listdir(tmp_path) == []


def test_two_runs_in_one_second_get_two_folders(tmp_path: Path) -> None:
    first = new_folder_name("train", tmp_path)
    first.mkdir(parents=True)
    assert new_folder_name("train", tmp_path) != first


def test_foreign_files_are_never_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StorageError, match=r"is not empty \(thesis\.tex\) and was not made by a run"):
        open_run_folder("train", tmp_path).__enter__()
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_a_file_is_no_run_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(StorageError, match="is a file; a run needs a folder"):
        open_run_folder("train", tmp_path / "x").__enter__()


def test_a_failed_run_can_be_repeated_by_the_same_command_only(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), open_run_folder("train", tmp_path / "run") as folder:
        (folder / "half.txt").write_text("x")
        raise ValueError("broken")
    with pytest.raises(StorageError, match="holds an unfinished run of 'train'"):
        open_run_folder("evaluate", tmp_path / "run").__enter__()
    with open_run_folder("train", tmp_path / "run"):
        pass
    assert os.listdir(tmp_path / "run") == ["half.txt"]


def test_a_folder_that_is_removed_under_a_run_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="was removed or replaced while the run was writing into it"),
        open_run_folder("train", tmp_path / "run") as folder,
    ):
        shutil.rmtree(folder)


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), open_run_folder("train", tmp_path) as folder:
        (folder / ".metrics.json.part").write_text("{")
        raise RuntimeError
    with open_run_folder("train", tmp_path) as folder:
        assert [path.name for path in folder.iterdir()] == [LOCK_NAME]


def test_the_newest_run_that_can_go_on_is_found(tmp_path: Path) -> None:
    for name, files in {"1": [LOCK_NAME, STATE_NAME], "2": [LOCK_NAME, STATE_NAME], "3": [LOCK_NAME]}.items():
        (tmp_path / "train" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "train" / name / file).touch()
    assert unfinished_run("train", tmp_path) == tmp_path / "train" / "2"
    with open_run_folder("train", tmp_path / "train" / "2"):
        assert unfinished_run("train", tmp_path) == tmp_path / "train" / "1"
    assert unfinished_run("evaluate", tmp_path) is None


def test_a_second_run_waits_until_the_first_is_killed(tmp_path: Path, repository: Path) -> None:
    folder = tmp_path / "run"
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=tmp_path) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"
        with pytest.raises(StorageError, match="Another run is writing into"):
            open_run_folder("train", folder).__enter__()
        holder.send_signal(signal.SIGKILL)
    assert (folder / LOCK_NAME).is_file()
    with open_run_folder("train", folder) as reopened:
        assert (reopened / "half.txt").is_file()
