"""The rules of the source tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LINTER = Path(sys.executable).with_name("lint-imports")


def test_layers_and_forbidden_imports_hold(repository: Path) -> None:
    if not LINTER.exists():
        pytest.skip("import-linter is not installed: install the extra 'test'")
    done = subprocess.run([LINTER, "--no-cache"], cwd=repository, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_files_stay_one_idea_long(repository: Path) -> None:
    sizes = {
        path.relative_to(repository).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (repository / "brain_decode").rglob("*.py")
    }
    assert {name: size for name, size in sizes.items() if size > 600} == {}


def test_no_file_is_named_after_nothing(repository: Path) -> None:
    vague = {"utils.py", "misc.py", "helpers.py", "common.py"}
    assert [path for path in (repository / "brain_decode").rglob("*.py") if path.name in vague] == []
