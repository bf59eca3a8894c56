"""The report page: whole, safe, and the same numbers as the files it is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from matplotlib import pyplot

from brain_decode.core.errors import BrainDecodeError, DataError
from brain_decode.reports.certainty import number
from brain_decode.reports.html import write_report

Contents = Callable[..., dict[str, Any]]
MakeRun = Callable[[dict[str, Any]], Path]
HOSTILE = "<script>alert('x')</script>\"><img src=x onerror=alert(1)> $\\frac{1}$ & ${{ 7 * 7 }}"


class Page(HTMLParser):
    """Collects tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def sections(self) -> set[str | None]:
        return {attributes.get("id") for tag, attributes in self.tags if tag == "section"}

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def with_texts(value: Any, text: str) -> Any:
    """Replace every string in nested values."""
    if isinstance(value, dict):
        return {key: with_texts(entry, text) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_texts(entry, text) for entry in value]
    return text if isinstance(value, str) else value


def test_every_section_is_there_when_its_data_is(classification_run: Contents, make_run: MakeRun) -> None:
    page = page_of(make_run(classification_run(2, 32)))
    assert page.sections == {
        "scores", "groups", "mistakes", "learning", "signals", "folds", "left-out", "methods", "receipt"
    }  # fmt: skip
    assert len(page.named("figure")) == 9


def test_retrieval_shows_ranks_and_the_oracle(retrieval_run: Contents, make_run: MakeRun) -> None:
    page = page_of(make_run(retrieval_run(200)))
    assert "retrieval" in page.sections
    assert not {"mistakes", "signals", "left-out"} & page.sections
    assert "0.810, what an oracle reaches" in page.text
    assert "Gallery: all images, 200 entries." in page.text


def test_a_section_without_data_is_left_out(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 4)
    for key in run["report_data"]:
        run["report_data"][key] = None
    run["metrics"]["folds"] = []
    assert page_of(make_run(run)).sections == {"scores", "methods", "receipt"}


def test_scores_alone_make_a_report(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 4)
    run["report_data"], run["config"], run["receipt"] = {}, {}, {}
    run["metrics"] = {key: run["metrics"][key] for key in ("metrics", "decoder", "task")}
    page = page_of(make_run(run))
    assert page.sections == {"scores", "methods", "receipt"}
    assert "The receipt records no opening of a test part." in page.text


def test_the_page_needs_nothing_outside_itself(classification_run: Contents, make_run: MakeRun) -> None:
    page = page_of(make_run(classification_run(2, 32)))
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
        assert not [name for name in attributes if name.startswith("on")]
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert "@import" not in page.text
    assert not re.search(r"url\((?!#)", page.text)


def test_every_figure_is_described_and_explained(retrieval_run: Contents, make_run: MakeRun) -> None:
    page = page_of(make_run(retrieval_run(50)))
    drawings = page.named("svg")
    assert drawings and all(drawing["role"] == "img" and drawing["aria-label"] for drawing in drawings)
    assert len(page.named("figcaption")) == len(page.named("figure")) == len(drawings)


def test_ids_are_unique_over_all_figures(classification_run: Contents, make_run: MakeRun) -> None:
    page = page_of(make_run(classification_run(8, 32)))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = {attributes["xlink:href"] for _, attributes in page.tags if "xlink:href" in attributes}
    assert {reference[1:] for reference in references if reference.startswith("#")} <= set(ids)


def test_the_headline_holds_the_numbers_of_the_metrics(classification_run: Contents, make_run: MakeRun) -> None:
    folder = make_run(classification_run(2, 0))
    entry = json.loads((folder / "metrics.json").read_text())["metrics"]["auc"]
    html = write_report(folder).read_text(encoding="utf-8")
    title = re.search(r"<h1>(.*?)</h1>", html)
    assert title is not None
    assert title[1] == (
        f"The decoder tells face and house apart: AUC {number(entry['value'])} [{number(entry['ci95'][0])}, "
        f"{number(entry['ci95'][1])}]; guessing gives {number(entry['chance'])}; "
        "p = 0.0005 (the smallest possible); 6 recordings of 1 person."
    )


def test_texts_of_the_files_cannot_become_markup(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 8)
    run["metrics"] = with_texts(run["metrics"], HOSTILE) | {
        "task": "classification",
        "decoder": HOSTILE,
        "baselines": {f"{HOSTILE} 2": run["metrics"]["baselines"]["time_means"]},
        "metrics": run["metrics"]["metrics"] | {HOSTILE: run["metrics"]["metrics"]["auc"]},
    }
    levels, types = [group["level"] for group in run["report_data"]["groups"]], ["eeg"] * 8
    run["report_data"] = with_texts(run["report_data"], HOSTILE)
    for group, level in zip(run["report_data"]["groups"], levels, strict=True):
        group["level"] = level
    run["report_data"]["evoked"]["channel_types"] = types
    run["receipt"] = with_texts(run["receipt"], HOSTILE) | {"versions": {HOSTILE: HOSTILE}}
    run["config"] = with_texts(run["config"], HOSTILE)
    run["predictions"] = [row | {"decoder": HOSTILE} for row in run["predictions"]]
    page = page_of(make_run(run))
    tags = {tag for tag, _ in page.tags}
    assert not {"script", "img"} & tags
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert HOSTILE in page.text


def test_a_hostile_metric_name_stays_text_in_figures(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    run["metrics"]["metrics"] = {HOSTILE: run["metrics"]["metrics"]["auc"]}
    run["metrics"]["baselines"] = {}
    page = page_of(make_run(run))
    assert not {"script", "img"} & {tag for tag, _ in page.tags}


def test_a_test_part_opened_twice_is_told(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    assert "Each of 6 test parts was opened once." in page_of(make_run(run)).text
    run["receipt"]["test_openings"].append({"time": "later", "fold": "run-02", "reason": "again"})
    assert "opened more than once: run-02 (2 times)" in page_of(make_run(run)).text


def test_channels_without_positions_get_time_courses_and_no_map(
    classification_run: Contents, make_run: MakeRun
) -> None:
    page = page_of(make_run(classification_run(2, 32, with_positions=False)))
    assert "signals" in page.sections
    assert "Heads seen from above" not in page.text
    assert "Heads seen from above" in page_of(make_run(classification_run(2, 8))).text


def test_electrodes_in_one_place_leave_the_map_out(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 8)
    run["report_data"]["evoked"]["positions_m"] = [[0.0, 0.0, 0.1]] * 8
    page = page_of(make_run(run))
    assert "signals" in page.sections
    assert "Heads seen from above" not in page.text


@pytest.mark.parametrize(("n_classes", "n_channels"), [(8, 64), (200, 3), (3, 1)])
def test_other_numbers_of_classes_and_channels_are_drawn(
    n_classes: int, n_channels: int, classification_run: Contents, make_run: MakeRun
) -> None:
    page = page_of(make_run(classification_run(n_classes, n_channels)))
    assert {"mistakes", "signals"} <= page.sections
    assert ("too many lines" in page.text) is (n_classes == 200)


def test_missing_samples_do_not_stop_the_report(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 32)
    shown = run["report_data"]["evoked"]
    shown["mean"][0][0][5] = None
    shown["separability"][0] = [None] * len(shown["times_s"])
    run["report_data"]["confusion"]["counts"] = [[0, 0], [3, 4]]
    assert "signals" in page_of(make_run(run)).sections


def test_many_recordings_are_sorted_and_none_is_dropped(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    groups = run["report_data"]["groups"]
    run["report_data"]["groups"] = [groups[-1] | {"label": f"run-{number}"} for number in range(300)]
    page = page_of(make_run(run))
    assert "groups" in page.sections
    assert "300, from best to worst" in page.text


def test_a_group_without_scores_is_skipped(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    run["report_data"]["groups"][0]["metrics"] = {}
    run["report_data"]["groups"][1]["metrics"] = None
    assert "groups" in page_of(make_run(run)).sections


@pytest.mark.parametrize("name", ["receipt.json", "report_data.json", "predictions.parquet", "config.yaml"])
def test_a_missing_file_is_named(name: str, classification_run: Contents, make_run: MakeRun) -> None:
    folder = make_run(classification_run(2, 0))
    (folder / name).unlink()
    with pytest.raises(DataError, match=f"lacks {re.escape(name)}. Run the command again"):
        write_report(folder)
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.json", "{"),
        ("metrics.json", "[]"),
        ("metrics.json", "{}"),
        ("metrics.json", '{"metrics": {"auc": {}}, "decoder": "a", "task": "classification"}'),
        ("config.yaml", "a: [1"),
        ("receipt.json", "\x00"),
        ("report_data.json", '{"groups": [{}]}'),
        ("report_data.json", '{"confusion": {"classes": ["a", "b"]}}'),
        ("predictions.parquet", "no table"),
    ],
)
def test_a_damaged_file_gives_one_error(
    name: str, content: str, classification_run: Contents, make_run: MakeRun
) -> None:
    folder = make_run(classification_run(2, 0))
    (folder / name).write_text(content)
    with pytest.raises(DataError, match=r"[Rr]un the (command|evaluation) again"):
        write_report(folder)


def test_an_earlier_report_survives_a_failure(classification_run: Contents, make_run: MakeRun) -> None:
    folder = make_run(classification_run(2, 0))
    before = write_report(folder).read_bytes()
    (folder / "metrics.json").write_text("{")
    with pytest.raises(BrainDecodeError):
        write_report(folder)
    assert (folder / "report.html").read_bytes() == before
    assert not list(folder.glob(".*"))


def test_no_figure_stays_open(classification_run: Contents, make_run: MakeRun) -> None:
    before = pyplot.get_fignums()
    write_report(make_run(classification_run(2, 8)))
    assert pyplot.get_fignums() == before


NO_INTERVAL = {"ci95": [None, None], "ci95_about": None}
PAIRED = {"metric": "auc", "difference": 0.1, "ci95": [0.02, 0.18], "ci95_about": "these subjects", "p_value": 0.01}
METHOD = "Student's t over units, corrected for shared training sets"


def test_tables_and_figures_name_what_their_intervals_are_about(
    classification_run: Contents, make_run: MakeRun
) -> None:
    text = page_of(make_run(classification_run(2, 0))).text
    assert "In brackets: the 95\u00a0% interval about these subjects." in text
    assert "under each value its 95\u00a0% interval about these subjects." in text
    assert "Bar: 95\u00a0% interval about these subjects." in text
    reason = "No interval about new subjects: 1 subject was scored; a statement about new subjects takes 5."
    assert text.count(reason) == 1


def test_both_statements_stand_in_the_tables(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    run["metrics"]["metrics"]["auc"] |= {"ci95_new_subjects": [0.551, 0.791]}
    text = page_of(make_run(run)).text
    assert text.count("0.551 to 0.791 (new subjects)") == 2
    assert "About new subjects: 0.551 to 0.791." in text
    assert "About new subjects: the 95 % interval says what to expect of other people." in text


def test_missing_intervals_leave_marks_and_reasons(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    scores = [run["metrics"]["metrics"], *run["metrics"]["baselines"].values()]
    for entry in (entry for part in scores for entry in part.values()):
        entry |= {**NO_INTERVAL, "ci95_reason": "these subjects: 2 folds; it takes 3; new subjects: 1 subject"}
    for group in run["report_data"]["groups"]:
        group["metrics"]["auc"]["ci95"] = [None, None]
    page = page_of(make_run(run))
    assert "All decoders, on the same folds; without intervals." in page.text
    assert page.text.count("No interval about these subjects: 2 folds; it takes 3.") == 1
    assert "Bar: 95" not in page.text
    assert "A single recording has no interval: in cross-validation it does not show how much" in page.text
    assert not [drawing for drawing in page.named("svg") if "95 % interval" in str(drawing["aria-label"])]


def test_the_page_says_how_p_was_made_and_why_one_is_missing(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    entry = run["metrics"]["baselines"]["tangent_space"]["auc"]
    entry |= {"p_permutation": None, "p_reason": "a network is not fitted hundreds of times again"}
    text = page_of(make_run(run)).text
    assert "p: labels exchanged (trials within runs) before fitting, decoder fitted again; 1999 permutations" in text
    assert "smallest possible p 0.0005." in text
    assert "No p for tangent_space: a network is not fitted hundreds of times again." in text
    assert "No p was made for calibration error." in text


def test_comparisons_name_their_test(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    paired = PAIRED | {"p_method": METHOD, "p_holm": 0.02}
    run["metrics"]["comparisons"] = {"time_means": paired, "tangent_space": paired}
    text = page_of(make_run(run)).text
    assert "The 95\u00a0% interval is about these subjects." in text
    assert f"p: two-sided, {METHOD}; then for 2 comparisons (Holm)." in text


def test_comparisons_without_units_say_why(classification_run: Contents, make_run: MakeRun) -> None:
    run = classification_run(2, 0)
    reason = "1 subject was scored; a statement about new subjects takes 5"
    untested = PAIRED | NO_INTERVAL | {"p_value": None, "p_holm": None, "ci95_reason": reason}
    run["metrics"]["comparisons"] = {"time_means": untested}
    text = page_of(make_run(run)).text
    assert "on the same windows; not tested." in text
    assert f"No interval: {reason}." in text


def test_curves_without_intervals_have_no_band(retrieval_run: Contents, make_run: MakeRun) -> None:
    run = retrieval_run(50)
    assert page_of(make_run(run)).text.count("Band: 95\u00a0% interval about these subjects.") == 2
    for point in (*run["report_data"]["k_way"], *run["report_data"]["repetitions"]):
        point["ci95"] = [None, None]
    assert "Band:" not in page_of(make_run(run)).text
