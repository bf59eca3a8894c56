"""The table of results over run folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.reports.tables import results_table

Contents = Callable[..., dict[str, Any]]
MakeRun = Callable[[dict[str, Any]], Path]


def test_every_decoder_has_a_row_and_the_runs_own_is_bold(classification_run: Contents, make_run: MakeRun) -> None:
    lines = results_table([make_run(classification_run(2, 4))]).splitlines()
    assert lines[0] == "| dataset | protocol | decoder | metric | value [95 % interval] | chance | p | n |"
    assert lines[2] == (
        "| faces | leave run out | **nested_selection** | AUC | **0.671 [0.641, 0.701]** | 0.500 | 0.0005 | 1174 |"
    )
    assert [line.split(" | ")[2] for line in lines[2:]] == ["**nested_selection**"] * 3 + [
        "xdawn_tangent",
        "time_means",
        "tangent_space",
    ]


def test_floors_add_a_column(classification_run: Contents, make_run: MakeRun) -> None:
    lines = results_table([make_run(classification_run(2, 4))], {"faces": {"auc": 0.62}}).splitlines()
    assert lines[0].endswith("| n | floor |")
    assert lines[1].count("---") == 9
    assert lines[2].endswith("| 1174 | 0.62 |")
    assert lines[3].endswith("| 1174 |  |")


def test_simulated_results_are_marked(retrieval_run: Contents, make_run: MakeRun) -> None:
    assert "| pictures (simulated) | official | **nice** | top-1 |" in results_table([make_run(retrieval_run(200))])


def test_a_bar_in_a_name_stays_in_its_cell(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 4)
    run["metrics"]["dataset"] = "a|b\nc"
    assert "| a\\|b c |" in results_table([make_run(run)])


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a finished run"):
        results_table([tmp_path])


@pytest.mark.parametrize("content", ["{", "{}"])
def test_damaged_scores_are_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(DataError, match="Run the command again"):
        results_table([tmp_path])
