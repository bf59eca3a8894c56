"""Every split rule: what is left out, what is refused, and that no rule trips its own guard."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from brain_decode.core.errors import ConfigError, DataError, LeakageError
from brain_decode.datasets.inner_folds import inner_folds
from brain_decode.datasets.leakage import check_leakage
from brain_decode.datasets.splits import (
    ContiguousKFold,
    Fold,
    LeaveConceptOut,
    LeaveRunOut,
    LeaveSessionOut,
    LeaveSubjectOut,
    OfficialSplit,
    Split,
    overlap_partner,
    trial_codes,
    trial_order,
    unit_codes,
)
from brain_decode.signals.reach import Reach


def make_table(
    *, subjects: int = 1, sessions: int = 1, runs: int = 3, trials: int = 20, cut: bool = False, seed: int = 0
) -> pd.DataFrame:
    """Return a table of balanced classes; each trial has its own onset, about one second apart."""
    rng = np.random.default_rng(seed)
    rows = []
    recording = 0
    for subject in range(subjects):
        for session in range(sessions):
            for run in range(runs):
                labels = rng.permutation(np.resize(["face", "house"], trials))
                onsets = np.cumsum(rng.uniform(0.9, 1.4, trials))
                for event in range(trials):
                    concept = f"concept-{(event + run) % 10}"
                    rows.append(
                        {
                            "recording": recording,
                            "event": event,
                            "dataset": "made",
                            "subject": f"{subject + 1:02d}",
                            "session": f"{session + 1:02d}" if sessions > 1 else "",
                            "task": "look",
                            "run": f"{run + 1}",
                            "onset_s": np.nan if cut else onsets[event],
                            "start_s": 0.0 if cut else onsets[event] - 0.1,
                            "stop_s": 0.8 if cut else onsets[event] + 0.7,
                            "label": labels[event],
                            "stimulus": f"{concept}_{event % 2}",
                            "concept": concept,
                            "partition": "",
                            "rejected": "",
                        }
                    )
                recording += 1
    return pd.DataFrame(rows)


CROSS_VALIDATION = [
    LeaveSubjectOut(),
    LeaveSessionOut(),
    LeaveRunOut(),
    LeaveConceptOut(n_folds=4),
    ContiguousKFold(n_folds=4, gap_s=0.5),
    ContiguousKFold(n_folds=3, gap_s=0.0),
]


@pytest.mark.parametrize("split", CROSS_VALIDATION, ids=lambda split: f"{split.name}-{getattr(split, 'gap_s', '')}")
@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_tested_once_and_no_split_trips_its_own_guard(split: Split, cut: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = make_table(
        subjects=int(rng.integers(2, 4)),
        sessions=2,
        runs=int(rng.integers(2, 4)),
        trials=int(rng.integers(12, 30)),
        cut=cut,
        seed=seed,
    )
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    folds = split.folds(table)
    tested = np.bincount(np.concatenate([fold.test for fold in folds]), minlength=len(table))
    assert np.array_equal(tested, np.ones(len(table)))
    for fold in folds:
        check_leakage(table, fold, forbids=split.forbids, zero_shot=split.zero_shot)
        level = split.forbids[0] if split.forbids and split.forbids[0] != "concept" else "run"
        inner = inner_folds(table, fold.train, n_folds=3, gap_s=0.5, zero_shot=split.zero_shot, level=level)
        assert np.array_equal(np.sort(np.concatenate([part.test for part in inner])), fold.train)
        for part in inner:
            check_leakage(table, part, zero_shot=split.zero_shot)
            assert np.isin(part.train, fold.train).all()


def test_folds_are_the_same_on_every_call() -> None:
    table = make_table(subjects=2, runs=3)
    for split in (LeaveRunOut(), LeaveConceptOut(seed=3), ContiguousKFold()):
        for first, second in zip(split.folds(table), split.folds(table), strict=True):
            assert np.array_equal(first.test, second.test) and np.array_equal(first.train, second.train)


def test_leave_concept_out_draws_other_groups_with_another_seed() -> None:
    table = make_table()
    first, second = LeaveConceptOut(seed=0).folds(table)[0], LeaveConceptOut(seed=1).folds(table)[0]
    assert set(table["concept"].iloc[first.test]) != set(table["concept"].iloc[second.test])


def test_leave_run_out_names_each_run_of_one_subject() -> None:
    assert [fold.name for fold in LeaveRunOut().folds(make_table(runs=2))] == [
        "sub-01_task-look_run-1",
        "sub-01_task-look_run-2",
    ]


def test_leave_run_out_of_several_subjects_leaves_out_the_same_place_of_each() -> None:
    table = make_table(subjects=2, sessions=2, runs=2)
    folds = LeaveRunOut().folds(table)
    assert [fold.name for fold in folds] == ["run-1", "run-2", "run-3", "run-4"]
    assert set(table["subject"].iloc[folds[2].test]) == {"01", "02"}
    assert set(table["session"].iloc[folds[2].test]) == {"02"}


def test_one_run_names_the_count_and_another_split() -> None:
    with pytest.raises(DataError, match=r"at least 2 runs of every subject; 'sub-01' has 1.*contiguous_kfold"):
        LeaveRunOut().folds(make_table(runs=1))


def test_one_session_names_the_count_and_another_split() -> None:
    with pytest.raises(DataError, match=r"at least 2 sessions.*has 1.*leave_run_out"):
        LeaveSessionOut().folds(make_table())


def test_one_subject_names_the_count_and_another_split() -> None:
    with pytest.raises(DataError, match=r"at least 2 subjects, the table has 1 \(sub-01\).*leave_run_out"):
        LeaveSubjectOut().folds(make_table())


def test_a_class_that_only_one_run_has_is_named() -> None:
    table = make_table(runs=2)
    table["label"] = np.where(table["run"] == "1", "face", "house")
    with pytest.raises(DataError, match=r"Class 'face' has no training window in fold 'sub-01_task-look_run-1'"):
        LeaveRunOut().folds(table)


def test_values_of_a_regression_are_not_classes() -> None:
    table = make_table(runs=2)
    table["label"] = np.linspace(0, 1, len(table))
    assert len(LeaveRunOut().folds(table)) == 2


def test_the_identity_of_a_stimulus_is_not_a_class() -> None:
    table = make_table()
    table["label"] = table["concept"]
    assert len(LeaveConceptOut(n_folds=5).folds(table)) == 5


def test_contiguous_blocks_keep_the_gap_in_seconds() -> None:
    table = make_table(runs=1, trials=60)
    for fold in ContiguousKFold(n_folds=5, gap_s=2.0).folds(table):
        starts, stops = table["start_s"].to_numpy(), table["stop_s"].to_numpy()
        distance = np.maximum(
            starts[fold.test][:, None] - stops[fold.train], starts[fold.train] - stops[fold.test][:, None]
        )
        assert distance.min() >= 2.0 - 1e-6
        assert np.array_equal(np.diff(fold.test), np.ones(len(fold.test) - 1))


def test_contiguous_blocks_of_cut_trials_keep_the_gap_in_trials() -> None:
    folds = ContiguousKFold(n_folds=5, gap_trials=2).folds(make_table(runs=1, trials=20, cut=True))
    assert folds[1].test.tolist() == [4, 5, 6, 7]
    assert folds[1].train.tolist() == [0, 1, *range(10, 20)]


def test_contiguous_blocks_keep_windows_of_one_trial_together() -> None:
    table = make_table(runs=1, trials=20)
    doubled = pd.concat([table, table.assign(start_s=table["start_s"] + 0.1)], ignore_index=True)
    for fold in ContiguousKFold(n_folds=4, gap_s=0.0).folds(doubled):
        assert not set(doubled["event"].iloc[fold.train]) & set(doubled["event"].iloc[fold.test])


def test_a_recording_with_fewer_trials_than_blocks_is_named() -> None:
    with pytest.raises(DataError, match=r"5 contiguous blocks need at least 5 trials.*'sub-01_task-look_run-1' has 3"):
        ContiguousKFold(n_folds=5).folds(make_table(trials=3))


def test_a_gap_longer_than_the_recording_is_refused() -> None:
    with pytest.raises(DataError, match=r"gap of 1000 s .* leaves no training window"):
        ContiguousKFold(gap_s=1000).folds(make_table(runs=1))


@pytest.mark.parametrize(
    ("settings", "message"), [({"n_folds": 1}, "at least 2 folds"), ({"gap_s": -1}, "not negative")]
)
def test_impossible_settings_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ContiguousKFold(**settings)


def test_concepts_that_are_missing_or_too_few_are_counted() -> None:
    table = make_table()
    with pytest.raises(DataError, match=r"11 folds of concepts need at least 11 of them, the table has 10"):
        LeaveConceptOut(n_folds=11).folds(table)
    with pytest.raises(DataError, match=r"60 of 60 have none.*concept_column"):
        LeaveConceptOut().folds(table.assign(concept=""))


def test_official_split_trains_on_train_and_validation() -> None:
    table = make_table(runs=1, trials=6).assign(partition=["train", "train", "validation", "test", "", "test"])
    (fold,) = OfficialSplit().folds(table)
    assert fold.train.tolist() == [0, 1, 2] and fold.test.tolist() == [3, 5]
    (inner,) = inner_folds(table, fold.train)
    assert inner.train.tolist() == [0, 1] and inner.test.tolist() == [2]


def test_official_split_without_a_partition_names_alternatives() -> None:
    with pytest.raises(DataError, match=r"0 training and 0 test windows.*partition_column"):
        OfficialSplit().folds(make_table())
    with pytest.raises(DataError, match=r"the table also has \['exam'\]"):
        OfficialSplit().folds(make_table().assign(partition="exam"))


def test_zero_shot_validation_holds_out_whole_concepts() -> None:
    table = make_table()
    for fold in inner_folds(table, np.arange(len(table)), zero_shot=True):
        assert not set(table["concept"].iloc[fold.train]) & set(table["concept"].iloc[fold.test])


def test_validation_leaves_out_runs_when_there_are_three() -> None:
    table = make_table(runs=4)
    folds = inner_folds(table, np.flatnonzero(table["run"] != "2"))
    assert [fold.name for fold in folds] == [f"sub-01_task-look_run-{run}" for run in "134"]


def test_validation_of_two_runs_is_contiguous_blocks() -> None:
    table = make_table(runs=3)
    folds = inner_folds(table, np.flatnonzero(table["run"] != "2"))
    assert [fold.name for fold in folds] == [f"block-{index}" for index in range(1, 6)]


def test_validation_of_subjects_leaves_out_subjects() -> None:
    table = make_table(subjects=4, runs=2)
    folds = inner_folds(table, np.flatnonzero(table["subject"] != "01"), level="subject")
    assert [fold.name for fold in folds] == ["sub-02", "sub-03", "sub-04"]


def test_units_of_equal_label_in_other_sessions_differ() -> None:
    codes, names = unit_codes(make_table(subjects=2, sessions=2, runs=2), "run")
    assert len(names) == 8 and names[1] == "sub-01_ses-01_task-look_run-2"
    assert len(set(codes)) == 8


def test_an_unknown_level_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Unknown level 'sesion'. Did you mean 'session'"):
        unit_codes(make_table(), "sesion")
    with pytest.raises(ConfigError, match="Unknown level of inner folds"):
        inner_folds(make_table(), np.arange(5), level="concept")


def test_sliding_windows_are_trials_of_their_own() -> None:
    table = make_table(runs=1, trials=4).assign(event=[-1, -1, 2, 2])
    codes = trial_codes(table)
    assert codes[0] != codes[1] and codes[2] == codes[3]


def test_overlap_agrees_with_comparing_every_pair() -> None:
    rng = np.random.default_rng(1)
    n = 300
    start = rng.uniform(0, 200, n)
    table = pd.DataFrame({"recording": rng.integers(0, 4, n), "event": -1, "onset_s": start, "start_s": start})
    table["stop_s"] = start + rng.uniform(0.1, 3, n)
    rows, others = np.arange(0, n, 2), np.arange(1, n, 2)
    stop, recording = table["stop_s"].to_numpy(), table["recording"].to_numpy()
    pairs = (
        (recording[rows][:, None] == recording[others])
        & (start[rows][:, None] < stop[others])
        & (start[others] < stop[rows][:, None])
    )
    partner = overlap_partner(table, rows, others)
    assert np.array_equal(partner >= 0, pairs.any(axis=1))
    found = np.flatnonzero(partner >= 0)
    assert pairs[found, (partner[found] - 1) // 2].all()


def test_an_empty_table_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 windows, the table has 0"):
        LeaveRunOut().folds(make_table().iloc[:0])


@pytest.mark.parametrize("name", ["official", *dict.fromkeys(split.name for split in CROSS_VALIDATION)])
def test_every_split_is_built_from_its_configuration(repository: Path, name: str) -> None:
    split = instantiate(OmegaConf.load(repository / "conf" / "split" / f"{name}.yaml"))
    assert isinstance(split, Split) and split.name == name
    assert all(isinstance(level, str) for level in split.forbids)


def rapid_table(soa_s: float, n_concepts: int = 10, n_images: int = 6) -> pd.DataFrame:
    """One recording in which every picture is shown once, in random order, with windows of 1 s."""
    order = np.random.default_rng(0).permutation(n_concepts * n_images)
    onset = np.arange(len(order)) * soa_s
    return pd.DataFrame(
        {
            "recording": 0,
            "event": np.arange(len(order)),
            "dataset": "d",
            "subject": "01",
            "session": "",
            "task": "look",
            "run": "1",
            "onset_s": onset,
            "start_s": onset,
            "stop_s": onset + 1.0,
            "label": "",
            "stimulus": [f"image{i}" for i in order],
            "concept": [f"concept{i % n_concepts}" for i in order],
            "partition": "train",
            "rejected": "",
        }
    )


@pytest.mark.parametrize("soa_s", [1.5, 0.8, 0.2])
def test_zero_shot_validation_never_reaches_into_training(soa_s: float) -> None:
    table = rapid_table(soa_s)
    folds = inner_folds(table, np.arange(len(table)), zero_shot=True)
    assert sorted(np.concatenate([fold.test for fold in folds])) == list(range(len(table)))
    for fold in folds:
        check_leakage(table, fold, zero_shot=True)


@pytest.mark.parametrize(("soa_s", "shares_concepts"), [(1.5, False), (0.8, False), (0.2, True)])
def test_whole_concepts_are_held_out_unless_windows_overlap_too_much(soa_s: float, shares_concepts: bool) -> None:
    table = rapid_table(soa_s)
    fold = inner_folds(table, np.arange(len(table)), zero_shot=True)[0]
    concepts = table["concept"].to_numpy()
    assert bool(set(concepts[fold.train]) & set(concepts[fold.test])) is shares_concepts


def test_repeated_stimuli_make_held_out_blocks_shorter_so_that_most_windows_stay_in_training() -> None:
    once = rapid_table(0.2, n_concepts=100)
    assert len(inner_folds(once, np.arange(len(once)), zero_shot=True)) == 5
    random = np.random.default_rng(1)
    orders = [random.permutation(len(once)) for _ in range(4)]
    runs = [once.assign(stimulus=once["stimulus"].to_numpy()[o], recording=n, run=f"{n}") for n, o in enumerate(orders)]
    table = pd.concat(runs, ignore_index=True)
    folds = inner_folds(table, np.arange(len(table)), zero_shot=True)
    assert len(folds) == 20
    for fold in folds:
        assert len(fold.train) > 0.7 * len(table)
        check_leakage(table, fold, zero_shot=True)


def test_an_official_split_keeps_as_many_training_windows_as_asked_and_nests_them() -> None:
    table = make_table()
    table = table.assign(partition=np.where(table["run"] == "3", "test", "train"))
    (few,), (more,) = OfficialSplit(train_windows=7).folds(table), OfficialSplit(train_windows=20).folds(table)
    (whole,) = OfficialSplit().folds(table)
    assert (len(few.train), len(more.train), len(whole.train)) == (7, 20, 40)
    assert set(few.train) < set(more.train) < set(whole.train)
    np.testing.assert_array_equal(few.test, whole.test)
    (other,) = OfficialSplit(train_windows=7, seed=1).folds(table)
    assert set(other.train) != set(few.train)


def test_more_training_windows_than_there_are_is_refused() -> None:
    table = make_table()
    table = table.assign(partition=np.where(table["run"] == "3", "test", "train"))
    with pytest.raises(DataError, match=r"There are 40 training windows; split.train_windows=41 are too many"):
        OfficialSplit(train_windows=41).folds(table)
    with pytest.raises(ConfigError, match=r"number of windows from 1 on, got 0"):
        OfficialSplit(train_windows=0)


def test_the_gap_of_contiguous_folds_covers_the_reach_of_the_filters() -> None:
    table = make_table(runs=1)
    wider = ContiguousKFold(n_folds=3, gap_s=1.0).over(Reach(4.5))
    assert wider.gap_s == 4.5 and ContiguousKFold(gap_s=6.0).over(Reach(4.5)).gap_s == 6.0
    for fold in wider.folds(table):
        train, test = table.iloc[fold.train], table.iloc[fold.test]
        before = test["start_s"].min() - train["stop_s"]
        after = train["start_s"] - test["stop_s"].max()
        assert np.maximum(before, after).min() >= 4.5 - 1e-6
        assert fold.gap["gap_s"] == 4.5 and fold.gap["n_in_gap"] == len(table) - len(fold.train) - len(fold.test)


def test_whole_units_need_no_gap() -> None:
    assert LeaveRunOut().over(Reach(4.5, ("step 'detrend' fits all",))) == LeaveRunOut()


def test_inner_blocks_keep_the_reach_of_the_filters_free() -> None:
    table = make_table(runs=1)
    for fold in inner_folds(table, np.arange(len(table)), n_folds=3, reach=Reach(4.5)):
        assert (overlap_partner(table, fold.train, fold.test, 4.5) < 0).all()


def test_inner_blocks_after_a_step_on_the_whole_recording_are_refused() -> None:
    table, reach = make_table(runs=1), Reach(0.0, ("step 'detrend' fits its polynomial to the whole recording",))
    with pytest.raises(ConfigError, match="Validation inside the training part holds out parts .* 'detrend'"):
        inner_folds(table, np.arange(len(table)), reach=reach)
    assert inner_folds(make_table(runs=4), np.arange(80), reach=reach)


def cut_with_onsets(spacing_s: float = 1.0, trials: int = 20, length_s: float = 5.0) -> pd.DataFrame:
    """Cut trials of one recording whose onsets are known, `spacing_s` apart and `length_s` long."""
    table = make_table(runs=1, trials=trials, cut=True)
    return table.assign(is_cut=True, onset_s=np.arange(trials) * spacing_s, start_s=0.0, stop_s=length_s)


def test_cut_trials_of_known_onset_that_share_samples_overlap() -> None:
    table = cut_with_onsets()
    partner = overlap_partner(table, np.array([10]), np.array([0, 6, 15]))
    assert partner.tolist() == [6]
    assert overlap_partner(table.assign(onset_s=np.nan), np.array([10]), np.array([6])).tolist() == [-1]


def test_overlapping_cut_trials_on_both_sides_are_refused() -> None:
    table = cut_with_onsets()
    with pytest.raises(LeakageError, match=r"trial 9 \[9.000, 14.000\) s .* overlaps test window .*trial 10 \[10.000"):
        check_leakage(table, Fold("f", np.arange(10), np.arange(10, 20)))


def test_contiguous_folds_of_cut_trials_keep_seconds_free_where_onsets_are_known() -> None:
    table = cut_with_onsets()
    for fold in ContiguousKFold(n_folds=2, gap_s=2.0, gap_trials=1).folds(table):
        assert fold.gap == {"gap_s": 2.0, "gap_trials": 1, "n_in_gap": 6}
        check_leakage(table, fold)
    sparse = cut_with_onsets(spacing_s=60.0)
    assert [fold.gap["n_in_gap"] for fold in ContiguousKFold(n_folds=2, gap_s=2.0).folds(sparse)] == [1, 1]


def test_cut_trials_are_ordered_by_onset_where_every_onset_of_the_recording_is_known() -> None:
    table = cut_with_onsets(trials=4).assign(onset_s=[3.0, 0.0, 2.0, 1.0])
    assert trial_order(table)[1].tolist() == [3, 0, 2, 1]
    assert trial_order(table.assign(onset_s=[3.0, 0.0, np.nan, 1.0]))[1].tolist() == [0, 1, 2, 3]
