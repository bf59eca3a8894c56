"""Fixtures shared by all tests: where outside data is, and a skip with a reason where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

REPOSITORY = Path(__file__).resolve().parent.parent


def _outside_folder(variable: str, default: str) -> Path:
    folder = Path(os.environ.get(variable, default))
    return folder if folder.is_absolute() else REPOSITORY / folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout the tests run from."""
    return REPOSITORY


@pytest.fixture(scope="session")
def reference_folder() -> Path:
    """Parity vectors of the authors' models."""
    folder = _outside_folder("BRAIN_DECODE_REFERENCE", "../shared/reference")
    if not folder.is_dir():
        pytest.skip("no parity vectors: set BRAIN_DECODE_REFERENCE to their folder")
    return folder


@pytest.fixture(scope="session")
def real_data_folder() -> Path:
    """Real recordings."""
    folder = _outside_folder("BRAIN_DECODE_REAL_DATA", "../shared/real_data")
    if not folder.is_dir():
        pytest.skip("no real recordings: set BRAIN_DECODE_REAL_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def write_taps() -> Callable[..., None]:
    """Write, below a folder, the small dataset `taps` (data/) and the catalogue that describes it (catalogue/)."""
    return _write_taps


def _write_taps(folder: Path, seed: int = 0) -> None:
    """Cut trials of two classes in an npz file, and the entry that describes them."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(100) % 2)
    trials = rng.standard_normal((100, 4, 50))
    trials[labels == 1, 1, 20:30] += 1.0
    (folder / "data").mkdir()
    np.savez(folder / "data" / "taps.npz", x=trials, y=np.array(["left", "right"])[labels])
    entry = {
        "name": "taps",
        "loader": {
            "_target_": "brain_decode.datasets.arrays.ArrayDataset",
            "root": "${paths.data}",
            "file": "taps.npz",
            "data": "x",
            "axes": ["trial", "channel", "time"],
            "unit": "V",
            "rate_hz": 100.0,
            "columns": {"hand": "y"},
        },
        "subjects": None,
        "target": {"column": "hand", "task": "classification"},
        "window": {"start_s": 0.0, "stop_s": 0.5},
        "simulated": True,
        "licence": "CC0",
    }
    (folder / "catalogue" / "datasets").mkdir(parents=True)
    (folder / "catalogue" / "datasets" / "taps.yaml").write_text(yaml.safe_dump(entry))
