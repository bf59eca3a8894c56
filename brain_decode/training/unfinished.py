"""What a killed run leaves in its folder, so that the same command goes on where it stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import BrainDecodeError, StorageError
from brain_decode.core.files import write_atomically
from brain_decode.core.run_folder import STATE_NAME, folder_gone
from brain_decode.training.receipts import git_commit, plain, versions

__all__ = ["describe_run", "fit_folder", "require_still_there", "state_folder", "unfinished"]

_SETTINGS = "settings.json"
_WHEREABOUTS = ("out", "workers", "logger", "paths")  # keys that say where and how fast, not what


def describe_run(config: DictConfig, hashes: Sequence[str], stimuli: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return all that the weights of a run depend on: configuration, recordings, stimulus features, versions.

    Args:
        config: Composed configuration.
        hashes: Content hash of each recording.
        stimuli: Where the features of retrieval come from.
    """
    settings = OmegaConf.to_container(config, resolve=False)
    chosen = {key: value for key, value in dict(settings).items() if key not in _WHEREABOUTS}  # type: ignore[arg-type]
    described = {"config": chosen, "recordings": list(hashes), "versions": versions(), "commit": git_commit()}
    return described | ({"stimuli": dict(stimuli)} if stimuli else {})


def state_folder(folder: Path) -> Path:
    """Return where the state of an unfinished run lies in its folder."""
    return folder / STATE_NAME


@contextmanager
def unfinished(folder: Path, description: Mapping[str, Any]) -> Iterator[None]:
    """Vouch for the state in a run folder while the run goes on, and remove it when the run has ended.

    State that is there is kept when it belongs to this run. A run that fails keeps its state only if it holds trained
    weights.

    Args:
        folder: Run folder.
        description: Of `describe_run`.

    Raises:
        StorageError: The state there was made by other settings, recordings or versions.
    """
    state = state_folder(folder)
    _adopt(state, json.loads(json.dumps(plain(description), default=str)))
    try:
        yield
    except BrainDecodeError:
        if not any(state.glob("*/*")):
            shutil.rmtree(state, ignore_errors=True)
        raise
    shutil.rmtree(state, ignore_errors=True)


def _adopt(state: Path, described: Mapping[str, Any]) -> None:
    before = _read(state / _SETTINGS)
    if before is None:
        shutil.rmtree(state, ignore_errors=True)  # state that nothing vouches for
        write_atomically(state / _SETTINGS, described)
    elif before != described:
        key, was, now = next(_differences(before, described))
        raise StorageError(
            f"'{state.parent}' holds an unfinished run with other settings: {key} was {was} and is {now}. Repeat its "
            "command to go on with it, remove the folder, or choose another out=."
        )


def require_still_there(folder: Path) -> None:
    """Refuse to write results where the run folder was removed meanwhile: they would land beside the drive.

    Raises:
        StorageError: The folder, or the drive it was on, is gone.
    """
    if not (state_folder(folder) / _SETTINGS).is_file():
        raise folder_gone(folder)


def fit_folder(state: Path, **fit: Any) -> Path:
    """Return the folder of one fit, named by all that determines it.

    Args:
        state: Of `state_folder`.
        fit: Plain values and arrays: recipe, rows, settings.
    """
    digest = hashlib.sha256()
    for name in sorted(fit):
        value = fit[name]
        digest.update(name.encode())
        is_array = isinstance(value, np.ndarray)
        digest.update(value.astype("<i8").tobytes() if is_array else json.dumps(plain(value), sort_keys=True).encode())
    return state / digest.hexdigest()[:32]


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _differences(before: Any, now: Any, key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the dotted key and both values of each leaf that differs."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted({*before, *now}):
            yield from _differences(before.get(name), now.get(name), f"{key}.{name}".lstrip("."))
    elif before != now:
        yield key.removeprefix("config."), before, now
