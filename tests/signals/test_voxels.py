"""Voxels answer what later stages ask of a space axis."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from brain_decode.core.errors import DataError
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import SPACE_TYPES, space_from_json
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

AFFINE = np.array([[-3.0, 0, 0, 90], [0, 3, 0, -120], [0, 0, 4, 10], [0, 0, 0, 1]])


def voxels() -> Voxels:
    mask = np.random.default_rng(0).random((4, 3, 2)) < 0.5
    mask[0, 0, 0] = True
    member = np.zeros(int(mask.sum()), dtype=bool)
    member[-2:] = True
    return Voxels(mask, AFFINE, {"ventral": member})


def test_voxels_read_back_from_json_are_equal() -> None:
    space = voxels()
    assert space_from_json(json.loads(json.dumps(space.to_json()))) == space


@pytest.mark.parametrize("first", [True, False])
def test_a_mask_that_begins_inside_or_outside_is_kept(first: bool) -> None:
    mask = np.zeros((1, 1, 5), dtype=bool)
    mask[0, 0, 3] = True
    mask[0, 0, 0] = first
    assert Voxels.from_json(Voxels(mask, AFFINE).to_json()) == Voxels(mask, AFFINE)


def test_sensors_are_told_from_voxels_in_json() -> None:
    sensors = Sensors(("Fz",), ("eeg",))
    assert space_from_json(sensors.to_json()) == sensors


def test_the_spec_of_a_decoder_keeps_its_voxels() -> None:
    spec = SignalSpec(voxels(), 9, 0.4, 5.0, ("01",))
    assert SignalSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert spec.n_channels == len(voxels())


def test_a_voxel_lies_where_the_affine_puts_it() -> None:
    space = voxels()
    assert space.names[0] == "v0-0-0"
    np.testing.assert_allclose(space.positions_m[0], [0.09, -0.12, 0.01])


def test_picked_voxels_keep_their_places_and_regions() -> None:
    space = voxels()
    picked = space.pick([1, len(space) - 1])
    assert picked.names == (space.names[1], space.names[-1])
    assert picked.regions["ventral"].tolist() == [False, True]
    np.testing.assert_allclose(picked.positions_m, space.positions_m[[1, -1]])


def test_voxels_are_not_picked_against_the_order_of_the_mask() -> None:
    with pytest.raises(DataError, match="order of the mask"):
        voxels().pick([2, 1])


def test_a_voxel_outside_the_mask_is_named() -> None:
    with pytest.raises(DataError, match="1 voxels are not in the mask.*'v9-9-9'"):
        voxels().indices(["v0-0-0", "v9-9-9"])


def test_values_fall_back_into_the_volume() -> None:
    space = voxels()
    volume = space.volume(np.arange(len(space)), fill=-1.0)
    np.testing.assert_array_equal(volume[space.mask], np.arange(len(space)))
    assert (volume[~space.mask] == -1).all()


def test_a_batch_of_voxels_has_places_and_a_type_but_no_orientation() -> None:
    space = voxels()
    batch = SignalBatch.from_windows(Windows(np.zeros((2, len(space), 5), dtype=np.float32), 0.4, 0.0, space))
    assert batch.signal.shape == (2, len(space), 5)
    assert (batch.sensor_types == SPACE_TYPES.index("voxel")).all()
    assert batch.orientations.isnan().all() and batch.positions_m.isfinite().all()
    torch.testing.assert_close(batch.positions_m[1, 0], torch.tensor([0.09, -0.12, 0.01]))


def test_voxels_and_sensors_share_a_padded_batch() -> None:
    space = voxels()
    volumes = SignalBatch.from_array(np.ones((1, len(space), 3)), space, 0.5)
    channels = SignalBatch.from_array(np.ones((1, 2, 4)), Sensors(("Fz", "Cz"), ("eeg", "eeg")), 0.5)
    joined = SignalBatch.concatenate([volumes, channels])
    assert joined.channel_mask.sum(dim=1).tolist() == [len(space), 2]
