"""What `prepare` and `train` hold in memory does not grow with the dataset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "scripts" / "benchmark.py"


def peaks_mb(gigabytes: float, folder: Path) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, BENCHMARK, "bounded_memory", str(gigabytes)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line["name"].split()[3].rstrip(","): line["value"] for line in lines}


@pytest.mark.slow
def test_four_times_the_data_take_the_memory_of_one(tmp_path: Path) -> None:
    small, large = peaks_mb(0.15, tmp_path), peaks_mb(0.6, tmp_path)
    assert set(small) == {"prepare", "train"}
    # Three times a quarter of a gigabyte came in; tables of windows and the heap's habits are what may be added.
    assert large["prepare"] < small["prepare"] + 100
    assert large["train"] < small["train"] + 150
    assert max(large.values()) < 2048
