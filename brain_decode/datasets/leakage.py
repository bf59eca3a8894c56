"""The guard that refuses a fold whose test part could be known from its training part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, LeakageError, listed
from brain_decode.datasets.fingerprint import Fingerprint, find_match
from brain_decode.datasets.same_pictures import refuse_same_spelling
from brain_decode.datasets.seen_recordings import told_match
from brain_decode.datasets.splits import Fold, cut_trials, overlap_partner, recording_times_s, trial_codes, unit_codes
from brain_decode.datasets.vouching import NOBODY, Vouched, how_to_vouch

__all__ = ["check_leakage", "refuse_pretraining_overlap", "window_label"]


def check_leakage(
    table: pd.DataFrame,
    fold: Fold,
    *,
    forbids: Sequence[str] = (),
    zero_shot: bool = False,
    content_hashes: Sequence[str] = (),
    fingerprints: Sequence[Fingerprint] = (),
    vouched: Vouched = NOBODY,
) -> None:
    """Pass in silence when nothing of the test (or validation) part is in the training part.

    Args:
        table: Window table.
        fold: Positions of both sides; inner folds are checked the same way.
        forbids: Levels whose units may not be on both sides ("subject", "session", "run", "concept").
        zero_shot: No stimulus may be on both sides.
        content_hashes: Hash of each recording's content, indexed by the column `recording`.
        fingerprints: Fingerprint of each recording, likewise.
        vouched: Recordings that a person says are no copies of each other.

    Raises:
        LeakageError: With the two windows or recordings that meet.
        DataError: Positions outside the table, or a zero-shot fold whose stimuli are unknown.
    """
    train, test = np.asarray(fold.train, dtype=int), np.asarray(fold.test, dtype=int)
    _require_positions(table, fold, train, test)
    _refuse_shared(table, fold, np.arange(len(table)), train, test, "one row of the window table")
    for level in forbids:
        codes, names = unit_codes(table, level)
        _refuse_shared(table, fold, codes, train, test, f"{level} '{{}}'", names)
    if zero_shot:
        _refuse_shared_stimuli(table, fold, train, test)
    if len(content_hashes):
        _refuse_stored_twice(table, fold, train, test, content_hashes)
    if len(fingerprints):
        _refuse_disguised_copies(table, fold, train, test, fingerprints, vouched)
    _refuse_overlap(table, fold, train, test)
    _refuse_shared(table, fold, trial_codes(table), train, test, "one trial")


def refuse_pretraining_overlap(seen: Sequence[str], recordings: Mapping[str, str]) -> None:
    """Pass in silence when pretrained weights have seen none of the recordings that decoders are scored on.

    Args:
        seen: Content hashes of the recordings the weights were trained on.
        recordings: Content hash of each recording, by its name.

    Raises:
        LeakageError: Names the recordings that were seen.
    """
    met = [label for label, content in recordings.items() if content in set(seen)]
    if met:
        raise LeakageError(
            f"The pretrained weights were trained on {listed(met)} (same content), without labels but with their "
            "signal; a score on them would be too good. Pretrain without them, or choose other recordings."
        )


def window_label(table: pd.DataFrame, position: int) -> str:
    """Return a name such as `sub-01_run-02 [1.000, 1.800) s (row 7)` for messages."""
    row = table.iloc[position]
    recording = _recording_label(table, position)
    is_cut = cut_trials(table.iloc[[position]])[0]
    (start_s,), (stop_s,) = recording_times_s(table.iloc[[position]])
    trial = f" trial {row['event']}" if is_cut else ""
    when = "" if np.isnan(start_s) else f" [{start_s:.3f}, {stop_s:.3f}) s"
    return f"{recording}{trial}{when} (row {position})"


def _recording_label(table: pd.DataFrame, position: int) -> str:
    return unit_codes(table.iloc[[position]], "run")[1][0]


def _require_positions(table: pd.DataFrame, fold: Fold, train: np.ndarray, test: np.ndarray) -> None:
    for side, positions in (("training", train), ("test", test)):
        if not len(positions):
            raise DataError(f"Fold '{fold.name}' has no {side} windows. Use another split.")
        if positions.min() < 0 or positions.max() >= len(table):
            raise DataError(f"Fold '{fold.name}' has {side} positions outside the {len(table)} rows of the table.")


def _refuse(table: pd.DataFrame, fold: Fold, what: str, train_row: int, test_row: int) -> LeakageError:
    return LeakageError(
        f"Fold '{fold.name}': {what} is on both sides: training {window_label(table, train_row)} and "
        f"test {window_label(table, test_row)}. Use a split that keeps them together."
    )


def _refuse_shared(
    table: pd.DataFrame,
    fold: Fold,
    codes: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    what: str,
    names: Sequence[str] = (),
) -> None:
    shared = np.intersect1d(codes[train], codes[test])
    if len(shared):
        described = what.format(names[int(shared[0])]) if len(names) else what
        first_train = train[codes[train] == shared[0]][0]
        raise _refuse(table, fold, described, int(first_train), int(test[codes[test] == shared[0]][0]))


def _refuse_shared_stimuli(table: pd.DataFrame, fold: Fold, train: np.ndarray, test: np.ndarray) -> None:
    used = np.concatenate([train, test])  # of an inner fold, the outer test rows have no stimulus to tell
    codes = np.full(len(table), -1)
    codes[used], names = unit_codes(table.iloc[used], "stimulus")
    if "" in names:
        n_unknown = int((codes == names.index("")).sum())
        raise DataError(
            f"Fold '{fold.name}' is zero-shot, but {n_unknown} of {len(used)} windows have no stimulus, "
            "so it cannot be checked. Set target.stimulus_column in the dataset's YAML."
        )
    _refuse_shared(table, fold, codes, train, test, "stimulus '{}' of a zero-shot task", names)
    shown = [[names[code] for code in np.unique(codes[rows])] for rows in (train, test)]
    refuse_same_spelling(fold.name, shown[0], shown[1])


def _refuse_stored_twice(
    table: pd.DataFrame, fold: Fold, train: np.ndarray, test: np.ndarray, content_hashes: Sequence[str]
) -> None:
    recording = table["recording"].to_numpy(dtype=int)
    if recording.max() >= len(content_hashes):
        raise DataError(f"The table names recording {recording.max()}, but there are {len(content_hashes)} hashes.")
    content = np.unique(np.asarray(content_hashes, dtype=str), return_inverse=True)[1]
    sides = [
        pd.DataFrame({"content": content[r], "recording": r})
        for r in map(np.unique, (recording[train], recording[test]))
    ]
    pairs = sides[0].merge(sides[1], on="content", suffixes=("_train", "_test"))
    pairs = pairs[pairs["recording_train"] != pairs["recording_test"]]
    if len(pairs):
        first, second = int(pairs["recording_train"].iloc[0]), int(pairs["recording_test"].iloc[0])
        labels = [_recording_label(table, int(np.flatnonzero(recording == index)[0])) for index in (first, second)]
        raise LeakageError(
            f"Fold '{fold.name}': one recording is stored twice: '{labels[0]}' (recording {first}, training) and "
            f"'{labels[1]}' (recording {second}, test) have the same content. Remove one of them."
        )


def _refuse_disguised_copies(
    table: pd.DataFrame,
    fold: Fold,
    train: np.ndarray,
    test: np.ndarray,
    fingerprints: Sequence[Fingerprint],
    vouched: Vouched,
) -> None:
    recording = table["recording"].to_numpy(dtype=int)
    sides = [np.unique(recording[rows]).tolist() for rows in (train, test)]
    for first, second in ((one, other) for one in sides[0] for other in sides[1] if one != other):
        match = find_match(*(fingerprints[index] for index in sorted((first, second))))  # each pair is kept once
        if match is None:
            continue
        rows = [int(np.flatnonzero(recording == index)[0]) for index in (first, second)]
        labels = [_recording_label(table, row) for row in rows]
        names = [f"{table['dataset'].iloc[row]} {label}" for row, label in zip(rows, labels, strict=True)]
        if not vouched.covers(names[0], names[1], match):
            raise LeakageError(
                f"Fold '{fold.name}': '{labels[0]}' (recording {first}, training) and '{labels[1]}' (recording "
                f"{second}, test) hold the same signal {told_match(fingerprints[first], match)}. Remove one of them."
                f"{how_to_vouch(names[0], names[1], match)}"
            )


def _refuse_overlap(table: pd.DataFrame, fold: Fold, train: np.ndarray, test: np.ndarray) -> None:
    partner = overlap_partner(table, test, train)
    hits = np.flatnonzero(partner >= 0)
    if len(hits):
        train_row, test_row = int(partner[hits[0]]), int(test[hits[0]])
        raise LeakageError(
            f"Fold '{fold.name}': training window {window_label(table, train_row)} overlaps test window "
            f"{window_label(table, test_row)}. Use shorter windows, or a split with a gap."
        )
