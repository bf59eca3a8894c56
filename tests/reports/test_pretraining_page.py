"""The page of a pretraining run, from its files alone."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.reports.html import write_report

ENTRY = {
    "value": 0.5,
    "ci95": [0.4, 0.6],
    "ci95_about": "these subjects",
    "ci95_new_subjects": [None, None],
    "ci95_reason": "new subjects: 3 subjects were scored; a statement about new subjects takes 5",
    "n": 10,
    "people": 3,
}


def write_run(folder: Path, metrics: dict) -> Path:
    folder.mkdir()
    told = {
        "architecture": "braintokenizer", "reconstructs": "signal",
        "n_train": 30, "n_validation": 10, "window_s": 10.0, "best_epoch": 2,
        "held_out": ["pool sub-<b>"], "left_out": {"a channel never varies": 4},
        "curves": [{"epoch": n, "train_loss": 3 - n, "validation_loss": 3.1 - n, "train_time": 1.0} for n in (1, 2)],
        "codebook_use": {"used_share": [1.0, 0.5], "perplexity_share": [0.9, 0.3]},
    }  # fmt: skip
    scores = {"metrics": metrics, "decoder": "braintokenizer", "dataset": "pool", "simulated": False}
    receipt = {"created": "2026-01-01", "data": {"content_hashes": {"sub-01": "abc"}}}
    for name, content in (("pretraining", told), ("metrics", scores), ("receipt", receipt)):
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "config.yaml").write_text("seed: 0\n")
    pair = np.zeros((2, 2, 256), dtype=np.float32)
    np.savez(folder / "examples.npz", signals_0=pair, names_0=np.array(["Fz", "Oz"]), rate_hz=256.0)
    return folder


def test_the_page_shows_scores_bands_signals_and_what_was_left_out(tmp_path: Path):
    folder = write_run(tmp_path / "run", {"pearson": ENTRY, "pearson_alpha": ENTRY})
    page = write_report(folder).read_text(encoding="utf-8")
    for told in ("correlation of signal and reconstruction 0.500 [0.400, 0.600]", "pearson alpha",
                 "Left out: 4 windows in which a channel never varies", "sub-&lt;b&gt;", "abc"):  # fmt: skip
        assert told in page
    assert "most frequent code" not in page and page.count("<svg") == 4


def test_codes_stand_beside_the_most_frequent_one(tmp_path: Path):
    entry = {**ENTRY, "baseline": 0.2, "difference_ci95": [0.25, 0.35]}
    page = write_report(write_run(tmp_path / "run", {"accuracy": entry, "accuracy_level_0": entry})).read_text()
    assert "0.200 by the most frequent code" in page and "0.250 to 0.350" in page


def test_a_run_that_lost_files_is_one_clear_error(tmp_path: Path):
    folder = write_run(tmp_path / "run", {"pearson": ENTRY})
    (folder / "examples.npz").write_bytes(b"PK broken")
    with pytest.raises(DataError, match="examples.npz' is damaged"):
        write_report(folder)
    (folder / "receipt.json").unlink()
    with pytest.raises(DataError, match="lacks receipt.json"):
        write_report(folder)


def test_the_page_names_what_its_intervals_are_about_and_what_is_missing(tmp_path: Path):
    page = write_report(write_run(tmp_path / "run", {"pearson": ENTRY, "pearson_alpha": ENTRY})).read_text()
    assert "Intervals are about these subjects." in page
    assert "No interval about new subjects: 3 subjects were scored; a statement about new subjects takes 5." in page


def test_without_intervals_the_page_says_why(tmp_path: Path):
    reason = "these subjects: labels come in 2 blocks; new subjects: 1 subject was scored"
    none = {**ENTRY, "ci95": [None, None], "ci95_about": None, "ci95_reason": reason}
    page = write_report(write_run(tmp_path / "run", {"pearson": none})).read_text()
    assert "reconstruction 0.500</h1>" in page
    assert "No interval about these subjects: labels come in 2 blocks." in page
    assert "No interval about new subjects: 1 subject was scored." in page
    assert "Intervals are about" not in page
