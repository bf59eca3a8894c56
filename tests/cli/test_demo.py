"""The demo, from the command line to its reports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brain_decode.cli.app import main
from brain_decode.evaluation.predictions import read_predictions

TASKS = {"retrieval": "retrieval", "classification": "classification", "reconstruction": "retrieval"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "out"
    assert main(["demo", "size=tiny", f"out={folder}"]) == 0
    return folder


def test_all_scores_are_in_one_table(demo: Path) -> None:
    metrics = json.loads((demo / "metrics.json").read_text())
    assert metrics["simulated"] is True
    assert metrics["tasks"] == ["retrieval", "classification", "reconstruction"]
    assert {"top1", "top5", "auc", "balanced_accuracy", "pixcorr", "ssim"} <= set(metrics["metrics"])
    assert {"ridge", "tangent_space", "shrinkage_lda"} <= set(metrics["baselines"])
    assert metrics["oracle"]["top1"] >= metrics["metrics"]["top1"]["value"]
    for name in ("top1", "auc"):
        entry = metrics["metrics"][name]
        assert entry["ci95"][0] <= entry["value"] <= entry["ci95"][1]


def test_each_part_is_a_run_folder_of_its_own(demo: Path) -> None:
    for task, kind in TASKS.items():
        assert json.loads((demo / task / "metrics.json").read_text())["task"] == kind
        assert "SIMULATED DATA" in (demo / task / "report.html").read_text()
        assert (demo / task / "checkpoint").is_dir()


def test_the_demo_ends_with_a_contact_sheet(demo: Path) -> None:
    assert (demo / "reconstruction" / "pictures" / "contact_sheet.png").read_bytes()[:4] == b"\x89PNG"
    assert "data:image/png;base64," in (demo / "report.html").read_text()


def test_the_summary_page_links_to_every_report_and_says_simulated(demo: Path) -> None:
    page = (demo / "report.html").read_text()
    assert "SIMULATED DATA" in page
    assert 'href="retrieval/report.html"' in page
    assert 'href="classification/report.html"' in page
    assert 'href="reconstruction/report.html"' in page
    assert "http" not in page


def test_predictions_hold_every_task(demo: Path) -> None:
    predictions = read_predictions(demo / "predictions.parquet")
    assert set(predictions["target_task"]) == set(TASKS)
    assert json.loads((demo / "receipt.json").read_text())["command"] == "demo"


def test_an_unknown_size_is_refused_with_the_closest_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "size=tyny", f"out={tmp_path / 'out'}"]) != 0
    assert "tiny" in capsys.readouterr().err
