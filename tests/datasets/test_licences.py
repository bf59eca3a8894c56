"""Terms are accepted by name, or nothing is read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from brain_decode.cli import app
from brain_decode.core.errors import ConfigError
from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.licences import ACCEPT_VARIABLE, accepted_licences, require_acceptance

ENTRY: dict[str, Any] = {
    "name": "small",
    "licence": "CC-BY-NC-4.0",
    "licence_terms": "Only for research that earns no money.",
    "source": "example.org/small",
}


def test_terms_licence_source_and_the_word_to_add_are_stated() -> None:
    with pytest.raises(ConfigError) as raised:
        require_acceptance(ENTRY)
    assert str(raised.value) == (
        "Dataset 'small' has terms to be accepted first: Only for research that earns no money. Licence: CC-BY-NC-4.0; "
        "source: example.org/small. If you accept, add accept_licence=small, or set "
        "BRAIN_DECODE_ACCEPT_LICENCES=small."
    )


def test_another_name_accepts_nothing() -> None:
    with pytest.raises(ConfigError, match="'smal' was accepted instead. Did you mean 'small'?"):
        require_acceptance({**ENTRY, "accept_licence": "smal"})


@pytest.mark.parametrize("given", ["small", "other,small", ["other", "small"]])
def test_the_word_accepts_one_or_several(given: object) -> None:
    require_acceptance({**ENTRY, "accept_licence": given})


def test_the_variable_accepts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ACCEPT_VARIABLE, "other, small")
    require_acceptance(ENTRY)
    assert accepted_licences({"datasets": ENTRY})[0]["accepted_by"] == f"{ACCEPT_VARIABLE}=small"


def test_entries_without_terms_need_no_word() -> None:
    require_acceptance({"name": "free", "licence": "CC0"})
    assert accepted_licences({"datasets": {"name": "free"}, "also": {}}) == []
    assert accepted_licences({"model": "braintokenizer"}) == []


def test_no_loader_is_built_before_acceptance() -> None:
    with pytest.raises(ConfigError, match="terms to be accepted first"):
        build_dataset({**ENTRY, "loader": {"_target_": "no.such.Loader"}})
    with pytest.raises(ConfigError, match="cannot be imported"):
        build_dataset({**ENTRY, "accept_licence": "small", "loader": {"_target_": "no.such.Loader"}})


@pytest.mark.parametrize("command", ["doctor", "prepare", "train"])
def test_commands_that_load_ask_first(
    tmp_path: Path, write_taps, command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_taps(tmp_path)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "catalogue" / "datasets" / "taps.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"licence_terms": "Be kind."}))
    words = [command, "datasets=taps", "catalogue=catalogue", "paths.data=data", "preprocessing=trials"]
    assert app.main(words) == 2
    assert "ConfigError: Dataset 'taps' has terms to be accepted first: Be kind." in capsys.readouterr().err
    if command == "prepare":
        assert app.main([*words, "accept_licence=taps"]) == 0
