"""Intervals say what they are about, are made over what the split leaves out, and hold what they promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from brain_decode.evaluation.intervals import (
    Design,
    Units,
    interval_entries,
    interval_of,
    left_out_weights,
    new_subject_units,
    picture_units,
    these_subject_units,
    trial_units,
    unit_means,
)
from brain_decode.evaluation.unavailable import Unavailable


def table_of(subjects: int, runs: int, trials: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([range(subjects), range(runs), range(trials)], names=["subject", "run", "event"])
    frame = index.to_frame(index=False)
    frame["recording"] = frame["subject"] * runs + frame["run"]
    frame["fold"] = frame["run"]
    start = frame["event"].astype(float)
    return frame.assign(onset_s=start, start_s=start, stop_s=start + 0.5, subject=frame["subject"].astype(str))


def entry(values: np.ndarray, table: pd.DataFrame, design: Design, n_perfect: int | None = None) -> dict[str, object]:
    return interval_entries(
        {"mean": float(values.mean())},
        lambda units: {"mean": unit_means(values, units, left_out_weights(units))},
        table,
        design,
        bounds={"mean": (0.0, 1.0) if n_perfect else (-np.inf, np.inf)},
        n_perfect={"mean": n_perfect} if n_perfect else None,
    )["mean"]


def test_the_jackknife_of_a_mean_is_the_t_interval() -> None:
    values = np.random.default_rng(0).normal(size=8)
    units = Units("subject", np.arange(8))
    without = unit_means(values, units, left_out_weights(units))
    low, high = interval_of(values.mean(), without, without, units, bounds=(-np.inf, np.inf))  # type: ignore[misc]
    half = student.ppf(0.975, 7) * values.std(ddof=1) / np.sqrt(8)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_shared_training_sets_widen_by_nadeau_and_bengio() -> None:
    values, design = np.random.default_rng(0).normal(size=5), Design("run", 5, 0.25)
    assert design.inflation == pytest.approx(5 * (1 / 5 + 1 / 4))
    units = [Units("fold", np.arange(5), inflation) for inflation in (1.0, design.inflation)]
    without = unit_means(values, units[0], left_out_weights(units[0]))
    found = [interval_of(values.mean(), without, without, one, bounds=(-np.inf, np.inf)) for one in units]
    widths = [high - low for low, high in found]  # type: ignore[misc]
    assert widths[1] / widths[0] == pytest.approx(1.5)


def test_folds_are_the_units_of_a_cross_validation_within_people() -> None:
    units = these_subject_units(table_of(2, 6, 4), Design("run", 6, 0.2))
    assert isinstance(units, Units) and (units.level, units.n_units, units.about) == ("fold", 6, "these subjects")


def test_leaving_subjects_out_says_nothing_about_more_data_of_the_same() -> None:
    found = these_subject_units(table_of(6, 1, 4), Design("subject", 6, 0.2))
    assert isinstance(found, Unavailable) and "leaves out whole subjects" in found.reason


def test_two_folds_give_no_interval() -> None:
    found = entry(np.ones(8), table_of(1, 2, 4), Design("run", 2, 1.0))
    assert found["ci95"] == [None, None] and found["ci95_about"] is None
    assert "2 folds do not show how much decoders differ; it takes 3" in str(found["ci95_reason"])


@pytest.mark.parametrize(("subjects", "is_given"), [(1, False), (4, False), (5, True)])
def test_new_subjects_take_five(subjects: int, is_given: bool) -> None:
    found = new_subject_units(table_of(subjects, 2, 3), Design())
    assert isinstance(found, Units) is is_given
    if isinstance(found, Unavailable):
        assert f"{subjects} subject" in found.reason and "takes 5" in found.reason


def test_both_statements_are_made_where_both_hold() -> None:
    table = table_of(6, 5, 8)
    values = np.random.default_rng(0).normal(size=len(table))
    found = entry(values, table, Design("run", 5, 0.25))
    assert found["ci95_about"] == "these subjects" and "ci95_reason" not in found
    assert found["ci95_new_subjects"][0] < values.mean() < found["ci95_new_subjects"][1]  # type: ignore[index]


def test_leaving_subjects_out_is_about_new_subjects() -> None:
    table = table_of(6, 1, 8).assign(fold=np.repeat(np.arange(6), 8))
    found = entry(np.random.default_rng(0).normal(size=48), table, Design("subject", 6, 0.2))
    assert found["ci95_about"] == "new subjects" and found["ci95"] == found["ci95_new_subjects"]


@pytest.mark.parametrize(("runs", "level"), [(5, "run"), (2, "window")])
def test_one_test_set_is_resampled_by_run_or_window(runs: int, level: str) -> None:
    units = these_subject_units(table_of(1, runs, 6), Design())
    assert isinstance(units, Units) and units.level == level


def test_labels_in_blocks_make_blocks_the_units() -> None:
    table = table_of(1, 1, 120).assign(truth=np.repeat(["a", "b"] * 6, 10))
    units = these_subject_units(table, Design())
    assert isinstance(units, Units) and (units.level, units.n_units) == ("block", 12)
    few = these_subject_units(table_of(1, 1, 120).assign(truth=np.repeat(["a", "b"], 60)), Design())
    assert isinstance(few, Unavailable) and "2 blocks" in few.reason


def test_pictures_are_units_with_all_their_showings() -> None:
    units = picture_units(pd.DataFrame({"truth": ["b", "a", "b", "c", "d", "e"]}))
    assert isinstance(units, Units) and units.codes.tolist() == [1, 0, 1, 2, 3, 4]
    assert isinstance(picture_units(pd.DataFrame({"truth": ["a", "b"]})), Unavailable)


def test_many_windows_are_joined_with_their_neighbours() -> None:
    units = trial_units(pd.DataFrame({"truth": np.zeros(1000)}))
    assert units.n_units == 200 and np.bincount(units.codes).tolist() == [5] * 200


def test_a_perfect_score_has_the_interval_of_clopper_and_pearson() -> None:
    found = entry(np.ones(32), table_of(1, 4, 8), Design("run", 4, 1 / 3), n_perfect=32)
    assert found["ci95"] == pytest.approx([0.025 ** (1 / 32), 1.0])
    nothing = entry(np.zeros(32), table_of(1, 4, 8), Design("run", 4, 1 / 3), n_perfect=32)
    assert nothing["ci95"] == pytest.approx([0.0, 1 - 0.025 ** (1 / 32)])


def test_the_interval_of_new_people_covers_the_truth_with_five() -> None:
    rng, covered = np.random.default_rng(0), 0
    table = table_of(5, 1, 40).assign(fold=0)
    for _ in range(400):
        strength = rng.normal(1.0, 0.5, size=5)
        right = rng.random((5, 40)) < norm.cdf(strength)[:, None]
        low, high = entry(right.ravel().astype(float), table, Design(), n_perfect=200)["ci95_new_subjects"]  # type: ignore[misc]
        covered += low <= norm.cdf(1.0 / np.sqrt(1.25)) <= high
    assert covered / 400 >= 0.93
