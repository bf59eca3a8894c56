"""The authors' checkpoints to pretrained parts of this package; files are read as tensors and never run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.core.files import read_json_object, sha256_of
from brain_decode.core.resources import catalogue_root
from brain_decode.decoder.conversion_by_shape import BY_SHAPE, encoder_by_shape
from brain_decode.decoder.part_card import part_card
from brain_decode.encoders import brainomni
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.nn.weights_folder import PretrainedPart, load_weights, write_part
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers import braintokenizer
from brain_decode.tokenizers.braintokenizer import BrainTokenizer

__all__ = ["MODELS", "convert", "read_state_dict", "rotary_kind"]

MODELS = ("brainomni", "braintokenizer", *BY_SHAPE)
_CONFIG_NAME = "model_cfg.json"
_WEIGHTS_NAMES = {"brainomni": "BrainOmni.pt", "braintokenizer": "BrainTokenizer.pt"}
_SOURCE = "OpenTSLab/BrainOmni"
# Files of huggingface.co/OpenTSLab/BrainOmni, MIT licence.
_RELEASED = {
    "d41c44c14c3f3b11fd0fb660752e356dff4cb4bc5f32a05f470f503ffddc7b1a": "BrainTokenizer",
    "62c67ba6a84ea0625e67a3b5e7463fe3930bfee88a612a225e9062a052542ffc": "BrainOmni tiny",
    "435db24e57a55df05aa7e16355def7b7ecbedb22aa1ec16063e7d14efd2386d0": "BrainOmni base",
}
_NOT_WEIGHTS = (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, zipfile.BadZipFile)


@dataclass(frozen=True)
class _Kind:
    """How one of the authors' models becomes ours."""

    kind: str
    settings: Callable[[Mapping[str, Any]], dict[str, Any]]
    weights: Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]


_KINDS = {
    "brainomni": _Kind("encoder", brainomni.settings_from_official, brainomni.from_official),
    "braintokenizer": _Kind("tokenizer", braintokenizer.settings_from_official, braintokenizer.from_official),
}


def convert(model: str, source: str | Path, out: str | Path, *, compat: str | None = None) -> PretrainedPart:
    """Write the authors' weights as a pretrained part and return it.

    Args:
        model: "brainomni", "braintokenizer", or "brainflora" (an encoder of one modality).
        source: Their `.pt` file, with `model_cfg.json` beside it, or the folder of the two; of brainflora the `.pth`
            file alone, whose shapes tell the sizes.
        out: Folder to write.
        compat: "official" for the authors' quirks, which the published scores were reached with; None corrects them.
            Of BrainOmni's models only.

    Raises:
        ConfigError: An unknown model, or files that are not there or do not belong together.
        DataError: A file that is damaged or holds no weights, or weights with missing or extra keys.
        StorageError: `out` cannot be written, or holds something else.
    """
    if model not in MODELS:
        raise unknown_option("model", model, MODELS)
    if model in BY_SHAPE:
        return _convert_by_shape(model, Path(source), Path(out), compat)
    path = _weights_file(model, Path(source))
    settings = _KINDS[model].settings(_read_settings(path.parent / _CONFIG_NAME)) | {"compat": compat}
    state = read_state_dict(path)
    built = _built(model, settings)
    load_weights(built, _KINDS[model].weights(_own_tensors(model, state)), what=f"{model} of {_CONFIG_NAME}")
    content = sha256_of(path)
    part = PretrainedPart(
        _KINDS[model].kind,
        built.architecture,
        settings,
        built.state_dict(),
        _provenance(model, path, content, state) | _preprocessing(compat),
    )
    write_part(part, Path(out), card=part_card(part))
    return part


def _convert_by_shape(model: str, path: Path, out: Path, compat: str | None) -> PretrainedPart:
    """Write an encoder whose sizes follow from the shapes of its weights."""
    if compat is not None:
        raise ConfigError(
            f"The weights of {model} are the same with and without compat; leave it null, got {compat!r}."
        )
    if not path.is_file():
        raise ConfigError(f"No weights at '{path}'. Give source= the authors' .pth file of one encoder.")
    built = encoder_by_shape(model, read_state_dict(path))
    told = {
        "name": f"{model} from {path.name}",
        "source": "a file whose content is not a known release",
        "sha256": sha256_of(path),
        "licence": "not stated; that of the file's authors",
    }
    part = PretrainedPart("encoder", built.architecture, built.config, built.state_dict(), told)
    write_part(part, out, card=part_card(part))
    return part


def read_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file of torch; anything else in it is refused unread.

    Raises:
        DataError: A damaged file, one that would run code, or one that holds something else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a file that is then refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"'{path.name}' holds more than weights: reading it could run any code, so it was not read. Get the file "
            "from its authors again."
        ) from error
    except _NOT_WEIGHTS as error:
        raise DataError(
            f"'{path.name}' is damaged or no file of torch ({type(error).__name__}). Get it again."
        ) from error
    tensors = isinstance(content, Mapping) and all(isinstance(value, torch.Tensor) for value in content.values())
    if not tensors or not content:
        raise DataError(f"'{path.name}' holds no state dict (names with tensors). Give the authors' weights file.")
    return {str(key): value for key, value in content.items()}


def rotary_kind(state: Mapping[str, torch.Tensor]) -> str:
    """Return what became of the rotary tables in a file: "rotary", "cosine_only" or "absent".

    The authors train with complex tables; exported to real numbers they lose their sines.
    """
    tables = [tensor for key, tensor in state.items() if key.endswith("rope_embedding_layer.rotate")]
    if not tables:
        return "absent"
    whole = all(table.is_complex() and bool(table.imag.any()) for table in tables)
    return "rotary" if whole else "cosine_only"


def _weights_file(model: str, source: Path) -> Path:
    path = source / _WEIGHTS_NAMES[model] if source.is_dir() else source
    if not path.is_file():
        raise ConfigError(f"No weights at '{path}'. Give source= the authors' .pt file, or the folder it is in.")
    return path


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"'{_CONFIG_NAME}' is not beside the weights; it says how large the model is. Get it too.")
    return read_json_object(path, remedy="Get it again.")


def _built(model: str, settings: Mapping[str, Any]) -> BrainOmni | BrainTokenizer:
    try:
        if model == "braintokenizer":
            return BrainTokenizer(**settings)
        spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 512, braintokenizer.RATE_HZ)
        return BrainOmni(spec, **settings)
    except (TypeError, ValueError) as error:
        raise DataError(f"'{_CONFIG_NAME}' does not describe a {model}: {error}.") from error


def _own_tensors(model: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors of the model; a tokenizer may lie inside the file of an encoder."""
    if model == "braintokenizer" and any(key.startswith("tokenizer.") for key in state):
        return {key.removeprefix("tokenizer."): v for key, v in state.items() if key.startswith("tokenizer.")}
    return dict(state)


def _preprocessing(compat: str | None) -> dict[str, Any]:
    """Return the name and the steps of what comes before the model."""
    name = "brainomni_official" if compat == "official" else "brainomni"
    text = (catalogue_root() / "conf" / "preprocessing" / f"{name}.yaml").read_text(encoding="utf-8")
    return {"preprocessing_name": name, "preprocessing": yaml.safe_load(text)}


def _provenance(model: str, path: Path, content: str, state: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    released = _RELEASED.get(content)
    told = {
        "name": released or f"{model} from {path.name}",
        "source": f"{_SOURCE}, released weights" if released else "a file whose content is not a known release",
        "sha256": content,
        "licence": "MIT" if released else "not stated; that of the file's authors",
    }
    return told | ({"rotary": rotary_kind(state)} if model == "brainomni" else {})
