"""What a finished run says on the terminal about its scores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from brain_decode.cli import finish

FEW = "1 subject was scored; a statement about new subjects takes 5"
TESTED = {
    "p_permutation": 0.005,
    "p_method": "labels exchanged before fitting",
    "n_permutations": 199,
    "p_smallest": 0.005,
}


def entry(value: float, **changes: Any) -> dict[str, Any]:
    interval = {"ci95": [value - 0.1, value + 0.1], "ci95_about": "these subjects", "ci95_new_subjects": [None, None]}
    told = {"value": value, **interval, "ci95_reason": f"new subjects: {FEW}", "chance": 0.5, "n": 40}
    return {**told, **TESTED, **changes}


def said(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, own: Any, other: Any) -> str:
    metrics = {
        "dataset": "faces",
        "protocol": "leave_run_out",
        "task": "classification",
        "decoder": "lda",
        "metrics": {"auc": own},
        "baselines": {"eegnet": {"auc": other}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    monkeypatch.setattr("brain_decode.reports.html.write_report", lambda run: run / "report.html")
    finish.report_run(folder)
    return str(capsys.readouterr().out)


def test_the_interval_says_what_it_is_about_and_p_how_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(tmp_path, monkeypatch, capsys, entry(0.7), entry(0.6))
    assert "these subjects" in text.split("0.600 to 0.800")[0]
    assert "0.005" in text
    assert "p: labels exchanged before fitting; 199 permutations; smallest possible p 0.005." in text
    assert f"No interval about new subjects: {FEW}." in text


def test_what_is_missing_is_a_dash_with_its_reason_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    none = {"ci95": [None, None], "ci95_about": None, "ci95_reason": "these subjects: 2 folds; it takes 3"}
    network = entry(0.6, **none, p_permutation=None, p_method=None, p_reason="a network is not fitted again")
    text = said(tmp_path, monkeypatch, capsys, entry(0.7), network)
    assert "None" not in text
    assert "No interval about these subjects (eegnet): 2 folds; it takes 3." in text
    assert "No p for eegnet: a network is not fitted again." in text


def test_both_statements_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = entry(0.7, ci95_new_subjects=[0.55, 0.85])
    text = said(tmp_path, monkeypatch, capsys, own, entry(0.6))
    assert "95 % interval, new subjects: lda 0.550 to 0.850" in text
