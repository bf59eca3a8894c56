"""The batches of an epoch, in an order that a resumed run finds again, read while the network works on others."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol

import lightning.pytorch as lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from brain_decode.core.seeding import derived_seed

__all__ = ["Batch", "BatchReader", "EpochBatches", "GroupedBatches", "ReadAhead"]

Batch = tuple[Any, torch.Tensor]  # windows (`SignalBatch`) or tokens (`Tokens`), and targets


class BatchReader(Protocol):
    """Whatever reads windows and targets by position."""

    def batch(self, positions: np.ndarray) -> Batch:
        """Return the windows at these positions and their targets."""


class EpochBatches(Sampler[list[int]]):
    """Batches of equal size, give or take one; shuffled by seed and epoch alone, so that a resumed run sees the same.

    Without a seed they follow the order of the windows, and every process sees all of them. With a `trainer`, batches
    of this epoch that it has done before it was stopped are left out, and each of its processes gets its share of
    every batch.
    """

    def __init__(self, n_windows: int, batch_size: int, seed: int | None) -> None:
        self.n_windows, self.seed, self.epoch = n_windows, seed, 0
        self.n_batches = -(-n_windows // batch_size)
        self.trainer: lightning.Trainer | None = None

    @property
    def _place(self) -> tuple[int, int]:
        """Which of how many processes this is."""
        return (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)

    @property
    def sampler(self) -> EpochBatches:
        """Itself: where Lightning looks for `set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.n_batches

    def ordered(self) -> list[np.ndarray]:
        """Return the batches of this epoch, of all processes together."""
        order = np.arange(self.n_windows)
        if self.seed is not None:
            order = np.random.default_rng(derived_seed(self.seed, "order", self.epoch)).permutation(order)
        return np.array_split(order, min(self.n_batches, self.n_windows // self._place[1]))

    def __iter__(self) -> Iterator[list[int]]:
        done = 0 if self.trainer is None else self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        rank, world_size = self._place
        for part in self.ordered()[done:]:
            share = part[rank::world_size]
            yield (share if len(share) else part).tolist()


class GroupedBatches(EpochBatches):
    """Batches of an epoch in which every window is of the same group.

    The windows of each group are shuffled and cut into batches of equal size, give or take one; then the batches are
    shuffled. Seed and epoch alone decide, so a resumed run sees the same.

    Args:
        groups: (n,) number of the group of each window that the batches count.
        batch_size: Windows per batch at most.
        seed: None keeps the order of the windows.
    """

    def __init__(self, groups: np.ndarray, batch_size: int, seed: int | None) -> None:
        super().__init__(len(groups), batch_size, seed)
        self.groups, self.batch_size = np.asarray(groups), batch_size
        _, counts = np.unique(self.groups, return_counts=True)
        self.n_batches = int(np.sum(-(-counts // batch_size)))

    def ordered(self) -> list[np.ndarray]:
        """Return the batches of this epoch."""
        order = np.arange(self.n_windows)
        rng = None
        if self.seed is not None:
            rng = np.random.default_rng(derived_seed(self.seed, "order", self.epoch))
            order = rng.permutation(order)
        group = self.groups[order]
        parts = [order[group == number] for number in np.unique(self.groups)]
        batches = [part for found in parts for part in np.array_split(found, -(-len(found) // self.batch_size))]
        return batches if rng is None else [batches[index] for index in rng.permutation(len(batches))]


class ReadAhead(DataLoader[Batch]):
    """Gives batches in order; a thread reads the next one meanwhile.

    A thread of this process shares the memory map and its pages, so it beats worker processes, which copy every batch.

    Args:
        reader: Reads a whole batch by position, in one indexing operation.
        positions: (n,) positions of the windows that `batches` counts.
        batches: Which windows come together.
    """

    def __init__(self, reader: BatchReader, positions: np.ndarray, batches: EpochBatches) -> None:
        self.windows, self.batches = _Windows(reader, positions), batches
        super().__init__(self.windows, batch_sampler=batches)

    def __iter__(self) -> Any:
        """Return an iterator whose thread ends with it."""
        return _Ahead(self.windows, iter(self.batches))


class _Windows(Dataset[Batch]):
    """Windows by number, a whole batch at a time: the store gathers it in one indexing operation."""

    def __init__(self, reader: BatchReader, positions: np.ndarray) -> None:
        self.reader, self.positions = reader, np.asarray(positions)

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])

    def __getitems__(self, indices: list[int]) -> Batch:
        return self.reader.batch(self.positions[np.asarray(indices, dtype=int)])


class _Ahead(Iterator[Batch]):
    """Asks for a batch when the one before it is taken, and for the first when it is wanted.

    Not before: what an epoch has left is known only once Lightning has begun it.
    """

    def __init__(self, windows: _Windows, batches: Iterator[list[int]]) -> None:
        self._windows, self._batches = windows, batches
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read_ahead")
        self._asked: Future[Batch] | None = None

    def __next__(self) -> Batch:
        asked = self._asked or self._ask()
        if asked is None:
            raise StopIteration
        batch = asked.result()
        self._asked = self._ask()
        return batch

    def _ask(self) -> Future[Batch] | None:
        indices = next(self._batches, None)
        if indices is None:
            self._thread.shutdown()
            return None
        return self._thread.submit(self._windows.__getitems__, indices)
