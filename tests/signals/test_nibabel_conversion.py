"""NIfTI images become recordings of voxels, lazily, or say what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.signals import nibabel_conversion
from brain_decode.signals.nibabel_conversion import (
    ImageSource,
    header_repetition_time_s,
    open_run_image,
    read_mask,
    recording_from_image,
)
from brain_decode.signals.voxels import Voxels

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
SHAPE = (4, 3, 2)


def image(n_times: int = 10, *, seconds: float = 2.0, unit: str | None = "sec") -> Any:
    data = np.random.default_rng(0).integers(500, 1500, (*SHAPE, n_times)).astype(np.int16)
    made = nibabel.Nifti1Image(data, AFFINE)
    made.header.set_zooms((3.0, 3.0, 3.0, seconds))
    made.header.set_xyzt_units("mm", unit)
    return made


def voxels(affine: np.ndarray = AFFINE) -> Voxels:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1:3, 1, :] = True
    return Voxels(mask, affine)


def saved(made: Any, path: Path) -> Path:
    nibabel.save(made, path)
    return path


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_only_masked_voxels_are_read_in_the_order_of_the_mask(name: str, tmp_path: Path) -> None:
    made = image()
    recording = recording_from_image(saved(made, tmp_path / name), voxels())
    assert recording.rate_hz == 0.5 and recording.n_times == 10 and len(recording.events) == 0
    np.testing.assert_array_equal(recording.read(3, 7), np.asarray(made.dataobj)[voxels().mask][:, 3:7])


def test_blocks_give_the_same_as_one_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(image(), tmp_path / "run.nii.gz")
    source = ImageSource(path, voxels().mask, 10)
    whole = source.read(0, 10)
    monkeypatch.setattr(nibabel_conversion, "_BLOCK_BYTES", 3 * 8 * 24)
    np.testing.assert_array_equal(source.read(0, 10), whole)


def test_an_open_image_is_a_run_too() -> None:
    recording = recording_from_image(image(), voxels())
    assert recording.files == () and recording.read().shape == (4, 10)


@pytest.mark.parametrize(
    ("seconds", "unit", "stated"), [(2.0, "sec", 2.0), (2500.0, "msec", 2.5), (2.0, None, None), (0.0, "sec", None)]
)
def test_the_header_states_a_time_only_with_its_unit(seconds: float, unit: str | None, stated: float | None) -> None:
    assert header_repetition_time_s(image(seconds=seconds, unit=unit)) == stated


def test_a_run_without_time_between_volumes_says_how_to_give_it() -> None:
    with pytest.raises(DataError, match="no time between volumes.*repetition_time_s"):
        recording_from_image(image(unit=None), voxels())
    assert recording_from_image(image(unit=None), voxels(), repetition_time_s=2.5).rate_hz == 0.4


def test_a_single_volume_is_no_run(tmp_path: Path) -> None:
    path = saved(nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.float32), AFFINE), tmp_path / "map.nii.gz")
    with pytest.raises(DataError, match=r"map.nii.gz is an image of shape \(4, 3, 2\); a run needs four axes"):
        open_run_image(path)


@pytest.mark.parametrize("name", ["run.nii", "run.nii.gz"])
def test_a_truncated_image_is_refused(name: str, tmp_path: Path) -> None:
    path = saved(image(200), tmp_path / name)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"{name} cannot be read.*copy it again"):
        recording_from_image(path, voxels()).read()


@pytest.mark.parametrize("content", [b"", b"not an image at all"])
def test_a_file_that_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "run.nii.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="run.nii.gz cannot be read as a NIfTI image"):
        open_run_image(path)


def test_voxels_that_are_not_finite_are_counted(tmp_path: Path) -> None:
    data = np.ones((*SHAPE, 5), dtype=np.float32)
    data[1, 1, 0, 2] = np.nan
    made = nibabel.Nifti1Image(data, AFFINE)
    with pytest.raises(DataError, match="1 of 4 voxels in the mask are NaN.*out of the mask"):
        recording_from_image(saved(made, tmp_path / "run.nii"), voxels(), repetition_time_s=2.0).read()


def test_nan_outside_the_mask_is_nobodys_business(tmp_path: Path) -> None:
    data = np.full((*SHAPE, 5), np.nan, dtype=np.float32)
    data[1:3, 1] = 1.0
    made = nibabel.Nifti1Image(data, AFFINE)
    assert recording_from_image(made, voxels(), repetition_time_s=2.0).read().sum() == 20


def test_voxels_of_another_place_do_not_fit() -> None:
    moved = AFFINE.copy()
    moved[0, 3] = 7.0
    with pytest.raises(SpecMismatch, match="affines differ by up to 7 mm"):
        recording_from_image(image(), voxels(moved))


def test_rounding_of_the_affine_is_no_difference() -> None:
    assert recording_from_image(image(), voxels(AFFINE + 1e-5)).n_times == 10


@pytest.mark.parametrize(
    ("values", "affine", "message"),
    [
        (np.ones((4, 3, 3)), AFFINE, r"mask.nii has shape \(4, 3, 3\), run.nii \(4, 3, 2\)"),
        (np.ones(SHAPE), 2 * AFFINE, "affines differ by up to 3 mm"),
        (np.zeros(SHAPE), AFFINE, "mask.nii is empty"),
        (np.full(SHAPE, np.nan), AFFINE, "mask.nii holds values that are NaN"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(
    values: np.ndarray, affine: np.ndarray, message: str, tmp_path: Path
) -> None:
    path = saved(nibabel.Nifti1Image(values.astype(np.float32), affine), tmp_path / "mask.nii")
    with pytest.raises(DataError, match=message):
        read_mask(path, image(), "run.nii")


def test_a_mask_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No image .*mask.nii"):
        read_mask(tmp_path / "mask.nii", image(), "run.nii")
