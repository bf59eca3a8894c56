"""The authors' checkpoints to pretrained parts of this package; files are read as tensors and never run."""

from __future__ import annotations

import pickle
import warnings
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.core.files import read_json_object, sha256_of
from brain_decode.core.resources import catalogue_root
from brain_decode.decoder.part_card import part_card
from brain_decode.encoders import atm, brainflora, brainomni, nice
from brain_decode.encoders.base import Encoder
from brain_decode.nn.temporal_spatial_stem import POOL_SAMPLES, POOL_STEP
from brain_decode.nn.weights_folder import PretrainedPart, load_weights, write_part
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.voxels import Voxels
from brain_decode.tokenizers import braintokenizer
from brain_decode.tokenizers.base import Tokenizer

__all__ = ["MODELS", "convert", "read_state_dict", "rotary_kind"]

MODELS = ("atm", "brainflora", "brainomni", "braintokenizer", "nice")
_CONFIG_NAME = "model_cfg.json"
_WEIGHTS_NAMES = {"brainomni": "BrainOmni.pt", "braintokenizer": "BrainTokenizer.pt"}
_SOURCE = "OpenTSLab/BrainOmni"
# Files of huggingface.co/OpenTSLab/BrainOmni, MIT licence.
_RELEASED = {
    "d41c44c14c3f3b11fd0fb660752e356dff4cb4bc5f32a05f470f503ffddc7b1a": "BrainTokenizer",
    "62c67ba6a84ea0625e67a3b5e7463fe3930bfee88a612a225e9062a052542ffc": "BrainOmni tiny",
    "435db24e57a55df05aa7e16355def7b7ecbedb22aa1ec16063e7d14efd2386d0": "BrainOmni base",
}
# NICE's steps hold a noise normalisation that is fitted on training windows, so that only their name can be kept.
_FITTED_STEPS = {"preprocessing_name": "nice"}
_WITHOUT_QUIRKS = ("brainflora", "nice")
_NOT_WEIGHTS = (RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, IndexError, zipfile.BadZipFile)


@dataclass(frozen=True)
class _Theirs:
    """What a file of the authors holds, in the terms of this package.

    Args:
        settings: Arguments of our class, without `compat`.
        tensors: Its state dict.
        told: What the card says beyond name, source and licence.
        spec: Sizes of the windows that an encoder is built for.
    """

    settings: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    told: dict[str, Any]
    spec: SignalSpec | None = None


def convert(model: str, source: str | Path, out: str | Path, *, compat: str | int | None = None) -> PretrainedPart:
    """Write the authors' weights as a pretrained part and return it.

    Args:
        model: "brainomni", "braintokenizer", "nice", "atm" or "brainflora" (one modality).
        source: Their file. BrainOmni's `.pt` has `model_cfg.json` beside it, and may be given by its folder. NICE's is
            that of the encoder (`…Enc_eeg….pth`), with the projector's (`…Proj_eeg….pth`) beside it.
        out: Folder to write.
        compat: "official" for the quirks of BrainOmni's authors, "2024" or "2026" for those of ATM's, which the
            published scores were reached with; None corrects them.

    Raises:
        ConfigError: An unknown model or `compat`, or files that are not there or do not belong together.
        DataError: A file that is damaged or holds no weights, or weights with missing or extra keys.
        StorageError: `out` cannot be written, or holds something else.
    """
    if model not in _READERS:
        raise unknown_option("model", model, MODELS)
    compat = None if compat is None else str(compat)
    path = _weights_file(model, Path(source))
    theirs = _READERS[model](path, compat)
    settings = theirs.settings if model in _WITHOUT_QUIRKS else theirs.settings | {"compat": compat}
    built = _built(model, settings, theirs.spec)
    load_weights(built, theirs.tensors, what=f"{model} as it was read from '{path.name}'")
    part = PretrainedPart(
        "tokenizer" if isinstance(built, Tokenizer) else "encoder",
        built.architecture,
        settings,
        built.state_dict(),
        _provenance(model, path, sha256_of(path)) | theirs.told,
    )
    write_part(part, Path(out), card=part_card(part))
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
    path = source / _WEIGHTS_NAMES[model] if source.is_dir() and model in _WEIGHTS_NAMES else source
    if not path.is_file():
        raise ConfigError(f"No weights at '{path}'. Give source= the authors' .pt file, or the folder it is in.")
    return path


def _read_omni(path: Path, compat: str | None) -> _Theirs:
    settings = brainomni.settings_from_official(_read_settings(path.parent / _CONFIG_NAME))
    state = read_state_dict(path)
    spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 512, braintokenizer.RATE_HZ)
    told = {"rotary": rotary_kind(state)} | _brainomni_steps(compat)
    return _Theirs(settings, brainomni.from_official(state), told, spec)


def _read_tokenizer(path: Path, compat: str | None) -> _Theirs:
    """Read a tokenizer from its own file or from that of an encoder."""
    settings = braintokenizer.settings_from_official(_read_settings(path.parent / _CONFIG_NAME))
    state = read_state_dict(path)
    inside = {key.removeprefix("tokenizer."): v for key, v in state.items() if key.startswith("tokenizer.")}
    return _Theirs(settings, braintokenizer.from_official(inside or state), _brainomni_steps(compat))


def _read_nice(path: Path, compat: str | None) -> _Theirs:
    if compat is not None:
        raise ConfigError(f"NICE has no quirks to restore, so that convert model=nice takes no compat; got {compat!r}.")
    state = _plain_names(read_state_dict(path))
    if not any(key.startswith("Enc_eeg.") for key in state):
        state = {f"Enc_eeg.{key}": value for key, value in state.items()}
        projector = path.with_name(path.name.replace("Enc_eeg", "Proj_eeg"))
        if projector != path and projector.is_file():
            theirs = _plain_names(read_state_dict(projector))
            state |= {f"Proj_eeg.{key}": value for key, value in theirs.items()}
    settings = nice.settings_from_official(state)
    encoder, projector_weights = nice.from_official(state)
    tensors = encoder | {f"projector.{name}": value for name, value in projector_weights.items()}
    n_values = projector_weights["linear.weight"].shape[1] if projector_weights else settings["n_filters"]
    n_tokens = n_values // settings["n_filters"]
    shortest = settings["temporal_samples"] + POOL_SAMPLES - 1
    n_channels = encoder["spatial.weight"].shape[1] // settings["n_filters"]
    spec = _any_spec(n_channels, shortest + (n_tokens - 1) * POOL_STEP)
    return _Theirs(settings, tensors, dict(_FITTED_STEPS), spec)


def _read_atm(path: Path, compat: str | None) -> _Theirs:
    state = _plain_names(read_state_dict(path))
    settings = atm.settings_from_official(state, compat=compat)
    tensors = atm.from_official(state)
    n_channels = tensors["stem.spatial.weight"].shape[1] // settings["n_filters"]
    return _Theirs(settings, tensors, dict(_FITTED_STEPS), _any_spec(n_channels, tensors["subject_tokens"].shape[1]))


def _read_brainflora(path: Path, compat: str | None) -> _Theirs:
    """Read the encoder of one modality, of sensors or of voxels."""
    if compat is not None:
        raise ConfigError(
            f"BrainFLORA has no quirks to restore, so that convert model=brainflora takes no compat; got {compat!r}."
        )
    state = _plain_names(read_state_dict(path))
    settings, (n_channels, n_times) = brainflora.settings_from_official(state), brainflora.sizes_from_official(state)
    spec = _any_spec(n_channels, n_times)
    if brainflora.is_of_voxels(state):
        spec = SignalSpec(Voxels(np.ones((n_channels, 1, 1), dtype=bool), np.eye(4)), n_times, spec.rate_hz)
    return _Theirs(settings, brainflora.from_official(state), dict(_FITTED_STEPS), spec)


_READERS: dict[str, Callable[[Path, str | None], _Theirs]] = {
    "atm": _read_atm,
    "brainflora": _read_brainflora,
    "brainomni": _read_omni,
    "braintokenizer": _read_tokenizer,
    "nice": _read_nice,
}


def _plain_names(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return tensors without the prefix that training on several cards leaves."""
    return {key.removeprefix("module."): value for key, value in state.items()}


def _any_spec(n_channels: int, n_times: int) -> SignalSpec:
    sensors = Sensors(tuple(f"channel{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    return SignalSpec(sensors, n_times, 250.0)


def _read_settings(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"'{_CONFIG_NAME}' is not beside the weights; it says how large the model is. Get it too.")
    return read_json_object(path, remedy="Get it again.")


def _built(model: str, settings: Mapping[str, Any], spec: SignalSpec | None) -> Encoder | Tokenizer:
    try:
        return _CLASSES[model](**settings) if spec is None else _CLASSES[model](spec, **settings)
    except (TypeError, ValueError) as error:
        raise DataError(f"'{_CONFIG_NAME}' does not describe a {model}: {error}.") from error


_CLASSES: dict[str, Callable[..., Encoder | Tokenizer]] = {
    "atm": atm.ATM,
    "brainflora": brainflora.BrainFLORA,
    "brainomni": brainomni.BrainOmni,
    "braintokenizer": braintokenizer.BrainTokenizer,
    "nice": nice.NICE,
}


def _brainomni_steps(compat: str | None) -> dict[str, Any]:
    """Return the name and the steps of what comes before the model."""
    name = "brainomni_official" if compat == "official" else "brainomni"
    text = (catalogue_root() / "conf" / "preprocessing" / f"{name}.yaml").read_text(encoding="utf-8")
    return {"preprocessing_name": name, "preprocessing": yaml.safe_load(text)}


def _provenance(model: str, path: Path, content: str) -> dict[str, Any]:
    released = _RELEASED.get(content)
    return {
        "name": released or f"{model} from {path.name}",
        "source": f"{_SOURCE}, released weights" if released else "a file whose content is not a known release",
        "sha256": content,
        "licence": "MIT" if released else "not stated; that of the file's authors",
    }
