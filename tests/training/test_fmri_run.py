"""Functional MRI from a BIDS folder to a decoder that answers for a new run, by the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.core.errors import SpecMismatch
from brain_decode.datasets.bids_fmri import BidsFmriDataset
from brain_decode.training.loading import _window

SHAPE, N_TIMES, SECONDS, LAG_VOLUMES = (6, 5, 2), 90, 2.0, 2
LABELS = ["face", "house"] * 4


def write_run(root: Path, run: int, *, effect: float = 1.0) -> Path:
    """A drifting run whose voxel (2, 2, 1) answers to houses two volumes after their onset."""
    rng = np.random.default_rng(run)
    data = 500 + 20 * rng.standard_normal((*SHAPE, N_TIMES)) + np.linspace(0, 200, N_TIMES)
    for number, label in enumerate(LABELS):
        start = 10 * number + 4 + LAG_VOLUMES
        data[2, 2, 1, start : start + 5] += 40 * effect * (label == "house")
    image = nibabel.Nifti1Image(data.astype(np.float32), np.diag([3.0, 3.0, 3.0, 1.0]))
    image.header.set_zooms((3.0, 3.0, 3.0, SECONDS))
    image.header.set_xyzt_units("mm", "sec")
    func = root / "sub-01" / "func"
    func.mkdir(parents=True, exist_ok=True)
    path = func / f"sub-01_task-look_run-{run}_bold.nii.gz"
    nibabel.save(image, path)
    onsets = [SECONDS * (10 * number + 4) for number in range(len(LABELS))]
    events = pd.DataFrame({"onset": onsets, "duration": 10.0, "trial_type": LABELS})
    events.to_csv(func / f"sub-01_task-look_run-{run}_events.tsv", sep="\t", index=False)
    return path


def train(root: Path, out: Path, *words: str) -> int:
    choices = ["datasets=bids_fmri", "datasets.loader.mask=all", "preprocessing=fmri", "encoder=block_means"]
    places = [f"paths.data={root}", f"paths.store={out / 'stores'}", f"out={out / 'run'}"]
    settings = ["datasets.window.lag_s=4.0", "head=shrinkage_lda", "permutations=19"]
    return main(["train", *choices, *places, *settings, *words])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four runs, and the run that was trained on them."""
    folder = tmp_path_factory.mktemp("fmri")
    for run in range(1, 5):
        write_run(folder / "study", run)
    assert train(folder / "study", folder) == 0
    return folder


def test_the_report_holds_each_run_against_the_first(study: Path) -> None:
    passport = json.loads((study / "run" / "report_data.json").read_text())["passport"]
    assert passport["columns"] == ["voxels", "volumes", "duration"]
    assert passport["expected"][:2] == ["60 voxels", "2 s apart"]
    assert [row["state"] for row in passport["rows"]] == ["ok"] * 4


def test_the_informative_voxel_is_decoded_over_left_out_runs(study: Path) -> None:
    metrics = json.loads((study / "run" / "metrics.json").read_text())
    assert metrics["protocol"] == "leave_run_out" and len(metrics["folds"]) == 4
    assert metrics["metrics"]["auc"]["value"] > 0.9


def test_the_report_maps_the_voxels(study: Path) -> None:
    evoked = json.loads((study / "run" / "report_data.json").read_text())["evoked"]
    strongest = int(np.argmax(np.abs(np.array(evoked["volume_map"]["values"]) - 0.5)))
    assert evoked["volume_map"]["indices"][strongest] == [2, 2, 1]
    page = (study / "run" / "report.html").read_text()
    assert "AUC of one voxel" in page and "<td>nan" not in page


def test_noise_is_at_chance(tmp_path: Path) -> None:
    for run in range(1, 4):
        write_run(tmp_path / "study", run, effect=0.0)
    assert train(tmp_path / "study", tmp_path) == 0
    low, high = json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]["auc"]["ci95"]
    assert low < 0.5 < high


def test_a_saved_decoder_answers_for_a_new_run(study: Path, tmp_path: Path) -> None:
    path = write_run(tmp_path, 9)
    decoder = BrainDecoder.from_pretrained(study / "run" / "checkpoint")
    (recording,) = BidsFmriDataset(tmp_path, mask="all").recordings()
    assert (decoder.predict(recording) == LABELS).mean() > 0.85
    assert decoder.predict(nibabel.load(path)).shape == (N_TIMES // 5,)
    assert decoder.embed(recording).shape == (len(LABELS), 60)


def test_an_image_on_another_grid_is_refused(study: Path) -> None:
    decoder = BrainDecoder.from_pretrained(study / "run" / "checkpoint")
    other = nibabel.Nifti1Image(np.zeros((5, 5, 2, 20), dtype=np.float32), np.eye(4))
    with pytest.raises(SpecMismatch, match=r"shape \(5, 5, 2\), the voxel mask \(6, 5, 2\)"):
        decoder.predict(other)


def test_predict_takes_an_image_file_and_the_events_beside_it(study: Path, tmp_path: Path) -> None:
    path = write_run(tmp_path, 8)
    words = [f"checkpoint={study / 'run' / 'checkpoint'}", f"input={path}"]
    assert main(["predict", *words, f"out={tmp_path / 'answers'}"]) == 0
    answers = pd.read_csv(tmp_path / "answers" / "predictions.csv")
    assert (answers["predicted"] == answers["trial_type"]).mean() > 0.85 and len(answers) == len(LABELS)


def test_predict_takes_events_from_elsewhere(study: Path, tmp_path: Path) -> None:
    path = write_run(tmp_path, 8)
    table = tmp_path / "own.tsv"
    table.write_text("onset\tduration\ttrial_type\n8.0\t10\tface\n")
    words = [f"checkpoint={study / 'run' / 'checkpoint'}", f"input={path}", f"events={table}"]
    assert main(["embed", *words, f"out={tmp_path / 'vectors'}"]) == 0
    assert np.load(tmp_path / "vectors" / "embeddings.npz")["embedding"].shape == (1, 60)


def test_predict_refuses_a_single_volume(study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "map.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, dtype=np.float32), np.eye(4)), path)
    assert (
        main(["predict", f"checkpoint={study / 'run' / 'checkpoint'}", f"input={path}", f"out={tmp_path / 'o'}"]) != 0
    )
    assert "a run needs four axes" in " ".join(capsys.readouterr().err.split())


def test_evaluate_scores_a_new_run_and_refuses_a_seen_one(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "new", 7)
    words = ["evaluate", f"checkpoint={study / 'run' / 'checkpoint'}", "datasets=bids_fmri", "datasets.loader.mask=all"]
    places = [f"paths.data={tmp_path / 'new'}", f"paths.store={tmp_path / 'stores'}", f"out={tmp_path / 'scored'}"]
    assert main([*words, *places]) == 0
    assert json.loads((tmp_path / "scored" / "metrics.json").read_text())["metrics"]["auc"]["value"] > 0.9
    seen = [f"paths.data={study / 'study'}", f"paths.store={tmp_path / 'stores'}", f"out={tmp_path / 'seen'}"]
    assert main([*words, *seen]) != 0
    assert "was fitted on" in capsys.readouterr().err


def test_a_region_is_decoded_alone(study: Path, tmp_path: Path) -> None:
    region = np.zeros(SHAPE, dtype=np.uint8)
    region[2, 2, :] = 1
    nibabel.save(nibabel.Nifti1Image(region, np.diag([3.0, 3.0, 3.0, 1.0])), study / "study" / "roi.nii.gz")
    steps = "[{step: pick_regions, settings: {names: [roi]}}, {step: detrend}]"
    words = ["datasets.loader.regions={roi: roi.nii.gz}", f"preprocessing.signal_steps={steps}"]
    assert train(study / "study", tmp_path, *words) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]["auc"]["value"] > 0.9
    decoder = BrainDecoder.from_pretrained(tmp_path / "run" / "checkpoint")
    assert decoder.embed(nibabel.load(write_run(tmp_path / "new", 6))).shape == (N_TIMES // 5, 2)


def test_the_card_counts_voxels_instead_of_naming_them(study: Path) -> None:
    card = (study / "run" / "checkpoint" / "README.md").read_text()
    assert "60 voxels of a volume of 6 x 5 x 2" in card and "| window | 4 to 14 s" in card


def test_the_lag_moves_both_ends_of_the_window() -> None:
    assert _window({"window": {"start_s": 0.0, "stop_s": 10.0, "lag_s": 5.0}}, {}, []) == (5.0, 15.0)  # type: ignore[arg-type]
