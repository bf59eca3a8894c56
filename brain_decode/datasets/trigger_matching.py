"""Which of the intended trials were recorded: triggers as an ordered part of the order of stimuli."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Disorder", "find_disorder", "match_in_order"]

_NEARBY = 200  # how far a trigger is looked for from where it should be, to tell a swap from a gap


@dataclass(frozen=True)
class Disorder:
    """The first trigger that breaks the order.

    Args:
        trigger: Its position among the triggers.
        expected: Position in the order of what should have come.
        found: Position in the order where its stimulus is instead; None where it is nowhere near.
    """

    trigger: int
    expected: int
    found: int | None


def match_in_order(order: Sequence[int] | np.ndarray, triggers: Sequence[int] | np.ndarray) -> np.ndarray | None:
    """Return the position in `order` of each trigger; None where the triggers are no ordered subsequence of it.

    Each trigger takes the first place after that of the trigger before: a place that is passed over is a trial that
    left no trigger.

    Example:
        >>> match_in_order([5, 6, 7, 6], [5, 6, 6])
        array([0, 1, 3])
    """
    intended = np.asarray(order).tolist()
    places: list[int] = []
    place = 0
    for trigger in np.asarray(triggers).tolist():
        try:
            place = intended.index(trigger, place)
        except ValueError:
            return None
        places.append(place)
        place += 1
    return np.array(places, dtype=int)


def find_disorder(order: Sequence[int] | np.ndarray, triggers: Sequence[int] | np.ndarray) -> Disorder:
    """Return where triggers that are no subsequence of an order first break it.

    A stimulus that was passed over and comes later nearby was not dropped but swapped: the first such place counts,
    since the search for a subsequence only fails much later where stimuli repeat.
    """
    intended, recorded = np.asarray(order).tolist(), np.asarray(triggers).tolist()
    place = 0
    for position, trigger in enumerate(recorded):
        if place < len(intended) and intended[place] == trigger:
            place += 1
            continue
        ahead = intended[place : place + _NEARBY]
        if trigger not in ahead:
            behind = intended[max(place - _NEARBY, 0) : place]
            found = place - 1 - behind[::-1].index(trigger) if trigger in behind else None
            return Disorder(position, place, found)
        gap = ahead.index(trigger)
        following = recorded[position + 1 : position + 1 + len(ahead)]
        if gap and _comes_late(ahead[:gap], ahead[gap + 1 :], following):
            return Disorder(position, place, place + gap)
        place += gap + 1
    return Disorder(len(recorded), place, None)


def _comes_late(passed: Sequence[int], ahead: Sequence[int], following: Sequence[int]) -> bool:
    """Return True where stimuli that were passed over follow at once, though the order does not have them there."""
    soon = following[: len(passed) + 1]
    return any(stimulus in soon and stimulus not in ahead[: len(soon)] for stimulus in passed)
