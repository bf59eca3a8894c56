"""A column that names what was shown is found where nobody said so."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.stimulus_columns import unnamed_stimuli
from brain_decode.datasets.window_table import build_window_table
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors


def reason(**columns: list[object]) -> str:
    """What is said of two runs in which twelve things are shown once each, six of either label."""
    recordings = []
    for run in ("1", "2"):
        table = pd.DataFrame({"onset_s": np.arange(12.0) + 1, "duration_s": 0.0, "trial_type": ["face", "house"] * 6})
        samples = np.random.default_rng(0).normal(size=(1, 1500))
        made = Recording(
            Entities("01", run=run), Sensors(("Cz",), ("eeg",)), 100.0, table.assign(**columns), ArraySource(samples)
        )
        recordings.append(made)
    target = EventTarget()
    cut = build_window_table(recordings, dataset="d", target=target, start_s=0.0, stop_s=0.5)
    return unnamed_stimuli(recordings, cut.table, target.column)


def test_a_column_whose_values_come_again_with_one_label_each_is_named() -> None:
    assert reason(picture=[f"picture-{number}" for number in range(12)]) == (
        "event column 'picture' seems to name what was shown (12 values, each with one label, shown 2 times each), and "
        "showings of one thing are no independent evidence: say datasets.target.stimulus_column=picture"
    )


@pytest.mark.parametrize(
    "values",
    [
        [number % 2 for number in range(12)],
        [number // 2 for number in range(12)],
        [0.5 + number for number in range(12)],
        ["", *range(3), "", *range(3), "", *range(3)],
    ],
    ids=["a code of the label", "values with both labels", "measures", "values of few"],
)
def test_other_columns_name_nothing(values: list[object]) -> None:
    assert reason(other=values) == ""


def test_values_that_come_once_name_nothing() -> None:
    table = pd.DataFrame({"onset_s": np.arange(12.0) + 1, "duration_s": 0.0, "trial_type": ["face", "house"] * 6})
    table["picture"] = [f"picture-{number}" for number in range(12)]
    samples = np.random.default_rng(0).normal(size=(1, 1500))
    alone = [Recording(Entities("01"), Sensors(("Cz",), ("eeg",)), 100.0, table, ArraySource(samples))]
    cut = build_window_table(alone, dataset="d", target=EventTarget(), start_s=0.0, stop_s=0.5)
    assert unnamed_stimuli(alone, cut.table, "trial_type") == ""
