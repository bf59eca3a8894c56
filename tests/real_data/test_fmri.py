"""Functional MRI that was really recorded: one slice, eight kinds of pictures, eight runs."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import yaml
from scipy import signal as scipy_signal
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table
from brain_decode.preprocessing.trends import Detrend
from brain_decode.signals.nibabel_conversion import open_run_image
from brain_decode.signals.recording import Recording

pytestmark = pytest.mark.real_data

NAME = "fmri_haxby2001"


@pytest.fixture(scope="module")
def haxby(real_data_folder: Path) -> Path:
    if not (real_data_folder / NAME).is_dir():
        pytest.skip(f"no {NAME} among the real recordings")
    return real_data_folder


@pytest.fixture(scope="module")
def entry(repository: Path, haxby: Path) -> dict:
    return yaml.safe_load((repository / "datasets" / f"{NAME}.yaml").read_text().replace("${paths.data}", str(haxby)))


@pytest.fixture(scope="module")
def recordings(entry: dict) -> list[Recording]:
    dataset = build_dataset(entry)
    found = dataset.recordings()
    assert dataset.check_facts(found) == []
    return found


@pytest.fixture(scope="module")
def trained(haxby: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the experiment."""
    folder = tmp_path_factory.mktemp("haxby")
    places = [f"paths.data={haxby}", f"paths.store={folder / 'stores'}", f"out={folder / 'run'}"]
    assert main(["train", f"experiment={NAME}", *places, "permutations=0"]) == 0
    return folder / "run"


def test_every_run_is_read_voxel_by_voxel(haxby: Path, recordings: list[Recording]) -> None:
    assert [recording.entities.run for recording in recordings] == [f"{run:03d}" for run in range(1, 9)]
    first = recordings[0]
    assert first.rate_hz == 0.4 and first.n_times == 121
    image = nibabel.load(haxby / NAME / "sub001" / "BOLD" / "task001_run001" / "bold_1slice.nii.gz")
    mask = np.asarray(nibabel.load(haxby / NAME / "sub001" / "masks" / "orig" / "mask_1slice.nii.gz").dataobj) > 0
    np.testing.assert_array_equal(first.read(), np.asarray(image.dataobj)[mask])


def test_the_listed_onsets_lag_already(recordings: list[Recording]) -> None:
    """Without any label: voxels follow "some block" best where blocks are not moved any further."""
    strengths = {}
    for volumes in (-1, 0, 1, 2):
        correlations = []
        for recording in recordings:
            samples = scipy_signal.detrend(recording.read(), axis=1)
            block = np.zeros(recording.n_times)
            for first in np.round(recording.events["onset_s"].to_numpy() * recording.rate_hz).astype(int) + volumes:
                block[first : first + 9] = 1
            correlations.append([np.corrcoef(voxel, block)[0, 1] for voxel in samples])
        strengths[volumes] = float((np.mean(correlations, axis=0) ** 2).mean())
    assert max(strengths, key=strengths.__getitem__) == 0
    assert strengths[0] == pytest.approx(0.066, abs=1e-3) and strengths[2] == pytest.approx(0.017, abs=1e-3)


def test_left_out_runs_are_decoded_above_the_reference(trained: Path) -> None:
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["metrics"]["accuracy"]["value"] >= 0.615
    assert metrics["metrics"]["accuracy"]["n"] == 64 and len(metrics["folds"]) == 8
    assert metrics["metrics"]["accuracy"]["p_reason"] == "none was asked for (permutations=0)"
    assert "AUC of one voxel" in (trained / "report.html").read_text()


@pytest.mark.slow
def test_left_out_runs_are_decoded_more_clearly_than_by_chance(haxby: Path, tmp_path: Path) -> None:
    places = [f"paths.data={haxby}", f"paths.store={tmp_path / 'stores'}", f"out={tmp_path / 'run'}"]
    assert main(["train", f"experiment={NAME}", *places, "permutations=100"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["metrics"]["accuracy"]["p_permutation"] < 0.01


def test_the_command_scores_what_a_plain_pipeline_scores(
    entry: dict, recordings: list[Recording], trained: Path, tmp_path: Path
) -> None:
    """The same windows, cut and scaled by hand, and scikit-learn's cross-validation."""
    features, labels, runs = [], [], []
    for number, recording in enumerate(recordings):
        samples = scipy_signal.detrend(recording.read(), axis=1)
        samples = samples / samples.std(axis=1, keepdims=True)
        for onset, label in zip(recording.events["onset_s"], recording.events["trial_type"], strict=True):
            first = round(onset / 2.5)
            features.append(samples[:, first : first + 9].mean(axis=1))
            labels.append(label)
            runs.append(number)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / np.sqrt(530), max_iter=2000, tol=1e-6))
    scores = cross_val_score(model, np.array(features), labels, groups=runs, cv=LeaveOneGroupOut())
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["metrics"]["accuracy"]["value"] == pytest.approx(scores.mean())


def test_the_whole_brain_at_25_mm_has_regions(entry: dict, tmp_path: Path) -> None:
    loader = entry["loader"] | {
        "files": "sub*/BOLD/task*_run*/bold_25mm.nii.gz",
        "mask": "sub{subject}/masks/25mm/brain.nii.gz",
        "regions": {"gray": "sub{subject}/masks/25mm/gray.nii.gz"},
    }
    recordings = build_dataset(entry | {"loader": loader, "facts": None}).recordings()
    assert len(recordings[0].space) == 129 and recordings[0].space.regions["gray"].any()
    target = EventTarget.from_config(entry["target"])
    table = build_window_table(recordings, dataset=NAME, target=target, start_s=0.0, stop_s=22.5).table
    windows = prepare_store(recordings, [Detrend()], tmp_path).read(table)
    assert windows.data.shape == (64, 129, 9) and np.isfinite(windows.data).all()


def test_a_saved_decoder_answers_for_runs_and_images(
    haxby: Path, recordings: list[Recording], trained: Path, tmp_path: Path
) -> None:
    decoder = BrainDecoder.from_pretrained(trained / "checkpoint")
    assert (decoder.predict(recordings[2]) == recordings[2].events["trial_type"]).all()
    folder = haxby / NAME / "sub001" / "BOLD" / "task001_run001"
    assert decoder.predict(nibabel.load(folder / "bold_1slice.nii.gz")).shape == (13,)
    with pytest.raises(SpecMismatch, match=r"shape \(6, 10, 10\), the voxel mask \(40, 20, 1\)"):
        decoder.predict(nibabel.load(folder / "bold_25mm.nii.gz"))


def test_a_single_volume_is_named_as_such(haxby: Path) -> None:
    path = haxby / "format_zoo" / "nifti_gifti" / "image_10426.nii.gz"
    if not path.is_file():
        pytest.skip("no image_10426.nii.gz among the real recordings")
    with pytest.raises(DataError, match=r"image_10426.nii.gz is an image of shape \(53, 63, 46\).*4D image of the run"):
        open_run_image(path)
