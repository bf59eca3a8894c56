"""Averages on disk are what the reader gives, made once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from brain_decode.core.errors import StorageError
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.training.fitting import GroupReader
from brain_decode.training.stored_averages import store_averages
from brain_decode.training.trials import Trials, repetition_groups

SENSORS = Sensors(("a", "b", "c"), ("eeg",) * 3)
SPEC = SignalSpec(SENSORS, 10, 100.0, 0.0, ("01", "02"))


@pytest.fixture
def reader(tmp_path: Path) -> GroupReader:
    """Twelve windows of two people, who saw each of three pictures twice."""
    rng = np.random.default_rng(0)
    nothing = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    source = ArraySource(rng.standard_normal((3, 500)))
    recordings = [Recording(Entities(subject), SENSORS, 100.0, nothing, source) for subject in ("01", "02")]
    starts = np.tile(np.arange(6) * 0.5, 2)
    table = pd.DataFrame({"recording": np.repeat([0, 1], 6), "event": -1, "onset_s": starts, "start_s": starts})
    table = table.assign(stop_s=starts + 0.1, dataset="d", subject=np.repeat(["01", "02"], 6))
    table = table.assign(stimulus=np.resize(["x", "y", "z"], 12), label="")
    features = np.eye(3, dtype=np.float32)
    trials = Trials(recordings, table, "retrieval", tmp_path / "stores", features, ("x", "y", "z"))
    return GroupReader(trials, Preprocessing([], []), repetition_groups(table, np.arange(12)), ("01", "02"))


def test_a_stored_batch_is_the_batch_of_the_reader(reader: GroupReader, tmp_path: Path) -> None:
    stored = store_averages(reader, SPEC, tmp_path / "fit" / "averages.npy")
    positions = np.array([5, 0, 3])
    (signal, target), (expected, wanted) = stored.batch(positions), reader.batch(positions)
    assert torch.equal(signal.signal, expected.signal)
    assert signal.subjects.tolist() == expected.subjects.tolist() == [1, 0, 1]
    assert torch.equal(target, wanted)
    assert (signal.rate_hz, signal.start_s) == (expected.rate_hz, expected.start_s)


def test_what_is_on_disk_is_not_made_again(
    reader: GroupReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "averages.npy"
    before = store_averages(reader, SPEC, path).batch(np.arange(6))[0].signal
    monkeypatch.setattr(GroupReader, "windows", None)
    assert torch.equal(store_averages(reader, SPEC, path).batch(np.arange(6))[0].signal, before)


def test_an_interrupted_pass_leaves_nothing(
    reader: GroupReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(GroupReader, "windows", no_space)
    with pytest.raises(StorageError, match=r"averages\.npy"):
        store_averages(reader, SPEC, tmp_path / "fit" / "averages.npy")
    assert list((tmp_path / "fit").iterdir()) == []
