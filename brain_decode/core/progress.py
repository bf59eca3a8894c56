"""Progress on a terminal: a bar, the rate and the time that remains; nothing where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

__all__ = ["somebody_watches", "track", "track_bytes"]

Item = TypeVar("Item")

# rich draws one live display at a time: a bar inside another joins it.
_ACTIVE: ContextVar[Progress | None] = ContextVar("active_progress", default=None)


class _RateColumn(ProgressColumn):
    """Items per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:.3g}/s")


def somebody_watches() -> bool:
    """Return True when standard error is a terminal."""
    return bool(sys.stderr and sys.stderr.isatty())


def track(iterable: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, drawing a progress bar on a terminal.

    Args:
        iterable: What to go through.
        description: A few words before the bar.
        total: Number of items, where the iterable does not know.
    """
    if not somebody_watches():
        yield from iterable
        return
    active = _ACTIVE.get()
    if active is not None:
        yield from _advance(active, iterable, description, total)
        return
    with _bars() as progress:
        _ACTIVE.set(progress)
        try:
            yield from _advance(progress, iterable, description, total)
        finally:
            _ACTIVE.set(None)


@contextmanager
def track_bytes(description: str, total: int | None, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the bytes that arrived; threads may share it.

    Args:
        description: A few words before the bar.
        total: Bytes in all; None where that is not known.
        done: Bytes that were there before.
    """
    if not somebody_watches():
        yield _ignore
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(description, total=total, completed=done)
        yield partial(progress.advance, task)


def _ignore(_: int) -> None:
    """Stand in for a bar that nobody watches."""


def _advance(progress: Progress, iterable: Iterable[Item], description: str, total: int | None) -> Iterator[Item]:
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    task = progress.add_task(description, total=total)
    try:
        for item in iterable:
            yield item
            progress.advance(task)
    finally:
        progress.remove_task(task)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _RateColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
