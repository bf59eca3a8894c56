"""What the report draws, against values known beforehand."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.evidence import (
    calibration_evidence,
    confusion_evidence,
    evoked_evidence,
    group_evidence,
    k_way_evidence,
    rank_evidence,
    rejection_evidence,
)
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.scoring import score_classification
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows

CLASSES = ["face", "house"]


def make_predictions() -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": "made", "subject": np.repeat(["01", "02"], 8), "decoder": "lda"})
    frame["run"] = np.tile(np.repeat(["1", "2"], 4), 2)
    frame["truth"] = np.tile(CLASSES, 8)
    frame["probability_house"] = np.where(frame["truth"] == "house", 0.8, 0.3)
    frame["probability_face"] = 1 - frame["probability_house"]
    frame["predicted"] = np.where(frame["probability_house"] > 0.5, "house", "face")
    return frame


def test_confusion_has_truth_in_rows() -> None:
    frame = make_predictions()
    frame.loc[0, "predicted"] = "house"
    assert confusion_evidence(frame, CLASSES) == {"classes": CLASSES, "counts": [[7, 1], [0, 8]]}


def test_calibration_states_bins_error_and_temperature() -> None:
    evidence = calibration_evidence(make_predictions(), CLASSES, temperature=1.5)
    assert [(round(b["confidence"], 3), b["accuracy"], b["n"]) for b in evidence["bins"]] == [
        (0.7, 1.0, 8),
        (0.8, 1.0, 8),
    ]
    assert evidence["ece"] == pytest.approx(0.25) and evidence["temperature"] == 1.5


def test_groups_are_every_subject_and_every_run() -> None:
    groups = group_evidence(make_predictions(), "classification", CLASSES)
    assert [(g["level"], g["label"], g["n"]) for g in groups] == [
        ("subject", "sub-01", 8),
        ("subject", "sub-02", 8),
        ("run", "sub-01_run-1", 4),
        ("run", "sub-01_run-2", 4),
        ("run", "sub-02_run-1", 4),
        ("run", "sub-02_run-2", 4),
    ]
    assert groups[0]["metrics"]["auc"]["value"] == 1.0


def test_a_group_of_one_class_has_no_scores() -> None:
    frame = make_predictions()
    frame = frame[(frame["run"] == "1") | (frame["truth"] == "face")]
    groups = group_evidence(frame, "classification", CLASSES, levels=("run",))
    assert groups[1]["metrics"] == {} and groups[1]["n"] == 2


def make_retrieval() -> pd.DataFrame:
    frame = pd.DataFrame({"dataset": "made", "subject": "01", "run": "1", "decoder": "nice", "rank": range(20)})
    return frame.assign(gallery_size=20, gallery="exact_image")


def test_a_single_run_has_no_interval_in_crossvalidation() -> None:
    frame = make_predictions().assign(fold=lambda table: table["run"])
    design = Design("run", n_folds=2, test_to_train=1.0, needs_refit=True)
    for group in group_evidence(frame, "classification", CLASSES, design=design, levels=("run",)):
        assert group["metrics"]["auc"] == {"value": 1.0, "ci95": [None, None]}


def test_a_single_run_of_one_test_set_has_an_interval() -> None:
    (first, *_) = group_evidence(make_predictions(), "classification", CLASSES, levels=("run",))
    low, high = first["metrics"]["accuracy"]["ci95"]
    assert 0 < low < high == 1.0


def test_the_calibration_error_of_the_figure_is_that_of_the_scores() -> None:
    frame = make_predictions()
    frame.loc[::5, "predicted"] = frame.loc[::5, "truth"].map({"face": "house", "house": "face"})
    scores = score_classification(frame, CLASSES, n_permutations=0)
    assert calibration_evidence(frame, CLASSES)["ece"] == scores["ece"]["value"]


def test_ranks_state_their_gallery() -> None:
    assert rank_evidence(make_retrieval()) == {
        "ranks": [float(i) for i in range(20)],
        "n_tied": 0,
        "gallery_size": 20,
        "gallery_type": "exact_image",
    }


def test_the_k_way_curve_of_even_ranks_is_chance_and_ends_at_the_gallery() -> None:
    curve = k_way_evidence(make_retrieval())
    assert [point["k"] for point in curve] == [2, 3, 4, 5, 10, 20]
    for point in curve:
        assert point["expected"] == pytest.approx(point["chance"])
        assert point["ci95"][0] <= point["expected"] <= point["ci95"][1]


def test_retrieval_groups_have_retrieval_scores() -> None:
    (group,) = group_evidence(make_retrieval(), "retrieval", levels=("subject",))
    assert group["metrics"]["top1"]["value"] == 0.05


def test_rejections_are_counted_per_run() -> None:
    table = make_predictions().assign(rejected="")
    table.loc[[0, 1, 9], "rejected"] = "peak_to_peak"
    evidence = rejection_evidence(table, rule="peak_to_peak 100 µV")
    assert evidence["n_rejected"] == 3 and evidence["n_total"] == 16
    assert evidence["per_run"][0] == {"run": "sub-01_run-1", "n_rejected": 2, "n_total": 4}


def make_windows() -> Windows:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(30, 2, 5)).astype(np.float32) * 1e-6
    labels = np.tile(CLASSES, 15)
    data[labels == "house", 1, 3] += 1e-4
    locations = np.full((2, 12), np.nan)
    locations[0, :3] = [0.01, 0.02, 0.03]
    space = Sensors(("A", "B"), ("eeg", "eeg"), locations)
    return Windows(data, 100.0, -0.02, space, pd.DataFrame({"label": labels}))


def test_evoked_means_errors_and_separability() -> None:
    windows = make_windows()
    evidence = evoked_evidence(windows, CLASSES, note="all windows, for description")
    faces = windows.data[windows.table["label"] == "face"].astype(float)
    assert np.allclose(evidence["mean"][0], faces.mean(axis=0), rtol=1e-5)  # written with six digits
    assert np.allclose(evidence["sem"][0], faces.std(axis=0, ddof=1) / np.sqrt(15), rtol=1e-5)
    assert evidence["separability"][1][3] == 1.0 and 0.2 < evidence["separability"][0][0] < 0.8
    assert evidence["positions_m"] == [[0.01, 0.02, 0.03], None]
    assert evidence["times_s"][0] == -0.02 and evidence["channels"] == ["A", "B"]
    json.dumps(evidence, allow_nan=False)


def test_separability_of_three_classes_is_at_least_one_half() -> None:
    windows = make_windows()
    windows.table["label"] = np.tile(["a", "b", "c"], 10)
    areas = np.array(evoked_evidence(windows, ["a", "b", "c"])["separability"])
    assert areas.shape == (2, 5) and (areas >= 0.5).all()


def test_a_class_without_windows_is_named() -> None:
    with pytest.raises(DataError, match="Class 'tool' has no windows to average"):
        evoked_evidence(make_windows(), ["face", "tool"])
