"""Repetitions are grouped by what was shown to whom, and averaged exactly."""

from __future__ import annotations

import numpy as np
import pandas as pd

from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows
from brain_decode.training.trials import describe_classes, repetition_groups


def shown(*pairs: tuple[str, str]) -> pd.DataFrame:
    """One row per (subject, stimulus)."""
    return pd.DataFrame([{"dataset": "d", "subject": subject, "stimulus": stimulus} for subject, stimulus in pairs])


TABLE = shown(("01", "cat"), ("01", "dog"), ("02", "cat"), ("01", "cat"), ("01", "dog"), ("01", "cat"))


def test_one_group_per_subject_and_stimulus_in_order_of_appearance() -> None:
    groups = repetition_groups(TABLE, np.arange(6))
    assert groups.rows.tolist() == [0, 3, 5, 1, 4, 2]
    assert groups.sizes.tolist() == [3, 2, 1]


def test_only_the_first_repetitions_are_kept_where_a_number_is_given() -> None:
    groups = repetition_groups(TABLE, np.arange(6), at_most=2)
    assert groups.rows.tolist() == [0, 3, 1, 4, 2]
    assert groups.sizes.tolist() == [2, 2, 1]


def test_groups_are_made_of_the_given_rows_only() -> None:
    assert repetition_groups(TABLE, np.array([2, 5, 3])).rows.tolist() == [2, 5, 3]


def test_members_keep_whole_groups() -> None:
    members = repetition_groups(TABLE, np.arange(6)).members(np.array([2, 0]))
    assert members.rows.tolist() == [2, 0, 3, 5]
    assert members.sizes.tolist() == [1, 3]


def test_the_average_is_the_mean_of_the_repetitions() -> None:
    groups = repetition_groups(TABLE, np.arange(6))
    data = np.arange(6, dtype=np.float32)[groups.rows][:, None, None] * np.ones((1, 2, 3), np.float32)
    windows = Windows(data, 100.0, 0.0, Sensors(("a", "b"), ("eeg", "eeg")), TABLE.iloc[groups.rows])
    averaged = groups.average(windows)
    np.testing.assert_allclose(averaged.data[:, 0, 0], [8 / 3, 2.5, 2.0], rtol=1e-6)
    assert averaged.table["n_repetitions"].tolist() == [3, 2, 1]
    assert averaged.table["stimulus"].tolist() == ["cat", "dog", "cat"]


def test_no_rows_give_no_groups() -> None:
    assert len(repetition_groups(TABLE, np.zeros(0, dtype=int))) == 0


def test_classes_without_a_map_stand_for_themselves() -> None:
    assert describe_classes(None, ("face", "house")) == {"face": ["face"], "house": ["house"]}


def test_a_class_may_stand_for_several_event_values() -> None:
    mapped = describe_classes({"classes": {"fist": ["T1", "T2"], "rest": "T0"}}, ("fist", "rest"))
    assert mapped == {"fist": ["T1", "T2"], "rest": ["T0"]}
