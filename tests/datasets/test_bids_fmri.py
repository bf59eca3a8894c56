"""Functional runs of a BIDS folder, and what is said where the folder is not in order."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.bids_fmri import BidsFmriDataset
from brain_decode.datasets.fmri_runs import brain_mask_of_mean
from brain_decode.datasets.nifti_files import NiftiFilesDataset
from brain_decode.signals.voxels import Voxels

AFFINE = np.diag([3.0, 3.0, 3.0, 1.0])
SHAPE = (5, 4, 3)
EVENTS = "onset\tduration\ttrial_type\n0.0\t4\tface\n10.0\t4\thouse\n"


def write_image(path: Path, data: np.ndarray, *, seconds: float = 0.0, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    made = nibabel.Nifti1Image(data, affine)
    if data.ndim == 4:
        made.header.set_zooms((3.0, 3.0, 3.0, seconds))
        made.header.set_xyzt_units("mm", "sec")
    nibabel.save(made, path)
    return path


def brain(n_times: int = 20, seed: int = 0) -> np.ndarray:
    """A bright 3 x 2 x 3 block in the dark."""
    data = np.random.default_rng(seed).integers(0, 20, (*SHAPE, n_times)).astype(np.int16)
    data[1:4, 1:3] += 1000
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs of one participant, a sidecar and a mask at the top."""
    root = tmp_path / "study"
    for run in (1, 2):
        stem = root / "sub-01" / "func" / f"sub-01_task-look_run-{run}"
        write_image(Path(f"{stem}_bold.nii.gz"), brain(seed=run))
        Path(f"{stem}_events.tsv").write_text(EVENTS)
    (root / "task-look_bold.json").write_text(json.dumps({"RepetitionTime": 2.0}))
    write_image(root / "mask.nii.gz", (brain()[..., 0] > 500).astype(np.uint8))
    return root


def opened(folder: Path, **settings: Any) -> list:
    return BidsFmriDataset(folder, **({"mask": "mask.nii.gz"} | settings)).recordings()


def test_runs_become_recordings_of_masked_voxels(folder: Path) -> None:
    first, second = opened(folder)
    assert [first.label, second.label] == ["sub-01_task-look_run-1", "sub-01_task-look_run-2"]
    assert first.rate_hz == 0.5 and first.n_times == 20 and len(first.space) == 18
    assert first.space == second.space
    np.testing.assert_array_equal(first.read(), brain(seed=1)[1:4, 1:3].reshape(18, 20))
    assert first.events["trial_type"].tolist() == ["face", "house"]
    assert first.events["onset_s"].tolist() == [0.0, 10.0]


def test_sessions_and_labels_are_kept(folder: Path) -> None:
    write_image(folder / "sub-02" / "ses-a" / "func" / "sub-02_ses-a_task-look_bold.nii.gz", brain())
    assert [recording.label for recording in opened(folder, subjects=["02"])] == ["sub-02_ses-a_task-look"]
    assert [recording.entities.run for recording in opened(folder, runs=["2"])] == ["2"]


def test_regions_mark_the_voxels_inside_them(folder: Path) -> None:
    region = np.zeros(SHAPE, dtype=np.uint8)
    region[1, 1, 0] = region[0, 0, 0] = 1
    write_image(folder / "roi" / "sub-01_ffa.nii.gz", region)
    space = opened(folder, regions={"ffa": "roi/sub-{subject}_ffa.nii.gz"})[0].space
    assert np.flatnonzero(space.regions["ffa"]).tolist() == [0]


def test_a_region_outside_the_mask_is_refused(folder: Path) -> None:
    region = np.zeros(SHAPE, dtype=np.uint8)
    region[0, 0, 0] = 1
    write_image(folder / "ffa.nii.gz", region)
    with pytest.raises(DataError, match=r"regions \['ffa'\] have no voxel in the mask"):
        opened(folder, regions={"ffa": "ffa.nii.gz"})


def test_a_computed_mask_is_the_bright_part(folder: Path) -> None:
    assert np.array_equal(opened(folder, mask="computed")[0].space.mask, brain()[..., 0] > 500)


def test_a_computed_mask_has_no_holes_and_no_islands() -> None:
    mean = np.zeros((9, 9, 9))
    mean[1:6, 1:6, 1:6] = 100
    mean[3, 3, 3] = 0
    mean[8, 8, 8] = 100
    assert brain_mask_of_mean(mean, "run").sum() == 125


def test_all_voxels_are_kept_when_asked(folder: Path) -> None:
    assert len(opened(folder, mask="all")[0].space) == 60


def test_without_a_mask_the_choices_are_named(folder: Path) -> None:
    with pytest.raises(DataError, match="has no mask beside it.*loader.mask.*'computed'.*'all'"):
        opened(folder, mask=None)


def test_preprocessed_runs_take_the_voxels_their_masks_share(tmp_path: Path) -> None:
    for run, dropped in ((1, (1, 1, 0)), (2, (2, 1, 0))):
        stem = tmp_path / "sub-01" / "func" / f"sub-01_task-look_run-{run}_space-MNI"
        write_image(Path(f"{stem}_desc-preproc_bold.nii.gz"), brain(), seconds=2.0)
        mask = (brain()[..., 0] > 500).astype(np.uint8)
        mask[dropped] = 0
        write_image(Path(f"{stem}_desc-brain_mask.nii.gz"), mask)
    assert [len(recording.space) for recording in opened(tmp_path, mask=None)] == [16, 16]


def test_two_forms_of_a_run_ask_which(folder: Path) -> None:
    func = folder / "sub-01" / "func"
    for run in (1, 2):
        write_image(func / f"sub-01_task-look_run-{run}_space-MNI_bold.nii.gz", brain(30))
    with pytest.raises(DataError, match="stored twice.*loader.select"):
        opened(folder)
    assert {recording.n_times for recording in opened(folder, select={"space": "MNI"})} == {30}


def test_events_of_derivatives_come_from_their_own_folder(folder: Path, tmp_path: Path) -> None:
    derivatives = tmp_path / "derivatives"
    name = "sub-01_task-look_run-1_desc-preproc_bold.nii.gz"
    write_image(derivatives / "sub-01" / "func" / name, brain(), seconds=2.0)
    (recording,) = opened(derivatives, mask="computed", events_root=folder)
    assert recording.events["trial_type"].tolist() == ["face", "house"]


def test_a_time_between_volumes_that_nobody_states_says_how_to_set_it(folder: Path) -> None:
    (folder / "task-look_bold.json").unlink()
    with pytest.raises(DataError, match="neither a JSON sidecar .RepetitionTime. nor the header.*loader.repetition_t"):
        opened(folder)
    assert opened(folder, repetition_time_s=2.5)[0].rate_hz == 0.4


def test_sidecar_and_header_that_disagree_are_refused(folder: Path) -> None:
    write_image(folder / "sub-01" / "func" / "sub-01_task-look_run-1_bold.nii.gz", brain(), seconds=3.0)
    with pytest.raises(DataError, match="states RepetitionTime 2 s, the header 3 s.*loader.repetition_time_s"):
        opened(folder)


def test_volumes_at_unequal_intervals_are_refused(folder: Path) -> None:
    (folder / "task-look_bold.json").write_text(json.dumps({"VolumeTiming": [0, 2, 5]}))
    with pytest.raises(DataError, match="VolumeTiming.*one interval"):
        opened(folder)


@pytest.mark.parametrize("seconds", [0.0, -2.0, float("inf")])
def test_a_setting_that_is_no_interval_is_refused(seconds: float, folder: Path) -> None:
    with pytest.raises(ConfigError, match="repetition_time_s must be positive"):
        opened(folder, repetition_time_s=seconds)


def test_events_that_all_lie_after_the_run_are_refused(folder: Path) -> None:
    table = folder / "sub-01" / "func" / "sub-01_task-look_run-1_events.tsv"
    table.write_text("onset\tduration\ttrial_type\n10000\t4\tface\n20000\t4\thouse\n")
    with pytest.raises(DataError, match="2 of 2 events .* begin at 10000 s or later.* lasts 40 s.*from the first vol"):
        opened(folder)


def test_a_single_event_after_the_run_warns(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    table = folder / "sub-01" / "func" / "sub-01_task-look_run-1_events.tsv"
    table.write_text(EVENTS + "50.0\t4\tface\n")
    with caplog.at_level(logging.WARNING):
        assert len(opened(folder)[0].events) == 3
    assert "1 of 3 events" in caplog.text


def test_a_run_without_events_has_none(folder: Path) -> None:
    (folder / "sub-01" / "func" / "sub-01_task-look_run-2_events.tsv").unlink()
    assert [len(recording.events) for recording in opened(folder)] == [2, 0]


def test_runs_on_different_grids_are_refused(folder: Path) -> None:
    write_image(folder / "sub-01" / "func" / "sub-01_task-look_run-2_bold.nii.gz", brain(), affine=2 * AFFINE)
    with pytest.raises(DataError, match="run-2_bold.nii.gz and the first run .* affines differ by up to 3 mm"):
        opened(folder)


def test_a_volume_instead_of_a_run_is_refused(folder: Path) -> None:
    write_image(folder / "sub-01" / "func" / "sub-01_task-look_run-1_bold.nii.gz", brain()[..., 0])
    with pytest.raises(DataError, match=r"shape \(5, 4, 3\); a run needs four axes"):
        opened(folder)


def test_a_mask_named_by_an_unknown_label_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="it may name subject, session, task, run in braces"):
        opened(folder, mask="masks/{participant}.nii.gz")


def test_masks_that_share_no_voxel_are_refused(folder: Path) -> None:
    for run in (1, 2):
        mask = np.zeros(SHAPE, dtype=np.uint8)
        mask[run] = 1
        write_image(folder / f"mask-{run}.nii.gz", mask)
    with pytest.raises(DataError, match="masks of its 2 runs share no voxel"):
        opened(folder, mask="mask-{run}.nii.gz")


def test_a_constant_mean_image_gives_no_mask() -> None:
    with pytest.raises(DataError, match="constant and gives no mask"):
        brain_mask_of_mean(np.ones(SHAPE), "sub-01")


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """Two runs in a layout of their own."""
    for run in (1, 2):
        place = tmp_path / "sub1" / "BOLD" / f"task1_run{run}"
        write_image(place / "bold.nii.gz", brain(seed=run))
        (place / "events.tsv").write_text(EVENTS)
    return tmp_path


def listed_runs(folder: Path, **settings: Any) -> list:
    given = {
        "name": "listed",
        "files": "sub*/BOLD/*/bold.nii.gz",
        "entities": r"sub(?P<subject>\d+)/BOLD/task(?P<task>\d+)_run(?P<run>\d+)/",
        "events": "events.tsv",
        "mask": "all",
        "repetition_time_s": 2.5,
    }
    return NiftiFilesDataset(folder, **(given | settings)).recordings()


def test_the_path_of_a_listed_image_names_its_run(listed: Path) -> None:
    recordings = listed_runs(listed)
    assert [recording.label for recording in recordings] == ["sub-1_task-1_run-1", "sub-1_task-1_run-2"]
    assert isinstance(recordings[0].space, Voxels) and recordings[0].rate_hz == 0.4
    assert [len(recording.events) for recording in recordings] == [2, 2]
    assert len(listed_runs(listed, runs=["2"])) == 1


def test_a_path_that_does_not_fit_the_expression_is_refused(listed: Path) -> None:
    with pytest.raises(DataError, match="does not fit the expression"):
        listed_runs(listed, entities=r"participant(?P<subject>\d+)")


def test_paths_that_name_one_run_twice_are_refused(listed: Path) -> None:
    with pytest.raises(ConfigError, match="are both sub-1"):
        listed_runs(listed, entities=r"sub(?P<subject>\d+)/")


def test_a_missing_events_table_is_refused(listed: Path) -> None:
    with pytest.raises(DataError, match="no events table 'bold_events.tsv' beside it"):
        listed_runs(listed, events="bold_events.tsv")
