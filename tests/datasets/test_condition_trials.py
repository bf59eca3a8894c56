"""Trials counted along the leading axes of an array, and the times stored beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.datasets.condition_trials import ConditionTrials, trial_times

ARRAY = np.arange(2 * 3 * 4 * 5 * 6, dtype=np.float32).reshape(2, 3, 4, 5, 6)
PATH = Path("preprocessed.npy")


@pytest.mark.parametrize("order", ["C", "F"])
def test_repetitions_count_fastest_whatever_the_order_in_memory(order: str) -> None:
    trials = ConditionTrials(np.asarray(ARRAY, order=order))
    assert (trials.n_trials, trials.n_times) == (24, 6)
    read = trials.read_trials([0, 1, 4, 23])
    assert read.dtype == np.float64
    np.testing.assert_array_equal(read, [ARRAY[0, 0, 0], ARRAY[0, 0, 1], ARRAY[0, 1, 0], ARRAY[1, 2, 3]])


def test_numbers_are_scaled_where_they_are_read() -> None:
    np.testing.assert_array_equal(ConditionTrials(ARRAY, 0.5).read_trials([3])[0], ARRAY[0, 0, 3] / 2)


def test_a_trial_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="out of bounds"):
        ConditionTrials(ARRAY).read_trials([24])


def test_published_times_give_rate_and_onset() -> None:
    times = trial_times(np.arange(300) / 250 - 0.2, 250, PATH)
    assert (times.start_s, times.rate_hz) == (0.0, 250.0)
    assert times.notes == ("the first 50 of its 300 times, before the event, have no samples",)


def test_times_that_fit_are_taken_as_they_are() -> None:
    times = trial_times(np.round(np.arange(100) / 100 - 0.2, 3), 100, PATH)
    assert (times.start_s, times.rate_hz, times.notes) == (-0.2, 100.0, ())


def test_a_rate_that_is_no_whole_number_is_kept() -> None:
    assert trial_times(np.arange(100) / 99.5, 100, PATH).rate_hz == pytest.approx(99.5)


@pytest.mark.parametrize("n_times", [251, 249, 299, 301, 200])
def test_no_other_disagreement_is_repaired(n_times: int) -> None:
    with pytest.raises(DataError, match=rf"300 entries from -0\.2 to 0\.996 s, but the data have {n_times} samples"):
        trial_times(np.arange(300) / 250 - 0.2, n_times, PATH)


@pytest.mark.parametrize("stored", [[], [0.0], [0.1, 0.0], [0.0, np.nan], [0.0, 0.1, 0.4], None])
def test_times_that_are_none_are_refused(stored: object) -> None:
    with pytest.raises(DataError, match=r"preprocessed\.npy: `times`"):
        trial_times(stored, 2, PATH)
