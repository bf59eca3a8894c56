"""Fixtures shared by all tests: where outside data is, and a skip with a reason where it is not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
