"""The null of retrieval: which shown stimulus belongs to which answer."""

from __future__ import annotations

from functools import partial
from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from brain_decode.evaluation.retrieval_null import ShownNull, shown_ranks
from brain_decode.evaluation.retrieval_scores import k_way_values

TWO_WAY = partial(k_way_values, k=2)


def table(similarity: np.ndarray, truth: np.ndarray, fold: str = "a", **settings: int) -> pd.DataFrame:
    names = [f"s{candidate}" for candidate in truth]
    columns = shown_ranks(similarity, names, truth, **settings)
    return pd.DataFrame({"fold": fold, "truth": names, "gallery_size": similarity.shape[1], **columns})


def test_chance_is_the_mean_over_every_permutation_of_the_shown_stimuli() -> None:
    similarity = np.random.default_rng(0).normal(size=(4, 9))
    null = ShownNull.of(table(similarity, np.array([1, 3, 5, 8])))
    assert null is not None
    values = []
    for dealt in permutations([1, 3, 5, 8]):
        better = [(row > row[column]).sum() for row, column in zip(similarity, dealt, strict=True)]
        values.append(1 - np.mean(better) / 8)
    assert null.chance(TWO_WAY) == pytest.approx(np.mean(values))
    drawn = null.means({"2_way": TWO_WAY}, 500, np.random.default_rng(0))["2_way"]
    assert {round(value, 9) for value in drawn} == {round(value, 9) for value in values}


def test_all_answers_to_a_stimulus_get_the_same_other_stimulus_also_in_another_fold() -> None:
    similarity = np.diag(np.arange(1.0, 6.0))
    # Two people and two folds that answer alike: whatever is dealt, all four agree, so no mean lies between.
    once = table(similarity, np.arange(5))
    four = pd.concat([once, once, once.assign(fold="b"), once.assign(fold="b")], ignore_index=True)
    drawn = [
        ShownNull.of(frame).means({"2_way": TWO_WAY}, 200, np.random.default_rng(1))["2_way"]  # type: ignore[union-attr]
        for frame in (once, four)
    ]
    assert drawn[0] == pytest.approx(drawn[1])


def test_stimuli_are_dealt_within_their_fold_only() -> None:
    similarity = np.eye(6)
    frame = pd.concat([table(similarity[:3], np.arange(3)), table(similarity[3:], np.arange(3, 6), fold="b")])
    null = ShownNull.of(frame)
    assert null is not None and [part.names for part in null.exchanges] == [("s0", "s1", "s2"), ("s3", "s4", "s5")]


def test_stimuli_without_an_answer_take_no_part() -> None:
    frame = table(np.random.default_rng(0).normal(size=(6, 10)), np.arange(6))
    null = ShownNull.of(frame.iloc[[0, 2, 5]])
    assert null is not None and null.exchanges[0].names == ("s0", "s2", "s5")


def test_blocks_bound_what_is_kept_and_hold_every_stimulus_once() -> None:
    similarity = np.random.default_rng(0).normal(size=(40, 50))
    frame = table(similarity, np.tile(np.arange(20), 2), at_most=200)
    assert sum(len(ranks) for ranks in frame["shown_ranks"]) == 200
    assert frame.groupby("truth")["shown_block"].nunique().eq(1).all()
    null = ShownNull.of(frame)
    assert null is not None and sorted(len(part.names) for part in null.exchanges) == [5, 5, 5, 5]
    # The own rank is that of the own place.
    own = [ranks[place] for ranks, place in zip(frame["shown_ranks"], frame["shown_position"], strict=True)]
    truth = np.tile(np.arange(20), 2)
    assert own == [(row > row[column]).sum() for row, column in zip(similarity, truth, strict=True)]


def test_a_table_where_one_answer_keeps_nothing_has_no_null() -> None:
    frame = table(np.eye(3), np.arange(3))
    assert ShownNull.of(frame.drop(columns="shown_ties")) is None
    frame.at[1, "shown_ranks"] = None
    assert ShownNull.of(frame) is None
