"""The report is one self-contained page that says what the files of the run say."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.reports.html import write_report
from brain_decode.reports.tables import results_table

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def score(value: float, chance: float | None = 0.5) -> dict[str, Any]:
    interval = {"ci95": [value - 0.03, value + 0.03], "ci95_about": "these subjects", "ci95_new_subjects": [None, None]}
    p = {"p_permutation": 0.0005, "p_method": "labels exchanged", "n_permutations": 1999, "p_smallest": 0.0005}
    return {"value": value, **interval, "chance": chance, **p, "n": 40}


def write_run(folder: Path, *, label: str = "face", simulated: bool = False, **data: Any) -> Path:
    """A finished classification run of two classes with made-up numbers."""
    classes = [label, "house"]
    metrics = {
        "split": "test",
        "dataset": "made_up",
        "simulated": simulated,
        "task": "classification",
        "protocol": "leave_run_out",
        "decoder": "xdawn_tangent",
        "selected": "xdawn_tangent",
        "folds": [{"name": "run-01", "n_train": 30, "n_test": 10, "selected": "xdawn_tangent"}],
        "metrics": {"auc": score(0.671), "balanced_accuracy": score(0.623), "ece": score(0.05, None)},
        "metrics_without_rejection": None,
        "baselines": {"shrinkage_lda": {"auc": score(0.574), "balanced_accuracy": score(0.55)}},
        "oracle": None,
    }
    rng = np.random.default_rng(0)
    mean = rng.standard_normal((2, 10, 50)) * 1e-6
    angles = np.linspace(0, 2 * np.pi, 10, endpoint=False)
    report_data = {
        "simulated": simulated,
        "datasets": [{"name": "made_up", "licence": "CC0", "citation": "nobody"}],
        "evoked": {
            "times_s": np.linspace(-0.1, 0.4, 50).tolist(),
            "channels": [f"E{i}" for i in range(10)],
            "channel_types": ["eeg"] * 10,
            "positions_m": [[0.08 * np.cos(a), 0.08 * np.sin(a), 0.02 + 0.03 * (i % 2)] for i, a in enumerate(angles)],
            "classes": classes,
            "mean": mean.tolist(),
            "sem": (np.abs(mean) / 10).tolist(),
            "unit": "V",
            "separability": (0.5 + 0.1 * rng.random((10, 50))).tolist(),
            "note": "",
        },
        "groups": [
            {"level": "run", "label": f"sub-01_run-{i}", "n": 20, "metrics": {"auc": score(0.6)}} for i in (1, 2)
        ],
        "confusion": {"classes": classes, "counts": [[12, 8], [7, 13]]},
        "calibration": {"bins": [{"confidence": 0.6, "accuracy": 0.58, "n": 40}], "ece": 0.02, "temperature": None},
        "learning_curves": [],
        "rejection": None,
        "exclusions": [],
    } | data
    predictions = pd.DataFrame(
        {
            "decoder": "xdawn_tangent",
            "fold": "run-01",
            "split": "test",
            "dataset": "made_up",
            "subject": "01",
            "session": "",
            "task": "t",
            "run": ["1", "2"] * 20,
            "truth": classes * 20,
            "predicted": classes * 20,
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (
        ("metrics", metrics),
        ("report_data", report_data),
        ("receipt", {"command": "train", "created": "now"}),
    ):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text("preprocessing: {signal_steps: [{step: bandpass, settings: {low_hz: 1.0}}]}\n")
    predictions.to_parquet(folder / "predictions.parquet")
    return folder


def page(folder: Path) -> str:
    return write_report(folder).read_text(encoding="utf-8")


def test_the_headline_is_the_score_of_the_files(tmp_path: Path) -> None:
    text = page(write_run(tmp_path))
    assert "The decoder tells face and house apart: AUC 0.671 [0.641, 0.701]; guessing gives 0.500" in text


def test_a_score_at_chance_is_not_sold_as_a_finding(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    metrics = json.loads((folder / "metrics.json").read_text())
    metrics["metrics"]["auc"] = score(0.51) | {"p_permutation": 0.3}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert "These recordings do not show that the decoder tells face and house apart" in page(folder)


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    text = page(write_run(tmp_path))
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)
    assert "<script" not in text


def test_every_baseline_stands_in_the_table(tmp_path: Path) -> None:
    assert "shrinkage_lda" in page(write_run(tmp_path))


def test_simulated_data_are_labelled(tmp_path: Path) -> None:
    assert "SIMULATED DATA" in page(write_run(tmp_path / "a", simulated=True))
    assert "SIMULATED DATA" not in page(write_run(tmp_path / "b"))


def test_a_part_without_data_leaves_its_section_out(tmp_path: Path) -> None:
    assert "What is mistaken for what" in page(write_run(tmp_path / "a"))
    text = page(write_run(tmp_path / "b", confusion=None, calibration=None, evoked=None))
    assert "What is mistaken for what" not in text
    assert "What separates the classes" not in text


def test_learning_curves_repetitions_and_ranks_are_drawn_where_they_are(tmp_path: Path) -> None:
    text = page(
        write_run(
            tmp_path,
            learning_curves=[{"fold": "a", "epoch": e, "train_loss": 1.0, "validation_loss": None} for e in (0, 1)],
            ranks={"ranks": [0, 1, 5], "gallery_size": 20, "gallery_type": "exact_image"},
            k_way=[{"k": k, "expected": 0.6, "ci95": [0.5, 0.7], "chance": 1 / k} for k in (2, 10)],
            repetitions=[{"n": n, "top1": 0.3, "top5": 0.6, "ci95": [0.2, 0.4]} for n in (1, 20)],
        )
    )
    for heading in ("Learning curves", "Retrieval", "Gallery: exact image, 20 entries"):
        assert heading in text


def test_ten_electrodes_with_positions_give_a_head_map(tmp_path: Path) -> None:
    assert "Heads seen from above" in page(write_run(tmp_path))


def test_recordings_that_differ_from_the_decoder_say_what_was_done(tmp_path: Path) -> None:
    cell = {"text": "500 Hz", "state": "will be changed", "action": "resampled to 256 Hz"}
    rows = [{"recording": "sub-01_run-1", "state": "will be changed", "cells": [cell]}]
    passport = {"against": "the decoder", "columns": ["sampling rate"], "expected": ["256 Hz"], "rows": rows}
    text = page(write_run(tmp_path, passport=passport))
    assert "1 of 1 differ" in text
    assert '<td class="differs">500 Hz<span class="small">resampled to 256 Hz</span></td>' in text


def test_hostile_labels_are_shown_and_never_run(tmp_path: Path) -> None:
    text = page(write_run(tmp_path, label="<script>alert(1)</script>"))
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_ids_of_two_figures_never_meet(tmp_path: Path) -> None:
    ids = re.findall(r' id="([^"]+)"', page(write_run(tmp_path)))
    assert len(ids) == len(set(ids))


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    assert page(folder) == page(folder)


def test_a_folder_that_is_no_run_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a finished run"):
        write_report(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "predictions.parquet").unlink()
    with pytest.raises(DataError, match=r"lacks predictions\.parquet"):
        write_report(folder)


def test_a_damaged_file_is_one_clear_error(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    (folder / "receipt.json").write_text('{"half')
    with pytest.raises(DataError, match="damaged"):
        write_report(folder)


def test_the_results_table_has_the_own_decoder_in_bold_and_every_baseline(tmp_path: Path) -> None:
    table = results_table([write_run(tmp_path)])
    assert (
        "| made_up | leave run out | **xdawn_tangent** | AUC | **0.671 [0.641, 0.701]** | these subjects | 0.500 "
        "| 0.0005 | 40 |" in table
    )
    assert (
        "| made_up | leave run out | shrinkage_lda | AUC | 0.574 [0.544, 0.604] | these subjects | 0.500 "
        "| 0.0005 | 40 |" in table
    )


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_draws_the_page(tmp_path: Path) -> None:
    report = write_report(write_run(tmp_path / "run"))
    picture = tmp_path / "page.png"
    command = [
        str(CHROMIUM),
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
        *("--disable-component-update", "--disable-sync", "--disable-quic", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--window-size=1280,3000", f"--screenshot={picture}", report.as_uri()),
    ]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    from PIL import Image

    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (3000, 1280)
    assert 0.02 < (pixels < 128).mean() < 0.5
