"""Published weights of a network: read without running code, checked key by key, loaded strictly."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from brain_decode.core.errors import DataError, listed

__all__ = ["find_weights", "load_network", "read_weights"]

_COUNTER = "num_batches_tracked"  # of training steps; older files lack it
_WRAPPER = "module."  # what training on several GPUs puts before each key


def find_weights(folder: Path, files: Sequence[str]) -> Path | None:
    """Return the first of the published files, or of their .safetensors copies, that is in the folder."""
    for name in files:
        for candidate in (folder / name, folder / f"{name.partition('.')[0]}.safetensors"):
            if candidate.exists():
                return candidate
    return None


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """Return the state dict of a file; a `module.` before every key and an outer `state_dict` are taken off.

    Raises:
        DataError: A file that is damaged, or that holds more than tensors.
    """
    try:
        content = load_file(str(path)) if path.suffix == ".safetensors" else _unpickled(path)
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"'{path}' is damaged or no file of weights ({_first_line(error)}). Copy it again.") from error
    content = content.get("state_dict", content) if isinstance(content, Mapping) else content
    if not isinstance(content, Mapping) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise DataError(f"'{path}' must hold a state dict of tensors; it holds something else. Use the published file.")
    return {str(key).removeprefix(_WRAPPER): value for key, value in content.items()}


def load_network(network: nn.Module, path: Path, *, foreign: Sequence[str] = ()) -> nn.Module:
    """Give a network the weights of a file, and return it frozen and in evaluation mode.

    Parts that the answer does not need (`network.unused`) may be absent; they are checked where they are there, and
    removed.

    Args:
        network: Built on the meta device, in the published layout.
        path: From `find_weights`.
        foreign: Prefixes of keys that the file has and the network does not: heads of another training.

    Raises:
        DataError: A damaged file; keys that are missing, unknown, or of another shape.
    """
    unused: tuple[str, ...] = tuple(getattr(network, "unused", ()))
    tensors = {key: value for key, value in read_weights(path).items() if not key.startswith(tuple(foreign))}
    own = network.state_dict()
    steps = {key: torch.zeros((), dtype=torch.long) for key in own if key.endswith(_COUNTER)}
    tensors = steps | {key: value for key, value in tensors.items() if not key.endswith(_COUNTER)}
    _check(path, own, tensors, unused)
    for part in {prefix.partition(".")[0] for prefix in unused}:
        delattr(network, part)
    needed = {key: _as_float(value) for key, value in tensors.items() if not key.startswith(unused or "\0")}
    network.load_state_dict(needed, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def _unpickled(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"'{path}' holds more than weights, which could run code, or is damaged; it was not opened. Use the "
            "published file, or a .safetensors copy of it."
        ) from error


def _check(
    path: Path, own: Mapping[str, torch.Tensor], tensors: Mapping[str, torch.Tensor], unused: tuple[str, ...]
) -> None:
    missing = sorted(key for key in own.keys() - tensors.keys() if not key.startswith(unused or "\0"))
    extra = sorted(tensors.keys() - own.keys())
    other = sorted(key for key in own.keys() & tensors.keys() if own[key].shape != tensors[key].shape)
    wrong = [("missing", missing), ("unknown", extra), ("of another shape", other)]
    if any(keys for _, keys in wrong):
        told = "; ".join(f"{len(keys)} {what} ({listed(keys)})" for what, keys in wrong if keys)
        raise DataError(f"'{path}' does not hold the weights of this network: {told}. Use the published file.")


def _as_float(value: torch.Tensor) -> torch.Tensor:
    return value.float() if value.is_floating_point() else value


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
