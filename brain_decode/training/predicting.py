"""Predictions of a fitted decoder as table rows, and the one number that selection compares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from brain_decode.core.errors import unknown_option
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.evaluation.retrieval import Gallery, concept_centres, ranks_of
from brain_decode.training.trials import RepetitionGroups, Trials, repetition_groups

__all__ = ["REPETITIONS", "GallerySettings", "predict_rows", "selection_score"]

# Repetitions averaged for the curve, as the THINGS-EEG2 literature reports them; `all` is added.
REPETITIONS = (1, 2, 5, 10, 20, 40, 80)
GALLERY_KINDS = ("exact_image", "concept_centre", "all_images")
_BATCH = 512


@dataclass(frozen=True)
class GallerySettings:
    """What retrieval compares a window with.

    Args:
        kind: "exact_image" (pictures of the scored part), "concept_centre" (mean of the other pictures of each scored
            concept) or "all_images" (every picture that has features).
    """

    kind: str = "exact_image"

    def __post_init__(self) -> None:
        if self.kind not in GALLERY_KINDS:
            raise unknown_option("gallery", self.kind, GALLERY_KINDS)


def predict_rows(decoder: BrainDecoder, trials: Trials, rows: np.ndarray, gallery: GallerySettings) -> pd.DataFrame:
    """Return one row per window (and, for retrieval, per averaged stimulus) with the decoder's answer and the truth.

    Args:
        decoder: Fitted.
        trials: The run's windows.
        rows: Positions to predict.
        gallery: Retrieval only.
    """
    if trials.task == "retrieval":
        return _predict_retrieval(decoder, trials, rows, gallery)
    answers = _answers(decoder, trials, rows)
    frame = trials.table.iloc[rows].assign(window=rows)
    if trials.task == "regression":
        return frame.assign(truth=trials.targets(rows)[:, 0], predicted=answers[:, 0])
    classes = np.array(decoder.target_spec.classes)
    probabilities = {f"probability_{label}": answers[:, column] for column, label in enumerate(classes)}
    return frame.assign(truth=frame["label"].astype(str), predicted=classes[answers.argmax(axis=1)], **probabilities)


def selection_score(predictions: pd.DataFrame, trials: Trials) -> float:
    """Return what candidates are compared by on validation windows; higher is better.

    AUC for two classes, balanced accuracy for more, Pearson r for values, minus the mean relative rank for retrieval.
    """
    if trials.task == "retrieval":
        single = predictions[predictions["n_repetitions"] == predictions["n_repetitions"].max()]
        return -float((single["rank"] / single["gallery_size"]).mean())
    if trials.task == "regression":
        return float(np.corrcoef(predictions["truth"], predictions["predicted"])[0, 1])
    truth, classes = predictions["truth"].to_numpy(), trials.classes
    if len(classes) == 2:
        return float(roc_auc_score(truth == classes[1], predictions[f"probability_{classes[1]}"]))
    correct = predictions["predicted"].to_numpy() == truth
    return float(np.mean([correct[truth == label].mean() for label in classes if (truth == label).any()]))


def _answers(decoder: BrainDecoder, trials: Trials, rows: np.ndarray) -> np.ndarray:
    parts = [
        decoder.answer_windows(trials.windows(decoder.preprocessing, rows[start : start + _BATCH]))
        for start in range(0, len(rows), _BATCH)
    ]
    return np.concatenate(parts)


def _predict_retrieval(
    decoder: BrainDecoder, trials: Trials, rows: np.ndarray, settings: GallerySettings
) -> pd.DataFrame:
    gallery = build_gallery(trials, rows, settings)
    most = int(repetition_groups(trials.table, rows).sizes.max())
    counts = sorted({count for count in REPETITIONS if count < most} | {most})
    frames = []
    for count in counts:
        # One repetition scores every single trial; more average the first `count` of each stimulus.
        groups = (
            RepetitionGroups(rows, np.arange(len(rows)))
            if count == 1
            else repetition_groups(trials.table, rows, at_most=count)
        )
        frames.append(_ranked(decoder, trials, groups, gallery, settings).assign(n_repetitions=count))
    return pd.concat(frames, ignore_index=True)


def _ranked(
    decoder: BrainDecoder, trials: Trials, groups: RepetitionGroups, gallery: Gallery, settings: GallerySettings
) -> pd.DataFrame:
    answers = np.concatenate(
        [
            _group_answers(decoder, trials, groups.members(np.arange(start, min(start + _BATCH // 8, len(groups)))))
            for start in range(0, len(groups), _BATCH // 8)
        ]
    )
    frame = trials.table.iloc[groups.first_rows()].assign(window=groups.first_rows())
    wanted = frame["concept"] if settings.kind == "concept_centre" else frame["stimulus"]
    ranks, similarity, best = ranks_of(answers, gallery, wanted.astype(str).to_numpy())
    return frame.assign(
        truth=wanted.astype(str),
        predicted=best,
        rank=ranks,
        similarity=similarity,
        gallery=settings.kind,
        gallery_size=len(gallery.ids),
    )


def _group_answers(decoder: BrainDecoder, trials: Trials, groups: RepetitionGroups) -> np.ndarray:
    windows = trials.windows(decoder.preprocessing, groups.rows)
    if len(groups) == len(groups.rows):
        return decoder.answer_windows(windows)
    # Window steps first: they are per trial, while the average of the repetitions is what the encoder sees.
    averaged = groups.average(decoder.preprocessing.apply_windows(windows))
    return decoder.answer_preprocessed(averaged)


def build_gallery(trials: Trials, rows: np.ndarray, settings: GallerySettings) -> Gallery:
    """Return the stimuli that answers are compared with."""
    part = trials.table.iloc[rows]
    features = trials.features
    if features is None:
        features = trials.targets(rows[:1])  # raises the error that names the missing entry
    if settings.kind == "all_images":
        return Gallery(trials.feature_ids, features, settings.kind)
    stimuli = tuple(dict.fromkeys(part["stimulus"].astype(str)))
    if settings.kind == "exact_image":
        return Gallery(stimuli, features[trials.feature_rows(stimuli)], settings.kind)
    return concept_centres(trials.feature_ids, features, trials.feature_concepts, shown=stimuli)
