"""Predictions of a fitted decoder as table rows, and the one number that selection compares."""

from __future__ import annotations

from typing import Literal, cast, get_args

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.evaluation.predictions import rows_of_kept_trials
from brain_decode.evaluation.retrieval import REPETITION_COUNTS, Gallery, GalleryKind, ranks_of_truth, similarities
from brain_decode.evaluation.retrieval_null import NULL_COLUMNS, shown_ranks
from brain_decode.heads.base import Head
from brain_decode.signals.spec import probability_columns
from brain_decode.training.trials import RepetitionGroups, Trials, repetition_groups

__all__ = ["answers_of", "averaged_answers", "build_gallery", "gallery_kind", "predict_rows", "selection_score"]

_BATCH = 512  # windows read and answered at once
_AVERAGED_BATCH = 32  # stimuli averaged at once; each brings all its repetitions
_TrialsUsed = Literal["kept", "all"]
_NO_OTHERS = {name: -1 if name in ("shown_position", "shown_block") else None for name in NULL_COLUMNS}


def predict_rows(decoder: BrainDecoder, trials: Trials, rows: np.ndarray, gallery: GalleryKind) -> pd.DataFrame:
    """Return one row per window (and, for retrieval, per averaged stimulus) with the decoder's answer and the truth.

    Retrieval averages kept repetitions, `trials_used` "kept"; where one of the rows was rejected, the same averages of
    all trials follow as "all". Both are compared with one gallery, the stimuli that were shown: a rejected trial is no
    reason to make the question easier. `n_repetitions` is how many were averaged at most, `n_averaged` how many were.
    Averages of the most repetitions, which carry the score, keep the ranks of every shown stimulus (`shown_ranks`).

    Args:
        decoder: Fitted.
        trials: The run's windows.
        rows: Positions to predict.
        gallery: What retrieval compares with: pictures of the predicted part, rejected or not ("exact_image"), per
            concept the mean of its other pictures ("concept_centre"), or every picture that has features
            ("all_images").
    """
    if trials.task == "retrieval":
        return _predict_retrieval(decoder, trials, rows, gallery)
    answers = answers_of(decoder, trials, rows)
    frame = trials.table.iloc[rows].assign(window=rows)
    if trials.task == "regression":
        return frame.assign(truth=trials.targets(rows)[:, 0], predicted=answers[:, 0])
    classes = np.array(decoder.target_spec.classes)
    probabilities = dict(zip(probability_columns(decoder.target_spec.classes), answers.T, strict=True))
    return frame.assign(truth=frame["label"].astype(str), predicted=classes[answers.argmax(axis=1)], **probabilities)


def selection_score(predictions: pd.DataFrame, trials: Trials) -> float:
    """Return what candidates are compared by on validation windows; higher is better.

    AUC for two classes, balanced accuracy for more, Pearson r for values, minus the mean relative rank for retrieval.
    """
    if trials.task == "retrieval":
        kept = rows_of_kept_trials(predictions)
        single = kept[kept["n_repetitions"] == kept["n_repetitions"].max()]
        return -float((single["rank"] / single["gallery_size"]).mean())
    if trials.task == "regression":
        return float(np.corrcoef(predictions["truth"], predictions["predicted"])[0, 1])
    truth, classes = predictions["truth"].to_numpy(), trials.classes
    if len(classes) == 2:
        return float(roc_auc_score(truth == classes[1], predictions[probability_columns(classes)[1]]))
    correct = predictions["predicted"].to_numpy() == truth
    return float(np.mean([correct[truth == label].mean() for label in classes if (truth == label).any()]))


def answers_of(decoder: BrainDecoder, trials: Trials, rows: np.ndarray) -> np.ndarray:
    """Return the answer to each of the windows at `rows`, (n, n_outputs)."""
    parts = [
        decoder.answer_windows(trials.windows(decoder.preprocessing, rows[start : start + _BATCH]))
        for start in range(0, len(rows), _BATCH)
    ]
    return np.concatenate(parts)


def _predict_retrieval(decoder: BrainDecoder, trials: Trials, rows: np.ndarray, kind: GalleryKind) -> pd.DataFrame:
    gallery = build_gallery(trials, rows, kind, head=decoder.head)
    most = _most_repetitions(trials, rows)
    counts = sorted({count for count in REPETITION_COUNTS if count < most} | {most})
    kept = _kept(trials, rows)
    used: dict[_TrialsUsed, np.ndarray] = {"kept": kept} if len(kept) else {}
    used |= {"all": rows} if len(kept) < len(rows) else {}
    frames = [
        _ranked(decoder, trials, _groups(trials, part, count), gallery, carries_score=count == most).assign(
            n_repetitions=count, trials_used=which
        )
        for which, part in used.items()
        for count in counts
    ]
    return pd.concat(frames, ignore_index=True)


def _most_repetitions(trials: Trials, rows: np.ndarray) -> int:
    """Return how many repetitions of a stimulus are averaged at most: as many as the one shown least often has.

    Every point of the curve scores the same stimuli, so it ends there. Rejected trials count: the plan of the
    experiment decides, not the luck of one stimulus.
    """
    return int(repetition_groups(trials.table, rows).sizes.min())


def _kept(trials: Trials, rows: np.ndarray) -> np.ndarray:
    return rows[trials.table["rejected"].to_numpy()[rows] == ""]


def _groups(trials: Trials, rows: np.ndarray, count: int) -> RepetitionGroups:
    if count == 1:  # every single trial, not only the first of each stimulus
        return RepetitionGroups(rows, np.arange(len(rows)))
    return repetition_groups(trials.table, rows, at_most=count)


def averaged_answers(decoder: BrainDecoder, trials: Trials, rows: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the answer (n, dim) to each stimulus, from the averages that carry the score, and its row of the table.

    Args:
        decoder: Fitted, for retrieval.
        trials: The run's windows.
        rows: Positions that are scored, rejected ones too: these are left out here, and say how many repetitions the
            experiment planned. Stimuli of each subject come in the order of their first appearance.

    Raises:
        DataError: Every trial was rejected.
    """
    kept = _kept(trials, rows)
    if not len(kept):
        raise DataError(
            f"Pictures are drawn from kept trials; all {len(rows)} of the test part were rejected. The thresholds do "
            "not fit the unit of the data: change preprocessing.rejection."
        )
    groups = repetition_groups(trials.table, kept, at_most=_most_repetitions(trials, rows))
    table = trials.table.iloc[groups.first_rows()].assign(n_repetitions=groups.sizes)
    return table, _answers_of_groups(decoder, trials, groups)


def _answers_of_groups(decoder: BrainDecoder, trials: Trials, groups: RepetitionGroups) -> np.ndarray:
    size = _BATCH if len(groups) == len(groups.rows) else _AVERAGED_BATCH
    parts = [np.arange(start, min(start + size, len(groups))) for start in range(0, len(groups), size)]
    return np.concatenate([_group_answers(decoder, trials, groups.members(part)) for part in parts])


def _ranked(
    decoder: BrainDecoder, trials: Trials, groups: RepetitionGroups, gallery: Gallery, *, carries_score: bool
) -> pd.DataFrame:
    answers = _answers_of_groups(decoder, trials, groups)
    frame = trials.table.iloc[groups.first_rows()].assign(window=groups.first_rows(), n_averaged=groups.sizes)
    wanted = frame["concept" if gallery.kind == "concept_centre" else "stimulus"].astype(str)
    similarity, truth = similarities(answers, gallery), gallery.positions(wanted.tolist())
    ranks, n_ties = ranks_of_truth(similarity, truth)
    # Not for each single trial of a curve: they would be most of a run folder.
    others = shown_ranks(similarity, wanted.tolist(), truth) if carries_score else _NO_OTHERS
    return frame.assign(
        **others,
        truth=wanted,
        predicted=np.array(gallery.ids)[similarity.argmax(axis=1)],
        rank=ranks,
        n_ties=n_ties,
        similarity=np.take_along_axis(similarity, truth[:, None], axis=1)[:, 0],
        gallery=gallery.kind,
        gallery_size=len(gallery),
    )


def _group_answers(decoder: BrainDecoder, trials: Trials, groups: RepetitionGroups) -> np.ndarray:
    windows = trials.windows(decoder.preprocessing, groups.rows)
    if len(groups) == len(groups.rows):
        return decoder.answer_windows(windows)
    # Window steps first: they are per trial, while the average of the repetitions is what the encoder sees.
    return decoder.answer_preprocessed(groups.average(decoder.preprocessing.apply_windows(windows)))


def gallery_kind(word: str | None) -> GalleryKind:
    """Return a gallery kind from the word of a configuration, the exact image where it is left open.

    Raises:
        ConfigError: Another word.
    """
    kinds = get_args(GalleryKind)
    if word is not None and word not in kinds:
        raise unknown_option("gallery", word, kinds)
    return cast(GalleryKind, word or "exact_image")


def build_gallery(trials: Trials, rows: np.ndarray, kind: GalleryKind, *, head: Head | None = None) -> Gallery:
    """Return the stimuli that answers are compared with.

    Args:
        trials: The run's windows and features.
        rows: Positions whose stimuli are ranked.
        kind: Which pictures take part.
        head: Its mixture and adapter make the vectors; the features as they are where None.

    Raises:
        ConfigError: The dataset has no features, or concept centres are asked for where concepts are unknown.
    """
    if trials.features is None:
        raise ConfigError("Retrieval compares with stimulus features; the dataset entry has none (features:).")
    if kind == "all_images":
        return Gallery(trials.feature_ids, _compared(trials.features, head), kind)
    part = trials.table.iloc[rows]
    stimuli = tuple(dict.fromkeys(part["stimulus"].astype(str)))
    if kind == "exact_image":
        return Gallery(stimuli, _compared(trials.features[trials.feature_rows(stimuli)], head), kind)
    if not trials.feature_concepts:
        raise ConfigError("gallery=concept_centre needs the concept of each stimulus; use gallery=exact_image.")
    shown = set(part["concept"].astype(str))
    kept = np.flatnonzero([concept in shown for concept in trials.feature_concepts])
    return Gallery.concept_centres(
        [trials.feature_ids[row] for row in kept],
        [trials.feature_concepts[row] for row in kept],
        _compared(trials.features[kept], head),
        stimuli,
    )


def _compared(features: np.ndarray, head: Head | None) -> np.ndarray:
    return np.asarray(features) if head is None else head.gallery_vectors(features)
