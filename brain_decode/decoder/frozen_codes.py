"""Encoders that read the codes of a pretrained tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.decoder.architectures import resolve_encoder, resolve_tokenizer
from brain_decode.encoders.frozen_codes import FrozenCodesEncoder
from brain_decode.nn.weights_folder import load_weights, read_part
from brain_decode.signals.spec import SignalSpec

__all__ = ["encoder_of_codes"]

_WEIGHTS = ("pretrained", "random")


def encoder_of_codes(
    signal_spec: SignalSpec, source: str | Path, reading: str, weights: str = "pretrained", **settings: Any
) -> FrozenCodesEncoder:
    """Return an encoder on top of a pretrained tokenizer, or of the one inside a pretrained encoder.

    Args:
        signal_spec: Of the windows.
        source: Folder, run folder, or Hub id, of a tokenizer or an encoder.
        reading: Architecture that reads the codes: "code_ngrams" or "code_anomaly".
        weights: "pretrained", or "random" for the same tokenizer from random initialisation.
        settings: Of the reading.

    Raises:
        ConfigError: An unknown option, nothing at `source`, or an encoder without a tokenizer.
        DataError: Damaged files, or weights that do not fit.
    """
    if weights not in _WEIGHTS:
        raise unknown_option("weights", weights, _WEIGHTS)
    part = read_part(source)
    architecture, own, tensors = part.architecture, dict(part.settings), dict(part.tensors)
    if part.kind == "encoder":
        kept = getattr(resolve_encoder(architecture), "tokenizer_architecture", None)
        if kept is None:
            raise ConfigError(f"'{source}' holds an encoder without a tokenizer ({architecture}); codes need one.")
        compat = {"compat": own["compat"]} if "compat" in own else {}
        architecture, own = kept, {**(own.get("tokenizer") or {}), **compat}
        tensors = {k.removeprefix("tokenizer."): v for k, v in tensors.items() if k.startswith("tokenizer.")}
    own = resolve_tokenizer(architecture)(**own).config
    reader = resolve_encoder(reading)
    if not issubclass(reader, FrozenCodesEncoder):
        raise ConfigError(f"'{reading}' does not read codes. Choose code_ngrams or code_anomaly.")
    encoder = reader(signal_spec, {"architecture": architecture, **own}, **settings)
    if weights == "pretrained":
        load_weights(encoder.tokenizer, tensors, what=architecture)
    return encoder
