"""Self-supervised training of tokenizers and encoders, from composed configuration to run folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError
from brain_decode.core.files import write_atomically
from brain_decode.datasets.seen_recordings import read_seen, saved_seen, without_fingerprint
from brain_decode.datasets.vouching import VOUCH_WORD
from brain_decode.decoder.pretrained import save_encoder, save_tokenizer
from brain_decode.encoders.base import Encoder
from brain_decode.nn.weights_folder import PretrainedPart, read_part
from brain_decode.signals.sampling import n_samples
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokenizer
from brain_decode.training.batches import Batch, BatchReader
from brain_decode.training.lightning_module import TrainingResult, fit_task
from brain_decode.training.pretraining_evidence import Evidence, masked_code_evidence, reconstruction_evidence
from brain_decode.training.pretraining_windows import PretrainingWindows, load_pretraining_windows
from brain_decode.training.receipts import plain, receipt_of
from brain_decode.training.stored_tokens import StoredTokens, store_tokens
from brain_decode.training.unfinished import describe_run, fit_folder, require_still_there, state_folder, unfinished

__all__ = ["pretrain"]


@dataclass(frozen=True)
class _Stage:
    """What is trained, on what.

    Args:
        kind: "tokenizer" or "encoder".
        model: Trained in place.
        tokenizer_part: The frozen tokenizer of an encoder that learns from tokens.
    """

    kind: str
    model: Tokenizer | Encoder
    tokenizer_part: PretrainedPart | None = None

    @property
    def learns_from_tokens(self) -> bool:
        """True when the model sees tokens of a frozen tokenizer and no signal."""
        return self.tokenizer_part is not None


class _SelfSupervised(torch.nn.Module):
    """A model that knows its own loss."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        return dict(self.model.pretraining_terms(batch[0]))  # type: ignore[operator]


def pretrain(config: DictConfig, folder: Path) -> Path:
    """Train the configured tokenizer or encoder, measure it on people kept out, and write the run folder.

    Args:
        config: Composed from `conf/pretrain.yaml`.
        folder: Run folder: empty, or left by a killed run of the same settings, which goes on.

    Returns:
        The run folder, with `pretraining.json`, `metrics.json`, `receipt.json`, `examples.npz`, `checkpoint/`.

    Raises:
        BrainDecodeError: Anything the user can mend; nothing half-written stays.
    """
    started = datetime.now(UTC)
    part = _tokenizer_part(config)
    data = load_pretraining_windows(config)
    stage = _stage(config, data, part)
    with unfinished(folder, describe_run(config, data.store.content_hashes)):
        return _run(config, folder, started, data, stage)


def _run(config: DictConfig, folder: Path, started: datetime, data: PretrainingWindows, stage: _Stage) -> Path:
    reader: BatchReader = data
    tokens: StoredTokens | None = None
    if stage.learns_from_tokens:
        tokens = store_tokens(stage.model, data, state_folder(folder) / "tokens.npy", int(config.trainer.batch_size))
        reader = tokens
    result = _fit(config, folder, data, stage, reader)
    seed, batch_size = int(config.seed), int(config.trainer.batch_size)
    if tokens is not None:
        evidence = masked_code_evidence(stage.model, tokens, data, batch_size, seed)
    else:
        evidence = reconstruction_evidence(_tokenizer_in(stage.model), data, batch_size)
    receipt = _receipt(config, data, started, part=stage.tokenizer_part)
    require_still_there(folder)
    _write(config, folder, data, stage, result, evidence, receipt)
    provenance = _provenance(config, data, stage, evidence, receipt)
    if stage.kind == "tokenizer":
        save_tokenizer(stage.model, folder / "checkpoint", provenance)  # type: ignore[arg-type]
    else:
        save_encoder(stage.model, folder / "checkpoint", provenance)  # type: ignore[arg-type]
    return folder


def _fit(
    config: DictConfig, folder: Path, data: PretrainingWindows, stage: _Stage, reader: BatchReader
) -> TrainingResult:
    trainer: dict[str, Any] = OmegaConf.to_container(config.trainer, resolve=True)  # type: ignore[assignment]
    optimizer: dict[str, Any] = OmegaConf.to_container(config.optimizer, resolve=True)  # type: ignore[assignment]
    log_name = (config.get("logger") or {}).get("logger_folder")
    kept = fit_folder(
        state_folder(folder), model=stage.model.config, rows=data.train, settings=[int(config.seed), trainer, optimizer]
    )
    return fit_task(
        _SelfSupervised(stage.model),
        reader,
        data.train,
        data.validation,
        trainer=trainer | ({"logger_folder": str(folder / log_name)} if log_name else {}),
        optimizer=optimizer,
        seed=int(config.seed),
        checkpoint_folder=kept,
        groups=None if stage.learns_from_tokens else data.sizes,
    )


def _tokenizer_part(config: DictConfig) -> PretrainedPart | None:
    """Return the pretrained tokenizer that an encoder learns on top of, before any recording is read."""
    chosen = [name for name in ("tokenizers", "encoder") if config.get(name)]
    if len(chosen) != 1:
        raise ConfigError(
            "pretrain trains a tokenizer (tokenizers=braintokenizer) or an encoder (encoder=brainomni "
            f"checkpoint=DIR); got {' and '.join(chosen) or 'neither'}."
        )
    return read_part(config.checkpoint, kind="tokenizer") if config.checkpoint else None


def _stage(config: DictConfig, data: PretrainingWindows, part: PretrainedPart | None) -> _Stage:
    torch.manual_seed(int(config.seed))
    if config.get("tokenizers"):
        settings = OmegaConf.to_container(config.tokenizers, resolve=True)
        tokenizer = instantiate({**settings, "_convert_": "all"})()  # type: ignore[dict-item]
        if part is not None:
            raise ConfigError("checkpoint= is the tokenizer an encoder learns from; a tokenizer starts without one.")
        return _Stage("tokenizer", tokenizer)
    entry = data.store.entries[0]
    spec = SignalSpec(entry.sensors, n_samples(float(config.window_s), entry.rate_hz), entry.rate_hz)
    settings = dict(OmegaConf.to_container(config.encoder, resolve=True))  # type: ignore[arg-type]
    builder = instantiate({**settings, "_partial_": True, "_convert_": "all"})
    _require_tokenizer(builder.func, part)
    if part is not None:
        builder.keywords["tokenizer"] = {key: value for key, value in part.settings.items() if key != "compat"}
    encoder = builder(spec)
    if part is not None:
        encoder.tokenizer.load_state_dict(Tokenizer.from_part(part).state_dict())
    if hasattr(encoder, "set_pretraining"):
        encoder.set_pretraining(True)
    return _Stage("encoder", encoder, part)


def _require_tokenizer(encoder: type[Encoder], part: PretrainedPart | None) -> None:
    """Refuse an encoder that learns nothing by itself, or a tokenizer that is missing or not the encoder's."""
    name = getattr(encoder, "architecture", encoder.__name__)
    if not hasattr(encoder, "pretraining_terms"):
        raise ConfigError(f"Encoder '{name}' has no self-supervised training. Try encoder=brainomni.")
    if getattr(encoder, "pretrains_on", "signal") == "signal":
        if part is not None:
            raise ConfigError(f"encoder={name} learns from the signal and brings its own tokenizer. Leave checkpoint=.")
    elif part is None:
        raise ConfigError(
            f"encoder={name} learns from the tokens of a pretrained tokenizer. Give its folder: "
            "checkpoint=runs/pretrain/RUN."
        )
    elif part.architecture != encoder.tokenizer_architecture:  # type: ignore[attr-defined]
        wanted = encoder.tokenizer_architecture  # type: ignore[attr-defined]
        raise ConfigError(f"encoder={name} learns from the tokens of {wanted}; checkpoint= holds {part.architecture}.")


def _tokenizer_in(model: Tokenizer | Encoder) -> Tokenizer:
    return model if isinstance(model, Tokenizer) else model.tokenizer  # type: ignore[return-value]


def _receipt(
    config: DictConfig, data: PretrainingWindows, started: datetime, *, part: PretrainedPart | None
) -> dict[str, Any]:
    told: dict[str, Any] = {
        "datasets": [summary["name"] for summary in data.datasets],
        "content_hashes": data.content_hashes(),
        "without_fingerprint": without_fingerprint(data.recordings()),
        VOUCH_WORD: list(data.vouched),
        "held_out": list(data.held_out),
    }
    if part is not None:
        told["tokenizer"] = part.provenance.get("name", part.architecture)
    return receipt_of("pretrain", config=config, seed=int(config.seed), started=started, data=told)


def _write(
    config: DictConfig,
    folder: Path,
    data: PretrainingWindows,
    stage: _Stage,
    result: TrainingResult,
    evidence: Evidence,
    receipt: Mapping[str, Any],
) -> None:
    told = {
        "kind": stage.kind,
        "architecture": stage.model.architecture,
        "settings": stage.model.config,
        "reconstructs": _tokenizer_in(stage.model).reconstructs,
        "datasets": data.datasets,
        "n_train": len(data.train),
        "n_validation": len(data.validation),
        "held_out": data.held_out,
        "left_out": data.left_out,
        "window_s": float(config.window_s),
        "curves": result.curves,
        "best_epoch": result.best_epoch,
        "codebook_use": evidence.codebook_use,
        "simulated": _is_simulated(data),
    }
    metrics = {
        "command": "pretrain",
        "split": "validation",
        "dataset": " + ".join(str(summary["name"]) for summary in data.datasets),
        "simulated": _is_simulated(data),
        "decoder": stage.model.architecture,
        VOUCH_WORD: list(data.vouched),
        "metrics": evidence.metrics,
    }
    write_atomically(folder / "config.yaml", OmegaConf.to_yaml(config, resolve=True))
    if evidence.examples:
        evidence.write_examples(folder / "examples.npz")
    write_atomically(folder / "pretraining.json", plain(told))
    write_atomically(folder / "receipt.json", plain(receipt))
    write_atomically(folder / "metrics.json", plain(metrics))


def _is_simulated(data: PretrainingWindows) -> bool:
    return any(bool(summary.get("simulated")) for summary in data.datasets)


def _provenance(
    config: DictConfig, data: PretrainingWindows, stage: _Stage, evidence: Evidence, receipt: Mapping[str, Any]
) -> dict[str, Any]:
    """Return where the weights come from; what the tokenizer has seen counts as seen by its encoder."""
    before = stage.tokenizer_part.provenance if stage.tokenizer_part is not None else {}
    names = " + ".join(str(summary["name"]) for summary in data.datasets)
    seen = {*data.store.content_hashes, *before.get("fitted_on", ())}
    remembered = [*read_seen(before), *data.recordings()]
    licences = dict.fromkeys(str(summary.get("licence") or "not stated") for summary in data.datasets)
    return plain(
        {
            "name": f"{stage.model.architecture} on {names}",
            "dataset": names,
            "licence": "; ".join(licences),
            "simulated": _is_simulated(data) or bool(before.get("simulated")),
            "fitted_on": sorted(seen),
            **saved_seen(remembered),
            "preprocessing": data.preprocessing.to_json(),
            "metrics": evidence.metrics,
            "receipt": receipt,
        }
    )
