from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.base import EventTarget, Facts, check_facts
from brain_decode.datasets.window_table import build_window_table, sliding_window_table
from brain_decode.signals.recording import ArraySource, Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import WINDOW_COLUMNS


def recording(scale: float = 1e-5) -> Recording:
    events = pd.DataFrame(
        {
            "onset_s": [0.05, 1.0, 2.0, 3.0, 9.9],
            "duration_s": 0.0,
            "trial_type": ["cat", "cat", "dog", "pause", "dog"],
            "value": [1, 11, 2, 3, 2],
            "speed": ["1.5", "2.5", "slow", "", "4"],
        }
    )
    data = np.random.default_rng(0).normal(size=(2, 1000)) * scale
    return Recording(Entities("01"), Sensors(("A", "B"), ("eeg", "eeg")), 100.0, events, ArraySource(data))


def windows(target: EventTarget, start_s: float = -0.1, stop_s: float = 0.4):
    return build_window_table([recording()], dataset="d", target=target, start_s=start_s, stop_s=stop_s)


def test_events_outside_are_excluded_and_listed() -> None:
    made = windows(EventTarget())
    assert list(made.table.columns) == list(WINDOW_COLUMNS)
    assert made.table["event"].tolist() == [1, 2, 3] and made.table["start_s"].tolist() == [0.9, 1.9, 2.9]
    assert [entry["event"] for entry in made.exclusions] == [0, 4]
    assert "leaves the recording" in made.exclusions[0]["reason"]


def test_an_event_that_stands_twice_is_one_window() -> None:
    events = recording().events.iloc[[1, 1, 2]].assign(value=[1, 5, 2])
    made = build_window_table([recording().with_events(events)], dataset="d", target=EventTarget(), start_s=0, stop_s=1)
    assert made.table["event"].tolist() == [0, 2]
    assert [entry["event"] for entry in made.exclusions] == [1]
    assert made.exclusions[0]["reason"] == "the same event stands there twice"


def test_two_labels_at_one_moment_are_no_window() -> None:
    events = recording().events.iloc[[1, 1, 1, 2]].assign(trial_type=["cat", "dog", "cat", "dog"])
    made = build_window_table([recording().with_events(events)], dataset="d", target=EventTarget(), start_s=0, stop_s=1)
    assert made.table["event"].tolist() == [3]
    assert {entry["reason"] for entry in made.exclusions} == {"events of different labels stand at one moment"}


def test_classes_merge_values_and_ignore_the_rest() -> None:
    made = windows(EventTarget("value", {"cats": ["1", "11"], "dogs": "2"}))
    assert made.table["label"].tolist() == ["cats", "dogs"]


def test_a_class_nobody_has_is_named() -> None:
    with pytest.raises(ConfigError, match="Class 'c' stands for \\['cta'\\].*Did you mean 'cat'"):
        windows(EventTarget(classes={"c": "cta", "d": "dog"}))


def test_one_value_in_two_classes_is_refused() -> None:
    with pytest.raises(ConfigError, match="one class only"):
        EventTarget(classes={"a": ["x"], "b": ["x"]})


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'trial_type'"):
        windows(EventTarget("trial_typ"))


def test_regression_keeps_numbers_and_lists_the_rest() -> None:
    made = windows(EventTarget("speed", task="regression"))
    assert made.table["label"].tolist() == [2.5]
    assert [entry["reason"] for entry in made.exclusions if entry["event"] == 2] == ["the target value is no number"]


def test_no_events_is_one_clear_error() -> None:
    silent = recording().with_events(recording().events.iloc[:0])
    with pytest.raises(DataError, match="No event has a value in column 'trial_type'"):
        build_window_table([silent], dataset="d", target=EventTarget(), start_s=0, stop_s=1)


def test_a_window_without_samples_is_refused() -> None:
    with pytest.raises(ConfigError, match="at least one sample"):
        windows(EventTarget(), 0.5, 0.1)


def test_sliding_windows_fill_the_recording() -> None:
    table = sliding_window_table([recording()], dataset="d", length_s=4.0, step_s=2.0).table
    assert table["start_s"].tolist() == [0.0, 2.0, 4.0, 6.0] and set(table["event"]) == {-1}
    with pytest.raises(ConfigError, match="positive length"):
        sliding_window_table([recording()], dataset="d", length_s=4.0, step_s=0.0)


def test_facts_that_hold_pass_and_new_participants_warn() -> None:
    facts = Facts(channels=["A", "B"], rate_hz=100.0, unit="V", events=["cat", "dog", "pause"], subjects=["07"])
    assert "['01'] are not among" in check_facts(facts, [recording()])[0]


@pytest.mark.parametrize(
    ("facts", "scale", "message"),
    [
        (Facts(channels=["A"]), 1e-5, "expected channels \\['A'\\], received \\['A', 'B'\\]"),
        (Facts(channels=3), 1e-5, "expected number of channels 3, received 2"),
        (Facts(rate_hz=256.0), 1e-5, "expected sampling rate in Hz 256.0, received 100.0"),
        (Facts(unit="V"), 10.0, "expected samples in V.*received a spread of"),
        (Facts(events=["cat", "dog"]), 1e-5, "received \\['cat', 'dog', 'pause'\\]"),
    ],
)
def test_a_broken_fact_names_recording_expected_and_received(facts: Facts, scale: float, message: str) -> None:
    with pytest.raises(DataError, match=f"sub-01: .*{message}"):
        check_facts(facts, [recording(scale)])


def test_cut_trials_keep_their_onsets_and_times_relative_to_the_event() -> None:
    events = pd.DataFrame({"onset_s": [10.0, 11.0, np.nan], "duration_s": 0.0, "trial_type": ["cat", "dog", "cat"]})
    cut = Recording(
        Entities("01"),
        Sensors(("A",), ("eeg",)),
        100.0,
        events,
        TrialArraySource(np.zeros((3, 1, 500))),
        continuous=False,
        start_s=-1.0,
    )
    table = build_window_table([cut], dataset="d", target=EventTarget(), start_s=0.0, stop_s=2.0).table
    np.testing.assert_array_equal(table["onset_s"], [10.0, 11.0, np.nan])
    assert table["start_s"].tolist() == [0.0] * 3 and table["is_cut"].all()
    assert not windows(EventTarget()).table["is_cut"].any()
