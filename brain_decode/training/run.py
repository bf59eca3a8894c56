"""A training run from composed configuration to run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError
from brain_decode.datasets.fingerprint import Fingerprint
from brain_decode.datasets.new_subject_splits import LeaveSubjectOutZeroShot
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    recordings_of,
    saved_seen,
    vouched_pairs,
    without_fingerprint,
)
from brain_decode.datasets.splits import Fold, OfficialSplit, ScoreOnly, Split
from brain_decode.datasets.vouching import VOUCH_WORD, vouched_for
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.scoring import PValues
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.training.crossvalidation import CrossValidation, Protocol, cross_validate, fit_final
from brain_decode.training.describing import describe_windows
from brain_decode.training.filter_gaps import over_filters
from brain_decode.training.fitting import FitSettings, FittedDecoder
from brain_decode.training.loading import LoadedRun, load_run
from brain_decode.training.permuting import design_of, permutation_p_values
from brain_decode.training.predicting import gallery_kind
from brain_decode.training.reading_codes import describe_codes
from brain_decode.training.receipts import receipt_of, split_hash
from brain_decode.training.recipes import Plan, plan_from_config
from brain_decode.training.reconstructing import Drawing, drawing_from_config, reconstruct
from brain_decode.training.recording_passports import passport_evidence, passports_against_first, repairs
from brain_decode.training.results import RunResult, write_results
from brain_decode.training.seen_in_pretraining import (
    pretrained_parts,
    refuse_what_pretraining_saw,
    seen_hashes,
    seen_recordings,
)
from brain_decode.training.trials import Trials
from brain_decode.training.unfinished import describe_run, require_still_there, state_folder, unfinished

__all__ = ["PlannedRun", "prepare_run", "protocol_of", "train"]

_KEEPS_TEST_UNSEEN = (OfficialSplit, LeaveSubjectOutZeroShot)  # their saved decoder has met no test picture


@dataclass(frozen=True)
class PlannedRun:
    """What a run is going to do, before anything is fitted."""

    config: DictConfig
    loaded: LoadedRun
    plan: Plan
    protocol: Protocol
    drawing: Drawing | None


def train(config: DictConfig, folder: Path) -> Path:
    """Cross-validate the configured decoder beside its baselines, refit it, and write the run folder.

    Args:
        config: Composed from `conf/train.yaml`.
        folder: Run folder: empty, or left by a killed run of the same settings, which goes on.

    Returns:
        The run folder, with `metrics.json`, `predictions.parquet`, `receipt.json`, `report.html` and `checkpoint/`.
        With `join:`, `checkpoint/` holds a decoder for each dataset, see `train_joint`.

    Raises:
        BrainDecodeError: Anything the user can mend; nothing half-written stays.
    """
    if config.get("join"):
        from brain_decode.training.joining import train_joint

        return train_joint(config, folder)
    started = datetime.now(UTC)
    planned = prepare_run(config, folder)
    described = describe_run(config, planned.protocol.hashes, planned.loaded.trials.feature_provenance)
    with unfinished(folder, described):
        return _run(planned, folder, started)


def _run(planned: PlannedRun, folder: Path, started: datetime) -> Path:
    """Fit, score and write; what networks have learnt is kept beside until all is written."""
    config = planned.config
    result = cross_validate(planned.plan, planned.loaded.trials, planned.protocol)
    final, selected = _final_decoder(planned, result)
    pictures = None
    if planned.drawing is not None:
        pictures = reconstruct(final.decoder, planned.loaded.trials, result.answers, planned.drawing, folder)
    receipt = _receipt(planned, result, started)
    own = result.predictions[result.predictions["decoder"] == planned.plan.name]
    folds = planned.protocol.split.folds(planned.loaded.trials.table)
    design = design_of(planned.protocol.split, folds)
    run = RunResult(
        command="train",
        decoder=planned.plan.name,
        protocol=planned.protocol.split.name,
        task=planned.loaded.trials.task,
        predictions=result.predictions,
        folds=result.folds,
        curves=result.curves,
        datasets=planned.loaded.datasets,
        exclusions=planned.loaded.exclusions,
        rejection=planned.loaded.rejection,
        evoked=_evoked(planned, own),
        receipt=receipt,
        selected=selected,
        seed=int(config.seed),
        classes=_classes(planned.loaded.trials),
        oracle=_oracle(planned),
        passport=_passport(planned),
        repairs=repairs(planned.loaded.trials, planned.plan.recipes[0].build_preprocessing()),
        codes=describe_codes(
            final.decoder, planned.loaded.trials, _fitted_rows(planned, planned.loaded.trials), int(config.seed)
        ),
        pictures=pictures,
        design=design,
        p_values=_p_values(planned, design, folds),
        no_p_reason=planned.loaded.trials.unnamed_stimuli,
        transductive=_transductive(planned.plan),
        vouched=receipt["data"][VOUCH_WORD],
    )
    require_still_there(folder)
    metrics = write_results(run, config, folder)
    final.decoder.provenance = _provenance(planned, final.decoder, metrics, receipt, selected)
    final.decoder.save_pretrained(folder / "checkpoint")
    return folder


def _p_values(planned: PlannedRun, design: Design, folds: Sequence[Fold]) -> Mapping[str, PValues] | None:
    """Return p-values of decoders that are fitted again; None where fixed ones have a valid test."""
    if not design.needs_refit:
        return None
    protocol = planned.protocol
    return permutation_p_values(
        planned.plan, planned.loaded.trials, folds, protocol.settings, n_permutations=protocol.n_permutations
    )


def prepare_run(config: DictConfig, folder: Path) -> PlannedRun:
    """Read the recordings of a configuration and settle what is fitted on what; refuses what leaks."""
    steps = OmegaConf.to_container(config.preprocessing, resolve=True)
    if not isinstance(steps, dict):
        raise ConfigError("preprocessing must be a mapping with signal_steps and window_steps.")
    preprocessing = Preprocessing.from_json({str(key): value for key, value in steps.items()})
    loaded = load_run(config, preprocessing)
    plan = plan_from_config(config, loaded.trials.task, loaded.trials.recordings[0].space)
    preprocessing = plan.recipes[0].build_preprocessing()
    hashes, fingerprints = loaded.trials.content_hashes(preprocessing), loaded.trials.fingerprints(preprocessing)
    drawing = drawing_from_config(config, loaded.trials)
    protocol = protocol_of(config, loaded.trials, folder, hashes, fingerprints)
    protocol = over_filters(replace(protocol, keeps_answers=drawing is not None), plan, loaded.trials)
    planned = PlannedRun(config, loaded, plan, protocol, drawing)
    recordings, parts = _recordings(planned, loaded.trials.table), pretrained_parts(plan)
    known = [one.name for one in (*recordings, *seen_recordings(parts))]
    vouched = vouched_for(config.get(VOUCH_WORD), known)
    refuse_what_pretraining_saw(parts, recordings, protocol.split, vouched)
    return replace(planned, protocol=replace(protocol, vouched=vouched))


def _vouched_pairs(planned: PlannedRun) -> list[dict[str, Any]]:
    """Return the pairs of recordings that a person vouches for and that would be refused otherwise."""
    if not planned.protocol.vouched.names:
        return []
    own = _recordings(planned, planned.loaded.trials.table)
    pairs = [vouched_pairs(planned.protocol.vouched, own[: number + 1], [one]) for number, one in enumerate(own)]
    seen = vouched_pairs(planned.protocol.vouched, seen_recordings(pretrained_parts(planned.plan)), own)
    return [*(pair for found in pairs for pair in found), *seen]


def _recordings(planned: PlannedRun, rows: pd.DataFrame) -> list[SeenRecording]:
    """Return the recordings that rows of the window table come from."""
    labels = [recording.label for recording in planned.loaded.trials.recordings]
    return recordings_of(rows, labels, planned.protocol.hashes, planned.protocol.fingerprints)


def protocol_of(
    config: DictConfig, trials: Trials, folder: Path, hashes: Sequence[str], fingerprints: Sequence[Fingerprint] = ()
) -> Protocol:
    """Return how a run splits, fits, guards and scores.

    Args:
        config: Composed from `conf/train.yaml`.
        trials: The run's windows.
        folder: Run folder.
        hashes: Content hash of each recording.
        fingerprints: Fingerprint of each recording.
    """
    split: Split = instantiate(OmegaConf.to_container(config.split, resolve=True))
    settings = FitSettings(
        seed=int(config.seed),
        trainer=_trainer(config, folder),
        optimizer=OmegaConf.to_container(config.optimizer, resolve=True),  # type: ignore[arg-type]
        average_repetitions=trials.task == "retrieval",
        memory_gib=float(config.memory_gib),
        state_folder=state_folder(folder),
    )
    gallery = gallery_kind(config.get("gallery"))
    # Retrieval is about pictures that were never trained on, whatever the split.
    zero_shot = split.zero_shot or trials.task == "retrieval"
    return Protocol(
        split,
        settings,
        gallery,
        zero_shot,
        hashes,
        n_permutations=_n_permutations(config),
        fingerprints=fingerprints,
    )


def _n_permutations(config: DictConfig) -> int:
    count = config.permutations
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise ConfigError(f"permutations is a whole number from 0 up, got {count}. 0 leaves p-values out.")
    return count


def _trainer(config: DictConfig, folder: Path) -> dict[str, Any]:
    """Return the settings of networks' training; TensorBoard files, where asked for, go into the run folder."""
    settings: dict[str, Any] = OmegaConf.to_container(config.trainer, resolve=True)  # type: ignore[assignment]
    name = (config.get("logger") or {}).get("logger_folder")
    return settings | ({"logger_folder": str(folder / name)} if name else {})


def _final_decoder(planned: PlannedRun, result: CrossValidation) -> tuple[FittedDecoder, str]:
    """Return the decoder to save: the fold's own where an official test part stays sealed, else a refit on all."""
    if isinstance(planned.protocol.split, OfficialSplit):
        return result.fitted[0], str(result.folds[0]["selected"])
    return fit_final(planned.plan, planned.loaded.trials, planned.protocol)


def _transductive(plan: Plan) -> tuple[str, ...]:
    """Return the steps of any recipe that use the unlabelled signal of what is scored."""
    steps = [name for recipe in plan.recipes for name in recipe.build_preprocessing().transductive_steps]
    return tuple(dict.fromkeys(steps))


def _classes(trials: Trials) -> tuple[str, ...]:
    return trials.classes if trials.task == "classification" else ()


def _passport(planned: PlannedRun) -> dict[str, Any] | None:
    """Return how each recording differs from the first, for the report."""
    preprocessing = planned.plan.recipes[0].build_preprocessing()
    return passport_evidence(passports_against_first(planned.loaded.trials, preprocessing), "the first recording")


def _oracle(planned: PlannedRun) -> dict[str, float] | None:
    """Return the ceiling of a simulated dataset; it holds for the official test pictures only."""
    return planned.loaded.oracle if isinstance(planned.protocol.split, OfficialSplit) else None


def _evoked(planned: PlannedRun, own: pd.DataFrame) -> dict[str, Any] | None:
    """Return class averages for the report; descriptive, made from scored windows and never used to fit."""
    trials = planned.loaded.trials
    if trials.task != "classification":
        return None
    rows = np.unique(own.loc[own["rejected"] == "", "window"].to_numpy(int))
    preprocessing = planned.plan.recipes[0].build_preprocessing()
    note = "Averages of the scored windows after the stateless steps: a description of the data, not a test."
    return describe_windows(trials, preprocessing, rows, trials.classes, note=note)


def _fitted_rows(planned: PlannedRun, trials: Trials) -> np.ndarray:
    """Return the rows of the window table that the saved decoder was fitted on."""
    if isinstance(planned.protocol.split, ScoreOnly):
        return np.zeros(0, dtype=int)
    if isinstance(planned.protocol.split, OfficialSplit):
        return np.flatnonzero(trials.table["partition"] != "test")
    return planned.protocol.split.final_rows(trials.table)


def _receipt(planned: PlannedRun, result: CrossValidation, started: datetime) -> dict[str, Any]:
    trials, hashes = planned.loaded.trials, planned.protocol.hashes
    data = {
        "datasets": [summary["name"] for summary in planned.loaded.datasets],
        "content_hashes": {r.label: h for r, h in zip(trials.recordings, hashes, strict=True)},
        "without_fingerprint": without_fingerprint(_recordings(planned, trials.table)),
        VOUCH_WORD: _vouched_pairs(planned),
        **({"stimuli": trials.feature_provenance} if trials.feature_provenance else {}),
    }
    return receipt_of(
        "train",
        config=planned.config,
        seed=int(planned.config.seed),
        started=started,
        data=data,
        folds_hash=split_hash(result.predictions),
        openings=result.openings,
    )


def _provenance(
    planned: PlannedRun,
    decoder: BrainDecoder,
    metrics: Mapping[str, Any],
    receipt: Mapping[str, Any],
    selected: str,
) -> dict[str, Any]:
    trials = planned.loaded.trials
    used = trials.table.iloc[_fitted_rows(planned, trials)]
    own, parts = _recordings(planned, used), pretrained_parts(planned.plan)
    names = [str(summary["name"]) for summary in planned.loaded.datasets]
    return {
        "name": f"{selected} on {' + '.join(names)}",
        "dataset": " + ".join(names),
        "recipe": selected,
        "licence": "; ".join(str(summary.get("licence") or "not stated") for summary in planned.loaded.datasets),
        "simulated": any(bool(summary.get("simulated")) for summary in planned.loaded.datasets),
        "protocol": planned.protocol.split.name,
        "fitted_on": sorted({*(recording.content_hash for recording in own), *seen_hashes(parts)}),
        **saved_seen([*seen_recordings(parts), *own]),
        "fitted_partition": "train" if isinstance(planned.protocol.split, _KEEPS_TEST_UNSEEN) else "all",
        "metrics": dict(metrics["metrics"]),
        "receipt": dict(receipt),
        **_stimuli(trials, decoder),
    }


def _stimuli(trials: Trials, decoder: BrainDecoder) -> dict[str, Any]:
    """Return where the features of retrieval come from, and the weights a head gives to their levels."""
    if not trials.feature_provenance:
        return {}
    weights = getattr(decoder.head, "level_weights", None)
    learned = {} if weights is None else {"level_weights": [round(weight, 6) for weight in weights.tolist()]}
    return {"stimuli": trials.feature_provenance | learned}
