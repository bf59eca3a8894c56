"""How far lists of steps on whole recordings, and single filters, carry a sample."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from brain_decode.preprocessing.base import SignalStep
from brain_decode.signals.reach import Reach

__all__ = ["reach_of", "response_reach_s"]

_REST = 1e-3  # share of a response's absolute sum that a reach leaves out
_LONGEST_S = 3600.0  # a response that rings for longer reaches everywhere


def reach_of(pipelines: Iterable[Sequence[SignalStep]], rates_hz: Iterable[float]) -> Reach:
    """Return the furthest reach of any of these lists of steps at any of these rates.

    Reaches of steps that follow each other add up; a step after a resampling runs at the new rate.
    """
    seconds, unbounded, rates = 0.0, {}, sorted(set(rates_hz))
    for steps in pipelines:
        for rate_hz in rates:
            total = 0.0
            for step in steps:
                own = step.reach_s(rate_hz)
                rate_hz = step.rate_after_hz(rate_hz)
                if math.isinf(own):
                    unbounded[f"step '{step.name}' {step.uses_everything}"] = True
                else:
                    total += own
            seconds = max(seconds, total)
    return Reach(seconds, tuple(unbounded))


def response_reach_s(respond: Callable[[np.ndarray], np.ndarray], rate_hz: float) -> float:
    """Return the seconds after which the absolute sum of a causal impulse response has less than a thousandth left.

    An input of any shape then moves a later output by less than a thousandth of what it can move any output.

    Args:
        respond: Filters a one-dimensional signal.
        rate_hz: Samples per second.
    """
    n_times = max(round(rate_hz), 16)
    while True:
        impulse = np.zeros(n_times)
        impulse[0] = 1.0
        rest = np.cumsum(np.abs(respond(impulse))[::-1])[::-1]
        last = int(np.flatnonzero(rest > _REST * rest[0])[-1]) + 1
        if last <= n_times // 2:  # what comes after half of the time is known to be little
            return last / rate_hz
        if n_times > _LONGEST_S * rate_hz:
            return math.inf
        n_times *= 2
