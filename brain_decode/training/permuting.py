"""p-values of a cross-validation: labels are permuted before fitting, and closed-form decoders are fitted again.

Folds share their training data, so permuting the labels of fixed decoders would give the null too small a variance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np

from brain_decode.core.progress import track
from brain_decode.core.seeding import derived_seed
from brain_decode.datasets.splits import Fold, Split
from brain_decode.evaluation.exchangeability import Exchange, label_exchange
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.permutation import PermutationTest, PermutationValue
from brain_decode.evaluation.scoring import P_METRICS, PValues, classification_values, regression_values
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.training.fitting import FitSettings
from brain_decode.training.recipes import NESTED_SELECTION, Plan, Recipe
from brain_decode.training.refit import refit_of, refitting
from brain_decode.training.trials import Trials

__all__ = [
    "FittedFold",
    "RefitScores",
    "design_of",
    "draw_batches",
    "exchange_of",
    "fitted_folds",
    "permutation_p_values",
    "sequential_p_values",
]

_FIRST_DRAWS = 20  # most decoders that know nothing are settled by these; later batches are twice as large
_VALUES_AT_ONCE = 4_000_000  # answers held at once, 32 MB for each output
_REFITTED = "decoder fitted again"
_BEST_OF = "best of the candidates"
_NETWORK = Unavailable("a network is not fitted hundreds of times again, and a fixed one has no valid null here")
_RETRIEVAL = Unavailable("no null of retrieval is known to hold where folds share their training pictures")
_NOT_ASKED = Unavailable("none was asked for (permutations=0)")


@dataclass(frozen=True, eq=False)
class FittedFold:
    """Rows of the window table that a decoder was fitted on, and those it answered; rejected ones are in neither."""

    train: np.ndarray
    test: np.ndarray


def fitted_folds(trials: Trials, folds: Sequence[Fold]) -> list[FittedFold]:
    """Return what is fitted and answered of each fold: windows that are not rejected."""
    kept = trials.table["rejected"].to_numpy() == ""
    fitted = [FittedFold(fold.train[kept[fold.train]], fold.test[kept[fold.test]]) for fold in folds]
    return [fold for fold in fitted if len(fold.test)]


def design_of(split: Split, folds: Sequence[Fold]) -> Design:
    """Return what intervals and p-values have to carry: how many decoders answered, and how much they share."""
    if len(folds) < 2:
        return Design()
    shares = [len(fold.test) / max(len(fold.train), 1) for fold in folds]
    tested = np.concatenate([fold.test for fold in folds])
    trained = np.concatenate([fold.train for fold in folds])
    return Design(
        left_out=split.forbids[0] if split.forbids else "block",
        n_folds=len(folds),
        test_to_train=float(np.mean(shares)),
        needs_refit=bool(np.isin(trained, tested).any()),
    )


class RefitScores:
    """Scores of one recipe after fitting every fold again to given labels.

    Args:
        recipe: Fitted in closed form.
        trials: Of the run.
        folds: What each fit saw and answered.
        settings: As in the run.
        pool: Threads, from `refitting`.
    """

    def __init__(
        self, recipe: Recipe, trials: Trials, folds: Sequence[FittedFold], settings: FitSettings, pool: Executor
    ) -> None:
        self.recipe, self.trials, self.folds, self.settings, self.pool = recipe, trials, folds, settings, pool
        self.scored = np.concatenate([fold.test for fold in folds])
        self.fold_of = np.repeat(np.arange(len(folds)), [len(fold.test) for fold in folds])

    def __call__(self, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Return each score (n_draws,) for labels (n_draws, n_windows) of all windows, folds one after the other."""
        answers = []
        for fold in track(self.folds, f"Permuting labels of {self.recipe.name}", len(self.folds)):
            refit = refit_of(self.recipe, self.trials, fold.train, fold.test, self.settings)
            answers.append(np.stack(list(self.pool.map(refit, labels))))
        scores = [self.scores_of(one, drawn[self.scored]) for one, drawn in zip(_by_draw(answers), labels, strict=True)]
        return {name: np.array([score[name] for score in scores]) for name in P_METRICS[self.trials.task]}

    def scores_of(self, answers: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Return the scores of one draw, not numbers where a fold could not be fitted to it."""
        if not np.isfinite(answers).all():
            return dict.fromkeys(P_METRICS[self.trials.task], np.nan)
        if self.trials.task == "regression":
            return regression_values(truth.reshape(len(truth), -1), answers, self.fold_of)
        return classification_values(truth, answers.argmax(axis=1), answers, self.fold_of)


def permutation_p_values(
    plan: Plan, trials: Trials, folds: Sequence[Fold], settings: FitSettings, *, n_permutations: int
) -> dict[str, PValues]:
    """Return the p-value of each score of each decoder of a plan, or why there is none.

    The p of `nested_selection` is that of the best of its candidates, against the best of them after each permutation:
    it holds for whatever is chosen among them.

    Args:
        plan: What was cross-validated.
        trials: The run's windows.
        folds: Of the split.
        settings: As in the run.
        n_permutations: At most; a decoder at chance is settled by fewer.
    """
    names = [plan.name, *(recipe.name for recipe in plan.recipes)]
    if trials.task == "retrieval" or not n_permutations:
        reason = _NOT_ASKED if not n_permutations else _RETRIEVAL
        return {name: _everywhere(reason, trials) for name in names}
    labels = trials.targets(np.arange(len(trials.table)))
    exchange = exchange_of(trials, labels)
    if isinstance(exchange, Unavailable):
        return {name: _everywhere(exchange, trials) for name in names}
    fitted = fitted_folds(trials, folds)
    closed = [recipe for recipe in plan.recipes if recipe.can_be_refitted]
    groups: dict[str, Sequence[str]] = {recipe.name: (recipe.name,) for recipe in closed}
    candidates = tuple(recipe.name for recipe in plan.candidates)
    if plan.name == NESTED_SELECTION and set(candidates) <= set(groups):
        groups[NESTED_SELECTION] = candidates
    with refitting() as pool:
        scores = {recipe.name: RefitScores(recipe, trials, fitted, settings, pool) for recipe in closed}
        found = sequential_p_values(scores, groups, labels, exchange, n_permutations, settings.seed)
    return {name: found.get(name, _everywhere(_NETWORK, trials)) for name in names}


def sequential_p_values(
    scores: Mapping[str, Callable[[np.ndarray], Mapping[str, np.ndarray]]],
    groups: Mapping[str, Sequence[str]],
    labels: np.ndarray,
    exchange: Exchange,
    n_permutations: int,
    seed: int,
) -> dict[str, dict[str, PermutationValue]]:
    """Return by group and metric the p-value of the best of its decoders.

    Args:
        scores: By decoder, from labels (n_draws, n) to scores (n_draws,), as `RefitScores`.
        groups: Decoders of which the best is tested; a decoder by itself is a group of one.
        labels: (n,) or (n, 1) as observed.
        exchange: How they may be permuted.
        n_permutations: At most.
        seed: Of the permutations.
    """
    observed = {name: score(labels[None]) for name, score in scores.items()}
    tests = {
        group: {
            metric: PermutationTest(float(max(observed[name][metric][0] for name in members)), n_permutations)
            for metric in observed[members[0]]
        }
        for group, members in groups.items()
    }
    rng = np.random.default_rng(derived_seed(seed, "permuted labels"))
    for count in draw_batches(n_permutations, len(labels)):
        open_groups = [group for group in groups if not all(test.is_decided for test in tests[group].values())]
        asked = {name for group in open_groups for name in groups[group]}
        if not asked:
            break
        drawn = labels[exchange.positions(count, rng)]
        null = {name: scores[name](drawn) for name in scores if name in asked}
        for group in open_groups:
            for metric, test in tests[group].items():
                test.add(np.max([null[name][metric] for name in groups[group]], axis=0))
    return {group: _values(found, exchange, len(groups[group])) for group, found in tests.items()}


def _values(tests: Mapping[str, PermutationTest], exchange: Exchange, n_members: int) -> dict[str, PermutationValue]:
    what = _REFITTED if n_members == 1 else f"{_BEST_OF} fitted again"
    method = f"labels exchanged ({exchange.method}) before fitting, {what}"
    return {name: PermutationValue.of(test, method, exchange.n_arrangements) for name, test in tests.items()}


def draw_batches(n_permutations: int, n_windows: int) -> Iterator[int]:
    """Yield how many permutations are drawn at once: few at first, because decoders at chance are settled by few."""
    size, left = _FIRST_DRAWS, n_permutations
    while left > 0:
        count = max(min(size, left, _VALUES_AT_ONCE // max(n_windows, 1)), 1)
        yield count
        left, size = left - count, 2 * size


def _by_draw(answers: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the answers of each draw, (n_scored, n_outputs), of folds of (n_draws, n_test, n_outputs)."""
    for draw in range(len(answers[0])):
        yield np.concatenate([fold[draw] for fold in answers])


def exchange_of(trials: Trials, labels: np.ndarray) -> Exchange | Unavailable:
    """Return how the labels of a run's windows may be exchanged, or why there is no valid null.

    Args:
        trials: Of a classification or regression.
        labels: Of all windows, as `Trials.targets` gives them.
    """
    if trials.unnamed_stimuli:
        return Unavailable(trials.unnamed_stimuli, is_confounded=True)
    return label_exchange(trials.table, labels if trials.task == "classification" else labels[:, 0])


def _everywhere(reason: Unavailable, trials: Trials) -> PValues:
    return dict.fromkeys(P_METRICS.get(trials.task, ()), reason)
