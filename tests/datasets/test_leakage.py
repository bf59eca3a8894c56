"""Each refusal of the guard, with both sides named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, LeakageError
from brain_decode.datasets.fingerprint import Fingerprint, fingerprint_of_signal
from brain_decode.datasets.leakage import check_leakage, window_label
from brain_decode.datasets.splits import Fold
from brain_decode.datasets.vouching import Vouched


def make_table(cut: bool = False) -> pd.DataFrame:
    """Return six windows: two subjects, the first with two sessions; nothing overlaps."""
    onset = np.array([1.0, 3.0, 5.0, 1.0, 3.0, 1.0])
    return pd.DataFrame(
        {
            "recording": [0, 0, 0, 1, 1, 2],
            "event": [0, 1, 2, 0, 1, 0],
            "dataset": "made",
            "subject": ["01", "01", "01", "01", "01", "02"],
            "session": ["a", "a", "a", "b", "b", "a"],
            "task": "",
            "run": "1",
            "onset_s": np.nan if cut else onset,
            "start_s": 0.0 if cut else onset,
            "stop_s": 1.0 if cut else onset + 1.0,
            "label": "x",
            "stimulus": ["cat_1", "dog_1", "cat_2", "dog_2", "owl_1", "owl_2"],
            "concept": ["cat", "dog", "cat", "dog", "owl", "owl"],
        }
    )


def fold(train: list[int], test: list[int]) -> Fold:
    return Fold("f", np.array(train), np.array(test))


def test_a_clean_fold_passes() -> None:
    check_leakage(
        make_table(),
        fold([0, 1, 2], [5]),
        forbids=("subject", "concept"),
        zero_shot=True,
        content_hashes=["h0", "h1", "h2"],
    )


def test_one_row_on_both_sides_is_refused() -> None:
    with pytest.raises(LeakageError, match=r"one row of the window table is on both sides.*\(row 1\).*\(row 1\)"):
        check_leakage(make_table(), fold([0, 1], [1, 2]))


@pytest.mark.parametrize(
    ("level", "train", "test", "unit"),
    [
        ("subject", [0], [3], "subject 'sub-01'"),
        ("session", [0], [2], "session 'sub-01_ses-a'"),
        ("run", [3], [4], "run 'sub-01_ses-b_run-1'"),
        ("concept", [4], [5], "concept 'owl'"),
    ],
)
def test_a_forbidden_unit_on_both_sides_is_refused(level: str, train: list[int], test: list[int], unit: str) -> None:
    with pytest.raises(LeakageError, match=rf"{unit} is on both sides.*\(row {train[0]}\).*\(row {test[0]}\)"):
        check_leakage(make_table(), fold(train, test), forbids=(level,))


def test_equal_labels_of_other_subjects_are_other_runs() -> None:
    check_leakage(make_table(), fold([0, 1], [5]), forbids=("session", "run"))


def test_a_shared_stimulus_is_refused_where_the_task_is_zero_shot() -> None:
    table = make_table().assign(stimulus=["cat_1", "dog_1", "cat_2", "dog_2", "cat_1", "owl_2"])
    check_leakage(table, fold([0], [4]))
    with pytest.raises(LeakageError, match=r"stimulus 'cat_1' of a zero-shot task.*sub-01_ses-a.*sub-01_ses-b"):
        check_leakage(table, fold([0], [4]), zero_shot=True)


def test_a_zero_shot_fold_without_stimuli_cannot_be_checked() -> None:
    with pytest.raises(DataError, match=r"2 of 2 windows have no stimulus.*stimulus_column"):
        check_leakage(make_table().assign(stimulus=""), fold([0], [4]), zero_shot=True)


def test_overlapping_windows_are_refused_with_their_times() -> None:
    table = make_table().assign(event=-1)
    table.loc[1, ["start_s", "stop_s"]] = [1.5, 2.5]
    with pytest.raises(
        LeakageError,
        match=r"training window sub-01_ses-a_run-1 \[1.000, 2.000\) s \(row 0\) overlaps test window "
        r"sub-01_ses-a_run-1 \[1.500, 2.500\) s \(row 1\)",
    ):
        check_leakage(table, fold([0], [1]))


def test_windows_that_touch_do_not_overlap() -> None:
    table = make_table().assign(event=-1)
    table.loc[1, ["start_s", "stop_s"]] = [2.0, 3.0]
    check_leakage(table, fold([0], [1]))


def test_a_short_window_inside_an_early_long_one_is_found() -> None:
    table = make_table().assign(event=-1)
    table.loc[0, "stop_s"] = 6.0
    with pytest.raises(LeakageError, match=r"\(row 0\) overlaps.*\(row 2\)"):
        check_leakage(table, fold([0, 1], [2]))


def test_windows_of_one_trial_on_both_sides_are_refused() -> None:
    table = make_table()
    table.loc[1, "event"] = 0
    with pytest.raises(LeakageError, match=r"one trial is on both sides.*\(row 0\).*\(row 1\)"):
        check_leakage(table, fold([0], [1]))


def test_one_cut_trial_on_both_sides_is_refused() -> None:
    table = make_table(cut=True)
    check_leakage(table, fold([0], [1]))
    table.loc[1, "event"] = 0
    with pytest.raises(LeakageError, match=r"one trial.*sub-01_ses-a_run-1 trial 0 \(row 0\)"):
        check_leakage(table, fold([0], [1]))


def test_a_recording_stored_twice_is_refused_with_both_names() -> None:
    with pytest.raises(LeakageError, match=r"stored twice: 'sub-01_ses-a_run-1'.*'sub-02_ses-a_run-1'.*same content"):
        check_leakage(make_table(), fold([0], [5]), content_hashes=["same", "other", "same"])


def test_a_recording_stored_twice_on_one_side_is_no_leak() -> None:
    check_leakage(make_table(), fold([0, 3], [5]), content_hashes=["same", "same", "other"])


def test_blocks_of_one_recording_are_not_a_duplicate() -> None:
    check_leakage(make_table(), fold([0], [2]), content_hashes=["a", "b", "c"])


def sketch_of(seed: int, first: int = 0) -> Fingerprint:
    samples = np.random.default_rng(seed).standard_normal((4, 4000))
    return fingerprint_of_signal(samples[:, first:], 100.0)


def test_a_cropped_copy_under_another_name_is_refused() -> None:
    prints = [sketch_of(0), sketch_of(1), sketch_of(0, first=500)]
    told = (
        r"'sub-01_ses-a_run-1' \(recording 0, training\) and 'sub-02_ses-a_run-1' \(recording 2, test\) hold the same "
        r"signal for 34 s, cropped or changed .* Remove one of them"
    )
    with pytest.raises(LeakageError, match=told):
        check_leakage(make_table(), fold([0], [5]), content_hashes=["a", "b", "c"], fingerprints=prints)


def test_a_pair_vouched_for_passes_unless_its_content_is_the_same() -> None:
    prints = [sketch_of(0), sketch_of(1), sketch_of(0, first=500)]
    vouched = Vouched(frozenset({"made sub-01_ses-a_run-1", "made sub-02_ses-a_run-1"}))
    check_leakage(make_table(), fold([0], [5]), content_hashes=["a", "b", "c"], fingerprints=prints, vouched=vouched)
    with pytest.raises(LeakageError, match="have the same content"):
        check_leakage(
            make_table(), fold([0], [5]), content_hashes=["a", "b", "a"], fingerprints=prints, vouched=vouched
        )


def test_copies_on_one_side_are_no_leak() -> None:
    prints = [sketch_of(0), sketch_of(0, first=500), sketch_of(1)]
    check_leakage(make_table(), fold([0, 3], [5]), fingerprints=prints)


def test_recordings_without_fingerprint_pass() -> None:
    absent = Fingerprint(absent="it is shorter than 13 s")
    check_leakage(make_table(), fold([0], [5]), fingerprints=[absent] * 3)


def test_missing_hashes_are_counted() -> None:
    with pytest.raises(DataError, match="names recording 2, but there are 1 hashes"):
        check_leakage(make_table(), fold([0], [5]), content_hashes=["a"])


def test_an_empty_side_and_positions_outside_are_refused() -> None:
    with pytest.raises(DataError, match="has no test windows"):
        check_leakage(make_table(), Fold("f", np.array([0]), np.array([], dtype=int)))
    with pytest.raises(DataError, match="outside the 6 rows"):
        check_leakage(make_table(), fold([0], [6]))


def test_many_windows_are_checked_without_comparing_pairs() -> None:
    # Half a table against the other is 2.5 billion pairs, more than memory holds.
    n = 100_000
    start = np.arange(n) * 0.5
    table = pd.DataFrame(
        {"recording": 0, "event": -1, "dataset": "made", "subject": "01", "onset_s": start, "start_s": start}
    )
    table["stop_s"] = start + 0.5
    check_leakage(table, Fold("f", np.arange(0, n, 2), np.arange(1, n, 2)))


def test_a_window_is_named_by_recording_time_and_row() -> None:
    assert window_label(make_table(), 3) == "sub-01_ses-b_run-1 [1.000, 2.000) s (row 3)"
