"""Which windows a decoder may learn from and which it is scored on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.signals.reach import Reach

__all__ = [
    "UNIT_LEVELS",
    "ContiguousKFold",
    "Fold",
    "LeaveConceptOut",
    "LeaveRunOut",
    "LeaveSessionOut",
    "LeaveSubjectOut",
    "OfficialSplit",
    "ScoreOnly",
    "Split",
    "block_folds",
    "concept_groups",
    "cut_trials",
    "folds_from_assignment",
    "missing_class",
    "overlap_partner",
    "recording_times_s",
    "require_classes",
    "require_rows",
    "text_column",
    "trial_codes",
    "trial_order",
    "unit_codes",
]

# Labels repeat ("run 1" of everybody), so a unit is named by its whole path.
UNIT_LEVELS: dict[str, tuple[str, ...]] = {
    "dataset": ("dataset",),
    "subject": ("dataset", "subject"),
    "session": ("dataset", "subject", "session"),
    "run": ("dataset", "subject", "session", "task", "run"),
    "concept": ("concept",),
    "stimulus": ("stimulus",),
}
_OVERLAP_TOLERANCE_S = 1e-6  # below one sample of any recording; absorbs rounding of onsets


@dataclass(frozen=True, eq=False)
class Fold:
    """Positions (iloc) in the window table to learn from and to score on.

    Args:
        name: Which unit is left out, for reports.
        train: Sorted positions.
        test: Sorted positions; the validation rows where the fold is an inner one.
        gap: What was kept free around the test part, where something was: seconds, trials, and windows it cost.
    """

    name: str
    train: np.ndarray
    test: np.ndarray
    gap: Mapping[str, float] = field(default_factory=dict)


class Split(ABC):
    """A rule that turns a window table into folds.

    Attributes:
        name: The word used in `split=`.
        forbids: Levels of `UNIT_LEVELS` whose units may not be on both sides of a fold.
        zero_shot: True when no stimulus of the test part may occur in training.
    """

    name: str
    forbids: tuple[str, ...] = ()
    zero_shot: bool = False

    @abstractmethod
    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return the folds of a window table, the same ones on every call."""

    def over(self, reach: Reach) -> Split:
        """Return this split for signals whose samples were carried so far by the steps before.

        Raises:
            ConfigError: Parts of a recording are held out, and a step uses the whole recording.
        """
        return self

    def final_rows(self, table: pd.DataFrame) -> np.ndarray:
        """Return positions of the windows that the decoder which is saved is fitted on, after scoring."""
        return np.arange(len(table))


@dataclass(frozen=True)
class OfficialSplit(Split):
    """The partition the dataset's authors published; "validation" rows belong to the training side.

    Args:
        zero_shot: No test stimulus occurs in training.
        forbids: Levels the authors promise to keep apart.
        train_windows: How many training windows are kept, drawn at random, for curves of score against data; None
            keeps all. A larger number keeps what a smaller one keeps, and more.
        seed: Of that draw.

    Raises:
        ConfigError: Fewer than one window to keep.
    """

    zero_shot: bool = False
    forbids: tuple[str, ...] = ()
    train_windows: int | None = None
    seed: int = 0
    name = "official"

    def __post_init__(self) -> None:
        object.__setattr__(self, "forbids", tuple(self.forbids))
        if self.train_windows is not None and self.train_windows < 1:
            raise ConfigError(f"split.train_windows is a number of windows from 1 on, got {self.train_windows}.")

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return the one published fold.

        Raises:
            DataError: The table has no partition, an unknown one, or an empty side.
        """
        partition = text_column(table, "partition")
        unknown = sorted(set(partition) - {"train", "validation", "test", ""})
        if unknown:
            raise DataError(f"A partition is 'train', 'validation', 'test' or empty; the table also has {unknown}.")
        train = np.flatnonzero(np.isin(partition, ["train", "validation"]))
        test = np.flatnonzero(partition == "test")
        if not len(train) or not len(test):
            raise DataError(
                f"The official split has {len(train)} training and {len(test)} test windows in this table. Set "
                "target.partition_column in the dataset's YAML, or use split=leave_run_out or split=contiguous_kfold."
            )
        return [Fold("official", self._drawn(train), test)]

    def _drawn(self, train: np.ndarray) -> np.ndarray:
        if self.train_windows is None:
            return train
        if self.train_windows > len(train):
            raise DataError(
                f"There are {len(train)} training windows; split.train_windows={self.train_windows} are too many."
            )
        return np.sort(np.random.default_rng(self.seed).permutation(train)[: self.train_windows])


@dataclass(frozen=True)
class ScoreOnly(Split):
    """Every window is scored and none is trained on, for decoders with nothing to fit (stored embeddings)."""

    name = "score_only"
    zero_shot = True

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return one fold without training windows."""
        return [Fold("all", np.zeros(0, dtype=int), np.arange(len(table)))]


class _LeaveUnitOut(Split):
    """Folds that leave out one unit of `level`."""

    level: str

    def _folds(self, table: pd.DataFrame, fold_of_row: np.ndarray, names: Sequence[str]) -> list[Fold]:
        folds = folds_from_assignment(fold_of_row, names)
        require_classes(table, folds, self.name)
        return folds


@dataclass(frozen=True)
class LeaveSubjectOut(_LeaveUnitOut):
    """Each participant is the test part once."""

    name = "leave_subject_out"
    forbids = ("subject",)
    level = "subject"

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return one fold per subject.

        Raises:
            DataError: Fewer than two subjects, or a class that only one subject has.
        """
        require_rows(table, self.name)
        codes, names = unit_codes(table, "subject")
        if len(names) < 2:
            raise DataError(
                f"leave_subject_out needs at least 2 subjects, the table has {len(names)} ({', '.join(names)}). "
                "Add subjects, or use split=leave_session_out or split=leave_run_out."
            )
        return self._folds(table, codes, names)


@dataclass(frozen=True)
class LeaveSessionOut(_LeaveUnitOut):
    """The k-th session of every participant is the test part of fold k."""

    name = "leave_session_out"
    forbids = ("session",)
    level = "session"

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return as many folds as the subject with the most sessions has.

        Raises:
            DataError: A subject with one session, or a class missing from a training part.
        """
        alternatives = "split=leave_run_out or split=contiguous_kfold"
        return self._folds(table, *_order_within_subject(table, self.level, self.name, alternatives))


@dataclass(frozen=True)
class LeaveRunOut(_LeaveUnitOut):
    """The k-th run of every participant, over all their sessions and tasks, is the test part of fold k."""

    name = "leave_run_out"
    forbids = ("run",)
    level = "run"

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return as many folds as the subject with the most runs has.

        Raises:
            DataError: A subject with one run, or a class missing from a training part.
        """
        alternatives = "split=contiguous_kfold, or split=leave_subject_out with several subjects"
        return self._folds(table, *_order_within_subject(table, self.level, self.name, alternatives))


@dataclass(frozen=True)
class LeaveConceptOut(Split):
    """Whole concepts are left out, in groups drawn once from `seed`.

    Args:
        n_folds: Groups of concepts.
        seed: Which concept goes into which group.
    """

    n_folds: int = 5
    seed: int = 0
    name = "leave_concept_out"
    forbids = ("concept",)
    zero_shot = True

    def __post_init__(self) -> None:
        _require_fold_count(self.n_folds)

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return `n_folds` folds.

        Raises:
            DataError: Windows without a concept, or fewer concepts than folds.
        """
        require_rows(table, self.name)
        groups = concept_groups(table, self.n_folds, self.seed)
        folds = folds_from_assignment(groups, [f"concepts-{k + 1}" for k in range(self.n_folds)])
        require_classes(table, folds, self.name)
        return folds


@dataclass(frozen=True)
class ContiguousKFold(Split):
    """Each recording is cut into `n_folds` contiguous blocks; block k of each is the test part of fold k.

    Training windows closer than the gap to a test window are left out of that fold. Blocks cannot be stratified; a
    class that a training part lacks is an error.

    Args:
        n_folds: Blocks per recording.
        gap_s: Seconds between a test window and the nearest training window of the same recording, at least; where
            the steps on the signal reach further, that (`over`).
        gap_trials: Cut trials between a test trial and the nearest training trial, whether their onsets are known or
            not.
    """

    n_folds: int = 5
    gap_s: float = 1.0
    gap_trials: int = 1
    name = "contiguous_kfold"

    def __post_init__(self) -> None:
        _require_fold_count(self.n_folds)
        if not self.gap_s >= 0 or self.gap_trials < 0:
            raise ConfigError(f"A gap is not negative; got gap_s={self.gap_s}, gap_trials={self.gap_trials}.")

    def over(self, reach: Reach) -> ContiguousKFold:
        """Return the split whose gap covers the reach of the steps."""
        return replace(self, gap_s=max(self.gap_s, reach.within_recording(self.name)))

    def folds(self, table: pd.DataFrame) -> list[Fold]:
        """Return `n_folds` folds.

        Raises:
            DataError: A recording with fewer trials than folds, or a class missing from a training part.
        """
        require_rows(table, self.name)
        folds = block_folds(table, self.n_folds, self.gap_s, self.gap_trials)
        require_classes(table, folds, self.name)
        return folds


def unit_codes(table: pd.DataFrame, level: str) -> tuple[np.ndarray, list[str]]:
    """Return the unit each row belongs to as an integer, and a readable name for each unit, in sorted order.

    Raises:
        ConfigError: A level that is not in `UNIT_LEVELS`.
    """
    if level not in UNIT_LEVELS:
        raise unknown_option("level", level, UNIT_LEVELS)
    columns = UNIT_LEVELS[level]
    keys = pd.DataFrame({name: text_column(table, name) for name in columns})
    grouped = keys.groupby(list(columns), sort=True)
    names = grouped.first().index if len(columns) == 1 else grouped.size().index
    return grouped.ngroup().to_numpy(), [_unit_name(columns, name) for name in names]


def cut_trials(table: pd.DataFrame) -> np.ndarray:
    """Return which rows are cut trials; in a table that does not say, those whose event has no onset."""
    if "is_cut" in table:
        return table["is_cut"].to_numpy(dtype=bool)
    onset = pd.to_numeric(table["onset_s"], errors="coerce").to_numpy(dtype=float)
    return np.isnan(onset) & (table["event"].to_numpy(dtype=int) >= 0)


def recording_times_s(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return when each window starts and stops in its recording; NaN for cut trials of unknown onset.

    Where only some trials of a recording have an onset, none of them is compared.
    """
    start, stop = table["start_s"].to_numpy(dtype=float), table["stop_s"].to_numpy(dtype=float)
    is_cut = cut_trials(table)
    onset = pd.to_numeric(table["onset_s"], errors="coerce").to_numpy(dtype=float)
    recording = table["recording"].to_numpy()
    onset = np.where(np.isin(recording, recording[is_cut & np.isnan(onset)]), np.nan, onset)
    shift = np.where(is_cut, onset, 0.0)
    return start + shift, stop + shift


def trial_codes(table: pd.DataFrame) -> np.ndarray:
    """Return the trial of each row as an integer: windows of one event share it, sliding windows are their own."""
    event = table["event"].to_numpy(dtype=int)
    sliding = np.where(event < 0, np.arange(len(table)), -1)
    recording = table["recording"].to_numpy(dtype=int)
    return (
        pd.DataFrame({"recording": recording, "event": event, "row": sliding})
        .groupby(["recording", "event", "row"], sort=True)
        .ngroup()
        .to_numpy()
    )


def overlap_partner(table: pd.DataFrame, rows: np.ndarray, others: np.ndarray, margin_s: float = 0.0) -> np.ndarray:
    """Return, for each of `rows`, a position in `others` whose window it overlaps (or comes closer to than `margin_s`).

    Only windows of one recording are compared, and cut trials where their onsets are known. Sorts once: O(n log n).

    Args:
        table: Window table.
        rows: Positions.
        others: Positions.
        margin_s: Each window of `rows` is widened by this at both ends.

    Returns:
        (len(rows),) positions in `table`, -1 where there is none.
    """
    partner = np.full(len(rows), -1)
    start, stop = recording_times_s(table)
    is_known = ~np.isnan(start)
    asked, kept = np.flatnonzero(is_known[rows]), others[is_known[others]]
    if not len(asked) or not len(kept):
        return partner
    # Recordings are laid one after the other on one time axis, further apart than any window or margin reaches.
    apart = float(np.nanmax(stop) - np.nanmin(start)) + 2 * margin_s + 1.0
    offset = np.unique(table["recording"].to_numpy(), return_inverse=True)[1] * apart
    start, stop = start + offset, stop + offset
    kept = kept[np.argsort(start[kept], kind="stable")]
    latest = np.maximum.accumulate(stop[kept])
    latest_row = kept[np.searchsorted(latest, latest, side="left")]
    chosen = rows[asked]
    before = np.searchsorted(start[kept], stop[chosen] + margin_s - _OVERLAP_TOLERANCE_S, side="left") - 1
    reaches = (before >= 0) & (latest[before] > start[chosen] - margin_s + _OVERLAP_TOLERANCE_S)
    partner[asked[reaches]] = latest_row[before[reaches]]
    return partner


def text_column(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a column as text; empty text where it is absent or has no value."""
    if name not in table:
        return np.full(len(table), "", dtype=object)
    return table[name].fillna("").astype(str).to_numpy(dtype=object)


def _unit_name(columns: tuple[str, ...], value: Any) -> str:
    values = value if isinstance(value, tuple) else (value,)
    if len(columns) == 1:
        return str(values[0])
    prefixes = {"subject": "sub-", "session": "ses-", "task": "task-", "run": "run-"}
    named = dict(zip(columns, values, strict=True))
    parts = [f"{prefixes[column]}{named[column]}" for column in columns if column in prefixes and named[column]]
    return "_".join(parts) or str(named["dataset"])


def require_rows(table: pd.DataFrame, name: str) -> None:
    """Refuse a table too small to split, in the name of a split; a DataError."""
    if len(table) < 2:
        raise DataError(
            f"{name} needs at least 2 windows, the table has {len(table)}. Check the target and the events."
        )


def _require_fold_count(n_folds: int) -> None:
    if n_folds < 2:
        raise ConfigError(f"Cross-validation needs at least 2 folds, got n_folds={n_folds}.")


def folds_from_assignment(fold_of_row: np.ndarray, names: Sequence[str]) -> list[Fold]:
    """Return the folds in which the rows of each number are left out in turn, named in the order of the numbers."""
    folds = [
        Fold(name, np.flatnonzero(fold_of_row != index), np.flatnonzero(fold_of_row == index))
        for index, name in enumerate(names)
    ]
    return [fold for fold in folds if len(fold.test)]


def _order_within_subject(
    table: pd.DataFrame, level: str, name: str, alternatives: str
) -> tuple[np.ndarray, list[str]]:
    """Return the order of each row's unit within its subject, and a name for each order."""
    require_rows(table, name)
    units, unit_names = unit_codes(table, level)
    subjects, subject_names = unit_codes(table, "subject")
    subject_of_unit = np.zeros(len(unit_names), dtype=int)
    subject_of_unit[units] = subjects
    counts = np.bincount(subject_of_unit, minlength=len(subject_names))
    if counts.min() < 2:
        short = int(counts.argmin())
        raise DataError(
            f"{name} needs at least 2 {level}s of every subject; '{subject_names[short]}' has {counts[short]}. "
            f"Add {level}s, leave the subject out with datasets.subjects, or use {alternatives}."
        )
    order = pd.Series(subject_of_unit).groupby(subject_of_unit).cumcount().to_numpy()
    if len(subject_names) == 1:
        return order[units], unit_names
    return order[units], [f"{level}-{index + 1}" for index in range(int(counts.max()))]


def _labels_of_classes(table: pd.DataFrame) -> np.ndarray | None:
    """Return string labels where they are classes: not values, and not just the identity of the stimulus."""
    if "label" not in table or pd.api.types.is_numeric_dtype(table["label"]):
        return None
    if any(isinstance(value, int | float) for value in table["label"].head(1)):
        return None
    labels = text_column(table, "label")
    is_identity = any(np.array_equal(labels, text_column(table, name)) for name in ("stimulus", "concept"))
    return None if is_identity or set(labels) == {""} else labels


def missing_class(table: pd.DataFrame, folds: Sequence[Fold]) -> tuple[str, str] | None:
    """Return (class, fold name) of the first class that a training part lacks."""
    labels = _labels_of_classes(table)
    if labels is None:
        return None
    codes, classes = pd.factorize(labels, sort=True)
    for fold in folds:
        counts = np.bincount(codes[fold.train], minlength=len(classes))
        if not counts.all():
            return str(classes[int(counts.argmin())]), fold.name
    return None


def require_classes(table: pd.DataFrame, folds: Sequence[Fold], name: str) -> None:
    """Refuse fewer than two folds, or a training part that lacks a class, in the name of a split; a DataError."""
    if len(folds) < 2:
        raise DataError(f"{name} leaves {len(folds)} fold with windows to score; it needs 2. Use another split.")
    missing = missing_class(table, folds)
    if missing:
        raise DataError(
            f"Class '{missing[0]}' has no training window in fold '{missing[1]}' of {name}. Every training part needs "
            "every class: use another split, fewer folds, or leave the class out with target.classes."
        )


def concept_groups(table: pd.DataFrame, n_folds: int, seed: int, column: str = "concept") -> np.ndarray:
    """Return the fold each row is left out in, whole concepts (or stimuli) together, drawn by `seed`."""
    concepts = text_column(table, column)
    n_empty = int((concepts == "").sum())
    if n_empty:
        raise DataError(
            f"Leaving out a {column} needs it for every window; {n_empty} of {len(table)} have none. "
            f"Set target.{column}_column in the dataset's YAML, or use split=leave_run_out."
        )
    codes, names = pd.factorize(concepts, sort=True)
    if len(names) < n_folds:
        raise DataError(
            f"{n_folds} folds of {column}s need at least {n_folds} of them, the table has {len(names)}. "
            f"Lower n_folds, or use split=leave_run_out."
        )
    shuffled = np.random.default_rng(seed).permutation(len(names))
    group_of_concept = np.empty(len(names), dtype=int)
    group_of_concept[shuffled] = np.arange(len(names)) * n_folds // len(names)
    return group_of_concept[codes]


def block_folds(table: pd.DataFrame, n_folds: int, gap_s: float, gap_trials: int) -> list[Fold]:
    """Return folds that leave out a contiguous block of every recording, with a gap in seconds, or in cut trials."""
    _, order, n_trials = trial_order(table)
    if n_trials.min() < n_folds:
        short = int(n_trials.argmin())
        runs, names = unit_codes(table, "run")
        raise DataError(
            f"{n_folds} contiguous blocks need at least {n_folds} trials in each recording; '{names[runs[short]]}' has "
            f"{n_trials[short]}. Lower n_folds, or use split=leave_run_out or split=leave_subject_out."
        )
    block = order * n_folds // n_trials
    recording = table["recording"].to_numpy()
    is_cut, is_known = cut_trials(table), ~np.isnan(recording_times_s(table)[0])
    folds = []
    for index in range(n_folds):
        test, train = np.flatnonzero(block == index), np.flatnonzero(block != index)
        near = overlap_partner(table, train, test, gap_s) >= 0
        edges = pd.DataFrame({"order": order[test]}).groupby(recording[test])["order"].agg(["min", "max"])
        edges = edges.reindex(recording[train])
        too_close = (order[train] >= edges["min"].to_numpy() - gap_trials) & (
            order[train] <= edges["max"].to_numpy() + gap_trials
        )
        in_gap = near | (is_cut[train] & too_close)
        gap = ({"gap_s": gap_s} if is_known.any() else {}) | ({"gap_trials": gap_trials} if is_cut.any() else {})
        folds.append(Fold(f"block-{index + 1}", train[~in_gap], test, gap | {"n_in_gap": int(in_gap.sum())}))
    if min(len(fold.train) for fold in folds) == 0:
        raise DataError(
            f"A gap of {gap_s:g} s ({gap_trials} trials) leaves no training window. Shorten the gap, filter with a "
            "shorter reach (a higher low_hz), or hold out whole runs."
        )
    return folds


def trial_order(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return for each row its trial, the place of that trial in its recording, and how many trials that has."""
    trials = trial_codes(table)
    recording = table["recording"].to_numpy()
    start = recording_times_s(table)[0]
    start = np.where(np.isnan(start), table["event"].to_numpy(dtype=float), start)
    frame = pd.DataFrame({"recording": recording, "trial": trials, "start": start})
    firsts = frame.groupby(["recording", "trial"], sort=True)["start"].min().reset_index()
    firsts = firsts.sort_values(["recording", "start", "trial"], kind="stable")
    firsts["order"] = firsts.groupby("recording").cumcount()
    order = firsts.set_index("trial")["order"].reindex(trials).to_numpy()
    n_trials = firsts.groupby("recording").size().reindex(recording).to_numpy()
    return trials, order, n_trials
