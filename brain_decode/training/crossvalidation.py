"""Each unit is in the test part once; selection happens inside the training part; predictions are pooled."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.core.progress import track
from brain_decode.datasets.fingerprint import Fingerprint
from brain_decode.datasets.inner_folds import inner_folds
from brain_decode.datasets.leakage import check_leakage
from brain_decode.datasets.same_pictures import refuse_same_content, refuse_same_features
from brain_decode.datasets.sealed import SealedFold, SealedTest, collect_openings, seal
from brain_decode.datasets.splits import Fold, Split
from brain_decode.datasets.vouching import NOBODY, Vouched
from brain_decode.evaluation.retrieval import GalleryKind
from brain_decode.signals.reach import NO_REACH, Reach
from brain_decode.training.fitting import FitSettings, FittedDecoder, fit_decoder
from brain_decode.training.predicting import averaged_answers, predict_rows, selection_score
from brain_decode.training.recipes import Plan, Recipe
from brain_decode.training.sealed_trials import SealedTrials
from brain_decode.training.trials import Trials

__all__ = ["CrossValidation", "Protocol", "cross_validate", "fit_final"]

_LOG = logging.getLogger(__name__)


@dataclass
class CrossValidation:
    """What a cross-validation leaves behind.

    Args:
        predictions: Pooled out-of-fold predictions of every decoder; column `decoder` tells them apart.
        folds: One record per fold: sizes, the recipe selected, the scores it was selected by.
        curves: Learning curves of the run's own decoder, with the fold's name.
        openings: When each fold's test part was opened.
        fitted: The run's own decoder of each fold.
        answers: Of each fold, the stimuli of the test part and what the run's own decoder answers to the average of
            their repetitions, where the protocol keeps them.
    """

    predictions: pd.DataFrame
    folds: list[dict[str, Any]] = field(default_factory=list)
    curves: list[dict[str, Any]] = field(default_factory=list)
    openings: list[dict[str, Any]] = field(default_factory=list)
    fitted: list[FittedDecoder] = field(default_factory=list)
    answers: list[tuple[pd.DataFrame, np.ndarray]] = field(default_factory=list)


@dataclass(frozen=True)
class Protocol:
    """How the run splits, guards and scores.

    Args:
        split: The outer rule.
        settings: How decoders are fitted.
        gallery: What retrieval compares with.
        zero_shot: Stimuli of the test part must be new.
        hashes: Content hash of each recording.
        reach: How far the steps on the signal carry a sample; gaps within recordings cover it.
        keeps_answers: Keep the answers of retrieval, from which pictures are drawn.
        n_permutations: Of labels, each followed by fitting the closed-form decoders again; 0 gives no p-values.
        fingerprints: Fingerprint of each recording.
        vouched: Recordings that a person says are no copies of each other.
    """

    split: Split
    settings: FitSettings
    gallery: GalleryKind
    zero_shot: bool
    hashes: Sequence[str]
    keeps_answers: bool = False
    n_permutations: int = 0
    reach: Reach = NO_REACH
    fingerprints: Sequence[Fingerprint] = ()
    vouched: Vouched = NOBODY


def cross_validate(plan: Plan, trials: Trials, protocol: Protocol) -> CrossValidation:
    """Fit and score the plan on every fold of the split.

    Args:
        plan: The decoder, its candidates and its baselines.
        trials: The run's windows; rejected ones are never trained on, and are predicted.
        protocol: Split, guard and scoring.

    Raises:
        LeakageError: A fold lets test information into training.
    """
    folds = protocol.split.folds(trials.table)
    for fold in folds:
        _guard(trials, fold, protocol, protocol.split.forbids)
        if protocol.zero_shot:
            _refuse_same_pictures(trials, fold)
    sealed = [seal(fold) for fold in folds]
    result = CrossValidation(pd.DataFrame())
    parts: list[pd.DataFrame] = []
    for part in track(sealed, "folds", total=len(sealed)):
        parts += _run_fold(plan, trials, part, protocol, result)
    result.predictions = pd.concat(parts, ignore_index=True)
    result.openings = collect_openings(sealed)
    _tell_left_out(result.folds)
    return result


def _tell_left_out(folds: Sequence[dict[str, Any]]) -> None:
    names = sorted({name for fold in folds for name in fold.get("n_left_out", {})})
    if names:
        most = max(count for fold in folds for count in fold.get("n_left_out", {}).values())
        _LOG.warning(
            "%s: fitted without up to %d training windows a fold, drawn at random, because more do not fit into "
            "memory_gib. Raise it to use them all.",
            ", ".join(names),
            most,
        )


def _run_fold(
    plan: Plan, trials: Trials, fold: SealedFold, protocol: Protocol, result: CrossValidation
) -> list[pd.DataFrame]:
    kept, shut = _kept(trials, fold.train), SealedTrials(trials, fold.test)
    chosen, scores = _select(plan, shut, kept, protocol)
    fitted = {recipe.name: _fit(recipe, shut, kept, protocol) for recipe in plan.recipes}
    test = fold.test.open("score the fitted decoders")
    named = {plan.name: fitted[chosen.name], **fitted}
    frames = [
        predict_rows(one.decoder, trials, test, protocol.gallery).assign(decoder=name, fold=fold.name, split="test")
        for name, one in named.items()
    ]
    record = {"name": fold.name, "n_train": len(kept), "n_test": len(test), "selected": chosen.name, **fold.gap}
    if fold.gap and not all(recording.continuous for recording in trials.recordings):
        record |= {"filters_before_cutting": "unknown"}
    left_out = {name: one.n_left_out for name, one in fitted.items() if one.n_left_out}
    record |= {"n_left_out": left_out} if left_out else {}
    result.folds.append(record | ({"selection_scores": scores} if len(plan.candidates) > 1 else {}))
    result.curves += [{"fold": fold.name, **point} for point in fitted[chosen.name].curves]
    result.fitted.append(fitted[chosen.name])
    if protocol.keeps_answers:
        result.answers.append(averaged_answers(fitted[chosen.name].decoder, trials, test))
    return frames


def fit_final(plan: Plan, trials: Trials, protocol: Protocol) -> tuple[FittedDecoder, str]:
    """Select by inner validation, fit on every window that the split gives; returns the decoder and its name."""
    rows = protocol.split.final_rows(trials.table)
    kept = _kept(trials, rows)
    shut = SealedTrials(trials, SealedTest("final", np.setdiff1d(np.arange(len(trials.table)), rows)))
    chosen, _ = _select(plan, shut, kept, protocol)
    return _fit(chosen, shut, kept, protocol), chosen.name


def _kept(trials: Trials, rows: np.ndarray) -> np.ndarray:
    if not len(rows):
        return rows
    rejected = trials.table["rejected"].to_numpy()[rows] != ""
    if rejected.all():
        raise DataError("Every training window was rejected; the thresholds do not fit the unit of the data.")
    return rows[~rejected]


def _guard(trials: Trials, fold: Fold, protocol: Protocol, forbids: Sequence[str]) -> None:
    if not len(fold.train):  # a decoder that is only scored has no training part to leak into
        return
    check_leakage(
        trials.table,
        fold,
        forbids=forbids,
        zero_shot=protocol.zero_shot,
        content_hashes=protocol.hashes,
        fingerprints=protocol.fingerprints,
        vouched=protocol.vouched,
    )


def _refuse_same_pictures(trials: Trials, fold: Fold) -> None:
    """Compare the pictures of both sides by features (of several levels, by the first), else by content."""
    if not len(fold.train):
        return
    shown = [tuple(trials.table.iloc[rows]["stimulus"].astype(str).unique()) for rows in (fold.train, fold.test)]
    if trials.features is None:
        refuse_same_content(fold.name, shown[0], shown[1], trials.picture_hashes)
        return
    rows = [trials.feature_rows(names) for names in shown]
    first = [trials.features[one] if trials.features.ndim == 2 else trials.features[one, 0] for one in rows]
    refuse_same_features(fold.name, (shown[0], shown[1]), (first[0], first[1]))


def _select(plan: Plan, trials: Trials, rows: np.ndarray, protocol: Protocol) -> tuple[Recipe, dict[str, float]]:
    """Return the candidate that predicts held-out parts of the training rows best; never sees the test part."""
    if len(plan.candidates) == 1:
        return plan.candidates[0], {}
    folds = _inner(trials, rows, protocol)
    scores = {recipe.name: _inner_score(recipe, trials, folds, protocol) for recipe in plan.candidates}
    best = max(plan.candidates, key=lambda recipe: scores[recipe.name])
    return best, scores


def _inner_score(recipe: Recipe, trials: Trials, folds: Sequence[Fold], protocol: Protocol) -> float:
    frames = []
    for fold in folds:
        fitted = _fit(recipe, trials, fold.train, protocol)
        frames.append(predict_rows(fitted.decoder, trials, fold.test, protocol.gallery))
    return selection_score(pd.concat(frames, ignore_index=True), trials)


def _inner(trials: Trials, rows: np.ndarray, protocol: Protocol) -> list[Fold]:
    level = next((level for level in protocol.split.forbids if level in ("subject", "session", "run")), "run")
    folds = inner_folds(trials.table, rows, zero_shot=protocol.zero_shot, level=level, reach=protocol.reach)
    for fold in folds:
        _guard(trials, fold, protocol, ())
    return folds


def _fit(recipe: Recipe, trials: Trials, rows: np.ndarray, protocol: Protocol) -> FittedDecoder:
    """Fit a recipe; a network keeps the last inner fold of the training rows for early stopping."""
    nothing = np.zeros(0, dtype=int)
    if recipe.is_closed_form:
        return fit_decoder(recipe, trials, rows, validation=nothing, settings=protocol.settings)
    last = _inner(trials, rows, protocol)[-1]
    return fit_decoder(recipe, trials, last.train, validation=last.test, settings=protocol.settings)
