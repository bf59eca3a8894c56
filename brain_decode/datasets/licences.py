"""Licences that a person accepts before recordings are fetched or read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from brain_decode.core.errors import ConfigError, did_you_mean

__all__ = ["ACCEPT_VARIABLE", "ACCEPT_WORD", "acceptance", "accepted_licences", "require_acceptance"]

ACCEPT_WORD = "accept_licence"
ACCEPT_VARIABLE = "BRAIN_DECODE_ACCEPT_LICENCES"


def require_acceptance(entry: Mapping[str, Any]) -> None:
    """Refuse an entry whose `licence_terms` were not accepted by its name.

    Args:
        entry: Of the catalogue; its key `accept_licence` holds the names given on the command line.

    Raises:
        ConfigError: States the terms, the licence, where it is found, and the word to add.
    """
    if not entry.get("licence_terms") or acceptance(entry) is not None:
        return
    name = str(entry.get("name"))
    given = _names(entry.get(ACCEPT_WORD)) + _names(os.environ.get(ACCEPT_VARIABLE))
    other = f" '{', '.join(given)}' was accepted instead.{did_you_mean(given[0], [name])}" if given else ""
    raise ConfigError(
        f"Dataset '{name}' has terms to be accepted first: {str(entry['licence_terms']).rstrip('.')}. Licence: "
        f"{entry.get('licence') or 'not stated'}; source: {entry.get('source') or 'not stated'}.{other} "
        f"If you accept, add {ACCEPT_WORD}={name}, or set {ACCEPT_VARIABLE}={name}."
    )


def acceptance(entry: Mapping[str, Any]) -> str | None:
    """Return by which word the terms of an entry were accepted, None where they were not, or where there are none."""
    if not entry.get("licence_terms"):
        return None
    name = str(entry.get("name"))
    if name in _names(entry.get(ACCEPT_WORD)):
        return f"{ACCEPT_WORD}={name}"
    if name in _names(os.environ.get(ACCEPT_VARIABLE)):
        return f"{ACCEPT_VARIABLE}={name}"
    return None


def accepted_licences(config: Mapping[str, Any]) -> list[dict[str, str]]:
    """Return what was accepted for the datasets of a configuration, for its receipt.

    Args:
        config: Plain values; `datasets`, `also` and `accept_licence` are looked at where they are there.
    """
    entries = [config.get("datasets"), *(config.get("also") or {}).values()]
    found = [{**entry, ACCEPT_WORD: config.get(ACCEPT_WORD)} for entry in entries if isinstance(entry, Mapping)]
    return [
        {
            "dataset": str(entry.get("name")),
            "licence": str(entry.get("licence")),
            "terms": str(entry.get("licence_terms")),
            "accepted_by": by,
        }
        for entry in found
        if (by := acceptance(entry)) is not None
    ]


def _names(given: object) -> list[str]:
    """Return names from a list, or from a text that separates them by commas."""
    if given is None:
        return []
    parts = given.split(",") if isinstance(given, str) else [str(part) for part in given]  # type: ignore[attr-defined]
    return [part.strip() for part in parts if part.strip()]
