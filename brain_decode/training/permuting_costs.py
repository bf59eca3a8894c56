"""What the permutation tests of a run will take, told from refits to a few windows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from brain_decode.datasets.splits import Fold, Split
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.training.fitting import FitSettings
from brain_decode.training.permuting import FittedFold, RefitScores, design_of, draw_batches, exchange_of
from brain_decode.training.pilots import Growth, timed
from brain_decode.training.recipes import Recipe
from brain_decode.training.refit import Refit, refit_of, refitting
from brain_decode.training.trials import Trials

__all__ = ["RefitCost", "barred_reason", "batches_of_draws"]

_DRAWS_PER_THREAD = 3
_MOST_WINDOWS = 480  # of the pilot, that decoders are fitted on
_TESTED_EVERY = 5  # of the pilot's windows, one is answered for so many that are fitted on


@dataclass(frozen=True)
class RefitCost:
    """Seconds that one closed-form decoder takes to be fitted again to permuted labels.

    Args:
        prepare_s: Of what sees no label, by windows of a fold; once a batch of draws.
        draw_s: Of one fit and its answers, by windows of a fold, with several threads at work.
        score_s: Of the scores of one draw.
        folds: Of the run, which may have more windows than the pilot.
    """

    prepare_s: Growth
    draw_s: Growth
    score_s: float
    folds: Sequence[FittedFold]

    @classmethod
    def measured(
        cls, recipe: Recipe, pilot: Trials, trials: Trials, folds: Sequence[Fold], settings: FitSettings
    ) -> RefitCost:
        """Return the cost of a recipe, fitted to half of the pilot's windows and to all."""
        sizes, preparing, drawing = [], [], []
        every = np.arange(min(len(pilot.table), _MOST_WINDOWS))
        n_draws = _DRAWS_PER_THREAD * torch.get_num_threads()
        with refitting() as pool:
            for train in (every[::2], every):
                test = train[::_TESTED_EVERY]
                prepare_s, refit = timed(partial(refit_of, recipe, pilot, train, test, settings), repeats=2)
                labels = _permuted(pilot, n_draws)
                draws_s, answers = timed(partial(_answers, pool, refit, labels), repeats=2)
                sizes.append(len(train) + len(test))
                preparing.append(prepare_s)
                drawing.append(draws_s / len(labels))
            fitted = [FittedFold(fold.train, fold.test) for fold in folds]
            scores = RefitScores(recipe, trials, fitted, settings, pool)
            made_up = np.random.default_rng(0).random((len(scores.scored), answers[0].shape[1]))
            truth = trials.targets(np.arange(len(trials.table)))[scores.scored]
            score_s, _ = timed(partial(scores.scores_of, made_up, truth), repeats=3)
        return cls(Growth.through(sizes, preparing), Growth.through(sizes, drawing), score_s, fitted)

    def seconds(self, batches: Sequence[int]) -> float:
        """Return what so many draws take; the observed labels come first, by themselves."""
        if not batches:
            return 0.0
        sizes = [len(fold.train) + len(fold.test) for fold in self.folds]
        preparing, drawing = (sum(map(growth.at, sizes)) for growth in (self.prepare_s, self.draw_s))
        return (len(batches) + 1) * preparing + (sum(batches) + 1) * (drawing + self.score_s)


def batches_of_draws(trials: Trials, split: Split, folds: Sequence[Fold], n_permutations: int) -> list[int]:
    """Return how many labellings are drawn at once, one batch after the other; none where no decoder is fitted again.

    A decoder at chance is settled by the first batch, one that tells something takes all.
    """
    if trials.task == "retrieval" or not n_permutations or not design_of(split, folds).needs_refit:
        return []
    return [] if barred_reason(trials) else list(draw_batches(n_permutations, len(trials.table)))


def barred_reason(trials: Trials) -> str:
    """Return why the design of a classification or regression allows no p; an empty string where it does."""
    exchange = exchange_of(trials, trials.targets(np.arange(len(trials.table))))
    return exchange.reason if isinstance(exchange, Unavailable) else ""


def _permuted(pilot: Trials, count: int) -> list[np.ndarray]:
    labels, rng = pilot.targets(np.arange(len(pilot.table))), np.random.default_rng(0)
    return [rng.permutation(labels) for _ in range(count)]


def _answers(pool: Executor, refit: Refit, labels: Sequence[np.ndarray]) -> list[np.ndarray]:
    return list(pool.map(refit, labels))
