"""The words of the command line, made ready for Hydra: paths quoted, dataset lists unfolded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from brain_decode.core.errors import ConfigError
from brain_decode.core.resources import group_folders

__all__ = ["catalogue_folder", "parse_override", "prepare_overrides", "quoted"]

# Words whose values are paths: taken as they are, whatever signs they hold.
_PATH_WORDS = ("out", "catalogue", "checkpoint", "input", "run", "source")
_WORD = re.compile(r"^([+~]{0,2}[\w./@$-]+)=(.*)$", re.DOTALL)
_STRUCTURED = ("[", "{", "'", '"')  # a value that begins like this means a list, a mapping or a quoted text
_LABEL_WORDS = ("subjects", "sessions", "distinct_recordings")


def prepare_overrides(words: Sequence[str], *, multirun: bool = False) -> list[str]:
    """Return the words as Hydra reads them.

    - paths and texts with spaces, signs or non-ASCII letters are quoted;
    - `datasets=[a,b]` becomes `datasets=a` and the entry `also.b`;
    - labels of `datasets.subjects=[1,02]` become strings;
    - a list, or `{}`, stands in place of what an experiment says.

    Raises:
        ConfigError: A word that is not `WORD=VALUE`, or a value that cannot be read.
    """
    prepared: list[str] = []
    for word in words:
        text = _quote_where_needed(word, multirun=multirun)
        prepared += _unfold(text, parse_override(text))
    return prepared


def parse_override(word: str) -> Override:
    """Return a word as Hydra's parsed override.

    Raises:
        ConfigError: It cannot be read.
    """
    unreadable = ConfigError(
        f"Cannot read '{word}'. Write WORD=VALUE; quote values with brackets or commas: WORD=\"'a, b'\"."
    )
    if word.startswith("="):
        raise unreadable
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException as error:
        raise unreadable from error


def catalogue_folder(overrides: Sequence[str]) -> Path | None:
    """Return the user's own catalogue folder, where `catalogue=` names one.

    Raises:
        ConfigError: The folder does not exist.
    """
    folder: Path | None = None
    for override in map(parse_override, overrides):
        if override.key_or_group == "catalogue" and override.value() is not None:
            folder = Path(str(override.value()))
    if folder is not None and not folder.is_dir():
        raise ConfigError(f"catalogue='{folder}' is not a folder. Give the folder that holds datasets/ or experiment/.")
    return folder


def quoted(text: str) -> str:
    """Return a text as one quoted Hydra value."""
    # Backslashes before a quote, and at the end, would escape it.
    escaped = re.sub(r"(\\*)('|$)", lambda match: match.group(1) * 2 + ("\\'" if match.group(2) else ""), text)
    return f"'{escaped}'"


def _quote_where_needed(word: str, *, multirun: bool) -> str:
    match = _WORD.match(word)
    if match is None:
        return word
    key, value = match.groups()
    if group_folders(key) and value.isdigit():  # Hydra takes numbers for no choice
        return f"{key}={quoted(value)}"
    if value in ("", "null") or value.startswith(_STRUCTURED):
        return word
    if _is_path_word(key):
        if multirun and "," in value:
            return word
        return f"{key}={_quoted_path(value)}"
    return word if _is_readable(word) else f"{key}={quoted(value)}"


def _is_path_word(key: str) -> bool:
    return key in _PATH_WORDS or key.startswith("paths.")


def _quoted_path(value: str) -> str:
    if "${" in value:
        return value
    return quoted(str(Path(value).expanduser()) if value.startswith("~") else value)


def _is_readable(word: str) -> bool:
    try:
        OverridesParser.create().parse_override(word)
    except HydraException:
        return False
    return True


def _unfold(word: str, override: Override) -> list[str]:
    if override.is_sweep_override():
        return [word]
    value: Any = override.value()
    if override.key_or_group == "datasets" and isinstance(value, list):
        return _unfold_datasets([str(name) for name in value])
    if override.key_or_group.rpartition(".")[2] in _LABEL_WORDS and isinstance(value, list):
        labels = ",".join(quoted(str(label)) for label in value)
        return [f"{word.partition('=')[0]}=[{labels}]"]
    if value == {} or isinstance(value, list):
        # Hydra would merge it with what an experiment says: nothing into a mapping, and no list at all.
        return [word] if word.startswith(("+", "~")) else [f"{override.key_or_group}=null", word]
    return [word]


def _unfold_datasets(names: Sequence[str]) -> list[str]:
    if not names or len(set(names)) != len(names):
        raise ConfigError(f"datasets= takes each dataset once, got [{', '.join(names)}].")
    return [f"datasets={names[0]}", *(f"+datasets@also.{name}={name}" for name in names[1:])]
