"""What every dataset's entry must say, found by its file."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from brain_decode.datasets.download.blocks import blocks_of
from brain_decode.datasets.download.listings import listed_files
from brain_decode.datasets.download.remote import Connection

FOLDER = Path(__file__).resolve().parents[2] / "datasets"
ENTRIES = {path.stem: yaml.safe_load(path.read_text()) for path in sorted(FOLDER.glob("*.yaml"))}
FETCHED = {name: entry for name, entry in ENTRIES.items() if entry.get("download")}


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_are_named_as_their_files(name: str) -> None:
    assert ENTRIES[name]["name"] == name


@pytest.mark.parametrize("name", ENTRIES)
def test_non_commercial_licences_are_to_be_accepted(name: str) -> None:
    entry: dict[str, Any] = ENTRIES[name]
    licence = f"-{entry.get('licence')}".lower()
    if "-nc" in licence or "non-commercial" in licence:
        assert entry.get("licence_terms"), "state licence_terms where commercial use is forbidden"


@pytest.mark.parametrize("name", [name for name, entry in ENTRIES.items() if entry.get("licence_terms")])
def test_cards_name_the_word_that_accepts(name: str) -> None:
    assert f"accept_licence={name}" in (FOLDER / f"{name}.md").read_text()


@pytest.mark.parametrize("name", FETCHED)
def test_downloads_are_described_and_come_from_official_hosts(name: str) -> None:
    for block in blocks_of(FETCHED[name]):
        assert block.settings.get("host") is None
        if block.kind == "files":
            for file in listed_files("files", block.settings, Connection()):
                assert urlsplit(file.url).scheme == "https"
