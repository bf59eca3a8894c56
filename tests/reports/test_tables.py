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
    assert (
        lines[0]
        == "| dataset | protocol | decoder | metric | value [95 % interval] | interval is about | chance | p | n |"
    )
    assert lines[2] == (
        "| faces | leave run out | **nested_selection** | AUC | **0.671 [0.641, 0.701]** | these subjects | 0.500 "
        "| 0.0005 | 1174 |"
    )
    assert [line.split(" | ")[2] for line in lines[2:] if line.startswith("|")] == ["**nested_selection**"] * 3 + [
        "xdawn_tangent",
        "time_means",
        "tangent_space",
    ]


def test_floors_add_a_column(classification_run: Contents, make_run: MakeRun) -> None:
    lines = results_table([make_run(classification_run(2, 4))], {"faces": {"auc": 0.62}}).splitlines()
    assert lines[0].endswith("| n | floor |")
    assert lines[1].count("---") == 10
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


def test_how_p_was_made_stands_once_below_the_table(classification_run: Contents, make_run: MakeRun) -> None:
    lines = results_table([make_run(classification_run(2, 4))]).splitlines()
    assert [line for line in lines if not line.startswith("|")] == [
        "",
        "- p: labels exchanged (trials within runs) before fitting, decoder fitted again; 1999 permutations; "
        "smallest possible p 0.0005.",
    ]


def test_a_missing_number_is_a_dash_with_its_reason_below(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 4)
    for scores in (run["metrics"]["metrics"], *run["metrics"]["baselines"].values()):
        for entry in scores.values():
            for key in ("p_method", "n_permutations", "p_smallest"):
                entry.pop(key, None)
            entry |= {"p_permutation": None, "p_reason": "2 runs\nonly", "ci95": [None, None], "ci95_about": None}
    lines = results_table([make_run(run)]).splitlines()
    assert lines[2] == "| faces | leave run out | **nested_selection** | AUC | **0.671** | – | 0.500 | – | 1174 |"
    assert [line for line in lines if not line.startswith("|")] == ["", "- No p: 2 runs only."]
