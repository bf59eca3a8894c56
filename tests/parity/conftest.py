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
Needed = Callable[..., list[torch.Tensor]]


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
def needed() -> Needed:
    """Return vectors that a test starts from, or skip it."""
    return _needed


@pytest.fixture(scope="module")
def close() -> Close:
    """Compare with a vector; with its first item where only that is stored, not at all where it is absent."""
    return _close


@pytest.fixture(scope="module")
def same() -> Close:
    """Compare codes, which are to be equal; absent vectors as for `close`."""
    return _same


def _close(actual: torch.Tensor, vectors: Vectors, name: str, *, atol: float = 1e-4, rtol: float = 1e-4) -> None:
    for own, expected in _pairs(actual, vectors, name):
        torch.testing.assert_close(own, expected, atol=atol, rtol=rtol)


def _same(actual: torch.Tensor, vectors: Vectors, name: str) -> None:
    for own, expected in _pairs(actual, vectors, name):
        assert torch.equal(own, expected), f"{int((own != expected).sum())} of {own.numel()} codes of {name} differ"


def _pairs(actual: torch.Tensor, vectors: Vectors, name: str) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return what is to be compared; items of the batch come first in every tensor, also in flattened ones."""
    if name in vectors:
        return [(actual.detach().reshape(vectors[name].shape), vectors[name])]
    if f"{name}.item0" in vectors:
        n_items = len(vectors["in.signal"]) if "in.signal" in vectors else len(actual)
        first, expected = actual.detach().reshape(n_items, -1)[0], vectors[f"{name}.item0"]
        return [(first.reshape(expected.shape), expected)]
    return []


def _needed(vectors: Vectors, *names: str) -> list[torch.Tensor]:
    lacking = [name for name in names if name not in vectors]
    if lacking:
        pytest.skip(f"the parity vectors lack {', '.join(lacking)}")
    return [vectors[name] for name in names]
