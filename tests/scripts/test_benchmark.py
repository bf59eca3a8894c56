"""The benchmark command lists what there is and names what it does not know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run_benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPTS / "benchmark.py", *words], capture_output=True, text=True)


def test_without_a_name_every_benchmark_is_listed_with_one_line() -> None:
    lines = run_benchmark().stdout.splitlines()
    files = sorted(path.stem for path in (SCRIPTS / "benchmarks").glob("[!_]*.py"))
    assert [line.split()[0] for line in lines] == files
    assert all(len(line.split()) > 3 for line in lines)


def test_an_unknown_name_gives_one_line_with_a_guess() -> None:
    result = run_benchmark("windoes")
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "Unknown benchmark 'windoes'. Did you mean 'windows'?" in result.stderr
