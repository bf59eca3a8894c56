"""Errors a user can act on: the rule, the value received, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "BrainDecodeError",
    "ConfigError",
    "DataError",
    "DownloadError",
    "LeakageError",
    "MOST_NAMED",
    "MissingExtra",
    "SpecMismatch",
    "StorageError",
    "and_more",
    "did_you_mean",
    "listed",
    "unknown_option",
]

MOST_NAMED = 8  # channels in one sentence; a volume has many thousands


class BrainDecodeError(Exception):
    """Base of every error raised on purpose; the command line prints it as one line, without a traceback."""


class ConfigError(BrainDecodeError):
    """An option, key or combination of options that cannot be used."""


class DataError(BrainDecodeError):
    """A file or an array that breaks a rule of its format."""


class DownloadError(BrainDecodeError):
    """A file that a host does not give, or gives otherwise than it should be."""


class SpecMismatch(BrainDecodeError):
    """A recording that does not fit what a model or a batch needs."""


class LeakageError(BrainDecodeError):
    """A split that would let test information into training."""


class StorageError(BrainDecodeError):
    """An output folder that is full, unwritable, or holds something else."""


class MissingExtra(BrainDecodeError):
    """A format or feature whose optional packages are not installed."""


def did_you_mean(word: str, allowed: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest allowed word, or an empty string."""
    close = difflib.get_close_matches(word, list(allowed), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown_option(kind: str, word: object, allowed: Iterable[str]) -> ConfigError:
    """Build the one sentence used wherever an option is not among the allowed ones."""
    choices = sorted(str(choice) for choice in allowed)
    listing = ", ".join(choices) if choices else "none"
    return ConfigError(f"Unknown {kind} '{word}'.{did_you_mean(str(word), choices)} Allowed: {listing}.")


def and_more(names: Sequence[str]) -> str:
    """Return " and 3 more" where there are more names than a sentence lists, else an empty string."""
    return f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""


def listed(names: Sequence[str]) -> str:
    """Return names for a sentence: the first eight, and how many more there are."""
    return ", ".join(names[:MOST_NAMED]) + and_more(names)
