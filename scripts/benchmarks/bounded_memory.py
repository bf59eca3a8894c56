"""Anonymous memory of prepare and train beside the size of the dataset: bounded_memory [GB, 0.5 by default]."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mne
import numpy as np
import yaml
from benchmarks._memory import peak_anonymous_mb

RATE_HZ, N_CHANNELS, MINUTES = 256.0, 64, 20
AIM_MB = 2048


def measure(size_gb: str = "0.5") -> Iterator[dict[str, Any]]:
    """Write recordings of 20 minutes until the size is reached, prepare them, train EEGNet for one pass; simulated."""
    with tempfile.TemporaryDirectory(prefix="bounded_memory_", dir=os.environ.get("TMPDIR", ".")) as name:
        folder = Path(name)
        written_gb = _write(folder, float(size_gb))
        places = [f"catalogue={folder}", f"paths.data={folder}", f"paths.store={folder / 'stores'}"]
        chosen = ["datasets=noise", "preprocessing=network"]
        training = ["encoder=eegnet", "split=contiguous_kfold", "split.n_folds=2", "trainer.max_epochs=1"]
        cheap = ["baselines={time_means: {encoder: time_means}}", "memory_gib=0.5", f"out={folder / 'run'}"]
        for command, words in (("prepare", [*places, *chosen]), ("train", [*places, *chosen, *training, *cheap])):
            peak_mb, seconds = peak_anonymous_mb(["-m", "brain_decode", command, *words])
            yield {
                "name": f"anonymous memory of {command}, simulated data",
                "value": round(peak_mb),
                "unit": "MB",
                "aim_mb": AIM_MB,
                "dataset_gb": round(written_gb, 2),
                "seconds": round(seconds, 1),
            }


def _write(folder: Path, size_gb: float) -> float:
    """Write noise with a small response to one of two events, and the entry that describes it; returns gigabytes."""
    n_times = int(MINUTES * 60 * RATE_HZ)
    each_gb = n_times * N_CHANNELS * 4 / 1e9
    info = mne.create_info([f"E{number}" for number in range(N_CHANNELS)], RATE_HZ, "eeg")
    onsets = np.arange(1.0, MINUTES * 60 - 2.0)
    names = np.where(np.arange(len(onsets)) % 2, "a", "b")
    count = max(round(size_gb / each_gb), 2)
    (folder / "noise").mkdir()
    for number in range(count):
        # New noise for each: a copy in disguise would be refused.
        noise = np.random.default_rng(number).standard_normal((N_CHANNELS, n_times)) * 1e-5
        raw = mne.io.RawArray(noise, info, verbose="ERROR")
        raw.set_annotations(mne.Annotations(onsets, 0.0, names))
        raw.save(folder / "noise" / f"run{number:04d}_raw.fif", fmt="single", verbose="ERROR")
    _write_entry(folder)
    return count * each_gb


def _write_entry(folder: Path) -> None:
    entry = {
        "name": "noise",
        "loader": {
            "_target_": "brain_decode.datasets.files.FilesDataset",
            "root": "${paths.data}/noise",
            "files": "*_raw.fif",
        },
        "subjects": None,
        "target": {"column": "trial_type", "task": "classification"},
        "window": {"start_s": 0.0, "stop_s": 1.0},
        "simulated": True,
        "licence": "CC0",
    }
    (folder / "datasets").mkdir()
    (folder / "datasets" / "noise.yaml").write_text(yaml.safe_dump(entry))
