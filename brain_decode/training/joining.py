"""Several kinds of recordings in one space: trained decoders, frozen, get one head that is trained on all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError
from brain_decode.datasets.sealed import collect_openings
from brain_decode.datasets.seen_recordings import read_seen, saved_seen
from brain_decode.datasets.vouching import VOUCH_WORD
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.universal_retrieval import UniversalRetrieval
from brain_decode.training.fitting import FitSettings, fit_head
from brain_decode.training.joined_parts import (
    JoinedPart,
    embedded,
    joined_entries,
    labelled,
    read_part_of_join,
    refuse_shared_pictures,
    require_one_space,
)
from brain_decode.training.predicting import gallery_kind, predict_rows
from brain_decode.training.receipts import receipt_of, split_hash
from brain_decode.training.recipes import group_option
from brain_decode.training.recording_passports import passport_evidence, repairs
from brain_decode.training.results import RunResult, write_results
from brain_decode.training.unfinished import describe_run, fit_folder, require_still_there, state_folder, unfinished

__all__ = ["train_joint"]

_HEAD = "universal_retrieval"
_ALONE = "alone"  # each decoder as it was before, with its own head


def train_joint(config: DictConfig, folder: Path) -> Path:
    """Train one mixture of experts behind the frozen decoders of several datasets, and score it on each.

    Every batch holds windows of one dataset. The decoders keep their own preprocessing, rate, window and encoder, so
    EEG, MEG and fMRI need nothing in common but the features of the pictures; what they make of a window is computed
    once. The run folder is that of `train`, with a decoder for each dataset in `checkpoint/<dataset>/`; the decoders
    as they were stand beside the joined ones in `metrics.json`.

    Args:
        config: Composed from `conf/train.yaml`, with `join:` from each dataset to its run or checkpoint.
        folder: Run folder: empty, or left by a killed run of the same settings, which goes on.

    Raises:
        ConfigError: Datasets without a decoder, decoders that cannot be joined, or another split than the official one.
        LeakageError: A picture that one dataset is tested on is trained on in another.
        BrainDecodeError: As in `train`.

    Source: Li et al. 2025 (BrainFLORA), second stage. Differs: frozen encoders stay in evaluation mode.
    """
    started = datetime.now(UTC)
    settings = _settings(config, folder)
    parts = [read_part_of_join(config, entry, folder) for entry in joined_entries(config)]
    require_one_space(parts)
    refuse_shared_pictures(parts)
    hashes = [one for part in parts for one in part.hashes]
    with unfinished(folder, describe_run(config, hashes)):
        shared, curves = _fit(config, parts, settings)
        joined = {part.name: _joined(part.decoder, shared) for part in parts}
        _write(config, folder, started, parts, joined, curves)
    return folder


def _settings(config: DictConfig, folder: Path) -> FitSettings:
    trainer: dict[str, Any] = OmegaConf.to_container(config.trainer, resolve=True)  # type: ignore[assignment]
    return FitSettings(
        seed=int(config.seed),
        trainer=trainer,
        optimizer=OmegaConf.to_container(config.optimizer, resolve=True),  # type: ignore[arg-type]
        average_repetitions=True,
        state_folder=state_folder(folder),
    )


def _fit(
    config: DictConfig, parts: Sequence[JoinedPart], settings: FitSettings
) -> tuple[UniversalRetrieval, list[dict[str, Any]]]:
    """Return the shared head, trained, and its learning curves; training windows come before all others."""
    spec = parts[0].loaded.trials.target_spec
    torch.manual_seed(settings.seed)
    shared = instantiate({**_head_settings(config), "_partial_": True, "_convert_": "all"})(
        spec.dim, spec, projector="none"
    )
    if not isinstance(shared, UniversalRetrieval):
        raise ConfigError(f"join= trains head={_HEAD}; '{shared.architecture}' has no part that datasets share.")
    sides = [[embedded(part, rows) for part in parts] for rows in ("train", "validation")]
    vectors, targets = (torch.cat([one[column] for side in sides for one in side]) for column in (0, 1))
    groups = np.concatenate([np.full(len(one[0]), number) for side in sides for number, one in enumerate(side)])
    rows = [[getattr(part, side).tolist() for part in parts] for side in ("train", "validation")]
    curves = fit_head(
        shared,
        BrainEmbedding(vectors),
        targets,
        sum(len(one[0]) for one in sides[0]),
        signal_spec=parts[0].decoder.signal_spec,
        settings=settings,
        state_folder=_state_folder(config, settings, rows),
        groups=groups,
    )
    return shared.eval(), curves


def _state_folder(config: DictConfig, settings: FitSettings, rows: Any) -> Path | None:
    if settings.state_folder is None:
        return None
    kept = [settings.seed, dict(settings.trainer), dict(settings.optimizer)]
    return fit_folder(settings.state_folder, head=_head_settings(config), rows=rows, settings=kept)


def _head_settings(config: DictConfig) -> dict[str, Any]:
    chosen: dict[str, Any] = OmegaConf.to_container(config.head, resolve=True)  # type: ignore[assignment]
    return chosen if "_target_" in chosen else group_option("head", _HEAD)


def _joined(source: BrainDecoder, shared: UniversalRetrieval) -> BrainDecoder:
    """Return a decoder with the projector that it had and the experts that all share."""
    own = source.head.config.get("projector", "residual")
    settings = {**shared.config, "projector": own, "frozen_projector": True}
    head = UniversalRetrieval(source.encoder.embedding_dim, source.target_spec, **settings)
    head.projector.load_state_dict(source.head.projector.state_dict())  # type: ignore[union-attr]
    head.experts.load_state_dict(shared.experts.state_dict())
    head.log_scale.data.copy_(shared.log_scale.data)
    return BrainDecoder(
        source.preprocessing, source.encoder, head.eval(), source.signal_spec, source.target_spec, source.input_spec
    )


def _write(
    config: DictConfig,
    folder: Path,
    started: datetime,
    parts: Sequence[JoinedPart],
    joined: Mapping[str, BrainDecoder],
    curves: Sequence[Mapping[str, Any]],
) -> None:
    predictions = _predictions(parts, joined, config)
    openings = collect_openings([part.test for part in parts])
    data = {
        "datasets": [part.name for part in parts],
        "content_hashes": {
            labelled(part.name, recording): content
            for part in parts
            for recording, content in zip(part.loaded.trials.recordings, part.hashes, strict=True)
        },
        VOUCH_WORD: [pair for part in parts for pair in part.vouched],
        "joined": {part.name: str(config.join[part.name]) for part in parts},
    }
    receipt = receipt_of(
        "train",
        config=config,
        seed=int(config.seed),
        started=started,
        data=data,
        folds_hash=split_hash(predictions),
        openings=openings,
    )
    run = _result(config, parts, predictions, receipt, curves)
    require_still_there(folder)
    metrics = write_results(run, config, folder)
    for part in parts:
        decoder = joined[part.name]
        decoder.provenance = _provenance(part, parts, metrics, receipt)
        decoder.save_pretrained(folder / "checkpoint" / part.name)


def _predictions(parts: Sequence[JoinedPart], joined: Mapping[str, BrainDecoder], config: DictConfig) -> pd.DataFrame:
    """Return the answers of the joined decoders and of those before, of all datasets together and of each."""
    gallery, frames = gallery_kind(config.get("gallery")), []
    for part in parts:
        rows = part.test.test.open("score the joined decoder and the one before")
        for name, decoder in ((_HEAD, joined[part.name]), (_ALONE, part.decoder)):
            answers = predict_rows(decoder, part.loaded.trials, rows, gallery).assign(fold=part.name, split="test")
            frames += [answers.assign(decoder=name), answers.assign(decoder=_of(name, part))]
    return pd.concat(frames, ignore_index=True)


def _of(name: str, part: JoinedPart) -> str:
    """Return what a decoder's scores on one dataset are called."""
    return f"{name}_{part.name}"


def _result(
    config: DictConfig,
    parts: Sequence[JoinedPart],
    predictions: pd.DataFrame,
    receipt: Mapping[str, Any],
    curves: Sequence[Mapping[str, Any]],
) -> RunResult:
    folds = [
        {"name": part.name, "n_train": len(part.train) + len(part.validation), "n_test": len(part.test.test)}
        for part in parts
    ]
    passports = [passport for part in parts for passport in part.passports]
    return RunResult(
        command="train",
        decoder=_HEAD,
        protocol="official",
        task="retrieval",
        predictions=predictions,
        folds=[{**fold, "selected": _HEAD} for fold in folds],
        curves=[{"fold": "all", **point} for point in curves],
        datasets=[summary for part in parts for summary in part.loaded.datasets],
        exclusions=[one for part in parts for one in part.loaded.exclusions],
        rejection=None,
        evoked=None,
        receipt=receipt,
        selected=_HEAD,
        seed=int(config.seed),
        classes=(),
        passport=passport_evidence(passports, "the decoder"),
        vouched=[pair for part in parts for pair in part.vouched],
        repairs=[one for part in parts for one in repairs(part.loaded.trials, part.decoder.preprocessing)],
    )


def _provenance(
    part: JoinedPart, parts: Sequence[JoinedPart], metrics: Mapping[str, Any], receipt: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where a joined decoder comes from; its scores are those on its own dataset."""
    trained_on = " + ".join(one.name for one in parts)
    summaries = [summary for one in parts for summary in one.loaded.datasets]
    return {
        "name": f"{_HEAD} for {part.name}, joined over {trained_on}",
        "dataset": trained_on,
        "recipe": _HEAD,
        "licence": "; ".join(str(summary.get("licence") or "not stated") for summary in summaries),
        "simulated": any(bool(summary.get("simulated")) for summary in summaries),
        "protocol": "official",
        "fitted_on": sorted({content for one in parts for content in one.decoder.fitted_on}),
        **saved_seen(recording for one in parts for recording in read_seen(one.decoder.provenance)),
        "fitted_partition": "train",
        "metrics": dict(metrics["baselines"][_of(_HEAD, part)]),
        "receipt": dict(receipt),
    }
