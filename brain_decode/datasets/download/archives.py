"""Archives, unpacked whole and never outside their folder."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brain_decode.core.errors import DownloadError, StorageError
from brain_decode.core.files import make_folder, place_beside, storage_error

__all__ = ["unpack"]

_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, ValueError, NotImplementedError, RuntimeError)


def unpack(archive: Path, folder: Path) -> int:
    """Put the content of a zip or tar archive into a folder, and return how many files there are.

    Everything is unpacked beside the folder first and moved when it is whole.

    Raises:
        DownloadError: No archive, a damaged one, or one with a member outside the folder, a link or a device.
        StorageError: Its content does not fit on the disk, or a file is in the way.
    """
    make_folder(folder)
    try:
        with _opened(archive) as opened, place_beside(folder / archive.name, is_folder=True) as beside:
            _require_space(archive, folder, opened)
            names = list(dict.fromkeys(_safe_members(archive, opened)))
            _extract(opened, beside)
            for name in names:
                _move(beside / name, folder / name)
            return len(names)
    except _DAMAGED as error:
        raise DownloadError(
            f"'{archive.name}' cannot be unpacked ({error}): it is damaged or no archive. Remove it and repeat the "
            "command."
        ) from error
    except OSError as error:
        raise storage_error(folder, error) from error


@contextmanager
def _opened(archive: Path) -> Iterator[zipfile.ZipFile | tarfile.TarFile]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            yield opened
    else:
        with tarfile.open(archive) as opened_tar:
            yield opened_tar


def _safe_members(archive: Path, opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[str]:
    """Yield the names of the files.

    Raises:
        DownloadError: A member that would be written elsewhere, or is no plain file or folder.
    """
    for name, is_plain, is_folder in _members(opened):
        parts = name.replace("\\", "/").split("/")
        if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0] or "\0" in name or not is_plain:
            raise DownloadError(
                f"'{archive.name}' holds '{name}', which is a link, a device, or lies outside the folder it is to be "
                "unpacked into. Nothing was unpacked; do not trust this archive."
            )
        if not is_folder:
            yield name


def _members(opened: zipfile.ZipFile | tarfile.TarFile) -> Iterator[tuple[str, bool, bool]]:
    """Yield name, whether it is a plain file or folder, and whether it is a folder."""
    if isinstance(opened, zipfile.ZipFile):
        for info in opened.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            yield info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR), info.is_dir()
    else:
        for member in opened:
            yield member.name, member.isreg() or member.isdir(), member.isdir()


def _extract(opened: Any, beside: Path) -> None:
    if isinstance(opened, tarfile.TarFile):
        opened.extractall(beside, filter="data")
    else:
        opened.extractall(beside)


def _require_space(archive: Path, folder: Path, opened: zipfile.ZipFile | tarfile.TarFile) -> None:
    infos = opened.infolist() if isinstance(opened, zipfile.ZipFile) else opened.getmembers()
    needed = sum(info.file_size if isinstance(info, zipfile.ZipInfo) else info.size for info in infos)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"'{archive.name}' unpacks to {needed:,} bytes, {free:,} are free in '{folder}'. Free space, or choose "
            "another folder with paths.data=."
        )


def _move(source: Path, place: Path) -> None:
    make_folder(place.parent)
    os.replace(source, place)
