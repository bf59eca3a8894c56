"""Which labels a design allows to be exchanged: the null hypothesis of every permutation test.

Labels are exchanged within the units that would have been labelled alike had there been nothing to decode: trials of a
run, whole stimuli where a stimulus has one label and is shown again, whole blocks or rotations where labels come in
blocks, whole runs or subjects where these have one label each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from math import lgamma, log
from types import MappingProxyType

import numpy as np
import pandas as pd

from brain_decode.datasets.splits import text_column, unit_codes
from brain_decode.evaluation.label_sequences import LabelSequences, order_statistics
from brain_decode.evaluation.unavailable import Unavailable

__all__ = ["LEAST_ARRANGEMENTS", "Exchange", "Rotation", "RunSwap", "label_exchange", "persistent_blocks"]

LEAST_ARRANGEMENTS = 20  # fewer cannot give p = 0.05
_ENOUGH_ARRANGEMENTS = 200  # these can give p = 0.005
_N_ORDERS = 499  # random orders that the observed one is compared with
# How rarely a random order may look so before it is not taken for one. Runs and sessions are few, and their labels are
# rarely dealt out: most often each subject has the same order.
_RARE = {"persistence": 0.01, "trend": 0.02, "coincidence": 0.07}
_RARE_OF_WHOLES = {"persistence": 0.05, "trend": 0.05, "coincidence": 0.07}
# Where there are so many ways to exchange whole sequences between runs: doing that costs little, and keeps trends.
_RARE_TREND = {_ENOUGH_ARRANGEMENTS: 0.15, LEAST_ARRANGEMENTS: 0.05}
_STRETCHES = 10  # of a run whose values drift
_LEAST_STRETCHES = 5  # of equal labels in a run, from which on rotations hold the level
_COUNTED = 30.0  # logarithm of a number of labellings above which it is not counted
_CHUNK = 4_000_000  # numbers held at once
_LABELLED = 0.9  # of the showings of stimuli with one label: the others are slips
_ALIKE = ", alike in all of one order"


@dataclass(frozen=True, eq=False)
class Exchange:
    """Rearrangements of the labels that are as likely as the observed one when there is nothing to decode.

    Args:
        method: In words, such as "trials within runs".
        units: (n,) unit of each window; the windows of a unit keep one label.
        first: (n_units,) a window of each unit.
        pools: (n_units,) units are exchanged within their pool only; units of a pool are in order of time.
        n_arrangements: How many different labellings there are; infinite where they are beyond counting.
    """

    method: str
    units: np.ndarray
    first: np.ndarray
    pools: np.ndarray
    n_arrangements: float

    def positions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return (count, n) for each window the window whose label it gets."""
        source = np.tile(np.arange(len(self.first)), (count, 1))
        order = np.argsort(self.pools, kind="stable")
        for members in np.split(order, np.flatnonzero(np.diff(self.pools[order])) + 1):
            source[:, members] = self._sources(members, count, rng)
        return self.first[source][:, self.units]

    def batches(self, count: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
        """Yield `positions` of `count` rearrangements, as many at once as 32 MB hold."""
        at_once = max(_CHUNK // max(len(self.units), 1), 1)
        for start in range(0, count, at_once):
            yield self.positions(min(at_once, count - start), rng)

    def _sources(self, members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        """Return (count, n_members) of which member of a pool each gets the label."""
        return rng.permuted(np.tile(members, (count, 1)), axis=1)


class Rotation(Exchange):
    """Labels of a pool are rotated in time instead of dealt out anew."""

    def _sources(self, members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        shift = rng.integers(len(members), size=(count, 1))
        return members[(np.arange(len(members)) + shift) % len(members)]


@dataclass(frozen=True, eq=False)
class RunSwap(Exchange):
    """Runs of a pool get each other's whole sequences of labels.

    Args:
        runs: (n_units,) run of each unit; the runs of a pool are equally long.
    """

    runs: np.ndarray

    def _sources(self, members: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
        of_run = members.reshape(len(np.unique(self.runs[members])), -1)
        swapped = rng.permuted(np.tile(np.arange(len(of_run)), (count, 1)), axis=1)
        return of_run[swapped].reshape(count, -1)


def label_exchange(table: pd.DataFrame, labels: np.ndarray) -> Exchange | Unavailable:
    """Return how the labels of windows may be exchanged, or why no exchange would be a valid null.

    What was labelled at once (a stimulus, a run, a session, a subject, a dataset) is exchanged as a whole. An exchange
    is taken only where the observed order of labels looks like one of its own.

    Args:
        table: Window table: every window of the recordings that are scored, rejected ones included.
        labels: (n,) class or value of each window.
    """
    design = _Design(LabelSequences.of(table, labels), "trials", "runs")
    if len(np.unique(design.sequences.codes)) < 2:
        return Unavailable("all windows have one label")
    if design.sequences.are_constant_in(design.sequences.runs):
        design = _of_wholes(table, design.sequences)
        if not design.is_ordered:
            return _enough([design.exchange()], design, set())
    design = design.dealt_out_once()
    stimuli = None if design.are_wholes else _stimuli(table, design)
    if isinstance(stimuli, Unavailable):
        return stimuli
    if stimuli is not None:
        return _of_stimuli(table, design, stimuli)
    odd = design.oddities
    if odd:
        kept = _persistent(design, odd)
        does = any(option.n_arrangements >= LEAST_ARRANGEMENTS for option in kept)
        return _enough(kept if does else [*kept, *design.run_swaps()], design, odd)
    return _enough([design.exchange()], design, odd)


def persistent_blocks(table: pd.DataFrame, labels: np.ndarray) -> np.ndarray | None:
    """Return (n,) the stretch of equal labels each window lies in, where labels come in blocks; None elsewhere.

    Of values that drift, a stretch is a tenth of a run.
    """
    trials = LabelSequences.of(table, labels)
    if "persistence" not in _Design(trials, "trials", "runs").dealt_out_once().oddities:
        return None
    starts = np.diff(trials.runs, prepend=-1) != 0
    if trials.are_values:
        stretch = trials.runs * _STRETCHES + trials.place_in_run * _STRETCHES // trials.run_sizes
        return np.unique(stretch, return_inverse=True)[1][trials.of_row]
    starts |= np.diff(trials.codes, prepend=-1) != 0
    return (np.cumsum(starts) - 1)[trials.of_row]


@dataclass(frozen=True, eq=False)
class _Design:
    """What was labelled in which order, and what an exchange of it is called."""

    sequences: LabelSequences
    what: str
    where: str
    are_wholes: bool = False
    is_ordered: bool = True  # numbers of subjects and datasets are no times
    is_shared: bool = False

    @property
    def method(self) -> str:
        """What is exchanged, and where."""
        return f"{self.what} within {self.where}" + _ALIKE * self.is_shared if self.where else self.what

    @cached_property
    def oddities(self) -> set[str]:
        """What the order of the labels has more of than its free exchange gives."""
        odd = self.oddities_in(self.exchange_of_trials(), self._rare)
        return odd | {"persistence"} if self.are_wholes and self._is_sorted() else odd

    def oddities_in(self, exchange: Exchange, rare: Mapping[str, float] = MappingProxyType(_RARE)) -> set[str]:
        """Return what the order of the labels has more of than an exchange of trials gives as rarely as that."""
        sequences = self.sequences
        draws = exchange.batches(_N_ORDERS, np.random.default_rng(0))
        drawn = [order_statistics(sequences, sequences.codes[positions]) for positions in draws]
        observed = order_statistics(sequences, sequences.codes[None])
        tails = {
            name: _tail(values[0], np.concatenate([part[name] for part in drawn]), is_two_sided=name == "trend")
            for name, values in observed.items()
        }
        return {name for name, level in rare.items() if tails[name] <= level}

    @cached_property
    def _rare(self) -> dict[str, float]:
        if self.are_wholes:
            return _RARE_OF_WHOLES
        n_swaps = max((swap.n_arrangements for swap in self.run_swaps()), default=0)
        trend = next((level for least, level in _RARE_TREND.items() if n_swaps >= least), _RARE["trend"])
        return _RARE | {"trend": trend}

    def dealt_out_once(self) -> _Design:
        """Return the design in which runs of one order count once, where chance would not make so many of them.

        Labels in blocks have few orders, which is no reason: these stay as they are.
        """
        if "coincidence" not in self.oddities:
            return self
        shared = self.shared()
        return self if "persistence" in self.oddities & shared.oddities else shared

    def shared(self) -> _Design:
        """Return the design in which runs of one order count once."""
        return replace(self, sequences=self.sequences.alike(), is_shared=True)

    def exchange_of_trials(self) -> Exchange:
        """Return the free exchange within each sequence, of trials instead of windows."""
        runs = self.sequences.runs
        trials = np.arange(len(runs))
        count = _count_in_pools(_log_orders, self.sequences.codes, runs)
        return Exchange(self.method, trials, trials, runs, count)

    def of_windows(self, exchange: Exchange) -> Exchange:
        """Return an exchange of trials as one of their windows."""
        units, first = exchange.units[self.sequences.of_row], self.sequences.first[exchange.first]
        return replace(exchange, units=units, first=first)

    def exchange(self) -> Exchange:
        """Return the free exchange within each sequence."""
        return self.of_windows(self.exchange_of_trials())

    def blocks(self) -> _Design | None:
        """Return the design of blocks of one length, where all stretches of equal labels are multiples of it."""
        sequences = self.sequences
        length = int(np.gcd.reduce(sequences.stretches)) if not sequences.are_values else 1
        if length < 2:
            return None
        blocks = sequences.runs * len(sequences.runs) + sequences.place_in_run // length
        joined = sequences.joined(np.unique(blocks, return_inverse=True)[1], sequences.runs)
        return replace(self, sequences=joined, what=f"whole blocks of {self.what}").dealt_out_once()

    def rotations(self) -> list[Exchange]:
        """Return the rotation of labels in time, where runs hold enough stretches that joining their ends adds few.

        A rotation knows no trend: labels that have one are not rotated.
        """
        runs, codes = self.sequences.runs, self.sequences.codes
        if self.sequences.n_stretches < _LEAST_STRETCHES * len(np.unique(runs)):
            return []
        count = _count_in_pools(_log_rotations, codes, runs)
        method = f"rotations of the labels within {self.where}" + _ALIKE * self.is_shared
        trials = np.arange(len(runs))
        rotation = Rotation(method, trials, trials, runs, count)
        odd = self.oddities_in(rotation, self._rare)
        if "coincidence" in odd and not self.is_shared:
            return self.shared().rotations()
        return [] if "trend" in odd else [self.of_windows(rotation)]

    def run_swaps(self) -> list[Exchange]:
        """Return the exchange of whole sequences of labels between equally long runs: what all of them have is kept."""
        sequences, trials = self.sequences, np.arange(len(self.sequences.runs))
        count = 0.0
        for size in np.unique(sequences.run_sizes):
            orders = sequences.codes[sequences.run_sizes == size].reshape(-1, size)
            count += _log_orders(np.unique(orders, axis=0, return_inverse=True)[1].ravel())
        method = f"whole sequences of labels between {self.where}"
        swap = RunSwap(method, trials, trials, sequences.run_sizes, _counted(count), sequences.runs)
        return [self.of_windows(swap)] if count else []

    def _is_sorted(self) -> bool:
        """Return whether each label comes in one stretch in each sequence, where there could be more."""
        n_labels = int(pd.Series(self.sequences.codes).groupby(self.sequences.runs).nunique().sum())
        return len(self.sequences.stretches) == n_labels < len(self.sequences.codes)


def _of_wholes(table: pd.DataFrame, trials: LabelSequences) -> _Design:
    """Return the design of the largest units that have one label each."""
    codes = {level: _codes_in_time(table, level)[trials.first] for level in ("dataset", "subject", "session", "run")}
    counts = {level: len(np.unique(units)) for level, units in codes.items()}
    level = next(level for level, units in codes.items() if trials.are_constant_in(units))
    where = {"dataset": "", "subject": "dataset", "session": "subject", "run": "session"}[level]
    if where == "dataset" and counts["dataset"] == 1:
        where = ""
    if where == "session" and counts["session"] == counts["subject"]:
        where = "subject"  # of one session each: the name people know it by
    parents = codes[where] if where else np.zeros_like(codes[level])
    is_ordered = level in ("session", "run")
    joined = trials.joined(codes[level], parents)
    return _Design(joined, f"whole {level}s", where and f"{where}s", are_wholes=True, is_ordered=is_ordered)


def _codes_in_time(table: pd.DataFrame, level: str) -> np.ndarray:
    """Return the unit of each window, numbered so that run 2 comes before run 10."""
    codes, names = unit_codes(table, level)
    order = sorted(range(len(names)), key=lambda unit: [part.zfill(12) for part in re.split(r"(\d+)", names[unit])])
    return np.argsort(order)[codes]


def _persistent(design: _Design, odd: set[str]) -> list[Exchange]:
    """Return the exchanges that keep labels beside their like."""
    if "persistence" not in odd:
        return []
    blocks = design.blocks()
    whole = [blocks.exchange()] if blocks is not None and not blocks.oddities else []
    return whole + design.rotations()


def _enough(options: Sequence[Exchange], design: _Design, odd: set[str]) -> Exchange | Unavailable:
    """Return the first exchange with enough labellings, else the one with most, or why there is none."""
    if not options:
        return Unavailable(_why_none(design, odd), is_confounded=True)
    enough = [option for option in options if option.n_arrangements >= _ENOUGH_ARRANGEMENTS]
    best = enough[0] if enough else max(options, key=lambda option: option.n_arrangements)
    if best.n_arrangements < LEAST_ARRANGEMENTS:
        return Unavailable(
            f"the design allows only {best.n_arrangements:.0f} labellings ({best.method}); it takes "
            f"{LEAST_ARRANGEMENTS} for p = 0.05",
            is_confounded=True,
        )
    return best


def _why_none(design: _Design, odd: set[str]) -> str:
    n_runs = len(np.unique(design.sequences.runs))
    shared = f" ({design.where} of one order count once)" if design.is_shared else ""
    if "persistence" in odd and design.sequences.n_stretches < _LEAST_STRETCHES * n_runs:
        return (
            f"labels come in {design.sequences.n_stretches} stretches of uneven length over {n_runs} "
            f"{design.where}{shared}, too few to be dealt out or rotated"
        )
    return (
        f"labels become more or less frequent over the {design.where}, and {n_runs} different orders{shared} are too "
        "few to be exchanged as wholes"
    )


def _tail(observed: np.ndarray, drawn: np.ndarray, *, is_two_sided: bool) -> float:
    """Return how often the most extreme of (k,) statistics is as extreme as observed, among drawn ones (n, k)."""
    both = np.vstack([observed, drawn]) - drawn.mean(axis=0)
    scores = both / np.maximum(drawn.std(axis=0), 1e-9)
    extreme = (np.abs(scores) if is_two_sided else scores).max(axis=1)
    return float((extreme >= extreme[0] - 1e-9).mean())


def _stimuli(table: pd.DataFrame, design: _Design) -> np.ndarray | Unavailable | None:
    """Return the stimulus of each trial where several stimuli share each label and are shown again.

    A trial without a name is a stimulus of its own; so is a showing with another label than most, where few have one.
    """
    trials = design.sequences
    names = pd.Series(text_column(table, "stimulus")[trials.first].astype(str))
    names = names.where(names != "", [f"\0{number}" for number in range(len(names))])
    again = names.duplicated(keep=False).to_numpy()
    stimuli, n_labels = np.unique(names[again]), len(np.unique(trials.codes))
    if len(stimuli) < 2 * n_labels:
        return None
    share = _labelled_share(names[again].to_numpy(), trials.codes[again][None])[0]
    if share < 1 and not _go_with_stimuli(names, again, share, design):
        return None
    if share < _LABELLED:
        reason = f"labels go with stimuli, and only {share:.0%} of the showings have the label of most"
        return Unavailable(reason, is_confounded=True)
    return np.unique(names + "\0" + trials.codes.astype(str), return_inverse=True)[1]


def _labelled_share(names: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Return (n_orders,) the share of showings that have the most frequent label of their stimulus."""
    stimuli, labels = np.unique(names, return_inverse=True)[1], np.unique(codes)
    counts = np.zeros((len(codes), len(labels), int(stimuli.max()) + 1))
    for number, label in enumerate(labels):
        np.add.at(counts[:, number].T, stimuli, (codes == label).T.astype(float))
    return counts.max(axis=1).sum(axis=1) / len(names)


def _go_with_stimuli(names: pd.Series, again: np.ndarray, share: float, design: _Design) -> bool:
    """Return whether showings of a stimulus have one label more often than trials that are dealt out anew."""
    draws = design.exchange_of_trials().batches(_N_ORDERS, np.random.default_rng(0))
    shares = [_labelled_share(names[again].to_numpy(), design.sequences.codes[d][:, again]) for d in draws]
    return float((np.append(np.concatenate(shares), share) >= share - 1e-9).mean()) <= _RARE["persistence"]


def _of_stimuli(table: pd.DataFrame, design: _Design, stimuli: np.ndarray) -> Exchange | Unavailable:
    """Return the exchange of whole stimuli among those that were shown in the same places."""
    trials = design.sequences
    places = {
        "in the same runs": trials.runs,
        "to the same subjects": unit_codes(table, "subject")[0][trials.first],
    }
    first = np.unique(stimuli, return_index=True)[1]
    found: list[Exchange] = []
    odd: set[str] = set()
    for where, codes in places.items():
        pools = _company(stimuli, codes)[first]
        count = _count_in_pools(_log_orders, trials.codes[first], pools)
        exchange = Exchange(f"whole stimuli shown {where}", stimuli, first, pools, count)
        own = design.oddities_in(exchange) - {"coincidence"}
        odd |= own
        found += [] if own else [design.of_windows(exchange)]
    return _enough(found, design, odd)


def _company(units: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Return (n_trials,) a code of the set of places that the unit of each trial occurs in."""
    seen = pd.DataFrame({"unit": units, "place": places}).drop_duplicates().sort_values(["unit", "place"])
    company = seen.groupby("unit")["place"].agg(tuple)
    return np.asarray(pd.factorize(company)[0])[units]


def _count_in_pools(logarithm: Callable[[np.ndarray], float], codes: np.ndarray, pools: np.ndarray) -> float:
    """Return how many labellings there are, from the logarithm of how many a pool has."""
    return _counted(sum(logarithm(codes[pools == pool]) for pool in np.unique(pools)))


def _counted(logarithm: float) -> float:
    return np.inf if logarithm > _COUNTED else float(np.round(np.exp(logarithm)))


def _log_orders(codes: np.ndarray) -> float:
    return lgamma(len(codes) + 1) - sum(lgamma(count + 1) for count in np.bincount(codes))


def _log_rotations(codes: np.ndarray) -> float:
    """Return the logarithm of the period of a sequence: how many of its rotations differ."""
    n = len(codes)
    periods = (period for period in range(1, n + 1) if n % period == 0)
    return log(next(period for period in periods if np.array_equal(np.roll(codes, period), codes)))
