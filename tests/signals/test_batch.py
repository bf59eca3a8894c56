from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.signals.batch import SignalBatch, subject_indices
from brain_decode.signals.sensors import Sensors


def batch_of(n_channels: int, n_times: int, rate_hz: float = 100.0) -> SignalBatch:
    sensors = Sensors(tuple(f"E{i}" for i in range(n_channels)), ("eeg",) * n_channels)
    return SignalBatch.from_array(np.ones((2, n_channels, n_times)), sensors, rate_hz)


def test_montages_are_mixed_with_masks() -> None:
    mixed = SignalBatch.concatenate([batch_of(2, 5), batch_of(3, 4)])
    assert mixed.signal.shape == (4, 3, 5) and mixed.is_padded
    assert mixed.channel_mask.sum(1).tolist() == [2, 2, 3, 3]
    assert mixed.time_mask.sum(1).tolist() == [5, 5, 4, 4]
    assert mixed.sensor_types[0].tolist() == [0, 0, -1]
    assert mixed.signal.sum().item() == 2 * (10 + 12)


def test_one_montage_is_not_padded() -> None:
    assert not batch_of(2, 5).is_padded


def test_rates_are_not_mixed() -> None:
    with pytest.raises(SpecMismatch, match="Add a resample step"):
        SignalBatch.concatenate([batch_of(2, 5), batch_of(2, 5, 200.0)])


def test_unknown_subjects_are_minus_one() -> None:
    assert subject_indices(["02", "09"], ["01", "02"]).tolist() == [1, -1]


def test_rows_pick_windows_and_keep_the_rate() -> None:
    picked = batch_of(2, 5).rows(torch.tensor([1]))
    assert len(picked) == 1 and picked.rate_hz == 100.0


def test_channel_count_must_fit_the_sensors() -> None:
    with pytest.raises(SpecMismatch, match="3 channels was given with 2 sensors"):
        SignalBatch.from_array(np.ones((1, 3, 4)), Sensors(("A", "B"), ("eeg", "eeg")), 10.0)


def test_sensors_refuse_duplicates_and_survive_json() -> None:
    with pytest.raises(DataError, match="repeated: \\['A'\\]"):
        Sensors(("A", "A"), ("eeg", "eeg"))
    sensors = Sensors(("A", "B", "F"), ("eeg", "misc", "feature"))
    assert Sensors.from_json(sensors.to_json()) == sensors
    assert sensors.brain_indices().tolist() == [0] and sensors.decoded_indices().tolist() == [0, 2]
    assert sensors.pick([1]).names == ("B",)
    with pytest.raises(DataError, match="'Z'"):
        sensors.indices(["Z"])
