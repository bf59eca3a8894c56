"""Which labels a design allows to be exchanged: the null hypothesis of every permutation test.

Labels are exchanged within the units that would have been labelled alike had there been nothing to decode: trials of a
run, whole stimuli where a stimulus has one label and is shown again, whole blocks or rotations where labels come in
blocks, whole runs or subjects where these have one label each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import lgamma, log

import numpy as np
import pandas as pd

from brain_decode.datasets.splits import text_column, trial_order, unit_codes
from brain_decode.evaluation.unavailable import Unavailable

__all__ = ["LEAST_ARRANGEMENTS", "Exchange", "label_exchange", "persistent_blocks"]

LEAST_ARRANGEMENTS = 20  # fewer cannot give p = 0.05
_ENOUGH_ARRANGEMENTS = 200  # these can give p = 0.005
_PERSISTENT = 0.01  # level of the test for labels in blocks
_N_ORDERS = 999  # random orders that the observed one is compared with
_STRETCHES = 10  # of a run whose values drift
_LEAST_STRETCHES = 5  # of equal labels in a run, from which on rotations hold the level
_COUNTED = 30.0  # logarithm of a number of labellings above which it is not counted
_CHUNK = 4_000_000  # numbers held at once


@dataclass(frozen=True, eq=False)
class Exchange:
    """Rearrangements of the labels that are as likely as the observed one when there is nothing to decode.

    Args:
        method: In words, such as "trials within runs".
        units: (n,) unit of each window; the windows of a unit keep one label.
        first: (n_units,) a window of each unit.
        pools: (n_units,) units are exchanged within their pool only; units of a pool are in order of time.
        rotates: Labels of a pool are rotated in time instead of dealt out anew.
        n_arrangements: How many different labellings there are; infinite where they are beyond counting.
    """

    method: str
    units: np.ndarray
    first: np.ndarray
    pools: np.ndarray
    rotates: bool
    n_arrangements: float

    def positions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return (count, n) for each window the window whose label it gets."""
        source = np.tile(np.arange(len(self.first)), (count, 1))
        order = np.argsort(self.pools, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(self.pools[order])) + 1):
            if self.rotates:
                shift = rng.integers(len(members), size=(count, 1))
                source[:, members] = members[(np.arange(len(members)) + shift) % len(members)]
            elif len(members) > 1:
                source[:, members] = rng.permuted(np.tile(members, (count, 1)), axis=1)
        return self.first[source][:, self.units]

    def batches(self, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield `positions` of `count` rearrangements, as many at once as 32 MB hold."""
        at_once = max(_CHUNK // max(len(self.units), 1), 1)
        for start in range(0, count, at_once):
            yield self.positions(min(at_once, count - start), rng)


def label_exchange(table: pd.DataFrame, labels: np.ndarray) -> Exchange | Unavailable:
    """Return how the labels of windows may be exchanged, or why no exchange would be a valid null.

    Args:
        table: Window table: every window of the recordings that are scored, rejected ones included.
        labels: (n,) class or value of each window.
    """
    trials = _Trials.of(table, labels)
    if len(np.unique(trials.codes)) < 2:
        return Unavailable("all windows have one label")
    options = _options(table, trials)
    if not options:
        return Unavailable(
            f"labels come in {len(trials.stretches)} stretches of uneven length over "
            f"{len(np.unique(trials.runs))} runs, too few to be dealt out or rotated"
        )
    enough = [option for option in options if option.n_arrangements >= _ENOUGH_ARRANGEMENTS]
    best = enough[0] if enough else max(options, key=lambda option: option.n_arrangements)
    if best.n_arrangements < LEAST_ARRANGEMENTS:
        return Unavailable(
            f"the design allows only {best.n_arrangements:.0f} labellings ({best.method}); it takes "
            f"{LEAST_ARRANGEMENTS} for p = 0.05"
        )
    return best


def persistent_blocks(table: pd.DataFrame, labels: np.ndarray) -> np.ndarray | None:
    """Return (n,) the stretch of equal labels each window lies in, where labels come in blocks; None elsewhere.

    Of values that drift, a stretch is a tenth of a run.
    """
    trials = _Trials.of(table, labels)
    if not trials.are_persistent:
        return None
    starts = np.diff(trials.runs, prepend=-1) != 0
    if trials.are_values:
        stretch = trials.runs * _STRETCHES + trials.place_in_run * _STRETCHES // trials.run_sizes
        return np.unique(stretch, return_inverse=True)[1][trials.of_row]
    starts |= np.diff(trials.codes, prepend=-1) != 0
    return (np.cumsum(starts) - 1)[trials.of_row]


@dataclass(frozen=True, eq=False)
class _Trials:
    """Trials in order of run and time: (n_trials,) arrays, and the trial of each window."""

    of_row: np.ndarray
    first: np.ndarray  # a window of each trial
    runs: np.ndarray
    codes: np.ndarray  # label, as an integer
    are_values: bool

    @classmethod
    def of(cls, table: pd.DataFrame, labels: np.ndarray) -> _Trials:
        runs = unit_codes(table, "run")[0]
        trial, place = _places(table, runs)
        order = np.lexsort((np.arange(len(table)), place, runs))
        first = order[np.unique(trial[order], return_index=True)[1]]
        first = first[np.lexsort((place[first], runs[first]))]
        rank = np.empty(int(trial.max()) + 1, dtype=int)
        rank[trial[first]] = np.arange(len(first))
        are_values = np.issubdtype(np.asarray(labels).dtype, np.floating)
        codes = np.unique(labels if are_values else np.asarray(labels).astype(str), return_inverse=True)[1]
        return cls(rank[trial], first, runs[first], codes[first], are_values)

    @property
    def run_sizes(self) -> np.ndarray:
        """(n_trials,) trials of the run of each."""
        return np.bincount(self.runs)[self.runs]

    @property
    def place_in_run(self) -> np.ndarray:
        """(n_trials,) place of each in its run, from 0."""
        return np.arange(len(self.runs)) - np.searchsorted(self.runs, self.runs)

    @cached_property
    def stretches(self) -> np.ndarray:
        """Trials of each stretch of equal labels (of values: on one side of their median), run after run."""
        codes = self.codes > np.median(self.codes) if self.are_values else self.codes
        changes = (np.diff(self.runs, prepend=-1) != 0) | (np.diff(codes.astype(int), prepend=-1) != 0)
        return np.diff(np.append(np.flatnonzero(changes), len(codes)))

    @cached_property
    def are_persistent(self) -> bool:
        """Whether labels follow their like more often than in random order within runs (p <= 0.01)."""
        within = np.flatnonzero(np.diff(self.runs) == 0)
        if not len(within):
            return False
        free = Exchange("", np.arange(len(self.codes)), np.arange(len(self.codes)), self.runs, False, np.inf)
        observed = self._alike(self.codes[None], within)[0]
        random = [
            self._alike(self.codes[positions], within)
            for positions in free.batches(_N_ORDERS, np.random.default_rng(0))
        ]
        return bool((1 + (np.concatenate(random) >= observed).sum()) / (1 + _N_ORDERS) <= _PERSISTENT)

    def _alike(self, codes: np.ndarray, within: np.ndarray) -> np.ndarray:
        """Return (n_orders,) how alike neighbours are: how often equal, or the product of centred ranks."""
        first, second = codes[:, within], codes[:, within + 1]
        if not self.are_values:
            return (first == second).sum(axis=1)
        centre = self.codes.mean()
        return ((first - centre) * (second - centre)).sum(axis=1)


def _places(table: pd.DataFrame, runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the trial of each window and its place in time; rows are trials in order where the table has no times."""
    if {"recording", "event", "onset_s", "start_s"} <= set(table.columns):
        trial, place, _ = trial_order(table)
        # Recordings of one run follow each other.
        return trial, place + table["recording"].to_numpy(dtype=int) * (int(place.max()) + 1)
    return np.arange(len(table)), np.arange(len(table))


def _options(table: pd.DataFrame, trials: _Trials) -> list[Exchange]:
    """Return the exchanges that respect the design, the one that leaves most arrangements of the signal first."""
    if trials.are_persistent:
        return [*_blocks(trials), *_rotations(trials)]
    if _are_constant(trials.codes, trials.runs):
        subjects = unit_codes(table, "subject")[0][trials.first]
        if _are_constant(trials.codes, subjects):
            return [_exchange("whole subjects", trials, subjects, np.zeros_like(subjects))]
        return [_exchange("whole runs within subjects", trials, trials.runs, subjects)]
    stimuli = _stimuli(table, trials)
    if stimuli is not None:
        places = {
            "in the same runs": trials.runs,
            "to the same subjects": unit_codes(table, "subject")[0][trials.first],
        }
        return [
            _exchange(f"whole stimuli shown {where}", trials, stimuli, _company(stimuli, codes))
            for where, codes in places.items()
        ]
    return [_exchange("trials within runs", trials, np.arange(len(trials.runs)), trials.runs)]


def _blocks(trials: _Trials) -> list[Exchange]:
    """Return the exchange of blocks of one length, where all stretches of equal labels are multiples of it."""
    length = int(np.gcd.reduce(trials.stretches)) if not trials.are_values else 1
    if length < 2:
        return []
    blocks = np.unique(trials.runs * len(trials.runs) + trials.place_in_run // length, return_inverse=True)[1]
    return [_exchange("whole blocks of trials within runs", trials, blocks, trials.runs)]


def _rotations(trials: _Trials) -> list[Exchange]:
    """Return the rotation of labels in time, where runs hold enough stretches that joining their ends adds few more."""
    if len(trials.stretches) < _LEAST_STRETCHES * len(np.unique(trials.runs)):
        return []
    return [_exchange("rotations of the labels within runs", trials, np.arange(len(trials.runs)), trials.runs, True)]


def _stimuli(table: pd.DataFrame, trials: _Trials) -> np.ndarray | None:
    """Return the stimulus of each trial where several stimuli share each label and are shown again."""
    names = text_column(table, "stimulus")[trials.first]
    if (names == "").any():
        return None
    codes = np.unique(names.astype(str), return_inverse=True)[1]
    n_stimuli, n_labels = int(codes.max()) + 1, len(np.unique(trials.codes))
    if n_stimuli == len(codes) or n_stimuli < 2 * n_labels or not _are_constant(trials.codes, codes):
        return None
    return codes


def _company(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (n_trials,) a code of the set of places that the unit of each trial occurs in."""
    seen = pd.DataFrame({"unit": units, "place": places}).drop_duplicates().sort_values(["unit", "place"])
    company = seen.groupby("unit")["place"].agg(tuple)
    return np.asarray(pd.factorize(company)[0])[units]


def _are_constant(codes: np.ndarray, units: np.ndarray) -> bool:
    return bool((pd.Series(codes).groupby(units).nunique() == 1).all())


def _exchange(method: str, trials: _Trials, units: np.ndarray, pools: np.ndarray, rotates: bool = False) -> Exchange:
    """Return the exchange of units of trials, given the unit and the pool of each trial."""
    units = np.unique(units, return_inverse=True)[1]
    first = np.unique(units, return_index=True)[1]
    count = _log_rotations if rotates else _log_orders
    logarithm = sum(count(trials.codes[first][pools[first] == pool]) for pool in np.unique(pools))
    n_arrangements = np.inf if logarithm > _COUNTED else float(np.round(np.exp(logarithm)))
    return Exchange(method, units[trials.of_row], trials.first[first], pools[first], rotates, n_arrangements)


def _log_orders(codes: np.ndarray) -> float:
    return lgamma(len(codes) + 1) - sum(lgamma(count + 1) for count in np.bincount(codes))


def _log_rotations(codes: np.ndarray) -> float:
    """Return the logarithm of the period of a sequence: how many of its rotations differ."""
    n = len(codes)
    periods = (period for period in range(1, n + 1) if n % period == 0)
    return log(next(period for period in periods if np.array_equal(np.roll(codes, period), codes)))
