"""A decoder of voxels takes runs on its grid, and says what does not fit."""

from __future__ import annotations

from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import SpecMismatch
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.decoder.input_windows import windows_of
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.nibabel_conversion import recording_from_image
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
SHAPE = (3, 2, 2)


def wanted() -> Voxels:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1] = True
    return Voxels(mask, AFFINE)


SPEC = InputSpec(wanted(), 0.5, 4.0, 10.0)
EVENTS = pd.DataFrame({"onset_s": [2.0, 20.0], "duration_s": 6.0, "trial_type": ["face", "house"]})


def image(n_times: int = 20, shape: tuple[int, ...] = SHAPE, affine: np.ndarray = AFFINE) -> Any:
    data = np.random.default_rng(0).standard_normal((*shape, n_times)).astype(np.float32)
    made = nibabel.Nifti1Image(data, affine)
    made.header.set_zooms((3.0, 3.0, 3.0, 2.0))
    made.header.set_xyzt_units("mm", "sec")
    return made


def test_an_open_image_is_cut_into_windows_that_follow_each_other() -> None:
    given = image()
    windows = windows_of(given, Preprocessing(), SPEC)
    assert windows.data.shape == (6, 4, 3)
    np.testing.assert_array_equal(windows.data[1], np.asarray(given.dataobj)[wanted().mask][:, 3:6])


def test_a_recording_with_events_is_cut_around_them_with_the_lag() -> None:
    given = image()
    windows = windows_of(recording_from_image(given, wanted(), events=EVENTS), Preprocessing(), SPEC)
    assert windows.table["trial_type"].tolist() == ["face", "house"]
    np.testing.assert_array_equal(windows.data[0], np.asarray(given.dataobj)[wanted().mask][:, 3:6])


def test_a_wider_mask_gives_the_same_voxels() -> None:
    everything = Voxels(np.ones(SHAPE, dtype=bool), AFFINE)
    wide = windows_of(recording_from_image(image(), everything), Preprocessing(), SPEC)
    np.testing.assert_array_equal(wide.data, windows_of(image(), Preprocessing(), SPEC).data)
    assert wide.space == wanted()


def test_a_narrower_mask_lacks_voxels() -> None:
    narrow = wanted().pick([0, 1, 3])
    with pytest.raises(SpecMismatch, match="lacks 1 of the 4 voxels.*the mask it was trained with"):
        windows_of(recording_from_image(image(), narrow), Preprocessing(), SPEC)


def test_an_image_of_another_shape_is_refused() -> None:
    with pytest.raises(SpecMismatch, match=r"shape \(4, 2, 2\), the voxel mask \(3, 2, 2\).*Resample"):
        windows_of(image(shape=(4, 2, 2)), Preprocessing(), SPEC)


def test_an_image_of_another_place_is_refused() -> None:
    with pytest.raises(SpecMismatch, match="affines differ by up to 3 mm"):
        windows_of(image(affine=2 * AFFINE), Preprocessing(), SPEC)


def test_volumes_at_other_intervals_are_refused() -> None:
    slower = recording_from_image(image(), wanted(), repetition_time_s=2.5)
    with pytest.raises(SpecMismatch, match="trained on volumes 2 s apart; those of sub-unknown are 2.5 s apart"):
        windows_of(slower, Preprocessing(), SPEC)


def test_sensors_are_no_voxels_and_voxels_no_sensors() -> None:
    sensors = Sensors(("Fz", "Cz"), ("eeg", "eeg"))
    eeg = Recording(Entities("01"), sensors, 0.5, EVENTS, ArraySource(np.zeros((2, 50))))
    with pytest.raises(SpecMismatch, match="has 2 sensors; this decoder reads 4 voxels"):
        windows_of(eeg, Preprocessing(), SPEC)
    for given in (image(), recording_from_image(image(), wanted())):
        with pytest.raises(SpecMismatch, match="sensors"):
            windows_of(given, Preprocessing(), InputSpec(sensors, 0.5, 0.0, 4.0))


def test_the_input_spec_keeps_its_voxels_in_json() -> None:
    assert InputSpec.from_json(SPEC.to_json()) == SPEC
