"""The folder one run writes into: new, or left by a killed run, and never shared by two."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from brain_decode.core.errors import StorageError
from brain_decode.core.files import make_folder, remove_abandoned, storage_error

__all__ = [
    "LOCK_NAME",
    "STATE_NAME",
    "folder_gone",
    "new_folder_name",
    "open_run_folder",
    "require_free_folder",
    "unfinished_run",
]

LOCK_NAME = ".run.lock"  # stays in the folder of a killed or failed run, and says that its files are unfinished
STATE_NAME = "unfinished"  # folder in the run folder with what a killed run goes on from


def new_folder_name(command: str, root: Path = Path("runs")) -> Path:
    """Return a free `runs/<command>/<date>_<time>`, not created yet."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder = root / command / stamp
    number = 2
    while folder.exists():
        folder = root / command / f"{stamp}_{number}"
        number += 1
    return folder


def unfinished_run(command: str, root: Path = Path("runs")) -> Path | None:
    """Return the newest dated folder of a run that was killed and can go on, None where there is none."""
    for state in sorted((root / command).glob(f"*/{STATE_NAME}"), reverse=True):
        with suppress(OSError), (state.parent / LOCK_NAME).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return state.parent
    return None


@contextmanager
def open_run_folder(command: str, out: Path | None = None) -> Iterator[Path]:
    """Create and lock the folder of a run; a run that wrote nothing leaves no folder.

    Args:
        command: The command's name.
        out: The folder; `runs/<command>/<date>_<time>` where None.

    Raises:
        StorageError: The folder holds something else, a finished run, or a run that is still going; or it was removed
            while the run was writing into it.
    """
    folder = out if out is not None else new_folder_name(command)
    created = [place for place in (folder, *folder.parents) if not place.exists()]
    require_free_folder(folder, command)
    make_folder(folder)
    lock = _lock(folder, command)
    remove_abandoned(folder)
    finished = False
    try:
        yield folder
        _require_same_folder(folder, lock)
        finished = True
    finally:
        _close(folder, lock, finished=finished)
        _remove_empty(created)


def require_free_folder(folder: Path, command: str) -> None:
    """Refuse a folder that a run of `command` may not write into.

    Raises:
        StorageError: A file, a finished run, another command's unfinished run, or foreign files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise StorageError(f"'{folder}' is a file; a run needs a folder. Choose another out=.")
    names = {path.name for path in folder.iterdir()}
    if not names:
        return
    if LOCK_NAME in names:
        owner = _owner(folder / LOCK_NAME)
        if owner in ("", command):
            return
        raise StorageError(f"'{folder}' holds an unfinished run of '{owner}'. Choose another out= or remove it.")
    if "receipt.json" in names:
        raise StorageError(f"'{folder}' holds a finished run. Choose another out= or remove it.")
    examples = ", ".join(sorted(names)[:3])
    raise StorageError(f"'{folder}' is not empty ({examples}) and was not made by a run. Choose another out=.")


def _owner(lock_file: Path) -> str:
    try:
        return str(json.loads(lock_file.read_text(encoding="utf-8")).get("command", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _lock(folder: Path, command: str) -> IO[str]:
    """Take the folder's lock; the system frees it when the process ends, however it ends."""
    path = folder / LOCK_NAME
    try:
        file = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise storage_error(path, error) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise StorageError(f"Another run is writing into '{folder}'. Wait for it or choose another out=.") from error
    file.truncate(0)
    json.dump({"command": command, "process": os.getpid(), "started": datetime.now().isoformat()}, file)
    file.flush()
    return file


def folder_gone(folder: Path) -> StorageError:
    """Build the error for a run folder that is not the one the run began with."""
    return StorageError(
        f"'{folder}' was removed or replaced while the run was writing into it. Check the drive and run it again."
    )


def _require_same_folder(folder: Path, lock: IO[str]) -> None:
    """Refuse to call a run finished whose folder was removed or replaced under it."""
    path = folder / LOCK_NAME
    if not path.exists() or path.stat().st_ino != os.fstat(lock.fileno()).st_ino:
        raise folder_gone(folder)


def _close(folder: Path, lock: IO[str], *, finished: bool) -> None:
    path = folder / LOCK_NAME
    is_alone = all(entry.name == LOCK_NAME for entry in folder.iterdir()) if folder.is_dir() else True
    if finished or is_alone:
        path.unlink(missing_ok=True)
    lock.close()


def _remove_empty(created: list[Path]) -> None:
    with suppress(OSError):  # the first folder that holds something ends it
        for place in created:
            place.rmdir()
