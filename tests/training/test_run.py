"""A run from the command line: honest scores, one folder, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from brain_decode import BrainDecoder
from brain_decode.cli.app import main

Train = Callable[..., int]
N_CHANNELS, N_TIMES, RATE_HZ = 4, 50, 100.0


def write_dataset(
    catalogue: Path, data: Path, *, effect: float, unit: str = "uV", n_trials: int = 120, seed: int = 0
) -> None:
    """Cut trials in an npz file: class `right` has an evoked deflection of `effect` noise deviations on channel c1."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n_trials) % 2)
    trials = rng.standard_normal((n_trials, N_CHANNELS, N_TIMES))
    trials[labels == 1, 1, 20:30] += effect
    folder = data / "taps"
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "taps.npz", x=trials * 10, y=np.array(["left", "right"])[labels])
    entry = {
        "name": "taps",
        "loader": {
            "_target_": "brain_decode.datasets.arrays.ArrayDataset",
            "root": "${paths.data}/taps",
            "file": "taps.npz",
            "data": "x",
            "axes": ["trial", "channel", "time"],
            "unit": unit,
            "rate_hz": RATE_HZ,
            "columns": {"hand": "y"},
        },
        "subjects": None,
        "target": {"column": "hand", "task": "classification"},
        "window": {"start_s": 0.0, "stop_s": N_TIMES / RATE_HZ},
        "simulated": True,
        "licence": "CC0",
    }
    (catalogue / "datasets").mkdir(parents=True, exist_ok=True)
    (catalogue / "datasets" / "taps.yaml").write_text(yaml.safe_dump(entry))


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Run `brain-decode train` on the taps dataset; the run folder is `tmp_path/out` unless told."""

    def run(*words: str, effect: float = 1.5, command: str = "train", seed: int = 0, **dataset: Any) -> int:
        write_dataset(tmp_path / "catalogue", tmp_path / "data", effect=effect, seed=seed, **dataset)
        common = [
            f"catalogue={tmp_path / 'catalogue'}",
            "datasets=taps",
            f"paths.data={tmp_path / 'data'}",
            f"paths.store={tmp_path / 'stores'}",
        ]
        choices = ["preprocessing=trials", "split=contiguous_kfold", "encoder=time_means", "permutations=0"]
        chosen = choices if command == "train" else []
        out = [] if any(word.startswith("out=") for word in words) else [f"out={tmp_path / 'out'}"]
        return main([command, *common, *chosen, *out, *words])

    return run


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())


def test_a_clear_effect_is_found_far_above_chance(train: Train, tmp_path: Path) -> None:
    assert train("permutations=119") == 0
    auc = metrics_of(tmp_path / "out")["metrics"]["auc"]
    assert auc["value"] > 0.9
    assert auc["ci95"][0] > 0.75  # five folds that differ: the interval of Student's t is wide
    assert auc["chance"] == 0.5
    assert auc["p_permutation"] < 0.01


def test_without_an_effect_the_interval_covers_chance(train: Train, tmp_path: Path) -> None:
    assert train(effect=0.0) == 0
    auc = metrics_of(tmp_path / "out")["metrics"]["auc"]
    assert auc["ci95"][0] < 0.5 < auc["ci95"][1]


def test_the_run_folder_holds_every_promised_file(train: Train, tmp_path: Path) -> None:
    train()
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"config.yaml", "receipt.json", "predictions.parquet", "metrics.json", "report.html", "checkpoint"} <= names
    assert not [name for name in names if name.startswith(".")]


def test_each_trial_is_predicted_once_out_of_fold(train: Train, tmp_path: Path) -> None:
    train()
    predictions = pd.read_parquet(tmp_path / "out" / "predictions.parquet")
    own = predictions[predictions["decoder"] == metrics_of(tmp_path / "out")["decoder"]]
    assert sorted(own["event"]) == list(range(120))


def test_the_baselines_stand_beside_the_decoder(train: Train, tmp_path: Path) -> None:
    train()
    metrics = metrics_of(tmp_path / "out")
    assert metrics["baselines"]
    for scores in metrics["baselines"].values():
        assert scores.keys() == metrics["metrics"].keys()


def test_the_decoder_is_compared_with_each_baseline_on_the_same_windows(train: Train, tmp_path: Path) -> None:
    train()
    metrics = metrics_of(tmp_path / "out")
    assert metrics["comparisons"].keys() == metrics["baselines"].keys()
    for name, found in metrics["comparisons"].items():
        difference = metrics["metrics"]["auc"]["value"] - metrics["baselines"][name]["auc"]["value"]
        assert found["difference"] == pytest.approx(difference)
        assert found["ci95"][0] <= found["difference"] <= found["ci95"][1]
        assert found["p_holm"] >= found["p_value"]
    assert "on the same windows" in (tmp_path / "out" / "report.html").read_text()


def test_closed_form_decoders_take_no_more_memory_than_allowed_and_say_what_they_left_out(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forty_windows = 40 * N_CHANNELS * N_TIMES * 8 * 4 / 2**30
    assert train(f"memory_gib={forty_windows}") == 0
    assert "tangent_space, time_means: fitted without up to 55 training windows a fold" in caplog.text
    folds = metrics_of(tmp_path / "out")["folds"]
    assert all(40 <= fold["n_train"] - left <= 41 for fold in folds for left in fold["n_left_out"].values())


def test_the_receipt_says_when_each_test_part_was_opened(train: Train, tmp_path: Path) -> None:
    train()
    receipt = json.loads((tmp_path / "out" / "receipt.json").read_text())
    assert len(receipt["test_openings"]) == 5
    assert all(opening["reason"] and opening["time"] for opening in receipt["test_openings"])
    assert receipt["data"]["content_hashes"]


def test_the_same_seed_gives_the_same_numbers(train: Train, tmp_path: Path) -> None:
    train(f"out={tmp_path / 'first'}", "permutations=19")
    train(f"out={tmp_path / 'second'}", "permutations=19")
    assert metrics_of(tmp_path / "first") == metrics_of(tmp_path / "second")


def test_nested_selection_takes_the_decoder_that_can_see_the_effect(train: Train, tmp_path: Path) -> None:
    candidates = "candidates={blind: {encoder: band_power}, seeing: {encoder: time_means}}"
    assert train("encoder=nested_selection", candidates, effect=1.0) == 0
    metrics = metrics_of(tmp_path / "out")
    assert metrics["decoder"] == "nested_selection"
    assert {fold["selected"] for fold in metrics["folds"]} == {"seeing"}
    assert metrics["selected"] == "seeing"


def test_the_checkpoint_loads_and_knows_the_classes(train: Train, tmp_path: Path) -> None:
    train()
    decoder = BrainDecoder.from_pretrained(tmp_path / "out")
    assert decoder.classes_.tolist() == ["left", "right"]
    assert decoder.provenance["simulated"] is True


def test_evaluate_refuses_the_recording_the_decoder_was_fitted_on(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train()
    assert train(f"checkpoint={tmp_path / 'out'}", f"out={tmp_path / 'scored'}", command="evaluate") == 1
    assert "was fitted on" in capsys.readouterr().err
    assert not (tmp_path / "scored").exists()


def test_evaluate_scores_a_new_recording(train: Train, tmp_path: Path) -> None:
    train()
    assert train(f"checkpoint={tmp_path / 'out'}", f"out={tmp_path / 'scored'}", command="evaluate", seed=1) == 0
    assert metrics_of(tmp_path / "scored")["metrics"]["auc"]["value"] > 0.9


def test_evaluate_refuses_a_wrong_unit_until_it_is_said(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train()
    words = (f"checkpoint={tmp_path / 'out'}", f"out={tmp_path / 'scored'}")
    assert train(*words, command="evaluate", seed=1, unit="V") == 1
    assert "say input_unit=uV" in capsys.readouterr().err
    assert train(*words, "input_unit=uV", command="evaluate", seed=1, unit="V") == 0
    assert metrics_of(tmp_path / "scored")["metrics"]["auc"]["value"] > 0.9
    [row] = json.loads((tmp_path / "scored" / "report_data.json").read_text())["passport"]["rows"]
    assert row["state"] == "will be changed"


def test_a_wrong_unit_does_not_hide_the_recording_the_decoder_was_fitted_on(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train()
    words = (f"checkpoint={tmp_path / 'out'}", f"out={tmp_path / 'scored'}", "input_unit=uV")
    assert train(*words, command="evaluate", unit="V") == 1
    assert "was fitted on" in capsys.readouterr().err


def test_a_training_run_holds_its_recordings_against_the_first(train: Train, tmp_path: Path) -> None:
    train()
    passport = json.loads((tmp_path / "out" / "report_data.json").read_text())["passport"]
    assert passport["against"] == "the first recording"
    assert [row["state"] for row in passport["rows"]] == ["ok"]


def test_a_second_run_in_a_finished_folder_is_refused_and_loses_nothing(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train()
    before = (tmp_path / "out" / "metrics.json").read_bytes()
    assert train() == 1
    assert "finished run" in capsys.readouterr().err
    assert (tmp_path / "out" / "metrics.json").read_bytes() == before


def test_samples_that_are_not_finite_are_one_clear_error(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(f"out={tmp_path / 'good'}")
    path = tmp_path / "data" / "taps" / "taps.npz"
    stored = dict(np.load(path))
    stored["x"][3, 2, 7] = np.nan
    np.savez(path, **stored)
    words = ["preprocessing=trials", "split=contiguous_kfold", "datasets=taps", f"out={tmp_path / 'bad'}"]
    places = [f"catalogue={tmp_path / 'catalogue'}", f"paths.data={tmp_path / 'data'}", f"paths.store={tmp_path / 's'}"]
    assert main(["train", *words, *places]) == 1
    error = capsys.readouterr().err
    assert "DataError: sub-01: 1 samples of the channels ['eeg0002'] are NaN or infinite" in error
    assert "Traceback" not in error
    assert not (tmp_path / "bad").exists()


def test_too_few_windows_for_a_decoder_are_one_clear_error(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("encoder=time_means", "head=shrinkage_lda", "split.n_folds=2", n_trials=6) == 1
    error = capsys.readouterr().err
    assert "cannot be fitted on 2 windows" in error
    assert "Traceback" not in error


def test_filters_are_refused_for_cut_trials(train: Train, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("preprocessing=erp") == 1
    assert "cut trials" in capsys.readouterr().err


def test_a_setting_of_another_encoder_is_refused_with_the_way_to_take_it_out(
    train: Train, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("encoder=nice", "+encoder.n_filtres=3") == 2
    told = capsys.readouterr().err
    assert "Unknown setting of encoder 'nice' 'n_filtres'. Did you mean 'n_filters'" in told
    assert "take it out with ~encoder.n_filtres" in told and "Traceback" not in told


def test_a_head_learns_by_gradient_on_windows_that_need_no_encoder(train: Train, tmp_path: Path) -> None:
    words = ["encoder=flatten", "head=classification", "optimizer.lr=1e-2", "baselines={}", "split.n_folds=2"]
    assert train(*words, "preprocessing.window_steps=[{step: robust_scale}]", effect=3.0) == 0
    assert metrics_of(tmp_path / "out")["metrics"]["auc"]["value"] > 0.8
    decoder = BrainDecoder.from_pretrained(tmp_path / "out" / "checkpoint")
    assert decoder.head.architecture == "classification"


def test_windows_in_volts_are_refused_where_no_encoder_would_scale_them(train: Train, capsys) -> None:
    assert train("encoder=flatten", "head=classification", "baselines={}", "split.n_folds=2") == 1
    assert "Networks learn from windows of about unit scale" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["-1", "1.5", "many", "null", "true"])
def test_a_number_of_permutations_that_is_none_is_one_sentence(
    train: Train, capsys: pytest.CaptureFixture[str], tmp_path: Path, count: str
) -> None:
    assert train(f"permutations={count}") in (1, 2)
    assert "permutations is a whole number from 0 up, got" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
