"""The authors' BrainOmni as it was run once, and how to compare with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

Vectors = dict[str, torch.Tensor]
Close = Callable[..., None]


@pytest.fixture(scope="module")
def brainomni_folder(reference_folder: Path) -> Path:
    """The authors' weights, inputs and outputs."""
    place = reference_folder / "brainomni"
    if not place.is_dir():
        pytest.skip("no parity vectors of brainomni")
    return place


@pytest.fixture(scope="module")
def brainomni(brainomni_folder: Path) -> Vectors:
    """Inputs and outputs of the authors' model."""
    return load_file(brainomni_folder / "io.safetensors")


@pytest.fixture(scope="module")
def brainomni_config(brainomni_folder: Path) -> dict[str, Any]:
    """Sizes of the authors' model."""
    return json.loads((brainomni_folder / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def close() -> Close:
    """Compare with a vector; with its first item where only that is stored, not at all where it is absent."""
    return _close


def _close(actual: torch.Tensor, vectors: Vectors, name: str, *, atol: float = 1e-4, rtol: float = 1e-4) -> None:
    if name in vectors:
        expected = vectors[name]
    elif f"{name}.item0" in vectors:
        expected, actual = vectors[f"{name}.item0"], actual[:1]
    else:
        return
    torch.testing.assert_close(actual.detach().reshape(expected.shape), expected, atol=atol, rtol=rtol)
