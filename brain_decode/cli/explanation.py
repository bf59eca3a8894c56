"""Why a command line was refused, in one sentence with the closest word that would do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from brain_decode.cli.overrides import parse_override
from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.core.resources import catalogue_root, group_folders

__all__ = ["choices_of", "example_of", "explain_words", "one_line"]

_EXAMPLES = {
    "checkpoint": "checkpoint=runs/train/<run>/checkpoint",
    "input": "input=recording.vhdr",
    "datasets": "datasets=eeg_muse_n170",
    "paths.data": "paths.data=DIR",
    "run": "run=runs/train/<run>",
}


def example_of(word: str) -> str:
    """Return how a word that is missing would be written."""
    return _EXAMPLES.get(word, f"{word}=VALUE")


def one_line(error: BaseException) -> str:
    """Return the message of an error without line breaks."""
    return " ".join(str(error).split())


def explain_words(
    config_name: str,
    overrides: Sequence[str],
    catalogue: Path | None,
    compose_choices: Callable[[Sequence[str]], DictConfig],
) -> None:
    """Raise for the first word that cannot be used; return where every word is known.

    Args:
        config_name: Primary configuration of the command.
        overrides: Prepared overrides.
        catalogue: The user's own catalogue folder.
        compose_choices: Composes the configuration from choices alone, to know its keys.

    Raises:
        ConfigError: Names the word and the closest one that would do.
    """
    parsed = [parse_override(word) for word in overrides]
    for override in parsed:
        if _is_choice(override, catalogue):
            _require_choice(config_name, override, catalogue)
    _require_given(config_name, parsed, catalogue)
    choices = [o.input_line for o in parsed if o.input_line and _is_choice(o, catalogue) and not o.is_sweep_override()]
    try:
        config = compose_choices(choices)
    except (HydraException, OmegaConfBaseException):
        return
    for override in parsed:
        is_addition = override.is_add() or override.is_force_add() or override.key_or_group.startswith("hydra")
        if not is_addition and not _is_choice(override, catalogue):
            _require_key(config, override.key_or_group, choices_of(config_name))


def choices_of(config_name: str) -> list[str]:
    """Return the groups of a primary configuration and of those it builds on."""
    found: set[str] = set()
    for entry in _defaults(config_name):
        if isinstance(entry, dict):
            found |= {str(name).removeprefix("override ").lstrip("/") for name in entry}
        elif entry != "_self_":
            found |= set(choices_of(entry))
    return sorted(found)


def _require_choice(config_name: str, override: Override, catalogue: Path | None) -> None:
    name = override.key_or_group
    if not override.is_add() and name not in choices_of(config_name):
        raise ConfigError(f"'{config_name}' has no choice {name}=. It has: {', '.join(choices_of(config_name))}.")
    options = _options(name, catalogue)
    for value in _values(override):
        if value is not None and str(value) not in options:
            raise unknown_option(name, value, options)


def _require_given(config_name: str, overrides: Sequence[Override], catalogue: Path | None) -> None:
    given = {override.key_or_group for override in overrides}
    for entry in _defaults(config_name):
        for group in [name for name, value in entry.items() if value == "???"] if isinstance(entry, dict) else []:
            if group not in given:
                options = ", ".join(_options(group, catalogue)) or "none"
                raise ConfigError(f"'{group}' must be given. Add {example_of(group)}. There are: {options}.")


def _require_key(config: DictConfig, key: str, choices: Sequence[str]) -> None:
    node: Any = config
    walked: list[str] = []
    for part in key.split("."):
        allowed = [str(name) for name in node] if isinstance(node, DictConfig) and not node._is_none() else []
        if part not in allowed:
            kind = f"setting of '{'.'.join(walked)}'" if walked else "word"
            raise unknown_option(kind, part, allowed if walked else {*allowed, *choices})
        node = node._get_node(part)
        walked.append(part)


def _is_choice(override: Override, catalogue: Path | None) -> bool:
    name = override.key_or_group
    return not override.is_delete() and "." not in name and "/" not in name and bool(group_folders(name, catalogue))


def _options(group: str, catalogue: Path | None) -> list[str]:
    return sorted({path.stem for folder in group_folders(group, catalogue) for path in folder.glob("*.yaml")})


def _values(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return list(override.sweep_iterator())
    value = override.value()
    return value if isinstance(value, list) else [value]


def _defaults(config_name: str) -> list[Any]:
    path = catalogue_root() / "conf" / f"{config_name}.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return list(content.get("defaults") or [])
