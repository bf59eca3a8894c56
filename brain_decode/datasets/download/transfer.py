"""One file from a host to its place, going on where the last attempt ended."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import requests

from brain_decode.core.errors import DownloadError, StorageError
from brain_decode.core.files import make_folder, storage_error, write_atomically
from brain_decode.datasets.download.remote import (
    CONNECTION_ERRORS,
    Connection,
    Interrupted,
    RemoteFile,
    reason_of,
    require_answer,
)

__all__ = ["checksum_of", "fetch", "partial_size", "require_checksum"]

_BLOCK_BYTES = 1 << 16
_HASH_BYTES = 1 << 22
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


@dataclass
class _Beginning:
    """What is there of a file, and of which version of it: written beside the part, so that a later run can tell."""

    url: str
    validator: str | None = None
    total: int | None = None


def fetch(
    file: RemoteFile, place: Path, connection: Connection, arrived: Callable[[int], None] = lambda _: None
) -> dict[str, str]:
    """Fetch a file, check it, and give it its name; return its checksums by kind, SHA-256 among them.

    What has arrived lies in `<name>.part` and is gone on with, by this run or a later one, as long as the host still
    has the same file.

    Args:
        file: What to fetch.
        place: Where it goes; its folder is created.
        connection: Patience and identity.
        arrived: Called with the number of new bytes; a negative number takes back what had to be discarded.

    Raises:
        DownloadError: The host does not give it, has another file than expected, or was not reached often enough.
        StorageError: The disk is full, or another process fetches the same file.
    """
    make_folder(place.parent)
    part = place.with_name(f"{place.name}.part")
    with _owned(part) as content:
        resumed = _receive(file, part, content, connection, arrived)
        found = _digests(part, file)
        if _differs(file, found) and resumed:
            # The beginning came from an earlier run, perhaps of another version that could not be told from this one.
            _discard(part, content, arrived)
            _receive(file, part, content, connection, arrived)
            found = _digests(part, file)
        if _differs(file, found):
            _discard(part, content, arrived)
            require_checksum(file, found)
        _finish(part, place, content)
    return found


def partial_size(place: Path) -> int:
    """Return how many bytes of a file earlier runs left."""
    part = place.with_name(f"{place.name}.part")
    return part.stat().st_size if part.is_file() else 0


def checksum_of(path: Path, kinds: tuple[str, ...]) -> dict[str, str]:
    """Return checksums of a file by kind: "sha256", "md5", or "git-sha1", which is Git's name of its content."""
    digests = {kind: hashlib.new(kind.removeprefix("git-"), usedforsecurity=False) for kind in kinds}
    if "git-sha1" in digests:
        digests["git-sha1"].update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as content:
        while block := content.read(_HASH_BYTES):
            for digest in digests.values():
                digest.update(block)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}


def require_checksum(file: RemoteFile, found: dict[str, str]) -> None:
    """Refuse a file whose content is not what it should be.

    Raises:
        DownloadError: States both checksums.
    """
    if not _differs(file, found) or file.checksum is None:
        return
    kind, expected = file.checksum
    raise DownloadError(
        f"{file.path}: its {kind} should be {expected}, what arrived has {found[kind]} and was discarded. Repeat the "
        "command; if it happens again, the host has another version than the entry describes."
    )


def _differs(file: RemoteFile, found: dict[str, str]) -> bool:
    return file.checksum is not None and found[file.checksum[0]] != file.checksum[1].lower()


def _digests(part: Path, file: RemoteFile) -> dict[str, str]:
    kinds = ("sha256",) if file.checksum is None else tuple(dict.fromkeys(("sha256", file.checksum[0])))
    return checksum_of(part, kinds)


@contextmanager
def _owned(part: Path) -> Iterator[IO[bytes]]:
    """Open what is there of a file, for this process alone."""
    try:
        content = part.open("ab")
    except OSError as error:
        raise storage_error(part, error) from error
    with content:
        try:
            fcntl.flock(content, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise StorageError(
                f"Another process is fetching '{part.with_suffix('')}'. Wait until it is done."
            ) from error
        try:
            yield content
        finally:
            if part.is_file() and part.stat().st_size == 0:
                part.unlink()


def _receive(
    file: RemoteFile, part: Path, content: IO[bytes], connection: Connection, arrived: Callable[[int], None]
) -> bool:
    """Receive what is missing, with as many attempts as patience allows; return True where an earlier run began it."""
    beginning = _read_beginning(part, file)
    had = content.tell()
    if had and beginning is None:
        _discard(part, content, arrived)
        had = 0
    beginning = beginning or _Beginning(file.url)
    # Only what was never reached before counts as getting on: a host that starts anew each time is given up, too.
    failures, furthest = 0, had
    while True:
        try:
            if connection.stopped.is_set():
                raise Interrupted("stopped")
            _receive_once(file, part, content, beginning, connection, arrived)
            return had > 0
        except (Interrupted, *CONNECTION_ERRORS) as error:
            failures = 1 if content.tell() > furthest else failures + 1
            furthest = max(furthest, content.tell())
            _require_patience(file, content.tell(), beginning.total, failures, connection, error)
            connection.wait(failures, getattr(error, "pause_s", None))


def _require_patience(
    file: RemoteFile, size: int, total: int | None, failures: int, connection: Connection, error: Exception
) -> None:
    if connection.stopped.is_set():
        raise DownloadError(f"{file.path}: stopped; {_share(size, total)} are kept.") from error
    if failures >= connection.attempts:
        raise DownloadError(
            f"{file.path}: {reason_of(error)}, {failures} times in a row. {_share(size, total)} are kept: repeat the "
            "command to go on from there."
        ) from error


def _share(size: int, total: int | None) -> str:
    return f"{size:,} bytes" if total is None else f"{size:,} of {total:,} bytes"


def _receive_once(
    file: RemoteFile,
    part: Path,
    content: IO[bytes],
    beginning: _Beginning,
    connection: Connection,
    arrived: Callable[[int], None],
) -> None:
    headers = _range_headers(content.tell(), beginning)
    with connection.ask(file.url, headers=headers, stream=True) as answer:
        require_answer(answer, file.path)
        _refuse_page(answer, file)
        if answer.status_code == 416 and content.tell() == beginning.total:
            return
        start, total = _span(answer)
        same = start == content.tell() and total == beginning.total and _validator(answer) == beginning.validator
        if content.tell() and not same:
            _discard(part, content, arrived)
            if start != 0:
                beginning.validator = beginning.total = None
                raise Interrupted("the host has another file than before, so it is fetched anew", 0.0)
        _require_size(file, total)
        if not same:
            _note_beginning(part, beginning, answer, total)
        _require_space(part, total, content.tell())
        _copy(answer, part, content, connection, arrived)
        _require_whole(file, content.tell(), file.size if total is None else total)


def _require_whole(file: RemoteFile, size: int, expected: int | None) -> None:
    if expected is not None and size < expected:
        raise Interrupted("the connection was cut")
    if expected is not None and size > expected:
        raise DownloadError(f"{file.path}: the host sent {size:,} bytes, {expected:,} are expected.")


def _refuse_page(answer: requests.Response, file: RemoteFile) -> None:
    """Refuse a web page in place of a file: a form to log in, or a network that wants a password first."""
    kind = answer.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "text/html" and not file.path.lower().endswith((".html", ".htm")):
        raise DownloadError(
            f"{file.path}: {answer.url} answered with a web page instead of the file. Open the address in a browser: "
            "it may ask for a login, or for terms to be accepted."
        )


def _range_headers(size: int, beginning: _Beginning) -> dict[str, str]:
    """Return the headers that ask for the rest, and for it only while the host has the same file."""
    if size == 0 or beginning.validator is None:
        return {}
    return {"Range": f"bytes={size}-", "If-Range": beginning.validator}


def _span(answer: requests.Response) -> tuple[int, int | None]:
    """Return the first byte of an answer, and the length of the whole file where it is stated."""
    if answer.status_code == 206 and (match := _RANGE.fullmatch(answer.headers.get("Content-Range", ""))):
        return int(match.group(1)), None if match.group(2) == "*" else int(match.group(2))
    if answer.status_code in (206, 416):
        return -1, None
    length = answer.headers.get("Content-Length")
    return 0, int(length) if length is not None and length.isdigit() else None


def _validator(answer: requests.Response) -> str | None:
    """Return what tells one version of a file from another: a strong entity tag, else the date of change."""
    tag = answer.headers.get("ETag")
    return tag if tag is not None and not tag.startswith("W/") else answer.headers.get("Last-Modified")


def _require_size(file: RemoteFile, total: int | None) -> None:
    if file.size is not None and total is not None and total != file.size:
        raise DownloadError(
            f"{file.path}: the host offers {total:,} bytes, {file.size:,} are expected. It has another version than "
            "the entry describes."
        )


def _require_space(part: Path, total: int | None, size: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - size > free:
        raise StorageError(
            f"'{part.with_suffix('')}' needs {total - size:,} more bytes, {free:,} are free. Free space, or choose "
            "another folder with paths.data=."
        )


def _copy(
    answer: requests.Response, part: Path, content: IO[bytes], connection: Connection, arrived: Callable[[int], None]
) -> None:
    # Not `iter_content`, which unpacks what a host compresses by itself, so that lengths no longer agree.
    while block := answer.raw.read(_BLOCK_BYTES, decode_content=False):
        try:
            content.write(block)
            content.flush()
        except OSError as error:
            raise storage_error(part, error) from error
        arrived(len(block))
        if connection.stopped.is_set():
            raise Interrupted("stopped")


def _discard(part: Path, content: IO[bytes], arrived: Callable[[int], None]) -> None:
    """Empty what is there of a file."""
    arrived(-content.tell())
    content.truncate(0)
    content.seek(0)
    _notes(part).unlink(missing_ok=True)


def _notes(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _read_beginning(part: Path, file: RemoteFile) -> _Beginning | None:
    """Return what an earlier run noted; None where it noted nothing, or fetched from elsewhere."""
    try:
        saved = json.loads(_notes(part).read_text(encoding="utf-8"))
        found = _Beginning(str(saved["url"]), saved["validator"], saved["total"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.url == file.url and found.validator is not None else None


def _note_beginning(part: Path, beginning: _Beginning, answer: requests.Response, total: int | None) -> None:
    beginning.validator, beginning.total = _validator(answer), total
    if beginning.validator is not None:
        write_atomically(_notes(part), {"url": beginning.url, "validator": beginning.validator, "total": total})


def _finish(part: Path, place: Path, content: IO[bytes]) -> None:
    try:
        os.fsync(content.fileno())
        os.replace(part, place)
    except OSError as error:
        raise storage_error(place, error) from error
    _notes(part).unlink(missing_ok=True)
