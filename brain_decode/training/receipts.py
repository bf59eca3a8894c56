"""What a run was made with: enough to run it again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from brain_decode.datasets.licences import accepted_licences

__all__ = ["environment", "git_commit", "plain", "receipt_of", "split_hash", "versions"]

_PACKAGES = (
    "brain_decode",
    "torch",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "mne",
    "nibabel",
    "pyriemann",
    "lightning",
)


def receipt_of(
    command: str,
    *,
    config: DictConfig,
    seed: int,
    started: datetime,
    data: Mapping[str, Any],
    folds_hash: str = "",
    openings: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the receipt of a run as plain values.

    Args:
        command: The command's name.
        config: Composed configuration; `config.yaml` beside the receipt holds it.
        seed: The run's seed.
        started: UTC.
        data: Datasets with the content hash of each recording.
        folds_hash: `split_hash` of the folds.
        openings: When each test part was opened, and why.
    """
    return {
        "command": command,
        "config_sha256": hashlib.sha256(OmegaConf.to_yaml(config, resolve=True).encode()).hexdigest(),
        "created": started.isoformat(timespec="seconds"),
        "duration_s": round((datetime.now(UTC) - started).total_seconds(), 3),
        "seed": seed,
        **environment(),
        "data": dict(data),
        "licences_accepted": accepted_licences(OmegaConf.to_container(config, resolve=True)),  # type: ignore[arg-type]
        "split_hash": folds_hash,
        "test_openings": [dict(opening) for opening in openings],
        "peak_memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def environment() -> dict[str, Any]:
    """Return what a machine adds to the numbers: versions, commit, processor, threads."""
    return {
        "versions": versions(),
        "git_commit": git_commit(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
        },
    }


def split_hash(predictions: pd.DataFrame) -> str:
    """Return a hash of which window was tested in which fold."""
    columns = ["fold", "dataset", "subject", "session", "task", "run", "event"]
    assigned = predictions[columns].astype(str).drop_duplicates()
    lines = "\n".join("|".join(row) for row in sorted(map(tuple, assigned.to_numpy())))
    return hashlib.sha256(lines.encode()).hexdigest()


def versions() -> dict[str, str]:
    """Return the version of Python and of each package that numbers depend on."""
    found = {"python": sys.version.split()[0]}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_commit() -> str | None:
    """Return the commit of the checkout this code runs from, None for an installed wheel."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "rev-parse", "HEAD"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def plain(value: Any) -> Any:
    """Return numpy scalars and arrays as plain Python values, NaN as None, so that JSON stays valid."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
