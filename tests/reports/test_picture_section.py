"""The report shows reconstructed pictures beside their controls, and never sells a stand-in as one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation.contact_sheet import ReconstructionEvidence, write_contact_sheet
from brain_decode.reports.html import write_report
from brain_decode.reports.sentences import metric_meaning, metric_name
from brain_decode.reports.tables import results_table

Contents = Callable[..., dict[str, Any]]
MakeRun = Callable[[dict[str, Any]], Path]
SHEET = "pictures/contact_sheet.png"


def picture_score(value: float, control: float, ceiling: float, chance: float) -> dict[str, Any]:
    parts = {"shuffled": control, "ceiling": ceiling}
    beside = {name: {"value": part, "ci95": [part - 0.05, part + 0.05]} for name, part in parts.items()}
    return {
        "value": value,
        "ci95": [value - 0.04, value + 0.04],
        "ci95_about": "these subjects",
        "chance": chance,
        "p_permutation": 0.0005,
        "p_method": "permutation of the seen pictures, reconstructions fixed",
        "n_permutations": 1999,
        "p_smallest": 0.0005,
        "n": 200,
    } | beside


@pytest.fixture
def picture_run(retrieval_run: Contents, make_run: MakeRun) -> Callable[..., Path]:
    """Write a retrieval run with reconstructions; what the evidence says can be changed."""

    def write(**changed: Any) -> Path:
        run = retrieval_run(200)
        scores = {
            "pixcorr": picture_score(0.161, 0.021, 0.352, 0.021),
            "two_way_alexnet5": picture_score(0.866, 0.503, 0.949, 0.5),
            "effnet_distance": picture_score(0.826, 0.957, 0.611, 0.957),
        }
        run["metrics"]["metrics"] |= scores
        told = {
            "sheet": SHEET,
            "rows": ("seen", "reconstructed"),
            "shown": ("dog", "cat"),
            "n_pictures": 200,
            "metrics": tuple(scores),
            "generator": "a tiny diffusion model",
        } | changed
        run["report_data"]["reconstruction"] = ReconstructionEvidence(**told).as_json()
        folder = make_run(run)
        pixels = np.random.default_rng(0).random((2, 8, 8, 3))
        write_contact_sheet(pixels, None, pixels, None, folder / SHEET, ["dog", "cat"])
        return folder

    return write


def row_of(text: str, name: str) -> list[str]:
    section = text[text.index('id="pictures"') :]
    row = re.search(rf'<th scope="row" class="word">{re.escape(name)}</th>(.*?)</tr>', section).group(1)
    return [re.sub("<[^>]*>", " ", cell).split()[0] for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)]


def test_scores_stand_beside_shuffled_control_ceiling_and_chance(picture_run: Callable[..., Path]) -> None:
    text = write_report(picture_run()).read_text(encoding="utf-8")
    assert "<h2>Reconstructed pictures</h2>" in text and '<a href="#pictures">' in text
    assert row_of(text, "two-way AlexNet(5)")[:6] == ["0.866", "0.503", "0.949", "0.500", "0.0005", "200"]
    assert row_of(text, "EffNet-B distance")[:4] == ["0.826", "0.957", "0.611", "0.957"]
    assert "2 of 200 pictures, chosen by their place in the list" in text
    assert "Drawn by a tiny diffusion model." in text
    assert "share with the shuffled control" not in text  # the sheet has no such row


def test_a_control_on_the_sheet_is_explained(picture_run: Callable[..., Path]) -> None:
    folder = picture_run(rows=("seen", "reconstructed", "control: from shuffled brain responses"))
    text = write_report(folder).read_text(encoding="utf-8")
    assert "What the reconstructions share with the shuffled control does not come from the brain." in text


def test_picture_scores_are_told_once(picture_run: Callable[..., Path]) -> None:
    text = write_report(picture_run()).read_text(encoding="utf-8")
    assert text.count('class="word">PixCorr</th>') == 1


def test_the_sheet_is_inside_the_page_and_described(picture_run: Callable[..., Path]) -> None:
    text = write_report(picture_run()).read_text(encoding="utf-8")
    assert re.search(
        r'<img src="data:image/png;base64,iVBORw0KGgo[^"]+" alt="Contact sheet of 2 pictures[^"]*dog, cat', text
    )
    assert "Rows from top to bottom: seen; reconstructed." in text
    assert not re.findall(r'(?:src|href)="(?!#|data:)[^"]*"', text)


def test_stand_ins_are_named_so(picture_run: Callable[..., Path]) -> None:
    folder = picture_run(stand_in=True, note="Pictures of the dataset with the nearest features.")
    text = write_report(folder).read_text(encoding="utf-8")
    assert "STAND-INS, NOT RECONSTRUCTIONS.</strong> Pictures of the dataset with the nearest features." in text
    assert "Reconstructed pictures" not in text and ">reconstructed</th>" not in text


def test_a_run_without_pictures_has_no_section(retrieval_run: Contents, make_run: MakeRun) -> None:
    assert 'id="pictures"' not in write_report(make_run(retrieval_run(20))).read_text(encoding="utf-8")


def test_a_sheet_that_is_missing_damaged_or_outside_is_told(picture_run: Callable[..., Path]) -> None:
    folder = picture_run()
    (folder / SHEET).write_text("no picture")
    with pytest.raises(DataError, match="contact_sheet.png' is no PNG picture"):
        write_report(folder)
    (folder / SHEET).unlink()
    with pytest.raises(DataError, match=f"lacks its contact sheet '{SHEET}'"):
        write_report(folder)
    with pytest.raises(DataError, match="lies outside"):
        write_report(picture_run(sheet="../../secret.png"))


def test_the_table_over_runs_holds_picture_scores(picture_run: Callable[..., Path]) -> None:
    table = results_table([picture_run()])
    assert "two-way AlexNet(5) | **0.866" in table


def test_metrics_have_names_and_meanings() -> None:
    assert metric_name("two_way_clip") == "two-way CLIP" and metric_name("swav_distance") == "SwAV distance"
    assert metric_name("two_way_my_own") == "two-way my own"
    assert "lower is better" in metric_meaning("effnet_distance")
    assert "0.5 is guessing" in metric_meaning("two_way_clip") and metric_meaning("ssim")
