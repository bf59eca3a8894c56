"""Studies small enough to be simulated in a second."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from brain_decode.simulation.settings import StudySettings

SMALL = {
    "n_sessions": 1,
    "n_runs": 1,
    "n_train_concepts": 16,
    "n_exemplars": 2,
    "n_test_concepts": 6,
    "test_repetitions": 3,
    "n_electrodes": 16,
    "n_coils": 20,
    "rate_hz": 100.0,
    "n_features": 8,
}


@pytest.fixture
def small() -> Callable[..., StudySettings]:
    """Return settings of a small study with some values replaced."""

    def build(**changes: object) -> StudySettings:
        return StudySettings.from_config(SMALL | changes)

    return build
