"""The test part stays shut until somebody says why."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from brain_decode.core.errors import LeakageError
from brain_decode.datasets.sealed import SealedTest, collect_openings, seal
from brain_decode.datasets.splits import Fold


def test_opening_returns_the_rows_and_records_time_fold_and_reason() -> None:
    sealed = SealedTest("run-1", np.array([4, 7]))
    assert sealed.open("final score").tolist() == [4, 7]
    (opening,) = sealed.openings
    assert opening["fold"] == "run-1" and opening["reason"] == "final score"
    assert datetime.fromisoformat(opening["time"]).utcoffset() == timedelta(0)


def test_a_second_opening_is_recorded_too() -> None:
    sealed = SealedTest("run-1", np.array([4]))
    sealed.open("first")
    sealed.open("second")
    assert [opening["reason"] for opening in sealed.openings] == ["first", "second"]


def test_an_opening_without_a_reason_is_refused() -> None:
    with pytest.raises(LeakageError, match="'run-1' needs a reason"):
        SealedTest("run-1", np.array([4])).open(" ")


def test_sealed_rows_cannot_be_indexed_iterated_or_converted() -> None:
    sealed = SealedTest("run-1", np.array([4]))
    table = np.arange(10)
    for read in (lambda: table[sealed], lambda: sealed[0], lambda: list(sealed), lambda: np.asarray(sealed)):
        with pytest.raises(LeakageError, match=r"'run-1' is read with open\(reason\)"):
            read()
    assert sealed.openings == []


def test_selections_that_hold_sealed_rows_are_refused_until_opened() -> None:
    sealed = SealedTest("run-1", np.array([4, 7]))
    sealed.refuse(np.array([0, 1]))
    with pytest.raises(LeakageError, match="Row 4 and 1 more belong to the sealed test part of fold 'run-1'"):
        sealed.refuse(np.array([1, 4, 7]))
    sealed.open("score")
    sealed.refuse(np.array([4]))


def test_a_sealed_fold_keeps_training_rows_open_and_gathers_openings() -> None:
    folds = [seal(Fold(name, np.array([0, 1]), np.array([2]))) for name in ("a", "b")]
    assert folds[0].train.tolist() == [0, 1] and len(folds[0].test) == 1
    folds[1].test.open("score")
    folds[0].test.open("score")
    assert {opening["fold"] for opening in collect_openings(folds)} == {"a", "b"}


def test_changing_what_was_opened_changes_nothing() -> None:
    sealed = SealedTest("a", np.array([2]))
    sealed.open("score")[0] = 99
    assert sealed.open("again").tolist() == [2]
