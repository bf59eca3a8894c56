"""What `doctor` tells that prepare and train cost, beside what they take: costs [folder of the real recordings]."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

RUNS = {
    "n170": ["experiment=eeg_muse_n170"],
    "p300": ["experiment=eeg_muse_p300_catsdogs"],
    "eegmmidb": ["experiment=eeg_mi_eegmmidb_s001"],
    "haxby": ["experiment=fmri_haxby2001"],
    "n170 with EEGNet": [
        "experiment=eeg_muse_n170",
        "datasets.subjects=['01']",
        "encoder=eegnet",
        "preprocessing=network",
    ],
}
WITHIN = 1.5  # the factor that what is told keeps to
_TELL = (
    "import dataclasses, json, sys; from brain_decode.cli.composition import compose; "
    "from brain_decode.training.costs import predict_costs; from brain_decode.training.loading import load_windows; "
    "from brain_decode.reports.html import write_report; config = compose('doctor', sys.argv[1:]); "
    "print(json.dumps(dataclasses.asdict(predict_costs(config, load_windows(config), write_report))))"
)


def measure(data: str = "../shared/real_data") -> Iterator[dict[str, Any]]:
    """Yield seconds, resident memory and disk of each run; every command is a cold process with its own stores."""
    for name, words in RUNS.items():
        with tempfile.TemporaryDirectory(prefix="costs_") as folder:
            yield from _lines(name, [*words, f"paths.data={data}", f"paths.store={folder}/stores"], Path(folder))


def _lines(name: str, words: Sequence[str], folder: Path) -> Iterator[dict[str, Any]]:
    told = json.loads(subprocess.run([sys.executable, "-c", _TELL, *words], check=True, capture_output=True).stdout)
    for command, kept in (("prepare", folder / "stores"), ("train", folder / "run")):
        seconds, resident_mb = _cost([command, *words, *([f"out={kept}"] if command == "train" else [])])
        least, most = told[command]["seconds"]
        disk_mb = sum(path.stat().st_size for path in kept.rglob("*") if path.is_file()) / 2**20
        yield {
            "name": f"{command} {name}",
            "value": round(seconds, 1),
            "unit": "s",
            "told_s": [round(least, 1), round(most, 1)],
            "memory_mb": round(resident_mb),
            "told_memory_mb": round(told[command]["memory_mb"]),
            "disk_mb": round(disk_mb, 2),
            "told_disk_mb": round(told[command]["disk_mb"], 2),
            "within_1.5": {
                "time": least / WITHIN <= seconds <= most * WITHIN,
                "memory": _is_near(told[command]["memory_mb"], resident_mb),
                "disk": _is_near(told[command]["disk_mb"], disk_mb),
            },
        }


def _is_near(told: float, took: float) -> bool:
    return told / WITHIN <= took <= told * WITHIN


def _cost(words: Sequence[str]) -> tuple[float, float]:
    """Run a command in a process of its own; returns its seconds and its highest resident memory in MB."""
    started = time.perf_counter()
    child = subprocess.Popen([sys.executable, "-m", "brain_decode", *words], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"brain-decode {' '.join(words[:2])} failed with status {child.returncode}.")
    return time.perf_counter() - started, usage.ru_maxrss / 1024
