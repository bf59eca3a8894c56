"""One prepared recording on disk: a float32 memory map and the JSON manifest that vouches for it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError
from brain_decode.core.files import place_beside, remove_abandoned, sha256_of, storage_error
from brain_decode.datasets.fingerprint import Fingerprint
from brain_decode.signals.space import Space, space_from_json

__all__ = [
    "StoreEntry",
    "find_entry",
    "known_file_hashes",
    "open_folder",
    "sha256_of_files",
    "write_entry",
    "write_manifest",
]

_FORMAT = 1
_NOT_PLAIN = ("path", "sensors", "fingerprint")


@dataclass(frozen=True)
class StoreEntry:
    """What the manifest of a prepared recording says.

    Args:
        key: Hash of file contents, channels and steps; the name of the files in the store.
        label: Recording label at the time of writing.
        content_hash: Hash of the decoded channels' samples before any step: equal for copies of one recording.
        sensors: Channels of the stored signal.
        rate_hz: Samples per second of the stored signal.
        n_times: Samples of the recording, or of one trial.
        n_trials: Number of cut trials, 0 for a continuous recording.
        continuous: True when the array is (time, channel); False when it is (trial, channel, time).
        start_s: Time of the first sample of a cut trial relative to its event.
        steps: The stateless steps that were applied, as JSON.
        files: Path, size, modification time and hash of the files the signal was read from.
        path: The array file.
        notes: Sentences about what the steps repaired.
        fingerprint: Of the decoded channels before any step, by which disguised copies are known; None where an older
            release wrote the entry.
    """

    key: str
    label: str
    content_hash: str
    sensors: Space
    rate_hz: float
    n_times: int
    n_trials: int
    continuous: bool
    start_s: float
    steps: list[dict[str, Any]]
    files: list[dict[str, Any]]
    path: Path
    notes: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the stored array."""
        if self.continuous:
            return (self.n_times, len(self.sensors))
        return (self.n_trials, len(self.sensors), self.n_times)

    def array(self) -> np.ndarray:
        """Return the stored float32 array as a read-only memory map."""
        return np.memmap(self.path, dtype=np.float32, mode="r", shape=self.shape)

    def manifest(self) -> dict[str, Any]:
        """Return plain Python values for the manifest."""
        saved = {name: value for name, value in asdict(self).items() if name not in _NOT_PLAIN}
        if self.fingerprint is not None:
            saved["fingerprint"] = self.fingerprint.to_json()
        return saved | {
            "format": _FORMAT,
            "sensors": self.sensors.to_json(),
            "dtype": "float32",
            "shape": list(self.shape),
        }


def find_entry(folder: Path, key: str) -> StoreEntry | None:
    """Return the complete entry of this key, None when there is none or it was left half written."""
    return _read_entry(folder / f"{key}.json")


def _read_entry(manifest: Path) -> StoreEntry | None:
    try:
        saved = json.loads(manifest.read_text())
        kept = [name for name in StoreEntry.__dataclass_fields__ if name not in (*_NOT_PLAIN, "notes")]
        fields = {name: saved[name] for name in kept} | {"notes": tuple(saved.get("notes", ()))}
        fields["fingerprint"] = Fingerprint.from_json(saved["fingerprint"]) if "fingerprint" in saved else None
        entry = StoreEntry(**fields, sensors=space_from_json(saved["sensors"]), path=manifest.with_suffix(".f32"))
        complete = saved["format"] == _FORMAT and entry.path.stat().st_size == 4 * int(np.prod(entry.shape))
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return entry if complete else None


def open_folder(folder: Path) -> None:
    """Create the store folder and remove what killed writers left in it.

    Raises:
        StorageError: The folder cannot be created or written to.
    """
    with _storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with place_beside(folder / "probe"):
            pass
        remove_abandoned(folder)


def write_entry(entry: StoreEntry, blocks: Iterable[np.ndarray]) -> None:
    """Write the array, then its manifest, each beside its final name and then renamed.

    Args:
        entry: What the manifest will say.
        blocks: Consecutive pieces of the array along its first axis.

    Raises:
        StorageError: The disk is full or the folder is not writable; nothing is left behind.
    """
    _write_beside(entry.path, (np.ascontiguousarray(block, dtype=np.float32).data for block in blocks))
    write_manifest(entry)


def write_manifest(entry: StoreEntry) -> None:
    """Write the manifest of an entry whose array is there.

    Raises:
        StorageError: The disk is full or the folder is not writable.
    """
    text = json.dumps(entry.manifest(), indent=1, allow_nan=False)
    _write_beside(entry.path.with_suffix(".json"), [memoryview(text.encode())])


def _write_beside(path: Path, pieces: Iterable[memoryview]) -> None:
    with _storage_errors(path.parent), place_beside(path) as beside:
        with beside.open("wb") as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


@contextmanager
def _storage_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(folder, error) from error


def known_file_hashes(folder: Path) -> dict[tuple[str, int, int], str]:
    """Return the hashes that manifests hold by path, size and modification time; such files are not read again."""
    known: dict[tuple[str, int, int], str] = {}
    for manifest in folder.glob("*.json"):
        try:
            files = json.loads(manifest.read_text())["files"]
            known |= {(file["path"], file["size"], file["modified_ns"]): file["sha256"] for file in files}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return known


def sha256_of_files(files: Sequence[Path], known: dict[tuple[str, int, int], str]) -> list[dict[str, Any]]:
    """Return path, size, modification time and content hash of each file; folders are listed file by file."""
    found: list[dict[str, Any]] = []
    for file in files:
        members = sorted(path for path in file.rglob("*") if path.is_file()) if file.is_dir() else [file]
        for member in members:
            status = member.stat()
            place = (str(member.resolve()), status.st_size, status.st_mtime_ns)
            digest = known.get(place) or sha256_of(member)
            found.append({"path": place[0], "size": place[1], "modified_ns": place[2], "sha256": digest})
    return found
