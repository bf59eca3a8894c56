"""Labels in order of time: which trials were labelled together, and whether their order looks dealt out at random."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from brain_decode.datasets.splits import trial_order, unit_codes

__all__ = ["LabelSequences", "order_statistics"]

_LAGS = (1, 2, 3, 4)  # a task in blocks with rest between them repeats at the second
_MOST_CLASSES = 12  # whose frequency is followed over time; of more, each is rare


@dataclass(frozen=True, eq=False)
class LabelSequences:
    """Trials in order of run and time: (n_trials,) arrays, and the trial of each window.

    Whole blocks, runs, sessions or subjects that were labelled at once stand in for trials where these are joined.

    Args:
        of_row: (n_windows,) trial of each window.
        first: A window of each trial.
        runs: What the trial is a part of; its trials follow each other.
        codes: Label, as an integer.
        are_values: Labels are ranks of numbers.
    """

    of_row: np.ndarray
    first: np.ndarray
    runs: np.ndarray
    codes: np.ndarray
    are_values: bool

    @classmethod
    def of(cls, table: pd.DataFrame, labels: np.ndarray) -> LabelSequences:
        """Return the trials of the windows of a table with (n,) labels or values."""
        runs = unit_codes(table, "run")[0]
        trial, place = _places(table)
        order = np.lexsort((np.arange(len(table)), place, runs))
        first = order[np.unique(trial[order], return_index=True)[1]]
        first = first[np.lexsort((place[first], runs[first]))]
        rank = np.empty(int(trial.max()) + 1, dtype=int)
        rank[trial[first]] = np.arange(len(first))
        are_values = np.issubdtype(np.asarray(labels).dtype, np.floating)
        codes = np.unique(labels if are_values else np.asarray(labels).astype(str), return_inverse=True)[1]
        return cls(rank[trial], first, runs[first], codes[first], are_values)

    def joined(self, units: np.ndarray, parents: np.ndarray) -> LabelSequences:
        """Return the sequences of units, each of which has one label.

        Args:
            units: (n_trials,) unit of each trial; their numbers follow time.
            parents: (n_trials,) what the unit is a part of.
        """
        order = np.lexsort((units, parents))
        firsts = order[np.sort(np.unique(units[order], return_index=True)[1])]
        rank = np.empty(int(units.max()) + 1, dtype=int)
        rank[units[firsts]] = np.arange(len(firsts))
        of_trial = rank[units]
        return replace(
            self,
            of_row=of_trial[self.of_row],
            first=self.first[firsts],
            runs=np.unique(parents[firsts], return_inverse=True)[1],
            codes=self.codes[firsts],
        )

    def alike(self) -> LabelSequences:
        """Return one sequence for all runs with the same labels in the same order: these were dealt out once."""
        groups: dict[bytes, int] = {}
        group = np.empty(len(self.runs), dtype=int)
        for run in np.unique(self.runs):
            members = np.flatnonzero(self.runs == run)
            group[members] = groups.setdefault(self.codes[members].tobytes(), len(groups))
        return self.joined(group * (int(self.run_sizes.max()) + 1) + self.place_in_run, group)

    def are_constant_in(self, units: np.ndarray) -> bool:
        """Return whether each unit (n_trials,) has one label."""
        return bool((pd.Series(self.codes).groupby(units).nunique() == 1).all())

    @cached_property
    def run_sizes(self) -> np.ndarray:
        """(n_trials,) trials of the run of each."""
        return np.bincount(self.runs)[self.runs]

    @cached_property
    def place_in_run(self) -> np.ndarray:
        """(n_trials,) place of each in its run, from 0."""
        return np.arange(len(self.runs)) - np.searchsorted(self.runs, self.runs)

    @cached_property
    def stretches(self) -> np.ndarray:
        """Trials of each stretch of equal labels (of values: on one side of their median), run after run."""
        codes = self.codes > np.median(self.codes) if self.are_values else self.codes
        changes = (np.diff(self.runs, prepend=-1) != 0) | (np.diff(codes.astype(int), prepend=-1) != 0)
        return np.diff(np.append(np.flatnonzero(changes), len(codes)))

    @property
    def n_stretches(self) -> int:
        """How many stretches there are, of single labels or, where that is less, of two that take turns."""
        if self.are_values:
            return len(self.stretches)
        within = self.runs[2:] == self.runs[:-2]
        changes = int((within & (self.codes[2:] != self.codes[:-2])).sum())
        return min(len(self.stretches), len(np.unique(self.runs)) - (-changes // 2))


def order_statistics(sequences: LabelSequences, codes: np.ndarray) -> dict[str, np.ndarray]:
    """Return what random orders of labels have little of.

    Args:
        sequences: Runs and places of the trials.
        codes: (n_orders, n_trials) labels.

    Returns:
        (n_orders, n_statistics) each: "persistence" (how alike labels of a run are one to four trials apart), "trend"
        (how labels become more or less frequent, or values larger, over a run and towards its middle) and
        "coincidence" (how many runs have the order of another one).
    """
    return {
        "persistence": np.stack([_alike(sequences, codes, lag) for lag in _LAGS], axis=1),
        "trend": _trends(sequences, codes),
        "coincidence": _coincidences(sequences, codes)[:, None],
    }


def _alike(sequences: LabelSequences, codes: np.ndarray, lag: int) -> np.ndarray:
    """Return how often labels are equal at a lag, or the sum of products of centred ranks."""
    within = np.flatnonzero(sequences.runs[lag:] == sequences.runs[:-lag])
    first, second = codes[:, within], codes[:, within + lag]
    if not sequences.are_values:
        return (first == second).sum(axis=1).astype(float)
    centre = sequences.codes.mean()
    return ((first - centre) * (second - centre)).sum(axis=1).astype(float)


def _trends(sequences: LabelSequences, codes: np.ndarray) -> np.ndarray:
    place = (sequences.place_in_run + 0.5) / sequences.run_sizes - 0.5
    shapes = np.stack([place, np.abs(place)], axis=1)
    centred = shapes - _means_of_runs(sequences.runs, shapes)
    if sequences.are_values:
        return codes @ centred
    classes = np.unique(sequences.codes)[:_MOST_CLASSES]
    return np.concatenate([(codes == label).astype(float) @ centred for label in classes], axis=1)


def _means_of_runs(runs: np.ndarray, values: np.ndarray) -> np.ndarray:
    sums = np.stack([np.bincount(runs, column) for column in values.T], axis=1)
    return (sums / np.bincount(runs)[:, None])[runs]


def _coincidences(sequences: LabelSequences, codes: np.ndarray) -> np.ndarray:
    """Return how many runs have the order of another one, by a random weight for each place."""
    weights = np.random.default_rng(0).standard_normal(int(sequences.run_sizes.max()))[sequences.place_in_run]
    starts = np.flatnonzero(np.diff(sequences.runs, prepend=-1))
    names = np.add.reduceat((codes + 1) * weights, starts, axis=1)
    scale = np.add.reduceat((codes + 1) * np.abs(weights), starts, axis=1).max() * 1e-12
    return (np.diff(np.sort(names, axis=1), axis=1) < scale).sum(axis=1).astype(float)


def _places(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the trial of each window and its place in time; rows are trials in order where the table has no times."""
    if {"recording", "event", "onset_s", "start_s"} <= set(table.columns):
        trial, place, _ = trial_order(table)
        # Recordings of one run follow each other.
        return trial, place + table["recording"].to_numpy(dtype=int) * (int(place.max()) + 1)
    return np.arange(len(table)), np.arange(len(table))
