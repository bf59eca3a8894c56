"""The signal store keeps voxels as it keeps sensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table
from brain_decode.preprocessing.trends import Detrend
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

EVENTS = pd.DataFrame({"onset_s": [0.0, 20.0], "duration_s": 5.0, "trial_type": ["face", "house"]})


def voxels(n: int = 12, affine: float = 3.0) -> Voxels:
    mask = np.zeros((4, 4, 1), dtype=bool)
    mask.flat[:n] = True
    return Voxels(mask, np.diag([affine, affine, affine, 1.0]))


def run(space: Voxels | Sensors, number: int = 1, data: np.ndarray | None = None) -> Recording:
    samples = np.random.default_rng(number).standard_normal((len(space), 30)) if data is None else data
    return Recording(Entities("01", run=str(number)), space, 0.5, EVENTS, ArraySource(samples))


def test_windows_of_voxels_come_back_with_their_space(tmp_path: Path) -> None:
    recordings = [run(voxels(), 1), run(voxels(), 2)]
    table = build_window_table(recordings, dataset="d", target=EventTarget(), start_s=4.0, stop_s=14.0).table
    store = prepare_store(recordings, [], tmp_path)
    windows = store.read(table)
    assert windows.space == voxels() and windows.data.shape == (4, 12, 5) and windows.start_s == 4.0
    np.testing.assert_array_equal(windows.data[2], recordings[1].read(2, 7).astype(np.float32))
    assert store.batch(table).signal.shape == (4, 12, 5)


def test_a_prepared_run_is_found_again(tmp_path: Path) -> None:
    first = prepare_store([run(voxels())], [Detrend()], tmp_path)
    written = first.entries[0].path.stat().st_mtime_ns
    again = prepare_store([run(voxels())], [Detrend()], tmp_path)
    assert again.entries[0].path.stat().st_mtime_ns == written
    assert again.entries[0].sensors == voxels()


def test_other_voxels_make_another_entry(tmp_path: Path) -> None:
    data = np.ones((12, 30)) * np.arange(30)
    entries = [prepare_store([run(voxels(affine=a), data=data)], [], tmp_path).entries[0] for a in (3.0, 4.0)]
    assert entries[0].key != entries[1].key


def test_runs_of_other_voxels_are_not_read_together_but_batched(tmp_path: Path) -> None:
    recordings = [run(voxels(12), 1), run(voxels(10), 2)]
    table = build_window_table(recordings, dataset="d", target=EventTarget(), start_s=4.0, stop_s=14.0).table
    store = prepare_store(recordings, [], tmp_path)
    with pytest.raises(SpecMismatch, match="one montage"):
        store.read(table)
    assert store.batch(table).channel_mask.sum(dim=1).tolist() == [12, 12, 10, 10]


def test_an_error_names_some_of_many_voxels(tmp_path: Path) -> None:
    data = np.full((12, 30), np.nan)
    with pytest.raises(DataError, match=r"'v1-3-0'\] and 4 more are NaN"):
        prepare_store([run(voxels(), data=data)], [], tmp_path)
