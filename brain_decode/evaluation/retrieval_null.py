"""Which shown stimulus belongs to which answer: what an answer would score for every other stimulus that was shown.

Shown stimuli may be special among the candidates (all images, concept centres): an answer that ignores the signal may
prefer them all. So guessing is what answers score when the shown stimuli are dealt out to them anew, the gallery and
the answers fixed, and never 1 / N by assumption.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from brain_decode.evaluation.statistics import chunks
from brain_decode.evaluation.ties import candidate_ranks

__all__ = ["NULL_COLUMNS", "RankMetric", "ShownNull", "shown_ranks"]

RankMetric = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # mid-ranks, ties, gallery sizes to values
NULL_COLUMNS = ("shown_ranks", "shown_ties", "shown_position", "shown_block")
_MOST_RANKS = 4_000_000  # kept for one set of answers; with their ties 32 MB


def shown_ranks(
    similarity: np.ndarray, names: Sequence[str], columns: np.ndarray, *, at_most: int = _MOST_RANKS
) -> dict[str, list[np.ndarray] | np.ndarray]:
    """Return, for each answer, the ranks of every stimulus that was shown: columns for a predictions table.

    Where answers times stimuli exceed `at_most`, the stimuli are divided into blocks at random (the same for the same
    names), and an answer keeps the ranks of its own block. Permuting within blocks is as exact a test as among all.

    Args:
        similarity: (n, n_candidates).
        names: (n,) what was shown, as the truth is named.
        columns: (n,) the candidate that this is.
        at_most: Ranks kept.

    Returns:
        "shown_ranks" and "shown_ties", lists over the sorted names of the answer's block; "shown_position", the own
        place in them; "shown_block", from 0 on.
    """
    found, first, own = np.unique(np.asarray(names, dtype=str), return_index=True, return_inverse=True)
    candidates = np.asarray(columns)[first]
    block_of = _blocks(len(found), len(names), at_most)
    ranks: list[np.ndarray] = [np.zeros(0)] * len(names)
    ties = list(ranks)
    position = np.zeros(len(names), dtype=np.int32)
    for block in range(int(block_of.max()) + 1):
        members = np.flatnonzero(block_of == block)
        rows = np.flatnonzero(block_of[own] == block)
        position[rows] = np.searchsorted(members, own[rows])
        mid, equal = candidate_ranks(similarity[rows], candidates[members])
        for row, one, other in zip(rows, mid.astype(np.float32), equal.astype(np.int32), strict=True):
            ranks[row], ties[row] = one, other
    blocks = block_of[own].astype(np.int32)
    return {"shown_ranks": ranks, "shown_ties": ties, "shown_position": position, "shown_block": blocks}


def _blocks(n_shown: int, n_answers: int, at_most: int) -> np.ndarray:
    """Return (n_shown,) the block of each stimulus; blocks hold two or more where there are two."""
    n_blocks = min(-(-n_answers * n_shown // at_most), max(n_shown // 2, 1))
    shuffled = np.random.default_rng(n_shown).permutation(n_shown)
    block_of = np.empty(n_shown, dtype=int)
    block_of[shuffled] = np.arange(n_shown) * n_blocks // n_shown
    return block_of


@dataclass(frozen=True)
class _Exchange:
    """Stimuli that may be dealt out anew among their answers, in one fold.

    Args:
        names: Sorted; folds that showed the same stimuli are permuted alike.
        own: (n,) which of the names each answer is about.
        ranks: (n, n_names) mid-ranks.
        ties: (n, n_names).
        sizes: (n, 1) candidates.
    """

    names: tuple[str, ...]
    own: np.ndarray
    ranks: np.ndarray
    ties: np.ndarray
    sizes: np.ndarray


@dataclass(frozen=True)
class ShownNull:
    """What one decoder's answers score when the shown stimuli are dealt out to them anew.

    Only stimuli that have an answer take part. All answers to one stimulus (repetitions, several people) keep together,
    and folds or people that were shown the same stimuli get the same permutation.

    Args:
        exchanges: By fold and block.
        n: Answers.
    """

    exchanges: tuple[_Exchange, ...]
    n: int

    @classmethod
    def of(cls, predictions: pd.DataFrame) -> ShownNull | None:
        """Return the null of a table's answers; None where one of them keeps no ranks of the other stimuli."""
        if not set(NULL_COLUMNS) <= set(predictions) or predictions["shown_ranks"].isna().any():
            return None
        keys = [name for name in ("fold", "shown_block") if name in predictions]
        parts = predictions.groupby(keys, sort=False).indices.values()
        return cls(tuple(_exchange(predictions.iloc[rows]) for rows in parts), len(predictions))

    @property
    def is_exchangeable(self) -> bool:
        """Whether there is anything to permute."""
        return any(len(part.names) > 1 for part in self.exchanges)

    def chance(self, metric: RankMetric) -> float:
        """Return the mean over all permutations, which is the mean over all stimuli that could have been dealt."""
        sums = self._sums(metric)
        return float(sum(table.sum() / len(table) for table in sums.values()) / self.n)

    def means(
        self, metrics: Mapping[str, RankMetric], n_permutations: int, rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """Return (n_permutations,) means of each metric, all under the same permutations."""
        sums = {name: self._sums(metric) for name, metric in metrics.items()}
        found = {name: np.zeros(n_permutations) for name in metrics}
        for names in dict.fromkeys(part.names for part in self.exchanges):
            own = np.arange(len(names))
            for rows in chunks(n_permutations, len(names)):
                dealt = rng.permuted(np.tile(own, (rows.stop - rows.start, 1)), axis=1)
                for name in metrics:
                    found[name][rows] += sums[name][names][own, dealt].sum(axis=1)
        return {name: values / self.n for name, values in found.items()}

    def _sums(self, metric: RankMetric) -> dict[tuple[str, ...], np.ndarray]:
        """Return, for each set of stimuli, (own, dealt) sums over the answers to a stimulus if another were theirs."""
        sums: dict[tuple[str, ...], np.ndarray] = {}
        for part in self.exchanges:
            table = sums.setdefault(part.names, np.zeros((len(part.names), len(part.names))))
            np.add.at(table, part.own, metric(part.ranks, part.ties, part.sizes))
        return sums


def _exchange(answers: pd.DataFrame) -> _Exchange:
    positions, own = np.unique(answers["shown_position"].to_numpy(int), return_inverse=True)
    names = answers["truth"].astype(str).to_numpy()
    named = np.empty(len(positions), dtype=object)
    named[own] = names
    ranks, ties = (np.stack(answers[name].to_list())[:, positions] for name in ("shown_ranks", "shown_ties"))
    sizes = answers["gallery_size"].to_numpy(int)[:, None]
    return _Exchange(tuple(named), own, ranks.astype(float), ties.astype(int), sizes)
