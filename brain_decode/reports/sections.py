"""Sections of a Markdown document that several scripts write, each its own."""

from __future__ import annotations

from pathlib import Path

from brain_decode.core.files import write_atomically

__all__ = ["replace_section", "replace_top"]

_MARK = "\n## "


def replace_section(path: Path, heading: str, text: str) -> None:
    """Write the section `## heading`: in the place of an older one, else at the end of the document.

    Args:
        path: Markdown file; made where it is absent.
        heading: Without the signs before it.
        text: Markdown without headings of this or a higher level.
    """
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    top, *sections = f"\n{written}".split(_MARK)
    own = f"{heading}\n\n{text.strip()}\n"
    places = [number for number, section in enumerate(sections) if section.split("\n", 1)[0] == heading]
    if places:
        sections[places[0]] = own
    else:
        sections.append(own)
    write_atomically(path, _joined(top, sections))


def replace_top(path: Path, text: str) -> None:
    """Write what comes before the first section of a document, and keep its sections."""
    written = path.read_text(encoding="utf-8") if path.is_file() else ""
    write_atomically(path, _joined(text, f"\n{written}".split(_MARK)[1:]))


def _joined(top: str, sections: list[str]) -> str:
    parts = [top.strip(), *(f"## {section.strip()}" for section in sections)]
    return "\n\n".join(part for part in parts if part) + "\n"
