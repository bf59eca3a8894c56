"""Several scripts write one document, and none touches the section of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from brain_decode.reports.sections import replace_section, replace_top


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "results.md"
    path.write_text("# Results\n\nA table.\n\n## First\n\none\n\n### Part\n\ntwo\n\n## Second\n\nthree\n")
    return path


def test_a_section_is_replaced_up_to_the_next_of_its_level(document: Path) -> None:
    replace_section(document, "First", "new\n")
    assert document.read_text() == "# Results\n\nA table.\n\n## First\n\nnew\n\n## Second\n\nthree\n"


def test_a_new_section_goes_to_the_end(document: Path) -> None:
    before = document.read_text()
    replace_section(document, "Third", "four")
    assert document.read_text() == before + "\n## Third\n\nfour\n"


def test_a_heading_that_begins_like_another_is_another(document: Path) -> None:
    replace_section(document, "Fir", "x")
    assert "## First\n\none" in document.read_text()


def test_the_top_is_replaced_and_the_sections_stay(document: Path) -> None:
    replace_top(document, "# New\n")
    assert document.read_text().startswith("# New\n\n## First\n\none")
    assert document.read_text().endswith("## Second\n\nthree\n")


def test_a_document_that_is_absent_is_made(tmp_path: Path) -> None:
    replace_section(tmp_path / "new.md", "Only", "text")
    assert (tmp_path / "new.md").read_text() == "## Only\n\ntext\n"
