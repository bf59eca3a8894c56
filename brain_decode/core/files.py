"""Files that are either whole or not there."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DataError, StorageError

__all__ = [
    "make_folder",
    "fill_atomically",
    "place_beside",
    "read_json_object",
    "remove_abandoned",
    "sha256_of",
    "storage_error",
    "write_atomically",
]

_REMEDIES = {
    errno.ENOSPC: "the disk is full. Free space or choose another folder",
    errno.EDQUOT: "the quota is used up. Free space or choose another folder",
    errno.EROFS: "the file system is read-only. Choose another folder",
    errno.EACCES: "writing is not permitted. Change the permissions or choose another folder",
    errno.EPERM: "writing is not permitted. Change the permissions or choose another folder",
    errno.ENOTDIR: "a part of the path is a file, not a folder. Choose another folder",
    errno.EISDIR: "a folder has this name. Choose another name",
    errno.EEXIST: "a file has this name. Choose another folder",
    errno.ENAMETOOLONG: "the name is too long. Choose a shorter one",
    errno.ENOENT: "its folder is gone; was it moved, or the drive removed? Repeat the command when it is back",
    errno.EIO: "the drive does not answer. Repeat the command when it is back, or choose another folder",
    errno.ENODEV: "the drive is gone. Repeat the command when it is back, or choose another folder",
    errno.ESTALE: "the network drive is gone. Repeat the command when it is back, or choose another folder",
}
_ABANDONED = ".*.part"
_BLOCK_BYTES = 1 << 22


def storage_error(path: Path | str, error: OSError) -> StorageError:
    """Build the error for a file that could not be written, with the remedy where the cause is known."""
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return StorageError(f"Cannot write '{path}': {reason}.")


def make_folder(folder: Path) -> Path:
    """Create a folder and its parents where they are missing, and return it.

    Raises:
        StorageError: It cannot be created.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(folder, error) from error
    return folder


def read_json_object(path: Path, *, remedy: str) -> dict[str, Any]:
    """Return the object that an existing JSON file holds.

    Args:
        path: Of the file.
        remedy: Sentence that ends the error: what the person can do.

    Raises:
        DataError: Not JSON, or JSON that holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"'{path}' is not valid JSON: {error}. {remedy}") from error
    if not isinstance(content, dict):
        raise DataError(f"'{path}' must hold a JSON object, it holds a {type(content).__name__}. {remedy}")
    return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, content: bytes | str | Mapping[str, Any] | list[Any]) -> Path:
    """Write a file beside its place, flush it to the disk, then rename it; a reader never sees half of it.

    Args:
        path: Where it goes; its folder is created.
        content: Bytes, text (UTF-8), or plain values that are written as indented JSON.

    Returns:
        `path`.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
        DataError: Values that JSON cannot hold.
    """
    data = _as_bytes(path, content)
    make_folder(path.parent)
    try:
        with place_beside(path) as beside:
            _write_through(beside, data)
            os.replace(beside, path)
        _flush_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error
    return path


def fill_atomically(path: Path, fill: Callable[[Path], None]) -> Path:
    """Let `fill` write a large file beside its place, then rename it; a reader never sees half of it.

    Args:
        path: Where it goes; its folder is created.
        fill: Writes the empty file it is given.

    Returns:
        `path`.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    make_folder(path.parent)
    try:
        with place_beside(path) as beside:
            fill(beside)
            beside.rename(path)
    except OSError as error:
        raise storage_error(path, error) from error
    return path


@contextmanager
def place_beside(path: Path, *, is_folder: bool = False) -> Iterator[Path]:
    """Give an empty file or folder beside `path` to write into; the block renames it, what is not renamed is removed.

    Its writer holds a lock on it, which ends with the process: `remove_abandoned` tells what a killed writer left from
    what is being written.

    Raises:
        OSError: It cannot be created.
    """
    beside, descriptor = _locked_place(path, is_folder)
    try:
        yield beside
    finally:
        _remove(beside)
        os.close(descriptor)


def remove_abandoned(folder: Path) -> None:
    """Remove what killed writers left in a folder and below it; what is being written stays."""
    for beside in sorted(folder.rglob(_ABANDONED)):
        try:
            descriptor = os.open(beside, os.O_RDONLY)
        except OSError:  # renamed, removed or somebody else's
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(beside)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _locked_place(path: Path, is_folder: bool) -> tuple[Path, int]:
    while True:
        beside = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
        if is_folder:
            beside.mkdir()
        else:
            beside.touch(exist_ok=False)
        try:
            descriptor = os.open(beside, os.O_RDONLY)
        except FileNotFoundError:  # taken for abandoned in the moment before it was locked
            continue
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if beside.exists():
            return beside, descriptor
        os.close(descriptor)


def _remove(beside: Path) -> None:
    if beside.is_dir():
        shutil.rmtree(beside, ignore_errors=True)
    else:
        beside.unlink(missing_ok=True)


def _as_bytes(path: Path, content: bytes | str | Mapping[str, Any] | list[Any]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode("utf-8")
    try:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise DataError(f"'{path.name}' cannot be written as JSON: {error}. Pass plain, finite values.") from error
    return f"{text}\n".encode()


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
