"""Each picture metric held against one set of seen pictures: values of pairs, and what other pairings would give."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from brain_decode.core.errors import DataError
from brain_decode.evaluation.intervals import Units, unit_means
from brain_decode.evaluation.picture_metrics import (
    correlation_distances,
    correlation_matrix,
    grey_pictures,
    pixel_correlation_matrix,
    pixel_correlations,
    structural_similarities,
    two_way_scores,
    two_way_wins,
)
from brain_decode.evaluation.statistics import chunks
from brain_decode.evaluation.ties import distinct_rows

__all__ = [
    "Describe",
    "FeatureDistance",
    "Measured",
    "PictureComparison",
    "PixelCorrelation",
    "StructuralSimilarity",
    "TwoWay",
]

Describe = Callable[[np.ndarray], np.ndarray]  # pictures (n, height, width, 3) to features (n, dim)
_ROTATIONS = 39  # of SSIM, which has no shortcut over all pairs; the smallest p is 1 / 40


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of one set of pictures.

    Args:
        rows: (n,) seen picture that each picture is of.
        values: (n,).
        wins: (n_seen, n), for two-way identification: how often seen picture i fits picture j less than j's own does.
    """

    rows: np.ndarray
    values: np.ndarray
    wins: np.ndarray | None = None

    @property
    def value(self) -> float:
        """The mean over pictures."""
        return float(self.values.mean())

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """Return (n_weights,) the mean where each seen picture counts so much, (n_weights, n_seen)."""
        if self.wins is None:
            return unit_means(self.values, Units("picture", self.rows), weights)
        n_seen = weights.shape[1]
        won = _summed_by_row(self.wins, self.rows, n_seen)
        counts = np.bincount(self.rows, minlength=n_seen)
        # A picture is no competitor of itself.
        pairs = (weights * counts * (weights.sum(axis=1, keepdims=True) - weights)).sum(axis=1)
        hits = ((weights @ won) * weights).sum(axis=1)
        return np.divide(hits, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


class PictureComparison(ABC):
    """A metric that is ready to compare with one set of seen pictures."""

    @abstractmethod
    def measure(self, pixels: np.ndarray, rows: np.ndarray) -> Measured:
        """Return the metric of pictures (n, height, width, 3), each of the seen picture in its row."""

    @abstractmethod
    def null(
        self, pixels: np.ndarray, rows: np.ndarray, n_permutations: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """Return the mean as it is, and means (n_permutations or fewer,) with seen pictures dealt out anew."""


class _Matrix(PictureComparison):
    """A metric of which all pairs can be had at once."""

    @abstractmethod
    def pairings(self, pixels: np.ndarray) -> np.ndarray:
        """Return (n_seen, n) the value of picture j if it were of seen picture i."""

    def null(
        self, pixels: np.ndarray, rows: np.ndarray, n_permutations: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        values = self.pairings(pixels)
        n_seen, n = values.shape
        by_row, own = _summed_by_row(values, rows, n_seen), np.arange(n_seen)
        means = []
        for part in chunks(n_permutations, n_seen):
            dealt = rng.permuted(np.tile(own, (part.stop - part.start, 1)), axis=1)
            means.append(by_row[dealt, own].sum(axis=1) / n)
        return float(by_row[own, own].sum() / n), np.concatenate(means)


class PixelCorrelation(_Matrix):
    """PixCorr."""

    def __init__(self, seen: np.ndarray) -> None:
        self.seen = seen

    def measure(self, pixels: np.ndarray, rows: np.ndarray) -> Measured:
        return Measured(rows, pixel_correlations(self.seen, pixels, rows))

    def pairings(self, pixels: np.ndarray) -> np.ndarray:
        return pixel_correlation_matrix(self.seen, pixels)


class StructuralSimilarity(PictureComparison):
    """SSIM."""

    def __init__(self, seen: np.ndarray) -> None:
        self.seen_grey = grey_pictures(seen)

    def measure(self, pixels: np.ndarray, rows: np.ndarray) -> Measured:
        return Measured(rows, structural_similarities(self.seen_grey, grey_pictures(pixels), rows))

    def null(
        self, pixels: np.ndarray, rows: np.ndarray, n_permutations: int, rng: np.random.Generator
    ) -> tuple[float, np.ndarray]:
        """As the base, by rotations of a random circle of pictures: few pairs, and still an exact test."""
        grey, n_seen = grey_pictures(pixels), len(self.seen_grey)
        circle = rng.permutation(n_seen)
        places = np.argsort(circle)[rows]
        steps = 1 + rng.permutation(n_seen - 1)[: min(_ROTATIONS, n_permutations)]
        dealt = [circle[(places + step) % n_seen] for step in (0, *steps)]
        means = [float(structural_similarities(self.seen_grey, grey, part).mean()) for part in dealt]
        return means[0], np.array(means[1:])


class FeatureDistance(_Matrix):
    """Mean correlation distance of features."""

    def __init__(self, seen: np.ndarray, describe: Describe, name: str) -> None:
        self.describe, self.name = describe, name
        self.features = _described(describe, seen, name)

    def measure(self, pixels: np.ndarray, rows: np.ndarray) -> Measured:
        features = _described(self.describe, pixels, self.name)
        return Measured(rows, correlation_distances(self.features[rows], features))

    def pairings(self, pixels: np.ndarray) -> np.ndarray:
        return 1 - correlation_matrix(self.features, _described(self.describe, pixels, self.name))


class TwoWay(_Matrix):
    """Two-way identification by features: another *seen* picture competes, for a fixed reconstruction.

    Ties count half, so pictures with the same features, which nothing can tell apart, share the credit.
    """

    def __init__(self, seen: np.ndarray, describe: Describe, name: str) -> None:
        self.describe, self.name = describe, name
        self.features = _described(describe, seen, name)
        self._distinct = distinct_rows(self.features)

    def measure(self, pixels: np.ndarray, rows: np.ndarray) -> Measured:
        wins = two_way_wins(self._correlations(pixels), rows)
        return Measured(rows, two_way_scores(wins), wins)

    def pairings(self, pixels: np.ndarray) -> np.ndarray:
        return (rankdata(self._correlations(pixels), axis=0) - 1) / (len(self.features) - 1)

    def _correlations(self, pixels: np.ndarray) -> np.ndarray:
        first, which = self._distinct
        return correlation_matrix(self.features[first], _described(self.describe, pixels, self.name))[which]


def _described(describe: Describe, pixels: np.ndarray, name: str) -> np.ndarray:
    features = np.asarray(describe(pixels))
    if features.ndim != 2 or len(features) != len(pixels) or features.shape[1] < 2:
        raise DataError(
            f"{name}: features of {len(pixels)} pictures have the shape ({len(pixels)}, dim), dim 2 or more; got "
            f"{features.shape}. Flatten what the network answers."
        )
    if not np.isfinite(features).all():
        raise DataError(f"{name}: its features are not finite. Check the weights of the network.")
    return features


def _summed_by_row(values: np.ndarray, rows: np.ndarray, n_seen: int) -> np.ndarray:
    """Return (n_seen, n_seen) sums over the pictures of one seen picture."""
    sums = np.zeros((n_seen, len(values)))
    np.add.at(sums, rows, np.asarray(values, dtype=float).T)
    return sums.T
