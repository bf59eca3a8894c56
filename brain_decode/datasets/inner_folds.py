"""Folds inside the training part, for selection and early stopping that never see the test part."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.datasets.splits import (
    Fold,
    block_folds,
    concept_groups,
    folds_from_assignment,
    missing_class,
    overlap_partner,
    require_classes,
    require_rows,
    text_column,
    trial_order,
    unit_codes,
)
from brain_decode.signals.reach import NO_REACH, Reach

__all__ = ["inner_folds"]

_LEAST_INNER_UNITS = 3
_WITHIN = "Validation inside the training part"
_LEAST_KEPT = 0.5  # share of the training windows that must remain when overlapping ones are left out
_LEAST_KEPT_BESIDE_BLOCKS = 0.75  # share of the windows outside a block that must not show its stimuli


def inner_folds(
    table: pd.DataFrame,
    train: np.ndarray,
    *,
    n_folds: int = 5,
    gap_s: float = 1.0,
    zero_shot: bool = False,
    level: str = "run",
    reach: Reach = NO_REACH,
) -> list[Fold]:
    """Split the training rows of a fold again, for selection that never sees its test rows.

    A published validation partition is used where there is one. Zero-shot tasks hold out whole concepts (whole stimuli
    where concepts are unknown). Otherwise units of `level` are left out (grouped into at most `n_folds` folds) when
    there are at least three and every class stays in training; then those of the next lower level; then contiguous
    blocks with a gap.

    Args:
        table: The whole window table.
        train: Positions of the outer fold's training rows.
        n_folds: Most folds.
        gap_s: Gap between contiguous blocks, seconds.
        zero_shot: The outer split is zero-shot.
        level: "subject", "session" or "run"; the first of the outer split's `forbids`.
        reach: How far the steps on the signal carry a sample; the gap covers it.

    Returns:
        Folds whose positions refer to `table` and lie within `train`.

    Raises:
        DataError: Too few training windows to split again.
        ConfigError: An unknown level, or blocks of recordings that a step uses as a whole.
    """
    levels = ["subject", "session", "run"]
    if level not in levels:
        raise unknown_option("level of inner folds", level, levels)
    train = np.sort(np.asarray(train, dtype=int))
    part = table.iloc[train]
    require_rows(part, "validation")
    local = _published_validation(part)
    if local is None:
        if zero_shot:
            local = _zero_shot_inner(part, n_folds, reach)
        else:
            by_unit = _unit_inner(part, n_folds, levels[levels.index(level) :])
            local = by_unit or _block_inner(part, n_folds, max(gap_s, reach.within_recording(_WITHIN)))
    return [Fold(fold.name, train[fold.train], train[fold.test]) for fold in local]


def _published_validation(part: pd.DataFrame) -> list[Fold] | None:
    partition = text_column(part, "partition")
    train, validation = np.flatnonzero(partition == "train"), np.flatnonzero(partition == "validation")
    return [Fold("validation", train, validation)] if len(train) and len(validation) else None


def _zero_shot_inner(part: pd.DataFrame, n_folds: int, reach: Reach) -> list[Fold]:
    column = "stimulus" if (text_column(part, "concept") == "").any() else "concept"
    n_units = len(set(text_column(part, column)))
    groups = concept_groups(part, max(2, min(n_folds, n_units)), 0, column)
    folds = folds_from_assignment(groups, [f"{column}s-{k + 1}" for k in range(int(groups.max()) + 1)])
    apart = [_without_overlap(part, fold) for fold in folds]
    if all(len(fold.train) >= _LEAST_KEPT * len(whole.train) for fold, whole in zip(apart, folds, strict=True)):
        return apart
    return _stimulus_blocks(part, n_folds, reach.within_recording(_WITHIN))


def _without_overlap(part: pd.DataFrame, fold: Fold) -> Fold:
    """Return the fold without the training windows that reach into a held-out one."""
    free = overlap_partner(part, fold.train, fold.test) < 0
    return Fold(fold.name, fold.train[free], fold.test)


def _stimulus_blocks(part: pd.DataFrame, n_folds: int, gap_s: float) -> list[Fold]:
    """Hold out contiguous blocks, and leave their stimuli out of training wherever they are shown again.

    In rapid serial presentation each window reaches into many others, so that holding out whole concepts would leave
    hardly anything to train on. Concepts are then shared with validation, never stimuli and never samples. Where
    stimuli are shown several times, a block takes many other windows with it; blocks are then made shorter.
    """
    most = int(trial_order(part)[2].min())
    counts = sorted({max(2, min(count, most)) for count in (n_folds, 2 * n_folds, 4 * n_folds)})
    for count in counts:
        blocks = block_folds(part, count, gap_s, 0)
        folds = [_without_shown_again(part, block) for block in blocks]
        kept = [len(fold.train) / len(block.train) for fold, block in zip(folds, blocks, strict=True)]
        if min(kept) >= _LEAST_KEPT_BESIDE_BLOCKS:
            break
    if min(len(fold.train) for fold in folds) == 0:
        raise DataError("Every stimulus is shown in every block, so none can be held out for validation.")
    return folds


def _without_shown_again(part: pd.DataFrame, block: Fold) -> Fold:
    stimuli = text_column(part, "stimulus")
    shown = np.isin(stimuli[block.train], np.unique(stimuli[block.test]))
    return Fold(block.name, block.train[~shown], block.test)


def _unit_inner(part: pd.DataFrame, n_folds: int, levels: Sequence[str]) -> list[Fold]:
    for level in levels:
        codes, names = unit_codes(part, level)
        if len(names) < _LEAST_INNER_UNITS:
            continue
        n_groups = min(len(names), max(2, n_folds))
        labels = names if n_groups == len(names) else [f"{level}s-{k + 1}" for k in range(n_groups)]
        folds = folds_from_assignment(codes % n_groups, labels)
        if missing_class(part, folds) is None:
            return folds
    return []


def _block_inner(part: pd.DataFrame, n_folds: int, gap_s: float) -> list[Fold]:
    n_blocks = max(2, min(n_folds, int(trial_order(part)[2].min())))
    folds = block_folds(part, n_blocks, gap_s, 1)
    require_classes(part, folds, "validation")
    return folds
