"""Pretrained tokenizers and encoders: saved with a card, and adapted to labels."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.decoder.architectures import resolve_encoder
from brain_decode.decoder.part_card import part_card
from brain_decode.encoders.base import Encoder
from brain_decode.nn.low_rank import add_low_rank
from brain_decode.nn.weights_folder import PretrainedPart, read_part, write_part
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokenizer

__all__ = [
    "ADAPTATIONS",
    "pretrained_encoder",
    "save_encoder",
    "save_tokenizer",
]

ADAPTATIONS = ("linear_probe", "frozen_probe", "lora", "fine_tune")
_WEIGHTS = ("pretrained", "random")


def pretrained_encoder(
    signal_spec: SignalSpec,
    source: str | Path,
    weights: str = "pretrained",
    adaptation: str = "linear_probe",
    pool: str | None = None,
    layer_decay: float = 0.75,
    rank: int = 8,
    alpha: float = 16.0,
) -> Encoder:
    """Return a pretrained encoder as it is to be adapted to labels.

    Args:
        signal_spec: Of the windows.
        source: Folder, run folder, or Hub id.
        weights: "pretrained", or "random" for the same encoder from random initialisation.
        adaptation: "linear_probe" (the encoder stays as it is, a linear head is fitted on its embeddings in closed
            form), "frozen_probe" (the encoder stays as it is, a two-layer head is trained by gradient descent), "lora"
            (low-rank adapters are trained beside its linear layers) or "fine_tune" (everything but what the encoder
            says is frozen is trained).
        pool: How the encoder makes one vector of a window; as it was pretrained where None. See the encoder.
        layer_decay: In fine-tuning, the rate of a layer over that of the next one; 1 trains all layers alike.
        rank: Of LoRA's adapters.
        alpha: Weight of LoRA's adapters, times `rank`.

    Raises:
        ConfigError: An unknown option, nothing at `source`, or not an encoder.
        DataError: Damaged files, or weights that do not fit.
    """
    for name, value, allowed in (("weights", weights, _WEIGHTS), ("adaptation", adaptation, ADAPTATIONS)):
        if value not in allowed:
            raise unknown_option(name, value, allowed)
    if not 0 < layer_decay <= 1:
        raise ConfigError(
            f"layer_decay is the rate of a layer over that of the next one, in (0, 1]; got {layer_decay}."
        )
    part = _pooled(read_part(source, kind="encoder"), pool)
    if weights == "pretrained":
        encoder = Encoder.from_part(part, signal_spec)
    else:
        encoder = resolve_encoder(part.architecture)(signal_spec, **part.settings)
    if adaptation == "fine_tune":
        encoder.layer_decay = layer_decay
    elif adaptation == "lora":
        add_low_rank(encoder, _adapted_layers(encoder), rank=rank, alpha=alpha)
    else:
        encoder.requires_grad_(False).eval()
    return encoder


def _pooled(part: PretrainedPart, pool: str | None) -> PretrainedPart:
    """Return the part with another pool."""
    if pool is None:
        return part
    if "pool" not in inspect.signature(resolve_encoder(part.architecture)).parameters:
        raise ConfigError(f"Encoder '{part.architecture}' has no choice of pool. Leave encoder.pool=null.")
    return replace(part, settings={**part.settings, "pool": pool})


def _adapted_layers(encoder: Encoder) -> list[str]:
    """Return the names of the layers that LoRA adapts."""
    if not encoder.low_rank_layers:
        raise ConfigError(
            f"Encoder '{encoder.architecture}' has no layers for LoRA. Choose encoder.adaptation=fine_tune."
        )
    trained = {id(parameter) for layer in encoder.layers() for parameter in layer}  # type: ignore[operator]
    named = ((name, layer) for name, layer in encoder.named_modules() if isinstance(layer, nn.Linear))
    wanted = ((name, layer) for name, layer in named if name.rpartition(".")[2] in encoder.low_rank_layers)
    return [name for name, layer in wanted if id(layer.weight) in trained]


def save_tokenizer(tokenizer: Tokenizer, folder: Path, provenance: Mapping[str, Any]) -> Path:
    """Write a tokenizer with its card.

    Args:
        tokenizer: Trained.
        folder: Absent, empty, or holding an older one.
        provenance: Plain values: name, dataset, licence, fitted_on, metrics, receipt, ….

    Raises:
        StorageError: The folder cannot be written, or holds something else.
    """
    return _save("tokenizer", tokenizer, folder, provenance)


def save_encoder(encoder: Encoder, folder: Path, provenance: Mapping[str, Any]) -> Path:
    """Write an encoder with its card; arguments as in `save_tokenizer`."""
    return _save("encoder", encoder, folder, provenance)


def _save(kind: str, model: Tokenizer | Encoder, folder: Path, provenance: Mapping[str, Any]) -> Path:
    part = PretrainedPart(kind, model.architecture, model.config, model.state_dict(), provenance)
    return write_part(part, folder, card=part_card(part))
