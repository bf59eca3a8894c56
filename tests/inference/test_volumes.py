"""Image files at the command line: the decoder's voxels, or what is wrong with the file."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.inference.recordings import read_recording
from brain_decode.inference.volumes import is_image_file, read_image
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

VOXELS = Voxels(np.ones((2, 2, 2), dtype=bool), np.eye(4))


def saved(folder: Path, *, n_times: int = 10) -> Path:
    shape = (2, 2, 2, n_times) if n_times else (2, 2, 2)
    path = folder / "sub-01_task-look_bold.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, dtype=np.float32), np.eye(4)), path)
    return path


@pytest.mark.parametrize(("name", "is_image"), [("a.nii", True), ("a.nii.gz", True), ("a.fif.gz", False)])
def test_images_are_told_by_their_name(name: str, is_image: bool) -> None:
    assert is_image_file(Path(name)) == is_image


def test_sidecar_and_events_beside_the_image_are_read(tmp_path: Path) -> None:
    path = saved(tmp_path)
    path.with_name("sub-01_task-look_bold.json").write_text(json.dumps({"RepetitionTime": 2.5}))
    path.with_name("sub-01_task-look_events.tsv").write_text("onset\tduration\ttrial_type\n5.0\t5\tface\n")
    recording = read_image(path, VOXELS)
    assert recording.rate_hz == 0.4 and recording.events["trial_type"].tolist() == ["face"]


def test_an_image_that_states_no_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="RepetitionTime in the JSON sidecar"):
        read_image(saved(tmp_path), VOXELS)


def test_a_decoder_of_sensors_reads_no_image(tmp_path: Path) -> None:
    with pytest.raises(SpecMismatch, match="is an image; this decoder reads 1 sensors"):
        read_image(saved(tmp_path), Sensors(("Fz",), ("eeg",)))


def test_a_missing_image_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No file .*Give input= the 4D image"):
        read_image(tmp_path / "run.nii.gz", VOXELS)


def test_without_a_decoder_an_image_is_named_as_such(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a decoder of voxels only"):
        read_recording(saved(tmp_path))
    with pytest.raises(DataError, match="a run needs four axes"):
        read_recording(saved(tmp_path, n_times=0))
