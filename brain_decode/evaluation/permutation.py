"""Permutation p-values: drawn one after the other until the answer is clear, and reported with how they were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from brain_decode.core.errors import ConfigError
from brain_decode.evaluation.unavailable import Unavailable

__all__ = ["ENOUGH", "PermutationTest", "PermutationValue", "p_entry", "p_value_of"]

ENOUGH = 10  # null values at least as large as the observed one that settle a test
_TIE = 1e-12  # null values this close count as equal


@dataclass
class PermutationTest:
    """Counts null values at least as large as the observed one, and stops at `ENOUGH` of them.

    Stopped early, p is `ENOUGH` over the number drawn; else (1 + count) / (1 + drawn). Either keeps its level.

    Args:
        observed: The score.
        n_most: Permutations at most.

    Source: Besag and Clifford 1991 (sequential Monte Carlo p-values); Phipson and Smyth 2010 (the added one).
    """

    observed: float
    n_most: int
    n_drawn: int = field(default=0, init=False)
    n_reached: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if self.n_most < 1:
            raise ConfigError(f"A permutation test draws at least 1 permutation, got {self.n_most}.")

    @property
    def is_decided(self) -> bool:
        """Whether more draws would change nothing."""
        return self.n_reached >= ENOUGH or self.n_drawn >= self.n_most

    def add(self, values: np.ndarray) -> None:
        """Take null values in the order they were drawn; those after the stop are not looked at.

        A value that is not a number, of labels that could not be fitted, counts as large.
        """
        values = np.asarray(values, dtype=float)[: self.n_most - self.n_drawn]
        if self.is_decided or not len(values):
            return
        reached = self.n_reached + np.cumsum(_reach(values, self.observed))
        stop = int(np.argmax(reached >= ENOUGH)) + 1 if reached[-1] >= ENOUGH else len(values)
        self.n_drawn, self.n_reached = self.n_drawn + stop, int(reached[stop - 1])

    @property
    def p(self) -> float:
        """The p-value of what was drawn so far."""
        if self.n_reached >= ENOUGH:
            return self.n_reached / self.n_drawn
        return (1 + self.n_reached) / (1 + self.n_drawn)


@dataclass(frozen=True)
class PermutationValue:
    """A p-value and how it was made.

    Args:
        p: One-sided.
        method: What was permuted, and whether the decoder was fitted again.
        n_permutations: How many were drawn.
        smallest: The smallest p that was possible.
    """

    p: float
    method: str
    n_permutations: int
    smallest: float

    @classmethod
    def of(cls, test: PermutationTest, method: str, n_arrangements: float = np.inf) -> PermutationValue:
        """Return the value of a finished test; `n_arrangements` labellings differ."""
        return cls(test.p, method, test.n_drawn, max(1 / (1 + test.n_most), 1 / n_arrangements))


def p_entry(value: PermutationValue | Unavailable | None) -> dict[str, object]:
    """Return the keys of a score that say what p is, or why there is none; None: no p was asked for."""
    if isinstance(value, PermutationValue):
        return {
            "p_permutation": value.p,
            "p_method": value.method,
            "n_permutations": value.n_permutations,
            "p_smallest": value.smallest,
        }
    if value is None:
        return {"p_permutation": None}
    confounded = {"confounded": True} if value.is_confounded else {}
    return {"p_permutation": None, "p_reason": value.reason, **confounded}


def p_value_of(
    observed: float, null: Sequence[float] | np.ndarray, method: str, n_arrangements: float
) -> PermutationValue:
    """Return the p-value of a score against null values that are all there."""
    n_drawn = len(null)
    p = (1 + int(_reach(np.asarray(null, dtype=float), observed).sum())) / (1 + n_drawn)
    return PermutationValue(p, method, n_drawn, max(1 / (1 + n_drawn), 1 / n_arrangements))


def _reach(null: np.ndarray, observed: float) -> np.ndarray:
    """Return which null values are at least as large; one that is not a number counts as large."""
    return ~(null < observed - _TIE)
