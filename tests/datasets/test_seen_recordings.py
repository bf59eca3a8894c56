"""What weights remember of the recordings they were fitted on, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError, LeakageError
from brain_decode.datasets.fingerprint import Fingerprint, Match, fingerprint_of_signal, fingerprint_of_trials
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    read_seen,
    recordings_of,
    refuse_disguised_copies,
    refuse_known_subjects,
    saved_seen,
    vouched_pairs,
    without_fingerprint,
)
from brain_decode.datasets.vouching import how_to_vouch, vouched_for


def sketch_of(seed: int, gain: float = 1.0) -> Fingerprint:
    return fingerprint_of_signal(gain * np.random.default_rng(seed).standard_normal((4, 4000)), 100.0)


def seen(number: int, dataset: str = "faces", subject: str = "01", gain: float = 1.0) -> SeenRecording:
    return SeenRecording(dataset, subject, f"sub-{subject}_run-{number}", f"hash {number}", sketch_of(number, gain))


def test_recordings_are_those_that_rows_come_from() -> None:
    rows = pd.DataFrame({"recording": [2, 2, 0], "dataset": ["b", "b", "a"], "subject": ["02", "02", "01"]})
    found = recordings_of(rows, ["r0", "r1", "r2"], ["h0", "h1", "h2"], [Fingerprint(absent="why")] * 3)
    assert [(one.dataset, one.subject, one.label, one.content_hash) for one in found] == [
        ("a", "01", "r0", "h0"),
        ("b", "02", "r2", "h2"),
    ]


def test_what_was_seen_survives_json_once_for_each_content() -> None:
    recordings = [seen(0), seen(1), seen(0)]
    assert read_seen(json.loads(json.dumps(saved_seen(recordings)))) == recordings[:2]


def test_weights_of_an_older_release_remember_nothing() -> None:
    assert read_seen({"fitted_on": ["hash 0"]}) == []


def test_a_damaged_memory_is_one_clear_error() -> None:
    with pytest.raises(DataError, match="'fitted_recordings' of the saved weights is damaged"):
        read_seen({"fitted_recordings": {"hash 0": {"dataset": "faces"}}})


def test_a_copy_in_another_unit_is_refused_with_both_names_and_the_remedy() -> None:
    copy = SeenRecording("mine", "07", "sub-07", "other hash", sketch_of(1, gain=1e6))
    told = "fitted on 'faces sub-01_run-1', and 'mine sub-07' holds the same signal for 39 s, .* Choose others."
    with pytest.raises(LeakageError, match=told):
        refuse_disguised_copies([seen(0), seen(1)], [seen(2), copy], fitted="It was fitted", remedy="Choose others.")


def test_other_recordings_pass() -> None:
    refuse_disguised_copies([seen(0), seen(1)], [seen(2), seen(3)], fitted="It was fitted", remedy="")


def test_another_recording_of_a_person_that_was_met_is_refused() -> None:
    told = "leave_subject_out scores people as new, and the pretrained weights have met sub-01 of faces"
    with pytest.raises(LeakageError, match=told):
        refuse_known_subjects([seen(0)], [seen(1), seen(2, subject="02")], split="leave_subject_out")


def test_one_label_in_two_datasets_is_not_one_person() -> None:
    refuse_known_subjects([seen(0, dataset="faces")], [seen(1, dataset="words")], split="leave_subject_out")


def test_a_dataset_that_is_not_known_names_nobody() -> None:
    refuse_known_subjects([seen(0, dataset="")], [seen(1, dataset="")], split="leave_subject_out")


def test_recordings_without_fingerprint_are_told_with_the_reason() -> None:
    short = SeenRecording("faces", "01", "sub-01", "hash", Fingerprint(absent="it is shorter than 13 s"))
    assert without_fingerprint([seen(0), short]) == {"faces sub-01": "it is shorter than 13 s"}


def test_a_pair_that_somebody_vouches_for_passes_and_is_told_with_its_score() -> None:
    other = SeenRecording("mine", "07", "sub-07", "other hash", sketch_of(1, gain=1e6))
    vouched = vouched_for(["faces sub-01_run-1", "sub-07"], [seen(0).name, seen(1).name, other.name])
    refuse_disguised_copies([seen(0), seen(1)], [other], fitted="It was fitted", remedy="", vouched=vouched)
    (pair,) = vouched_pairs(vouched, [seen(0), seen(1)], [other])
    assert pair["recordings"] == ["faces sub-01_run-1", "mine sub-07"]
    assert pair["score"] > 7 and pair["agreement"] > 0.95


def test_vouching_for_one_pair_leaves_others_refused() -> None:
    copies = [SeenRecording("mine", "07", f"sub-07_run-{number}", f"x{number}", sketch_of(1, 2.0)) for number in (1, 2)]
    vouched = vouched_for(["faces sub-01_run-1", "sub-07_run-1"], [seen(1).name, *(one.name for one in copies)])
    with pytest.raises(LeakageError, match="'mine sub-07_run-2' holds the same signal"):
        refuse_disguised_copies([seen(1)], copies, fitted="It was fitted", remedy="", vouched=vouched)


def trials_of(seed: int, gain: float = 1.0) -> Fingerprint:
    return fingerprint_of_trials([gain * np.random.default_rng(seed).standard_normal((60, 4, 100))], 100.0)


def test_exact_copies_of_trials_are_never_vouched_for() -> None:
    one = SeenRecording("faces", "01", "sub-01", "a", trials_of(0))
    other = SeenRecording("faces", "02", "sub-02", "b", trials_of(0, gain=2.0))
    vouched = vouched_for(["sub-01", "sub-02"], [one.name, other.name])
    told = "holds the same signal in 60 trials, which stand in both value by value, but for unit and offset. A score"
    with pytest.raises(LeakageError, match=told) as raised:
        refuse_disguised_copies([one], [other], fitted="It was fitted", remedy="Choose others.", vouched=vouched)
    assert str(raised.value).endswith("Choose others.")
    assert vouched_pairs(vouched, [one], [other]) == []


def test_recordings_of_one_content_are_not_among_those_vouched_for() -> None:
    vouched = vouched_for(["faces sub-01_run-1"], [seen(1).name])
    assert vouched_pairs(vouched, [seen(1)], [seen(1)]) == []


def test_what_to_type_names_both_and_can_be_read_by_a_shell() -> None:
    match = Match(100, 0, 0.9)
    assert how_to_vouch("b sub-02", "a sub-01", match).endswith("'distinct_recordings=[a sub-01,b sub-02]'")
    assert how_to_vouch("a x (1)", "a x (1)", match).endswith("""'distinct_recordings=["a x (1)"]'""")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["sub-3"],
            r"names 'sub-3', and there is no such recording.*There are a sub-01, a sub-02, b sub-01. Write names",
        ),
        (["sub-01"], "names 'sub-01', which could be a sub-01, b sub-01. Write the dataset before it"),
        (
            "sub-02",
            r"distinct_recordings is a list of recordings, got 'sub-02'. Write distinct_recordings=\[sub-02,OTHER",
        ),
    ],
)
def test_names_that_say_nothing_are_one_clear_error(words: object, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        vouched_for(words, ["a sub-01", "a sub-02", "b sub-01"])
