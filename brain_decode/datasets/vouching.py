"""Recordings a person vouches for: no copies of each other, although their fingerprints agree."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from brain_decode.core.errors import ConfigError, did_you_mean, listed
from brain_decode.datasets.fingerprint import Match

__all__ = ["NOBODY", "VOUCH_WORD", "Vouched", "how_to_vouch", "vouched_for"]

VOUCH_WORD = "distinct_recordings"
_NEEDS_NO_QUOTES = re.compile(r"[A-Za-z][\w./-]*( [A-Za-z][\w./-]*)*")


@dataclass(frozen=True)
class Vouched:
    """Recordings of which a person says that no two are copies.

    Args:
        names: As `SeenRecording.name` has them.
    """

    names: frozenset[str] = frozenset()

    def covers(self, first: str, second: str, match: Match) -> bool:
        """Return whether the match of two recordings is vouched for; exact copies of trials never are."""
        return not match.is_exact and {first, second} <= self.names


NOBODY = Vouched()


def vouched_for(words: Any, known: Iterable[str]) -> Vouched:
    """Return the recordings that `distinct_recordings=` names.

    Args:
        words: What the setting holds; None where it is not set. The dataset may be left out where one has the label.
        known: Names of all recordings of the run, and of those its weights remember.

    Raises:
        ConfigError: No list, a name that no recording has, or that several have.
    """
    if words is None:
        return NOBODY
    if isinstance(words, str) or not isinstance(words, Iterable):
        raise ConfigError(f"{VOUCH_WORD} is a list of recordings, got '{words}'. Write {VOUCH_WORD}=[{words},OTHER].")
    names = sorted(set(known))
    return Vouched(frozenset(_named(str(word), names) for word in words))


def _named(word: str, names: list[str]) -> str:
    if word in names:
        return word
    found = [name for name in names if name.endswith(f" {word}")]
    if len(found) > 1:
        raise ConfigError(f"{VOUCH_WORD} names '{word}', which could be {listed(found)}. Write the dataset before it.")
    if not found:
        raise ConfigError(
            f"{VOUCH_WORD} names '{word}', and there is no such recording.{did_you_mean(word, names)} There are "
            f"{listed(names)}. Write names as the refusal prints them."
        )
    return found[0]


def how_to_vouch(first: str, second: str, match: Match) -> str:
    """Return what to type where two recordings are no copies, as the end of a message."""
    if match.is_exact:
        return ""
    names = [name if _NEEDS_NO_QUOTES.fullmatch(name) else f'"{name}"' for name in sorted({first, second})]
    word = shlex.quote(f"{VOUCH_WORD}=[{','.join(names)}]")
    return f" If each was recorded by itself, vouch for them: {word}"
