"""All files of a dataset: listed, compared with what is there, fetched some at a time, unpacked."""

from __future__ import annotations

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_decode.core.errors import ConfigError, DownloadError, StorageError
from brain_decode.core.files import make_folder, write_atomically
from brain_decode.core.progress import track_bytes
from brain_decode.datasets.download.archives import unpack
from brain_decode.datasets.download.blocks import blocks_of
from brain_decode.datasets.download.remote import Connection, RemoteFile
from brain_decode.datasets.download.transfer import checksum_of, fetch, partial_size, require_checksum

__all__ = ["Download", "plan_download"]

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Item:
    """A file, its place, and the folder it is unpacked into where it is an archive."""

    file: RemoteFile
    place: Path
    unpacked_into: Path | None = None

    @property
    def marker(self) -> Path:
        """File that says what an archive held that was unpacked and removed."""
        return self.place.with_name(f".{self.place.name}.unpacked.json")


@dataclass(frozen=True)
class Download:
    """What a dataset's hosts have, against what is there.

    Args:
        name: Of the entry.
        folder: The dataset's folder.
        items: Every wanted file.
        missing: Those that are not there, or not whole.
    """

    name: str
    folder: Path
    items: tuple[_Item, ...]
    missing: tuple[_Item, ...]
    connection: Connection

    @property
    def size(self) -> int:
        """Bytes of all wanted files whose size the host states."""
        return sum(item.file.size or 0 for item in self.items)

    @property
    def left(self) -> int:
        """Bytes that are still to be fetched, as far as the host states sizes."""
        return sum(max((item.file.size or 0) - partial_size(item.place), 0) for item in self.missing)

    @property
    def unchecked(self) -> int:
        """Number of wanted files for which no checksum is known."""
        return sum(item.file.checksum is None for item in self.items)

    def fetch_all(self, *, connections: int = 4) -> list[dict[str, Any]]:
        """Fetch what is missing, unpack archives, and return path, size, SHA-256 and address of each fetched file.

        Raises:
            DownloadError: A file that a host does not give; the others stay, and so does what arrived of it.
            StorageError: Too little space, or a folder that cannot be written.
        """
        if connections < 1:
            raise ConfigError(f"connections= is how many files are fetched at a time, 1 or more; got {connections}.")
        make_folder(self.folder)
        self._require_space()
        done = self.size - self.left
        total = None if any(item.file.size is None for item in self.items) else self.size
        with track_bytes(f"Fetching {self.name}", total, done) as arrived:
            found = self._fetch_together(arrived, connections)
        for item in self.items:
            if item.unpacked_into is not None and item.place.is_file():
                _unpack(item, item.unpacked_into)
        return found

    def verify(self) -> None:
        """Compare the content of every file that was there before with the host's checksum.

        Raises:
            DownloadError: A file that differs; it is kept.
        """
        for item in set(self.items) - set(self.missing):
            if item.file.checksum is None or not item.place.is_file():
                continue
            found = checksum_of(item.place, (item.file.checksum[0],))
            try:
                require_checksum(item.file, found)
            except DownloadError as error:
                raise DownloadError(
                    f"'{item.place}' is damaged or another version: its {item.file.checksum[0]} should be "
                    f"{item.file.checksum[1]}, it is {found[item.file.checksum[0]]}. Remove it and repeat the command."
                ) from error

    def _require_space(self) -> None:
        free = shutil.disk_usage(self.folder).free
        if self.left > free:
            raise StorageError(
                f"'{self.name}' needs {self.left:,} more bytes in '{self.folder}', {free:,} are free. Free space, "
                "choose another folder with paths.data=, or fewer files with datasets.subjects= or "
                "datasets.download.include=."
            )

    def _fetch_together(self, arrived: Callable[[int], None], connections: int) -> list[dict[str, Any]]:
        pool = ThreadPoolExecutor(connections, thread_name_prefix="download")
        faults: list[BaseException] = []
        jobs = [pool.submit(self._fetch_one, item, arrived, faults) for item in self.missing]
        try:
            wait(jobs, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            _LOG.warning("Stopped. What arrived is kept: repeat the command to go on from there.")
            raise
        finally:
            # After a fault or an interrupt, the others end at their next block, and keep what they have.
            self.connection.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            self.connection.stopped.clear()
        if faults:
            raise faults[0]
        return [job.result() for job in jobs]

    def _fetch_one(self, item: _Item, arrived: Callable[[int], None], faults: list[BaseException]) -> dict[str, Any]:
        """Fetch one file in a thread; the first fault is noted before the others are stopped."""
        try:
            found = fetch(item.file, item.place, self.connection, arrived)
        except BaseException as error:
            faults.append(error)
            self.connection.stopped.set()
            raise
        return {"path": item.file.path, "size": item.place.stat().st_size, **found, "url": item.file.url}


def plan_download(entry: Mapping[str, Any], connection: Connection) -> Download:
    """Return what an entry's hosts have, against what is in the dataset's folder.

    Args:
        entry: Of the catalogue: `name`, `loader.root`, `subjects`, `download`.
        connection: Patience and identity.

    Raises:
        ConfigError: An entry without downloads, or patterns that fit nothing.
        DownloadError: A host that cannot be listed, or a file that is there with another size than the host's.
    """
    folder = Path(str((entry.get("loader") or {}).get("root") or ".")).expanduser()
    subjects = entry.get("subjects")
    chosen = None if subjects is None else [subjects] if isinstance(subjects, str | int) else list(subjects)
    items: list[_Item] = []
    for block in blocks_of(entry):
        for file in block.files(connection, None if chosen is None else [str(label) for label in chosen]):
            inner = block.folder_for(file.path)
            items.append(_Item(file, folder / file.path, None if inner is None else folder / inner))
    _require_one_source(items, str(entry.get("name")))
    missing = tuple(item for item in items if not _is_there(item))
    return Download(str(entry.get("name")), folder, tuple(items), missing, connection)


def _require_one_source(items: Sequence[_Item], name: str) -> None:
    counts = Counter(item.place for item in items)
    twice = [place for place, count in counts.items() if count > 1]
    if twice:
        raise ConfigError(f"Two files of dataset '{name}' would both be '{twice[0]}'. Set `into:` of a download block.")


def _is_there(item: _Item) -> bool:
    """Return True for a file that was fetched, or an archive that was unpacked; a file has its name once it is whole.

    Raises:
        DownloadError: A file of another size.
    """
    if item.unpacked_into is not None and _was_unpacked(item):
        return True
    if not item.place.is_file():
        return False
    size = item.place.stat().st_size
    if item.file.size is not None and size != item.file.size:
        raise DownloadError(
            f"'{item.place}' is there with {size:,} bytes, the host has {item.file.size:,}. It is kept: move or remove "
            "it and repeat the command."
        )
    return True


def _was_unpacked(item: _Item) -> bool:
    try:
        noted = json.loads(item.marker.read_text(encoding="utf-8"))
        return bool(noted["url"] == item.file.url and item.file.size in (None, noted["size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _unpack(item: _Item, folder: Path) -> None:
    """Unpack an archive, note that, and remove it."""
    size = item.place.stat().st_size
    members = unpack(item.place, folder)
    write_atomically(item.marker, {"url": item.file.url, "size": size, "files": members})
    item.place.unlink()
