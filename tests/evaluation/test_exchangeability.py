"""Labels are exchanged only as the design allows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.evaluation.exchangeability import Exchange, Rotation, RunSwap, label_exchange, persistent_blocks
from brain_decode.evaluation.unavailable import Unavailable


def table_of(runs: Any, **columns: Any) -> pd.DataFrame:
    n, times = len(runs), np.arange(len(runs), dtype=float)
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "session": "", "task": "", "run": runs, "recording": 0})
    return frame.assign(event=np.arange(n), onset_s=times, start_s=times, stop_s=times + 0.5, **columns)


def permuted(exchange: Exchange | Unavailable, labels: np.ndarray, count: int = 200) -> np.ndarray:
    assert isinstance(exchange, Exchange)
    return labels[exchange.positions(count, np.random.default_rng(0))]


def random_labels(n: int, n_classes: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(n) % n_classes)


def test_trials_stay_within_their_run() -> None:
    runs = np.repeat(["1", "2", "3"], [20, 30, 10])
    labels = np.concatenate([random_labels(n, seed=n) for n in (20, 30, 10)])
    exchange = label_exchange(table_of(runs), labels)
    assert isinstance(exchange, Exchange) and exchange.method == "trials within runs"
    for draw in permuted(exchange, labels):
        assert all(draw[runs == run].sum() == labels[runs == run].sum() for run in "123")


def test_windows_of_one_trial_keep_one_label() -> None:
    table, labels = table_of(np.repeat("1", 60)), np.repeat(random_labels(20), 3)
    table["event"] = np.repeat(np.arange(20), 3)
    for draw in permuted(label_exchange(table, labels), labels):
        assert (draw.reshape(20, 3) == draw.reshape(20, 3)[:, :1]).all()


def test_blocks_of_labels_are_dealt_out_whole() -> None:
    order = np.random.default_rng(1).permutation(np.tile([0, 1], 8))
    labels, table = np.repeat(order, 10), table_of(np.repeat(np.arange(8), 20))
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "whole blocks of trials within runs"
    for draw in permuted(exchange, labels):
        assert (draw.reshape(16, 10) == draw.reshape(16, 10)[:, :1]).all()


def test_blocks_of_uneven_length_are_rotated() -> None:
    labels = np.repeat(np.arange(12) % 2, [7, 11, 5, 9, 13, 6, 8, 10, 7, 9, 12, 5])
    exchange = label_exchange(table_of(np.zeros(len(labels), dtype=int)), labels)
    assert isinstance(exchange, Exchange) and exchange.method == "rotations of the labels within runs"
    rotations = {tuple(np.roll(labels, -shift)) for shift in range(len(labels))}
    assert {tuple(draw) for draw in permuted(exchange, labels)} <= rotations


def test_values_that_drift_are_rotated() -> None:
    values = np.sin(np.arange(200) / 5.0) + 0.1 * np.random.default_rng(0).normal(size=200)
    exchange = label_exchange(table_of(np.zeros(200, dtype=int)), values)
    assert isinstance(exchange, Rotation)


def test_two_halves_of_a_recording_have_no_valid_null() -> None:
    exchange = label_exchange(table_of(np.zeros(100, dtype=int)), np.repeat([0, 1], 50))
    reason = "the design allows only 2 labellings (whole blocks of trials within runs); it takes 20 for p = 0.05"
    assert exchange == Unavailable(reason, is_confounded=True)
    uneven = label_exchange(table_of(np.zeros(100, dtype=int)), np.repeat([0, 1, 0], [50, 33, 17]))
    assert isinstance(uneven, Unavailable) and "3 stretches of uneven length over 1 run" in uneven.reason


def test_runs_of_one_label_are_exchanged_whole_within_the_subject() -> None:
    runs, labels = np.repeat(np.arange(8), 10), np.repeat(random_labels(8), 10)
    exchange = label_exchange(table_of(runs), labels)
    assert isinstance(exchange, Exchange) and exchange.method == "whole runs within subjects"
    assert exchange.n_arrangements == 70


def test_people_of_one_label_are_exchanged_whole() -> None:
    people, labels = np.repeat(np.arange(10), 8), np.repeat(random_labels(10), 8)
    table = table_of(np.tile(np.repeat([1, 2], 4), 10)).assign(subject=people.astype(str))
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and (exchange.method, exchange.n_arrangements) == ("whole subjects", 252)


def shown_again(seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    stimuli = np.concatenate([rng.permutation(20) for _ in range(8)])
    names = np.array([f"picture-{number:02d}" for number in stimuli])
    return table_of(np.repeat(np.arange(8), 20), stimulus=names), random_labels(20, seed=3)[stimuli]


def test_stimuli_that_are_shown_again_keep_one_label() -> None:
    table, labels = shown_again()
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "whole stimuli shown in the same runs"
    for draw in permuted(exchange, labels):
        assert (pd.Series(draw).groupby(table["stimulus"].to_numpy()).nunique() == 1).all()


def test_a_class_that_is_one_stimulus_is_exchanged_by_trial() -> None:
    labels = np.concatenate([random_labels(20, seed=run) for run in range(4)])
    table = table_of(np.repeat(np.arange(4), 20), stimulus=np.array(["left", "right"])[labels])
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "trials within runs"


def test_one_label_has_no_null() -> None:
    assert label_exchange(table_of(np.zeros(10, dtype=int)), np.zeros(10, dtype=int)) == Unavailable(
        "all windows have one label"
    )


@pytest.mark.parametrize("seed", range(3))
def test_labels_in_random_order_are_in_no_block(seed: int) -> None:
    assert persistent_blocks(table_of(np.repeat(np.arange(4), 25)), random_labels(100, seed=seed)) is None


def test_blocks_are_numbered_in_order_of_time() -> None:
    labels = np.repeat([0, 1, 0, 1, 1, 0], 10)
    blocks = persistent_blocks(table_of(np.repeat([0, 1], 30)), labels)
    assert blocks is not None and blocks.tolist() == np.repeat([0, 1, 2, 3, 3, 4], 10).tolist()


def test_runs_of_one_order_are_dealt_out_together() -> None:
    labels, table = np.tile(random_labels(20, seed=1), 8), table_of(np.repeat(np.arange(8), 20))
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "trials within runs, alike in all of one order"
    for draw in permuted(exchange, labels):
        assert (draw.reshape(8, 20) == draw[:20]).all()


def test_one_order_that_is_two_blocks_has_no_valid_null() -> None:
    exchange = label_exchange(table_of(np.repeat(np.arange(8), 20)), np.tile(np.repeat([0, 1], 10), 8))
    assert exchange == Unavailable(
        "the design allows only 2 labellings (whole blocks of trials within runs, alike in all of one order); it takes "
        "20 for p = 0.05",
        is_confounded=True,
    )


def test_short_runs_may_have_one_order_by_chance() -> None:
    labels = np.concatenate([random_labels(2, seed=seed) for seed in range(40)])
    exchange = label_exchange(table_of(np.repeat(np.arange(40), 2)), labels)
    assert isinstance(exchange, Exchange) and exchange.method == "trials within runs"


def test_sessions_of_one_label_are_exchanged_whole() -> None:
    sessions, labels = np.repeat(np.arange(8), 30), np.repeat(random_labels(8, seed=2), 30)
    table = table_of(np.tile(np.repeat([1, 2, 3], 10), 8)).assign(session=sessions.astype(str))
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange)
    assert (exchange.method, exchange.n_arrangements) == ("whole sessions within subjects", 70)


def test_two_sessions_of_one_label_each_have_no_valid_null() -> None:
    table = table_of(np.tile(np.repeat(np.arange(6), 20), 2)).assign(session=np.repeat(["pre", "post"], 120))
    assert label_exchange(table, np.repeat([0, 1], 120)) == Unavailable(
        "the design allows only 2 labellings (whole sessions within subjects); it takes 20 for p = 0.05",
        is_confounded=True,
    )


def test_two_datasets_of_one_label_each_have_no_valid_null() -> None:
    table = table_of(np.tile([1, 1, 2, 2], 30)).assign(
        subject=np.repeat(np.arange(12), 10).astype(str), dataset=np.repeat(["here", "there"], 60)
    )
    exchange = label_exchange(table, np.repeat([0, 1], 60))
    assert isinstance(exchange, Unavailable) and "only 2 labellings (whole datasets)" in exchange.reason


def test_runs_whose_labels_are_sorted_in_time_are_not_dealt_out() -> None:
    runs = np.repeat(np.arange(1, 13), 10)  # run 10 comes after run 9, not after run 1
    exchange = label_exchange(table_of(runs.astype(str)), (runs > 6).astype(int))
    assert isinstance(exchange, Unavailable) and "only 2 labellings" in exchange.reason


def test_an_order_of_conditions_that_all_subjects_share_is_dealt_out_once() -> None:
    runs = np.tile(np.repeat([1, 2], 10), 8)
    table = table_of(runs).assign(subject=np.repeat(np.arange(8), 20).astype(str))
    exchange = label_exchange(table, runs)
    assert isinstance(exchange, Unavailable)
    assert "2 labellings (whole runs within subjects, alike in all of one order)" in exchange.reason


def becoming_rarer(n_runs: int, n_trials: int = 20) -> np.ndarray:
    rng, share = np.random.default_rng(0), np.linspace(0.95, 0.05, n_trials)
    return np.concatenate([(rng.random(n_trials) < share).astype(int) for _ in range(n_runs)])


def test_labels_that_become_rarer_are_exchanged_as_whole_sequences() -> None:
    labels = becoming_rarer(8)
    exchange = label_exchange(table_of(np.repeat(np.arange(8), 20)), labels)
    assert isinstance(exchange, RunSwap) and exchange.method == "whole sequences of labels between runs"
    orders = sorted(map(tuple, labels.reshape(8, 20)))
    for draw in permuted(exchange, labels):
        assert sorted(map(tuple, draw.reshape(8, 20))) == orders


def test_labels_that_become_rarer_in_few_runs_have_no_valid_null() -> None:
    exchange = label_exchange(table_of(np.zeros(100, dtype=int)), becoming_rarer(1, 100))
    assert isinstance(exchange, Unavailable)
    assert exchange.reason == (
        "labels become more or less frequent over the runs, and 1 different orders are too few to be exchanged as "
        "wholes"
    )


@pytest.mark.parametrize("slip", ["no name", "other label"])
def test_one_slip_among_stimuli_does_not_make_them_trials(slip: str) -> None:
    table, labels = shown_again()
    if slip == "no name":
        table.loc[3, "stimulus"] = ""
    else:
        labels[3] = 1 - labels[3]
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "whole stimuli shown in the same runs"
    others = np.arange(len(table)) != 3
    for draw in permuted(exchange, labels):
        assert (pd.Series(draw[others]).groupby(table["stimulus"][others].to_numpy()).nunique() == 1).all()


def test_labels_that_go_with_stimuli_half_of_the_time_have_no_valid_null() -> None:
    table, labels = shown_again()
    slips = np.random.default_rng(5).random(len(labels)) < 0.3
    exchange = label_exchange(table, np.where(slips, 1 - labels, labels))
    assert isinstance(exchange, Unavailable) and exchange.reason.startswith("labels go with stimuli, and only ")


def test_labels_that_have_nothing_to_do_with_the_stimuli_are_exchanged_by_trial() -> None:
    table, _ = shown_again()
    labels = np.concatenate([random_labels(20, seed=run) for run in range(8)])
    exchange = label_exchange(table, labels)
    assert isinstance(exchange, Exchange) and exchange.method == "trials within runs"


def test_tasks_that_take_turns_with_rest_are_blocks() -> None:
    labels = np.concatenate([np.tile([1, 0], 40), np.tile([2, 0], 40)])
    exchange = label_exchange(table_of(np.zeros(160, dtype=int)), labels)
    assert isinstance(exchange, Unavailable) and "2 stretches of uneven length over 1 runs" in exchange.reason
