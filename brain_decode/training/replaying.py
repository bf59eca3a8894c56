"""Run a receipt again: the same recordings, the same configuration, and every number beside what it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from safetensors.numpy import load_file

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.core.files import write_atomically
from brain_decode.datasets.store import prepare_store
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.evaluation.predictions import read_predictions
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.training.evaluating import evaluate
from brain_decode.training.joined_parts import joined_content_hashes
from brain_decode.training.loading import dataset_entries, load_recordings
from brain_decode.training.pretraining import pretrain
from brain_decode.training.pretraining_windows import load_pretraining_windows
from brain_decode.training.receipts import environment, plain
from brain_decode.training.run import train

__all__ = ["Replay", "compare_runs", "replay"]

_COMMANDS: dict[str, Callable[[DictConfig, Path], Path]] = {
    "train": train,
    "evaluate": evaluate,
    "pretrain": pretrain,
}


@dataclass(frozen=True)
class Replay:
    """How a repeated run compares with the first.

    Args:
        n_compared: Values compared: each number and word of `metrics.json`, each column of the predictions, each
            tensor of the checkpoint, the hash of the folds.
        differing: Name to (was, is) of each value that differs.
        environment: What differs in versions, commit and machine; it may explain differences.
    """

    n_compared: int
    differing: dict[str, tuple[Any, Any]]
    environment: list[str] = field(default_factory=list)


def replay(config: DictConfig, folder: Path) -> Replay:
    """Repeat the run that `config.run` names into `folder`, compare, and write `replay.json`.

    Args:
        config: Composed from `conf/replay.yaml`.
        folder: Existing, empty run folder.

    Raises:
        ConfigError: Not the folder of a finished run of train, evaluate or pretrain.
        DataError: A damaged file, or recordings that are not those of the run.
    """
    run = Path(config.run)
    receipt, saved = _read_run(run)
    repeated = _relocated(saved, config)
    _require_same_recordings(receipt, repeated)
    _COMMANDS[receipt["command"]](repeated, folder)
    result = compare_runs(run, folder, tolerance=float(config.tolerance))
    result.environment.extend(_environment_differences(receipt))
    write_atomically(folder / "replay.json", plain(_as_json(result, run)))
    return result


def compare_runs(before: Path, after: Path, *, tolerance: float = 0.0) -> Replay:
    """Compare two run folders value by value.

    Args:
        before: Folder of the first run.
        after: Folder of the second.
        tolerance: Largest difference of two numbers that count as equal.
    """
    pairs = [*_values(before, after), *_prediction_columns(before, after), *_tensors(before, after)]
    differing = {name: (was, now) for name, was, now in pairs if not _is_equal(was, now, tolerance)}
    return Replay(len(pairs), differing)


def _read_run(run: Path) -> tuple[dict[str, Any], DictConfig]:
    missing = [name for name in ("receipt.json", "config.yaml", "metrics.json") if not (run / name).is_file()]
    if missing:
        raise ConfigError(f"'{run}' is not a finished run: it lacks {', '.join(missing)}. Give run= the folder of one.")
    receipt = _read_json(run / "receipt.json")
    command = receipt.get("command")
    if command not in _COMMANDS:
        raise unknown_option("command to replay", command, _COMMANDS)
    if not (receipt.get("data") or {}).get("content_hashes"):
        raise DataError(f"'{run / 'receipt.json'}' does not say which recordings were used; it cannot be replayed.")
    try:
        saved = OmegaConf.load(run / "config.yaml")
    except Exception as error:  # YAML's and OmegaConf's own
        raise DataError(f"'{run / 'config.yaml'}' is damaged: {error}. Copy the run folder again.") from error
    if not isinstance(saved, DictConfig):
        raise DataError(f"'{run / 'config.yaml'}' must hold a mapping. Copy the run folder again.")
    return receipt, saved


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"'{path}' is damaged: {error}. Copy the run folder again.") from error
    if not isinstance(content, dict):
        raise DataError(f"'{path}' must hold an object; it holds a {type(content).__name__}. Copy the folder again.")
    return content


def _relocated(saved: DictConfig, config: DictConfig) -> DictConfig:
    """Return the configuration with recordings and stores where they are now."""
    repeated = OmegaConf.to_container(saved)
    for name in ("data", "store"):
        now, was = config.paths.get(name), saved.paths.get(name)
        if now is not None and was is not None:
            repeated = _replaced(repeated, str(was), str(now))
    relocated = OmegaConf.create(repeated)
    relocated.out, relocated.workers = None, config.workers
    return relocated  # type: ignore[return-value]


def _replaced(value: Any, was: str, now: str) -> Any:
    """Return nested values with the folder `was` replaced at the beginning of paths."""
    if isinstance(value, Mapping):
        return {key: _replaced(entry, was, now) for key, entry in value.items()}
    if isinstance(value, list):
        return [_replaced(entry, was, now) for entry in value]
    is_below = isinstance(value, str) and (value == was or value.startswith(f"{was.rstrip('/')}/"))
    return now + value[len(was.rstrip("/")) :] if is_below else value


def _require_same_recordings(receipt: Mapping[str, Any], config: DictConfig) -> None:
    """Refuse recordings whose content is not what the receipt says, before anything is computed.

    Raises:
        DataError: Names the recordings.
    """
    expected = dict(receipt["data"]["content_hashes"])
    found = _content_hashes(receipt["command"], config)
    changed = sorted(label for label in expected if label in found and found[label] != expected[label])
    missing, added = sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
    said = [
        f"{what}: {', '.join(labels)}"
        for what, labels in (("changed", changed), ("missing", missing), ("added", added))
        if labels
    ]
    if said:
        raise DataError(
            f"The recordings are not those of the run ({'; '.join(said)}). Give paths.data= the folder that holds them."
        )


def _content_hashes(command: str, config: DictConfig) -> dict[str, str]:
    if command == "pretrain":
        return load_pretraining_windows(config).content_hashes()
    if command == "evaluate":
        preprocessing = BrainDecoder.from_pretrained(str(config.checkpoint)).preprocessing
    elif config.get("join"):
        return joined_content_hashes(config)
    else:
        steps = OmegaConf.to_container(config.preprocessing, resolve=True)
        preprocessing = Preprocessing.from_json(steps)  # type: ignore[arg-type]
    recordings = [recording for entry in dataset_entries(config) for recording in load_recordings(entry)[1]]
    folder, workers = Path(config.paths.store), int(config.workers)
    store = prepare_store(recordings, preprocessing.signal_steps, folder, workers=workers)
    return {recording.label: hashed for recording, hashed in zip(recordings, store.content_hashes, strict=True)}


def _values(before: Path, after: Path) -> Iterator[tuple[str, Any, Any]]:
    """Yield each value of the metrics, and the hash of the folds."""
    was, now = (dict(_leaves(_read_json(folder / "metrics.json"))) for folder in (before, after))
    for name in dict.fromkeys([*was, *now]):
        yield name, was.get(name), now.get(name)
    receipts = [_read_json(folder / "receipt.json") for folder in (before, after)]
    yield "split_hash", receipts[0].get("split_hash"), receipts[1].get("split_hash")
    openings = [len(receipt.get("test_openings", ())) for receipt in receipts]
    yield "number of test openings", openings[0], openings[1]


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _leaves(entry, f"{name}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from _leaves(entry, f"{name}[{index}]")
    else:
        yield name, value


def _prediction_columns(before: Path, after: Path) -> Iterator[tuple[str, Any, Any]]:
    files = [folder / "predictions.parquet" for folder in (before, after)]
    if not any(file.is_file() for file in files):
        return
    was, now = (read_predictions(file) for file in files)
    if len(was) != len(now):
        yield "number of predictions", len(was), len(now)
        return
    for column in dict.fromkeys([*was.columns, *now.columns]):
        first, second = (frame[column].to_numpy() if column in frame else np.zeros(0) for frame in (was, now))
        yield f"predictions.{column}", first, second


def _tensors(before: Path, after: Path) -> Iterator[tuple[str, Any, Any]]:
    was, now = (_checkpoint_tensors(folder / "checkpoint") for folder in (before, after))
    nothing = np.zeros(0)
    for name in dict.fromkeys([*was, *now]):
        yield f"checkpoint.{name}", was.get(name, nothing), now.get(name, nothing)


def _checkpoint_tensors(folder: Path) -> dict[str, np.ndarray]:
    """Return the tensors of a checkpoint, or of the decoders in it, by name."""
    files = [folder / "model.safetensors", *sorted(folder.glob("*/model.safetensors"))]
    found: dict[str, np.ndarray] = {}
    for file in (file for file in files if file.is_file()):
        prefix = "" if file.parent == folder else f"{file.parent.name}."
        found |= {prefix + name: tensor for name, tensor in load_file(file).items()}
    return found


def _is_equal(was: Any, now: Any, tolerance: float) -> bool:
    if isinstance(was, np.ndarray) or isinstance(now, np.ndarray):
        was, now = np.asarray(was), np.asarray(now)
        if was.shape != now.shape:
            return False
        if was.dtype.kind in "fiub" and now.dtype.kind in "fiub":
            return bool(np.allclose(was.astype(float), now.astype(float), rtol=0.0, atol=tolerance, equal_nan=True))
        return bool(pd.Series(was).equals(pd.Series(now)))
    if isinstance(was, int | float) and isinstance(now, int | float):
        return abs(was - now) <= tolerance
    return bool(was == now)


def _environment_differences(receipt: Mapping[str, Any]) -> list[str]:
    was, now = (dict(_leaves(values)) for values in ({key: receipt.get(key) for key in environment()}, environment()))
    return [f"{name} was {was.get(name)}, is {now[name]}" for name in now if was.get(name) != now[name]]


def _as_json(result: Replay, run: Path) -> dict[str, Any]:
    return {
        "run": str(run),
        "equal": not result.differing,
        "n_compared": result.n_compared,
        "differing": {name: _summary(was, now) for name, (was, now) in result.differing.items()},
        "environment": result.environment,
    }


def _summary(was: Any, now: Any) -> dict[str, Any]:
    if not isinstance(was, np.ndarray):
        return {"was": was, "is": now}
    if was.shape != now.shape:
        return {"shape_was": list(was.shape), "shape_is": list(now.shape)}
    if was.dtype.kind in "fiub" and now.dtype.kind in "fiub":
        return {"largest_difference": float(np.nanmax(np.abs(was.astype(float) - now.astype(float))))}
    return {"n_differing": int((was != now).sum())}
