"""Which of many candidates was seen: galleries, ranks and exact k-way expectations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.evaluation.ties import distinct_rows, first_places

__all__ = [
    "REPETITION_COUNTS",
    "Gallery",
    "GalleryKind",
    "k_way_probability",
    "ranks_of_truth",
    "similarities",
]

GalleryKind = Literal["exact_image", "concept_centre", "all_images"]
REPETITION_COUNTS = (1, 2, 5, 10, 20, 40, 80)


@dataclass(frozen=True, eq=False)
class Gallery:
    """The candidates of a retrieval.

    Entries with the same features stay entries of their own, since an answer cannot be asked to tell them apart they
    share credit: with every picture twice, a perfect answer has top-1 one half, and guessing still has 1 / N.

    Args:
        ids: Stimulus (or, for concept centres, concept) of each candidate, unique.
        features: (n_candidates, dim) finite.
        kind: "exact_image": the shown images; "concept_centre": per concept, the mean of images that were not shown;
            "all_images": the shown ones among every image of the dataset. Scores of different kinds do not compare.

    Raises:
        DataError: Repeated ids, lengths that disagree, or features that are not finite.
        ConfigError: An unknown kind.
    """

    ids: tuple[str, ...]
    features: np.ndarray
    kind: GalleryKind = "exact_image"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(str(name) for name in self.ids))
        object.__setattr__(self, "features", np.asarray(self.features))
        if self.kind not in get_args(GalleryKind):
            raise unknown_option("gallery kind", self.kind, get_args(GalleryKind))
        if self.features.ndim != 2 or len(self.features) != len(self.ids) or len(self.ids) < 2:
            raise DataError(f"A gallery has 2 or more ids, one row each; got {len(self.ids)}, {self.features.shape}.")
        if len(set(self.ids)) != len(self.ids):
            repeated = pd.Index(self.ids)[pd.Index(self.ids).duplicated()][0]
            raise DataError(f"Gallery ids are unique; '{repeated}' is repeated. Keep one row of features for it.")
        if not np.isfinite(self.features).all():
            row = int(np.flatnonzero(~np.isfinite(self.features).all(axis=1))[0])
            raise DataError(f"Features of gallery entry '{self.ids[row]}' are not finite. Extract them again.")

    def __len__(self) -> int:
        return len(self.ids)

    def positions(self, ids: Sequence[str]) -> np.ndarray:
        """Return the row of each id.

        Raises:
            DataError: An id that is not in the gallery.
        """
        found = pd.Index(self.ids).get_indexer(pd.Index([str(name) for name in ids]))
        if (found < 0).any():
            missing = str(list(ids)[int(np.flatnonzero(found < 0)[0])])
            raise DataError(f"'{missing}' was shown but is not among the {len(self)} gallery entries ({self.kind}).")
        return found

    @cached_property
    def distinct(self) -> tuple[np.ndarray, np.ndarray]:
        """(n_distinct,) one entry of each different vector, and (n,) which of them each entry equals."""
        return distinct_rows(self.features)

    @classmethod
    def concept_centres(
        cls, ids: Sequence[str], concepts: Sequence[str], features: np.ndarray, shown: Sequence[str]
    ) -> Gallery:
        """Return the mean feature of each concept over its images that are not in `shown` (NICE's protocol).

        Centres are not renormalised.

        Raises:
            DataError: A concept whose every image was shown.
        """
        kept = ~pd.Index([str(name) for name in ids]).isin([str(name) for name in shown])
        names = sorted(set(map(str, concepts)))
        codes = pd.Index(names).get_indexer(pd.Index([str(name) for name in concepts]))
        counts = np.bincount(codes[kept], minlength=len(names))
        if not counts.all():
            raise DataError(f"Every image of concept '{names[int(counts.argmin())]}' was shown; it has no centre.")
        sums = np.zeros((len(names), np.shape(features)[1]))
        np.add.at(sums, codes[kept], np.asarray(features, dtype=float)[kept])
        return cls(tuple(names), sums / counts[:, None], "concept_centre")


def similarities(queries: np.ndarray, gallery: Gallery, *, cosine: bool = True) -> np.ndarray:
    """Return (n, n_candidates) cosine similarities, or dot products; entries with equal features have equal ones.

    Raises:
        DataError: Queries of another dimension, or that are not finite.
    """
    queries = np.asarray(queries)
    if queries.ndim != 2 or queries.shape[1] != gallery.features.shape[1]:
        raise DataError(f"Queries {queries.shape} do not fit gallery features {gallery.features.shape}.")
    if not np.isfinite(queries).all():
        raise DataError(f"Query {int(np.flatnonzero(~np.isfinite(queries).all(axis=1))[0])} is not finite.")
    first, which = gallery.distinct
    features = gallery.features[first]
    found: np.ndarray = _unit(queries) @ _unit(features).T if cosine else queries @ features.T
    return found[:, which]


def ranks_of_truth(similarity: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mid-rank (0 = best) of the true candidate of each query, and how many others tie with it.

    Args:
        similarity: (n, n_candidates).
        truth: (n,) column of the true candidate.

    Raises:
        DataError: Similarities that are not finite.
    """
    if not np.isfinite(similarity).all():
        raise DataError("Similarities are not finite; check the embeddings of the decoder.")
    own = np.take_along_axis(similarity, np.asarray(truth)[:, None], axis=1)
    better, n_ties = (similarity > own).sum(axis=1), (similarity == own).sum(axis=1) - 1
    return better + 0.5 * n_ties, n_ties


def k_way_probability(
    ranks: np.ndarray, gallery_size: int, k: int, *, top: int = 1, n_ties: np.ndarray | int = 0
) -> np.ndarray:
    """Return the exact chance that the truth is among the best `top` of itself and k - 1 random distractors.

    With r of N - 1 others ranked better, the number of better distractors is hypergeometric; for `top=1` this is
    C(N-1-r, k-1) / C(N-1, k-1). A tie is the mean over the places it may take.

    Args:
        ranks: Mid-ranks of any shape, 0 = best.
        gallery_size: N.
        k: Candidates per question, 2 to N.
        top: Places that count as right, 1 to k - 1.
        n_ties: How many other candidates equal each.

    Raises:
        ConfigError: k or top outside their range.
        DataError: A mid-rank that its number of ties cannot have.
    """
    if not 2 <= k <= gallery_size or not 1 <= top < k:
        raise ConfigError(f"k-way needs 2 <= k <= {gallery_size} and 1 <= top < k; got k={k}, top={top}.")
    first, places = first_places(ranks, n_ties), np.asarray(n_ties) + 1
    by_place = hypergeom.cdf(top - 1, gallery_size - 1, np.arange(gallery_size), k - 1)
    alone = by_place[first]
    if not np.any(places > 1):
        return alone
    summed = np.concatenate([[0.0], np.cumsum(by_place)])
    # Differences of sums round; what has no equals keeps its own value to the last bit.
    return np.where(places > 1, (summed[first + places] - summed[first]) / places, alone)


def _unit(vectors: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(norm > 0, norm, 1.0)
