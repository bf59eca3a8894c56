"""The artefact folder: JSON and safetensors, with a card and a receipt; written beside, then renamed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from brain_decode.core.errors import ConfigError, DataError, StorageError
from brain_decode.core.files import make_folder, place_beside, read_json_object, storage_error
from brain_decode.core.model_source import local_folder
from brain_decode.decoder.architectures import resolve_encoder, resolve_head
from brain_decode.decoder.brain_decoder import BrainDecoder, InputSpec
from brain_decode.decoder.card import model_card
from brain_decode.encoders.base import Encoder
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.spec import SignalSpec, TargetSpec

__all__ = ["ARTIFACT_FILES", "load_decoder", "save_decoder"]

FORMAT = 1
_ABSENT = "No decoder at '{source}': it has no config.json. Give the checkpoint/ folder of a run."
ARTIFACT_FILES = ("config.json", "preprocessing.json", "model.safetensors", "README.md", "receipt.json")


def save_decoder(decoder: BrainDecoder, folder: Path) -> Path:
    """Write the artefact; an older artefact in `folder` is replaced only once the new one is complete.

    Raises:
        StorageError: The folder cannot be written, or holds something that is not an artefact.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise StorageError(f"'{folder}' holds files that are not a decoder; choose an empty folder.")
    make_folder(folder.parent)
    try:
        with place_beside(folder, is_folder=True) as partial:
            _write_files(decoder, partial)
            _replace_folder(partial, folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def _write_files(decoder: BrainDecoder, folder: Path) -> None:
    config = {
        "format": FORMAT,
        "encoder": {"architecture": decoder.encoder.architecture, "settings": decoder.encoder.config},
        "head": {"architecture": decoder.head.architecture, "settings": decoder.head.config},
        "signal_spec": decoder.signal_spec.to_json(),
        "target_spec": decoder.target_spec.to_json(),
        "input_spec": decoder.input_spec.to_json(),
        **({"generator": decoder.generator} if decoder.generator else {}),
        "provenance": {key: value for key, value in decoder.provenance.items() if key != "receipt"},
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "preprocessing.json", decoder.preprocessing.to_json())
    _write_json(folder / "receipt.json", decoder.provenance.get("receipt", {}))
    (folder / "README.md").write_text(model_card(decoder), encoding="utf-8")
    parts = {"encoder": decoder.encoder, "head": decoder.head}
    tensors = {
        f"{part}.{name}": tensor.contiguous()
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }
    save_file(tensors, str(folder / "model.safetensors"))
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it private


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def _replace_folder(partial: Path, folder: Path) -> None:
    if not folder.exists():
        partial.rename(folder)
        return
    with place_beside(folder, is_folder=True) as old:
        folder.rename(old / "artifact")
        partial.rename(folder)


def load_decoder(source: str | Path, *, encoder_class: type[Encoder] | None = None) -> BrainDecoder:
    """Load an artefact from a folder or a Hub id; see `BrainDecoder.from_pretrained`."""
    folder = local_folder(source, files=ARTIFACT_FILES, absent=_ABSENT)
    config = _read_json(folder / "config.json")
    if config.get("format") != FORMAT:
        raise DataError(f"'{folder}' has decoder format {config.get('format')}; this version reads format {FORMAT}.")
    if "kind" in config:
        raise ConfigError(
            f"'{folder}' holds a pretrained {config['kind']}, which answers nothing yet. Train a decoder on it: "
            f"encoder=pretrained encoder.source={source}."
        )
    try:
        return _rebuild(folder, config, encoder_class)
    except (KeyError, TypeError) as error:
        raise DataError(f"'{folder / 'config.json'}' does not describe a decoder: {error}.") from error


def _rebuild(folder: Path, config: dict[str, Any], encoder_class: type[Encoder] | None) -> BrainDecoder:
    signal_spec = SignalSpec.from_json(config["signal_spec"])
    target_spec = TargetSpec.from_json(config["target_spec"])
    encoder_type = encoder_class or resolve_encoder(config["encoder"]["architecture"])
    if getattr(encoder_type, "imports_code", False):
        raise ConfigError(
            f"This decoder wraps the model '{config['encoder']['settings'].get('target')}', and loading never imports "
            "code that a file names. Import the class yourself and pass encoder_class=wrapping(TheClass); `wrapping` "
            "is in brain_decode.encoders.braindecode."
        )
    encoder = encoder_type(signal_spec, **config["encoder"]["settings"])
    head_type = resolve_head(config["head"]["architecture"])
    head = head_type(encoder.embedding_dim, target_spec, **config["head"]["settings"])
    tensors = _read_tensors(folder / "model.safetensors")
    for name, module in (("encoder", encoder), ("head", head)):
        _load_part(module, {k.removeprefix(f"{name}."): v for k, v in tensors.items() if k.startswith(f"{name}.")})
    receipt = folder / "receipt.json"
    provenance = dict(config["provenance"]) | ({"receipt": _read_json(receipt)} if receipt.is_file() else {})
    return BrainDecoder(
        preprocessing=Preprocessing.from_json(_read_json(folder / "preprocessing.json")),
        encoder=encoder.eval(),
        head=head.eval(),
        signal_spec=signal_spec,
        target_spec=target_spec,
        input_spec=InputSpec.from_json(config["input_spec"]),
        provenance=provenance,
        generator=config.get("generator"),
    )


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise DataError(f"The decoder lacks '{path.name}'; copy the whole checkpoint folder.")
    return read_json_object(path, remedy="Copy the checkpoint again.")


def _read_tensors(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise DataError(f"The decoder lacks '{path.name}'; copy the whole checkpoint folder.")
    try:
        return load_file(str(path))
    except Exception as error:  # safetensors raises its own, undocumented type for damaged files
        raise DataError(f"'{path}' is damaged and cannot be read: {error}. Copy the checkpoint again.") from error


def _load_part(module: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    try:
        module.load_state_dict(tensors, strict=True)
    except RuntimeError as error:
        first_lines = " ".join(str(error).split())[:300]
        raise DataError(f"The weights do not fit the architecture in config.json: {first_lines}") from error
