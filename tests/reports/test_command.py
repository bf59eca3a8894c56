"""`brain-decode report` rebuilds the page of a finished run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brain_decode.cli.app import main


def test_the_report_is_rebuilt_in_its_folder(
    classification_run: Callable[..., dict[str, Any]],
    make_run: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_run(classification_run(2, 0))
    monkeypatch.chdir(tmp_path)
    assert main(["report", f"run={folder}"]) == 0
    assert (folder / "report.html").is_file()
    assert "report.html" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_a_folder_that_is_no_run_ends_with_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", f"run={tmp_path}"]) != 0
    shown = capsys.readouterr()
    assert "is not a finished run" in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err
