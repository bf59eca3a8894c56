from __future__ import annotations

import numpy as np
import pytest

from brain_decode.datasets.trigger_matching import Disorder, find_disorder, match_in_order

ORDER = np.random.default_rng(0).permutation(500)


def test_triggers_that_are_all_there_match_one_by_one() -> None:
    assert match_in_order(ORDER, ORDER).tolist() == list(range(500))


def test_dropped_trials_are_passed_over() -> None:
    kept = np.delete(np.arange(500), [0, 17, 18, 499])
    assert match_in_order(ORDER, ORDER[kept]).tolist() == kept.tolist()


def test_repeated_stimuli_are_matched_in_order() -> None:
    assert match_in_order([1, 2, 1, 3, 1], [1, 1, 1]).tolist() == [0, 2, 4]
    assert match_in_order([1, 2, 1, 3, 1], [1, 3, 3]) is None


def test_no_triggers_match_nothing() -> None:
    assert match_in_order(ORDER, []).tolist() == []


def moved(row: int, to: int) -> np.ndarray:
    rest = np.delete(ORDER, row)
    return np.insert(rest, to, ORDER[row])


@pytest.mark.parametrize(("row", "to"), [(62, 60), (61, 60), (499, 495)])
def test_a_swap_is_found_where_it_happened(row: int, to: int) -> None:
    triggers = moved(row, to)
    assert match_in_order(ORDER, triggers) is None
    assert find_disorder(ORDER, triggers) == Disorder(to, to, row)


def test_a_swap_is_found_where_stimuli_repeat_later() -> None:
    order = np.concatenate([ORDER, ORDER])
    triggers = np.concatenate([np.delete(moved(62, 60), 100), ORDER])[:-1]
    assert find_disorder(order, np.append(triggers, 10**6)).trigger == 60


def test_a_gap_is_no_swap() -> None:
    triggers = np.append(np.delete(ORDER, [5, 6, 7]), -1)
    assert find_disorder(ORDER, triggers) == Disorder(497, 500, None)


def test_a_trigger_that_came_before_is_found_there() -> None:
    triggers = np.insert(ORDER, 10, ORDER[3])
    assert find_disorder(ORDER, triggers) == Disorder(10, 10, 3)
