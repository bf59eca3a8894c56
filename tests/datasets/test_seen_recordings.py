"""What weights remember of the recordings they were fitted on, and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, LeakageError
from brain_decode.datasets.fingerprint import Fingerprint, fingerprint_of_signal
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    read_seen,
    recordings_of,
    refuse_disguised_copies,
    refuse_known_subjects,
    saved_seen,
    without_fingerprint,
)


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
