"""Experiments on real recordings reach what plain pipelines reached, by the command a user types."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest

from brain_decode import BrainDecoder
from brain_decode.cli.app import main

pytestmark = pytest.mark.real_data

# What plain pipelines reached with the same protocol; a decoder below it lost something on the way.
FLOORS = {
    "eeg_fingertap_bci2iv": ("accuracy", 0.68),
    "eeg_muse_ssvep": ("balanced_accuracy", 0.88),
    "eeg_n400_words": ("accuracy", 0.58),
    "things_eeg2_clip": ("top1", 0.34),
    "eeg_muse_leftright_vep": ("auc", 0.81),
}
SLOW_FLOORS = {
    "eeg_muse_p300_catsdogs": ("auc", 0.66),
    "eeg_mi_eegmmidb_s001": ("balanced_accuracy", 0.93),
}


def run_experiment(name: str, data: Path, folder: Path, *words: str) -> dict:
    """Run an experiment and return its metrics; p-values, which take hundreds of fits, only where asked for."""
    places = [f"paths.data={data}", f"paths.store={folder / 'stores'}", f"out={folder / 'run'}", "permutations=0"]
    assert main(["train", f"experiment={name}", *places, *words]) == 0
    return json.loads((folder / "run" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def n170(real_data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of faces against houses of one person."""
    folder = tmp_path_factory.mktemp("n170")
    run_experiment("eeg_muse_n170", real_data_folder, folder, "datasets.subjects=['01']")
    return folder


@pytest.mark.parametrize("name", FLOORS)
def test_the_advised_decoder_is_not_below_the_floor(name: str, real_data_folder: Path, tmp_path: Path) -> None:
    metric, floor = FLOORS[name]
    assert run_experiment(name, real_data_folder, tmp_path)["metrics"][metric]["value"] >= floor


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW_FLOORS)
def test_the_advised_decoder_of_a_long_experiment_is_not_below_the_floor(
    name: str, real_data_folder: Path, tmp_path: Path
) -> None:
    metric, floor = SLOW_FLOORS[name]
    assert run_experiment(name, real_data_folder, tmp_path)["metrics"][metric]["value"] >= floor


def test_faces_and_houses_are_told_apart(n170: Path) -> None:
    metrics = json.loads((n170 / "run" / "metrics.json").read_text())
    assert metrics["metrics"]["auc"]["value"] > 0.62
    assert metrics["metrics"]["auc"]["p_reason"] == "none was asked for (permutations=0)"


@pytest.mark.slow
def test_faces_and_houses_are_told_apart_more_clearly_than_by_chance(real_data_folder: Path, tmp_path: Path) -> None:
    words = ["datasets.subjects=['01']", "permutations=100"]
    metrics = run_experiment("eeg_muse_n170", real_data_folder, tmp_path, *words)
    assert metrics["metrics"]["auc"]["p_permutation"] < 0.01


def test_real_embeddings_find_five_in_seven_of_the_pictures(real_data_folder: Path, tmp_path: Path) -> None:
    metrics = run_experiment("things_eeg2_clip", real_data_folder, tmp_path)["metrics"]
    assert metrics["top5"]["value"] == pytest.approx(0.72)
    # The hundred that were shown are among the two hundred, and the answers fit them a little better than the others.
    assert metrics["top5"]["chance"] == pytest.approx(0.0285)
    assert metrics["top5"]["n"] == 100


def test_a_bids_folder_needs_no_entry(real_data_folder: Path, tmp_path: Path) -> None:
    words = ["datasets=bids", f"paths.data={real_data_folder / 'eeg_muse_n170'}", "target=trial_type"]
    places = [f"paths.store={tmp_path / 'stores'}", f"out={tmp_path / 'run'}", "permutations=0"]
    assert main(["train", *words, *places, "datasets.subjects=['01']", "encoder=xdawn_tangent"]) == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["metrics"]["auc"]["value"] > 0.6


def test_the_checkpoint_answers_another_person(n170: Path, real_data_folder: Path) -> None:
    words = [f"checkpoint={n170 / 'run'}", "datasets=eeg_muse_n170", "datasets.subjects=['03']"]
    places = [f"paths.data={real_data_folder}", f"paths.store={n170 / 'stores'}", f"out={n170 / 'other'}"]
    assert main(["evaluate", *words, *places]) == 0
    metrics = json.loads((n170 / "other" / "metrics.json").read_text())
    assert 700 < metrics["metrics"]["auc"]["n"] < 800


def test_the_checkpoint_refuses_the_person_it_knows(
    n170: Path, real_data_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"checkpoint={n170 / 'run'}", "datasets=eeg_muse_n170", "datasets.subjects=['01']"]
    places = [f"paths.data={real_data_folder}", f"paths.store={n170 / 'stores'}", f"out={n170 / 'same'}"]
    assert main(["evaluate", *words, *places]) == 1
    assert "was fitted on 'eeg_muse_n170 sub-01_task-n170_run-01'" in capsys.readouterr().err


def test_python_and_the_command_line_answer_alike(n170: Path, real_data_folder: Path) -> None:
    path = real_data_folder / "eeg_muse_n170" / "sub-03" / "eeg" / "sub-03_task-n170_run-01_eeg.vhdr"
    assert main(["predict", f"checkpoint={n170 / 'run'}", f"input={path}", f"out={n170 / 'answers'}"]) == 0
    table = pd.read_csv(n170 / "answers" / "predictions.csv")
    decoder = BrainDecoder.from_pretrained(n170 / "run" / "checkpoint")
    probabilities = decoder.predict_proba(mne.io.read_raw(path, verbose="ERROR"))
    np.testing.assert_allclose(table[["probability_face", "probability_house"]], probabilities, atol=1e-9)


def test_epochs_filtered_and_cut_by_the_user_are_answered(n170: Path, real_data_folder: Path) -> None:
    path = real_data_folder / "eeg_muse_n170" / "sub-03" / "eeg" / "sub-03_task-n170_run-01_eeg.vhdr"
    raw = mne.io.read_raw(path, preload=True, verbose="ERROR").filter(1.0, 30.0, verbose="ERROR")
    events, codes = mne.events_from_annotations(raw, verbose="ERROR")
    kept = {name: code for name, code in codes.items() if "New Segment" not in name}
    epochs = mne.Epochs(raw, events, kept, -0.1, 0.8, baseline=None, preload=True, verbose="ERROR")
    decoder = BrainDecoder.from_pretrained(n170 / "run" / "checkpoint")
    assert decoder.embed(epochs).shape == (len(epochs), decoder.encoder.embedding_dim)
    assert set(decoder.predict(epochs)) == {"face", "house"}


@pytest.mark.slow
def test_embeddings_go_through_a_cross_fitted_prior_beside_themselves(real_data_folder: Path, tmp_path: Path) -> None:
    small = ["head.prior={widths: [64, 32], time_dim: 32}", "head.n_steps=5", "trainer.max_epochs=2"]
    run = run_experiment("things_eeg2_clip_prior", real_data_folder, tmp_path, *small)
    assert run["metrics"]["top1"]["n"] == 100
    assert run["baselines"]["cosine"]["top1"]["value"] == pytest.approx(0.34)
    assert run["metrics"]["top1"]["value"] < 0.34  # 80 pairs teach no prior
