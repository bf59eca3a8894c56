"""A pretrained part on disk: JSON, safetensors and a card, written beside and renamed; never unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from brain_decode.core.errors import ConfigError, DataError, StorageError
from brain_decode.core.files import make_folder, place_beside, read_json_object, storage_error
from brain_decode.core.model_source import local_folder

__all__ = [
    "PretrainedPart",
    "build_pretrained",
    "holds_part",
    "load_weights",
    "read_part",
    "write_part",
]

Model = TypeVar("Model", bound=nn.Module)

FORMAT = 1
_FILES = ("config.json", "model.safetensors", "README.md", "receipt.json")
_ABSENT = "No pretrained weights at '{source}': it has no config.json."
_COPY = "Copy the folder again."
_MOST_KEYS = 5  # named in an error


@dataclass(frozen=True)
class PretrainedPart:
    """What a folder of pretrained weights says.

    Args:
        kind: "tokenizer" or "encoder".
        architecture: Name of the module of the class.
        settings: Its JSON-able constructor arguments.
        tensors: State dict.
        provenance: Where the weights come from: name, licence, source, recordings they were fitted on.
    """

    kind: str
    architecture: str
    settings: Mapping[str, Any]
    tensors: Mapping[str, torch.Tensor]
    provenance: Mapping[str, Any] = field(default_factory=dict)


def write_part(part: PretrainedPart, folder: Path, *, card: str) -> Path:
    """Write a pretrained part; an older one in `folder` is replaced only once the new one is complete.

    Args:
        part: What to write.
        folder: Absent, empty, or holding an older part.
        card: Text of README.md.

    Raises:
        StorageError: The folder cannot be written, or holds something else.
    """
    if folder.exists() and any(folder.iterdir()) and not (folder / "config.json").is_file():
        raise StorageError(f"'{folder}' holds files that are no pretrained weights; choose an empty folder.")
    make_folder(folder.parent)
    try:
        with place_beside(folder, is_folder=True) as partial:
            _write_files(part, partial, card)
            if folder.exists():
                with place_beside(folder, is_folder=True) as old:
                    folder.rename(old / "part")
                    partial.rename(folder)
            else:
                partial.rename(folder)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def _write_files(part: PretrainedPart, folder: Path, card: str) -> None:
    config = {
        "format": FORMAT,
        "kind": part.kind,
        "architecture": part.architecture,
        "settings": dict(part.settings),
        "provenance": {key: value for key, value in part.provenance.items() if key != "receipt"},
    }
    _write_json(folder / "config.json", config)
    _write_json(folder / "receipt.json", part.provenance.get("receipt", {}))
    (folder / "README.md").write_text(card, encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in part.tensors.items()}, str(folder / "model.safetensors"))
    (folder / "model.safetensors").chmod(0o644)  # safetensors makes it private


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def read_part(source: str | Path, *, kind: str | None = None) -> PretrainedPart:
    """Read pretrained weights from a folder or a Hub id.

    Args:
        source: Folder with `config.json`, a run folder with `checkpoint/`, or `owner/name` on the Hub.
        kind: "tokenizer" or "encoder"; None takes either.

    Raises:
        ConfigError: Nothing there, or weights of another kind.
        DataError: Damaged or incomplete files.
    """
    folder = local_folder(source, files=_FILES, absent=_ABSENT)
    config = read_json_object(folder / "config.json", remedy=_COPY)
    if config.get("format") != FORMAT:
        raise DataError(f"'{folder}' has format {config.get('format')}; this version reads format {FORMAT}.")
    found = str(config.get("kind", "decoder"))
    if found not in (("tokenizer", "encoder") if kind is None else (kind,)):
        raise ConfigError(f"'{folder}' holds: {found}; a pretrained {kind or 'tokenizer or encoder'} is needed.")
    try:
        architecture, settings = str(config["architecture"]), dict(config["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"'{folder / 'config.json'}' does not describe a {found}: {error}.") from error
    path = folder / "model.safetensors"
    try:
        tensors = load_file(str(path))
    except FileNotFoundError as error:
        raise DataError(f"'{folder}' lacks '{path.name}'; copy the whole folder.") from error
    except (SafetensorError, OSError) as error:
        raise DataError(f"'{path}' is damaged or no safetensors file: {error}. Copy it again.") from error
    return PretrainedPart(found, architecture, settings, tensors, dict(config.get("provenance") or {}))


def holds_part(source: str | Path) -> bool:
    """Return whether a folder, run folder or Hub id holds a pretrained part, and no decoder.

    Raises:
        ConfigError: Nothing there.
        DataError: A damaged `config.json`.
    """
    folder = local_folder(source, files=_FILES, absent=_ABSENT)
    return "kind" in read_json_object(folder / "config.json", remedy=_COPY)


def build_pretrained(wanted: type[Model], found: type, part: PretrainedPart, *arguments: Any) -> Model:
    """Return a model with the settings and weights of a part, in evaluation mode.

    Args:
        wanted: Class that was asked for; `found` is it or derives from it.
        found: Class that the part names.
        part: Settings and weights.
        arguments: Positional arguments before the settings.

    Raises:
        ConfigError: Another model than the one that was asked for.
        DataError: Settings or weights that do not fit.
    """
    if not issubclass(found, wanted):
        raise ConfigError(
            f"These weights are of {found.__name__}, not of {wanted.__name__}. Load them with {found.__name__}."
        )
    try:
        model = found(*arguments, **part.settings)
    except TypeError as error:
        raise DataError(f"The settings of the saved {part.architecture} are not its own: {error}.") from error
    load_weights(model, part.tensors, what=part.architecture)
    return model.eval()


def load_weights(module: nn.Module, tensors: Mapping[str, torch.Tensor], *, what: str) -> None:
    """Load a state dict strictly.

    Args:
        module: Gets the weights.
        tensors: State dict.
        what: Name of the model in the error.

    Raises:
        DataError: Missing or extra keys, or other shapes; says which.
    """
    own = module.state_dict()
    missing = sorted(own.keys() - tensors.keys())
    extra = sorted(tensors.keys() - own.keys())
    other = sorted(key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape)
    wrong = [("missing", missing), ("not part of the model", extra), ("of another shape", other)]
    if any(keys for _, keys in wrong):
        told = "; ".join(f"{len(keys)} {what_is} ({_some(keys)})" for what_is, keys in wrong if keys)
        raise DataError(
            f"The weights do not fit {what}: {told}. Load the file whole, with the settings it was trained with."
        )
    module.load_state_dict(dict(tensors), strict=True)


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_MOST_KEYS]) + (", …" if len(keys) > _MOST_KEYS else "")
