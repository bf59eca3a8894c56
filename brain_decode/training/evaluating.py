"""Score a saved decoder on recordings it has not seen."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from brain_decode.core.errors import DataError, LeakageError, listed
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    read_seen,
    recordings_of,
    refuse_disguised_copies,
    vouched_pairs,
    without_fingerprint,
)
from brain_decode.datasets.store import SignalStore
from brain_decode.datasets.vouching import VOUCH_WORD, vouched_for
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import Recording
from brain_decode.training.describing import describe_windows
from brain_decode.training.loading import load_run
from brain_decode.training.predicting import averaged_answers, gallery_kind, predict_rows
from brain_decode.training.receipts import receipt_of, split_hash
from brain_decode.training.reconstructing import drawing_from_config, reconstruct
from brain_decode.training.recording_passports import accepted_recordings, passport_evidence, repairs
from brain_decode.training.results import RunResult, write_results
from brain_decode.training.stimulus_targets import require_same_space, with_targets_of
from brain_decode.training.trials import Trials

__all__ = ["evaluate"]

_LOG = logging.getLogger(__name__)
_OTHERS = (
    "Choose other recordings with datasets.subjects= or paths.data=, or read the cross-validated score in its run "
    "folder."
)


def evaluate(config: DictConfig, folder: Path) -> Path:
    """Score `checkpoint` on `datasets` and write the run folder.

    Raises:
        LeakageError: A recording that the decoder was fitted on.
        SpecMismatch: Recordings that lack what the decoder needs, or stimulus features of another space.
        DataError: Labels the decoder does not know.
    """
    started = datetime.now(UTC)
    decoder = BrainDecoder.from_pretrained(str(config.checkpoint))
    config = with_targets_of(decoder, config)
    spec = decoder.input_spec
    classes = {name: list(values) for name, values in spec.classes.items()} or None
    target: dict[str, Any] = {"task": decoder.target_spec.task, "column": spec.target_column, "classes": classes}
    loaded = load_run(
        config, decoder.preprocessing, window=(spec.start_s, spec.stop_s), target=_merged_target(config, target)
    )
    trials = loaded.trials
    if trials.task == "retrieval":
        require_same_space(decoder, trials.target_spec, trials.feature_provenance)
    originals = trials.recordings
    passports, trials.recordings = accepted_recordings(decoder, originals, config.get("input_unit"))
    as_recorded = _original_store(trials, originals, decoder)
    hashes = as_recorded.content_hashes
    rows = _rows_left(decoder, trials)
    remembered, scored = read_seen(decoder.provenance), _recordings(trials, rows, as_recorded)
    vouched = vouched_for(config.get(VOUCH_WORD), [one.name for one in (*remembered, *scored)])
    _refuse_same_content(decoder, remembered, trials, rows, scored)
    refuse_disguised_copies(remembered, scored, fitted="The decoder was fitted", remedy=_OTHERS, vouched=vouched)
    _warn_of_unknown(scored)
    _require_known_labels(decoder, trials, rows)
    gallery = gallery_kind(config.get("gallery"))
    name = str(decoder.provenance.get("recipe", decoder.encoder.architecture))
    predictions = predict_rows(decoder, trials, rows, gallery).assign(decoder=name, fold="all", split="test")
    drawing = drawing_from_config(config, trials, decoder.generator)
    pictures = None
    if drawing is not None:
        pictures = reconstruct(decoder, trials, [averaged_answers(decoder, trials, rows)], drawing, folder)
    receipt = receipt_of(
        "evaluate",
        config=config,
        seed=int(config.seed),
        started=started,
        data={
            "datasets": [summary["name"] for summary in loaded.datasets],
            "content_hashes": {r.label: h for r, h in zip(trials.recordings, hashes, strict=True)},
            "without_fingerprint": without_fingerprint(scored),
            VOUCH_WORD: vouched_pairs(vouched, remembered, scored),
            "checkpoint": str(config.checkpoint),
            **({"stimuli": trials.feature_provenance} if trials.feature_provenance else {}),
        },
        folds_hash=split_hash(predictions),
        openings=[{"time": started.isoformat(timespec="seconds"), "fold": "all", "reason": "evaluate a checkpoint"}],
    )
    run = RunResult(
        command="evaluate",
        decoder=name,
        protocol="held-out recordings",
        task=trials.task,
        predictions=predictions,
        folds=[{"name": "all", "n_train": 0, "n_test": len(rows), "selected": name}],
        curves=[],
        datasets=loaded.datasets,
        exclusions=loaded.exclusions,
        rejection=loaded.rejection,
        evoked=_evoked(decoder, trials, rows),
        receipt=receipt,
        selected=name,
        seed=int(config.seed),
        classes=decoder.target_spec.classes,
        passport=passport_evidence(passports, "the decoder"),
        repairs=repairs(trials, decoder.preprocessing),
        pictures=pictures,
        no_p_reason=trials.unnamed_stimuli,
        transductive=decoder.preprocessing.transductive_steps,
        vouched=receipt["data"][VOUCH_WORD],
    )
    write_results(run, config, folder)
    return folder


def _merged_target(config: DictConfig, target: dict[str, Any]) -> dict[str, Any]:
    """Keep the dataset's stimulus, concept and partition columns; the decoder decides column and classes."""
    entry = dict(config.datasets.get("target") or {})
    kept = {key: entry[key] for key in ("stimulus_column", "concept_column", "partition_column") if entry.get(key)}
    return {**target, **kept}


def _original_store(trials: Trials, originals: list[Recording], decoder: BrainDecoder) -> SignalStore:
    """Return the store of the recordings as they were recorded: renaming channels makes no new recording."""
    if all(one is other for one, other in zip(trials.recordings, originals, strict=True)):
        return trials.store(decoder.preprocessing)
    return replace(trials, recordings=originals).store(Preprocessing())


def _rows_left(decoder: BrainDecoder, trials: Trials) -> np.ndarray:
    """Return the windows to score: where the decoder was fitted on an official training part, those of the test."""
    official = decoder.provenance.get("fitted_partition") == "train"
    rows = np.flatnonzero(trials.table["partition"] == "test") if official else np.arange(len(trials.table))
    if len(rows) == 0:
        raise DataError("The dataset has no test partition left to score.")
    return rows


def _refuse_same_content(
    decoder: BrainDecoder,
    remembered: Sequence[SeenRecording],
    trials: Trials,
    rows: np.ndarray,
    scored: Sequence[SeenRecording],
) -> None:
    """Pass in silence when the decoder was fitted on none of the recordings to score, and warn of what is not known.

    Raises:
        LeakageError: A recording whose content the decoder has seen.
    """
    seen = set(decoder.fitted_on)
    fitted = {one.content_hash: one.name for one in remembered}
    adapted = trials.content_hashes(decoder.preprocessing)
    for index, one in zip(np.unique(trials.table["recording"].iloc[rows]), scored, strict=True):
        copied = next((content for content in (one.content_hash, adapted[index]) if content in seen), None)
        if copied is not None:
            raise LeakageError(
                f"The decoder was fitted on '{fitted.get(copied, one.label)}', and '{one.label}' has the same content. "
                f"A score on it means nothing. {_OTHERS}"
            )
    if seen - set(fitted):
        _LOG.warning(
            "The decoder was saved without fingerprints of what it was fitted on: exact copies are refused, copies "
            "that were cropped or changed cannot be known. Train it again to have them refused."
        )


def _recordings(trials: Trials, rows: np.ndarray, as_recorded: SignalStore) -> list[SeenRecording]:
    labels = [recording.label for recording in trials.recordings]
    return recordings_of(trials.table.iloc[rows], labels, as_recorded.content_hashes, as_recorded.fingerprints)


def _warn_of_unknown(scored: Sequence[SeenRecording]) -> None:
    """Say of which recordings only exact copies are known."""
    unknown = without_fingerprint(scored)
    if unknown:
        reason = next(iter(unknown.values()))
        _LOG.warning(
            "Of %s only exact copies of what the decoder was fitted on are known (%s).", listed(list(unknown)), reason
        )


def _require_known_labels(decoder: BrainDecoder, trials: Trials, rows: np.ndarray) -> None:
    if trials.task != "classification":
        return
    unknown = set(trials.table.iloc[rows]["label"].astype(str)) - set(decoder.target_spec.classes)
    if unknown:
        raise DataError(
            f"The recordings have the classes {sorted(unknown)}, which the decoder does not answer; it knows "
            f"{list(decoder.target_spec.classes)}. Map them with datasets.target.classes."
        )


def _evoked(decoder: BrainDecoder, trials: Trials, rows: np.ndarray) -> dict[str, Any] | None:
    if trials.task != "classification" or trials.table["label"].nunique() < 2:
        return None
    present = sorted(trials.table["label"].iloc[rows].astype(str).unique())
    return describe_windows(trials, decoder.preprocessing, rows, present, note="The scored windows.")
