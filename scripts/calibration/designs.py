"""Simulated experiments whose truth is known, and a linear discriminant that is fitted again to many labellings."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from scipy.special import expit
from scipy.stats import norm

from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.scoring import classification_values

__all__ = ["CLASSES", "Draw", "Experiment", "auc_of_effect"]

CLASSES = ("a", "b")
_PENALTY = 0.05  # of the covariance, in units of its mean variance


@dataclass(frozen=True)
class Experiment:
    """A design that can be drawn again and again.

    Args:
        people: Participants.
        runs: Runs of each.
        trials: Trials of a run.
        features: Of a trial.
        folds: "run", "subject", or a number of contiguous blocks of each run.
        block: Trials of one label in a row; 1 for random order.
        memory: Correlation of the signal of one trial with that of the next.
        stimuli: Pictures, each with one label and a response of its own; 0: every trial is new.
        slips: Trials whose stimulus has no name.
        order: "own" for each run, "shared" by all runs, "session" (one label for each half of the runs), or "rarer"
            (the first class becomes rarer over each run).
        drift: Standard deviation of a course over the run that all runs have, or of the halves' offsets.
        effect: d' of the classes along one feature.
        spread: Standard deviation of that d' over people.
    """

    people: int = 1
    runs: int = 8
    trials: int = 20
    features: int = 4
    folds: str | int = "run"
    block: int = 1
    memory: float = 0.0
    stimuli: int = 0
    slips: int = 0
    order: str = "own"
    drift: float = 0.0
    effect: float = 0.0
    spread: float = 0.0

    def draw(self, rng: np.random.Generator) -> Draw:
        """Return one experiment."""
        n_runs = self.people * self.runs
        labels = self._all_labels(rng, n_runs)
        signal = _correlated(rng, n_runs, self.trials, self.features, self.memory) + self._drifts(rng, n_runs)
        stimulus = np.full(len(labels), "", dtype=object)
        if self.stimuli:
            shown = np.concatenate([rng.permutation(self.stimuli) for _ in range(n_runs)])
            labels = rng.permutation(np.arange(self.stimuli) % 2)[shown]
            signal = signal + rng.normal(size=(self.stimuli, self.features))[shown]
            stimulus = np.array([f"picture-{number:03d}" for number in shown], dtype=object)
            stimulus[: self.slips] = ""
        effects = rng.normal(self.effect, self.spread, self.people)
        signal[:, 0] += np.repeat(effects, self.runs * self.trials) * (labels - 0.5)
        table = self._table().assign(stimulus=stimulus)
        return Draw(labels, signal, table, self._design(table["fold"].to_numpy()))

    def _all_labels(self, rng: np.random.Generator, n_runs: int) -> np.ndarray:
        if self.order == "shared":
            return np.tile(self._labels(rng), n_runs)
        if self.order == "session":
            return np.repeat(rng.permutation(2), n_runs * self.trials // 2)
        if self.order == "rarer":
            return (rng.random((n_runs, self.trials)) < np.linspace(0.2, 0.8, self.trials)).astype(int).ravel()
        return np.concatenate([self._labels(rng) for _ in range(n_runs)])

    def _drifts(self, rng: np.random.Generator, n_runs: int) -> np.ndarray:
        """Return what signals share without any label: an offset of each session, or a line over each run."""
        if self.order == "session":
            return self.drift * np.repeat(rng.normal(size=(2, self.features)), n_runs * self.trials // 2, axis=0)
        course = np.linspace(-0.5, 0.5, self.trials)[:, None] if self.order == "rarer" else _course(rng, self.trials)
        return self.drift * np.tile(course * rng.normal(size=self.features), (n_runs, 1))

    def _labels(self, rng: np.random.Generator) -> np.ndarray:
        n_blocks = -(-self.trials // self.block)
        return np.repeat(rng.permutation(np.arange(n_blocks) % 2), self.block)[: self.trials]

    def _table(self) -> pd.DataFrame:
        n = self.people * self.runs * self.trials
        run, event = np.arange(n) // self.trials, np.arange(n) % self.trials
        person = run // self.runs
        start = event * 1.0
        place = {"run": run % self.runs, "subject": person}
        fold = place[self.folds] if isinstance(self.folds, str) else event * self.folds // self.trials
        return pd.DataFrame(
            {
                "dataset": "simulated",
                "subject": [f"{number:02d}" for number in person],
                "session": np.where(run < run.max() / 2, "pre", "post") if self.order == "session" else "",
                "task": "",
                "run": [str(number) for number in run % self.runs],
                "recording": run,
                "event": event,
                "onset_s": start,
                "start_s": start,
                "stop_s": start + 0.5,
                "fold": fold,
            }
        )

    def _design(self, folds: np.ndarray) -> Design:
        n_folds = int(folds.max()) + 1
        left_out = self.folds if isinstance(self.folds, str) else "block"
        return Design(left_out, n_folds, 1 / (n_folds - 1), needs_refit=True)


@dataclass(frozen=True)
class Draw:
    """One experiment: (n,) labels, (n, features) signal, its table with a fold for each trial, and its design."""

    labels: np.ndarray
    signal: np.ndarray
    table: pd.DataFrame
    design: Design
    _inverse: dict[int, np.ndarray] = field(default_factory=dict)

    @property
    def folds(self) -> np.ndarray:
        """(n,) fold in which each trial is answered."""
        return self.table["fold"].to_numpy(dtype=int)

    def odds(self, labels: np.ndarray) -> np.ndarray:
        """Return (n_draws, n) log odds of a discriminant fitted to each labelling (n_draws, n) without the own fold."""
        odds = np.empty(labels.shape)
        for fold in range(int(self.folds.max()) + 1):
            train = self.folds != fold
            whitening = self._total_inverse(fold, self.signal[train])
            second = labels[:, train].astype(float)
            counts = second.sum(axis=1, keepdims=True)
            sums = second @ self.signal[train]
            means = sums / counts, (self.signal[train].sum(axis=0) - sums) / (train.sum() - counts)
            weights = (means[0] - means[1]) @ whitening
            offsets = ((means[0] + means[1]) / 2 * weights).sum(axis=1, keepdims=True)
            odds[:, ~train] = weights @ self.signal[~train].T - offsets
        return odds

    def scores(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return the scores of refitted discriminants, as `sequential_p_values` takes them."""
        found = [self._values(truth, odds) for truth, odds in zip(labels, self.odds(labels), strict=True)]
        return {name: np.array([values[name] for values in found]) for name in found[0]}

    def predictions(self, odds: np.ndarray | None = None) -> pd.DataFrame:
        """Return the table of answers of one discriminant, or of other log odds (n,)."""
        second = expit(self.odds(self.labels[None])[0] if odds is None else odds)
        names = np.array(CLASSES, dtype=object)
        answers = {"truth": names[self.labels], "predicted": names[(second > 0.5).astype(int)]}
        return self.table.assign(decoder="lda", **answers, probability_a=1 - second, probability_b=second)

    def _total_inverse(self, fold: int, signal: np.ndarray) -> np.ndarray:
        """Return the inverse of the total covariance: its direction on means is that of the pooled one."""
        if fold not in self._inverse:
            covariance = np.cov(signal.T, bias=True)
            penalty = _PENALTY * np.trace(covariance) / len(covariance)
            self._inverse[fold] = np.linalg.inv(covariance + penalty * np.eye(len(covariance)))
        return self._inverse[fold]

    def _values(self, truth: np.ndarray, odds: np.ndarray) -> dict[str, float]:
        second = expit(odds)
        probabilities = np.stack([1 - second, second], axis=1)
        return classification_values(truth, (second > 0.5).astype(int), probabilities, self.folds)


def auc_of_effect(effect: float, spread: float) -> float:
    """Return the mean AUC of people whose d' is normal, for the best linear answer."""
    return float(norm.cdf(effect / np.sqrt(2 + spread**2)))


def _course(rng: np.random.Generator, trials: int) -> np.ndarray:
    """Return a slow course of unit variance, (trials, 1)."""
    slow = lfilter([1.0], [1.0, -0.95], rng.normal(size=trials + 200))[200:]
    return ((slow - slow.mean()) / slow.std())[:, None]


def _correlated(rng: np.random.Generator, n_runs: int, trials: int, features: int, memory: float) -> np.ndarray:
    """Return (n_runs * trials, features) signal of unit variance, each run an autoregression from its middle."""
    if not memory:
        return rng.normal(size=(n_runs * trials, features))
    settling = int(10 / (1 - memory))
    noise = rng.normal(size=(n_runs, trials + settling, features))
    return lfilter([np.sqrt(1 - memory**2)], [1, -memory], noise, axis=1)[:, settling:].reshape(-1, features)
