"""Frozen transformers models from a folder or a Hub id: safetensors only, no code of theirs, no weights made up."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.core.files import read_json_object, sha256_of
from brain_decode.core.model_source import local_folder

__all__ = ["load_transformer", "model_folder", "quiet_transformers", "weights_hash"]

_FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*.safetensors",
    "tokenizer*",
    "special_tokens_map.json",
    "vocab.*",
    "merges.txt",
    "spiece.model",
)
_ABSENT = "No model at '{source}': it has no config.json. Give a folder that transformers saved, or a Hub id."
_WITH_PROJECTION = ("CLIPVisionModelWithProjection", "CLIPTextModelWithProjection")
_MOST_KEYS = 3  # named in an error


def model_folder(source: str | Path) -> Path:
    """Return the folder of a model, fetched from the Hub where it is none here.

    Raises:
        ConfigError: Nothing there, or weights that are no safetensors.
    """
    folder = local_folder(source, files=_FILES, absent=_ABSENT)
    if not _weight_files(folder):
        raise ConfigError(
            f"'{folder}' has no model.safetensors; other formats can run code when they are read. Save the model "
            "again with save_pretrained."
        )
    return folder


def weights_hash(folder: Path) -> str:
    """Return hexadecimal digits that change with the weights or the configuration of a model."""
    digest = hashlib.sha256()
    for path in [folder / "config.json", *_weight_files(folder)]:
        digest.update(f"{path.name}:{sha256_of(path)};".encode())
    return digest.hexdigest()


def _weight_files(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        shards = read_json_object(index, remedy="Copy the model again.").get("weight_map") or {}
        return [folder / name for name in sorted(set(shards.values()))]
    single = folder / "model.safetensors"
    return [single] if single.is_file() else []


def load_transformer(folder: Path, *, unused: tuple[str, ...] = ()) -> nn.Module:
    """Return the model of a folder in float32, frozen and in evaluation mode.

    Args:
        folder: Of `model_folder`.
        unused: Beginnings of names of weights that are not needed, which may be absent.

    Raises:
        ConfigError: A model that transformers does not know, or that brings its own code.
        DataError: Damaged weights, or weights that are missing: random ones never stand in for them.
    """
    try:
        with quiet_transformers():
            model, found = _model_class(folder).from_pretrained(
                str(folder),
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except (SafetensorError, RuntimeError, EOFError) as error:
        raise DataError(f"The weights in '{folder}' are damaged or do not fit its config.json: {error}.") from error
    except (OSError, ValueError, KeyError, TypeError, ImportError) as error:
        raise ConfigError(f"'{folder}' cannot be loaded by transformers: {_first_line(error)}") from error
    missing = sorted(key for key in found["missing_keys"] if not key.startswith(unused or ("\0",)))
    if missing:
        raise DataError(
            f"The weights in '{folder}' lack {len(missing)} tensors of the model ({', '.join(missing[:_MOST_KEYS])}); "
            "random ones would stand in for them. Give the whole model."
        )
    return model.eval().requires_grad_(False)


def _model_class(folder: Path) -> Any:
    """Return the class to load: AutoModel drops the projection of models that are saved with one tower only."""
    import transformers

    config = read_json_object(folder / "config.json", remedy="Copy the model again.")
    named = next(iter(config.get("architectures") or ()), "")
    return getattr(transformers, named) if named in _WITH_PROJECTION else transformers.AutoModel


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers from listing the weights of the other tower."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
