"""A number that cannot be given, with the reason that stands in its place."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Unavailable"]


@dataclass(frozen=True)
class Unavailable:
    """Stands where an interval or a p-value would not hold what it promises.

    Args:
        reason: A clause for the report, which says why and, where there is one, the remedy.
        is_confounded: The design cannot tell the labels from something that goes with them.
    """

    reason: str
    is_confounded: bool = False
