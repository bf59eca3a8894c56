"""Fixtures shared by all tests: where outside data is, and a skip with a reason where it is not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # a worker for each core: before numpy reads it
    os.environ.setdefault("OMP_NUM_THREADS", "1")

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


@pytest.fixture(scope="session")
def atm_weights() -> Callable[..., dict[str, Any]]:
    """Make weights of a small ATM-S under its authors' names."""
    return _atm_weights


def _atm_weights(n_channels: int, n_times: int, n_subjects: int = 2, *, joint: bool = False) -> dict[str, Any]:
    """Weights of one layer, 6 filters and a projector of 7 values, uniform in [0, 1)."""
    import torch

    dim, width, heads = n_times, n_times // 4 * 4, 6
    layer, place = "encoder.encoder.attn_layers.0", "encoder.enc_embedding"
    shapes = {
        f"{place}.mask_token": (1, dim),
        f"{place}.subject_embedding.subject_embedding.weight": (n_subjects, dim),
        f"{place}.subject_embedding.shared_embedding": (1, dim),
        f"{layer}.attention.out_projection.weight": (dim, width),
        f"{layer}.attention.out_projection.bias": (dim,),
        f"{layer}.conv1.weight": (16, dim, 1),
        f"{layer}.conv1.bias": (16,),
        f"{layer}.conv2.weight": (dim, 16, 1),
        f"{layer}.conv2.bias": (dim,),
        "enc_eeg.0.tsconv.0.weight": (heads, 1, 1, 25),
        "enc_eeg.0.tsconv.0.bias": (heads,),
        "enc_eeg.0.tsconv.4.weight": (heads, heads, n_channels, 1),
        "enc_eeg.0.tsconv.4.bias": (heads,),
        "enc_eeg.0.projection.0.weight": (heads, heads, 1, 1),
        "enc_eeg.0.projection.0.bias": (heads,),
        "proj_eeg.0.weight": (7, ((n_times - 75) // 5 + 1) * heads),
        "proj_eeg.1.fn.1.weight": (7, 7),
        **{f"proj_eeg.{name}": (7,) for name in ("0.bias", "1.fn.1.bias", "2.weight", "2.bias")},
        "logit_scale": (),
    }
    for name in ("query", "key", "value"):
        shapes |= {f"{layer}.attention.{name}_projection.weight": (width, dim)}
        shapes |= {f"{layer}.attention.{name}_projection.bias": (width,)}
    for norm in (f"{layer}.norm1", f"{layer}.norm2", "encoder.encoder.norm"):
        shapes |= {f"{norm}.weight": (dim,), f"{norm}.bias": (dim,)}
    for norm in ("enc_eeg.0.tsconv.2", "enc_eeg.0.tsconv.5"):
        shapes |= {f"{norm}.{part}": (heads,) for part in ("weight", "bias", "running_mean", "running_var")}
    for row in [f".{row}" for row in range(n_subjects)] if joint else [""]:
        shapes |= {f"{place}.value_embedding{row}.weight": (dim, dim), f"{place}.value_embedding{row}.bias": (dim,)}
    generator = torch.Generator().manual_seed(3)
    return {name: torch.rand(shape, generator=generator) for name, shape in shapes.items()}
