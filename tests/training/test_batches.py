"""Batches come in order, the next one is read meanwhile, and an error in reading reaches training."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from brain_decode.core.errors import DataError
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.training.batches import Batch, EpochBatches, ReadAhead

SENSORS = Sensors(("Cz",), ("eeg",))


class Reader:
    """Reads windows whose only sample is their position, and notes what was asked for."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken, self.threads = broken, set[str]()
        self.asked = [threading.Event() for _ in range(3)]

    def batch(self, positions: np.ndarray) -> Batch:
        self.threads.add(threading.current_thread().name)
        self.asked[int(positions[0]) // 20].set()
        if self.broken is not None and self.broken in positions:
            raise DataError("The drive is gone.")
        signal = torch.as_tensor(positions, dtype=torch.float32)[:, None, None]
        return SignalBatch.from_array(signal, SENSORS, 100.0), torch.as_tensor(positions)


def loader(reader: Reader) -> ReadAhead:
    return ReadAhead(reader, np.arange(0, 60, 10), EpochBatches(6, 2, seed=None))


def test_batches_come_in_order_and_again_in_the_next_pass() -> None:
    batches = loader(Reader())
    for _ in range(2):
        assert [target.tolist() for _, target in batches] == [[0, 10], [20, 30], [40, 50]]
    assert len(batches) == 3


def test_the_next_batch_is_read_while_one_is_used_and_no_further_one() -> None:
    reader = Reader()
    batches = iter(loader(reader))
    next(batches)
    assert reader.asked[1].wait(timeout=30)
    assert not reader.asked[2].is_set()
    assert threading.current_thread().name not in reader.threads


def test_the_thread_ends_with_the_pass() -> None:
    reader = Reader()
    list(loader(reader))
    assert not reader.threads & {thread.name for thread in threading.enumerate()}


def test_an_error_in_reading_comes_at_its_batch() -> None:
    batches = iter(loader(Reader(broken=30)))
    assert next(batches)[1].tolist() == [0, 10]
    with pytest.raises(DataError, match="drive is gone"):
        next(batches)


def test_nothing_is_asked_for_before_the_first_batch_is_wanted() -> None:
    reader = Reader()
    iter(loader(reader))
    assert not reader.asked[0].is_set() and not reader.threads
