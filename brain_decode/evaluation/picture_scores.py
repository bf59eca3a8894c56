"""Reconstructed pictures to scores, each beside its ceiling, its shuffled-brain control, interval and chance level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.evaluation.intervals import (
    LEAST_UNITS,
    THESE_SUBJECTS,
    Interval,
    Units,
    interval_of,
    joined_units,
    left_out_weights,
)
from brain_decode.evaluation.permutation import p_entry, p_value_of
from brain_decode.evaluation.picture_comparisons import (
    Describe,
    FeatureDistance,
    Measured,
    PictureComparison,
    PixelCorrelation,
    StructuralSimilarity,
    TwoWay,
)
from brain_decode.evaluation.picture_metrics import require_pictures
from brain_decode.evaluation.scoring import Score
from brain_decode.evaluation.unavailable import Unavailable

__all__ = ["Describe", "Reconstructions", "is_lower_better", "score_pictures", "shuffled_orders"]

_P_METHOD = "permutation of the seen pictures, reconstructions fixed"
_TWO_WAY, _DISTANCE = "two_way_", "_distance"


@dataclass(frozen=True, eq=False)
class Reconstructions:
    """Pictures that were seen, and what was drawn from the brain responses to them.

    Args:
        seen: (n_pictures, height, width, 3) in [0, 1], each picture once.
        reconstructed: (n, height, width, 3), in any size.
        shown: (n,) row of `seen` that each reconstruction is of; None: one each, in order. Several people's, or several
            samples of a generator, share a row.
        shuffled: Controls, each like `reconstructed` but drawn from the responses to other pictures; see
            `shuffled_orders`.
        ceiling: (n_pictures, height, width, 3) drawn from the true features of each seen picture; None: not known.

    Raises:
        DataError: Arrays that are no pictures, numbers that disagree, or fewer than 2 pictures.
    """

    seen: np.ndarray
    reconstructed: np.ndarray
    shown: np.ndarray | None = None
    shuffled: Sequence[np.ndarray] = ()
    ceiling: np.ndarray | None = None
    rows: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        shuffled = tuple(require_pictures(part, "shuffled control") for part in self.shuffled)
        checked = {
            "seen": require_pictures(self.seen, "seen"),
            "reconstructed": require_pictures(self.reconstructed, "reconstructed"),
            "shuffled": shuffled,
            "ceiling": None if self.ceiling is None else require_pictures(self.ceiling, "ceiling"),
            "rows": np.arange(len(self.reconstructed)) if self.shown is None else np.asarray(self.shown, dtype=int),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_numbers()

    def _check_numbers(self) -> None:
        n_seen, n = len(self.seen), len(self.reconstructed)
        if n_seen < 2:
            raise DataError("Scores of reconstructions compare with other pictures that were seen; got 1. Give more.")
        if sorted(set(self.rows.tolist())) != list(range(n_seen)) or len(self.rows) != n:
            raise DataError(
                f"Each of {n_seen} seen pictures has at least one of the {n} reconstructions, and each of those is of "
                "one of them. Leave out pictures without a reconstruction, and say by `shown` which is of which."
            )
        if self.ceiling is not None and len(self.ceiling) != n_seen:
            raise DataError(f"The ceiling has one picture for each of {n_seen} seen ones; got {len(self.ceiling)}.")
        for part in self.shuffled:
            if len(part) != n:
                raise DataError(
                    f"A shuffled control has as many pictures as there are reconstructions; got {len(part)} and {n}."
                )


def shuffled_orders(n: int, count: int = 5, *, seed: int = 0) -> list[np.ndarray]:
    """Return `count` orders (n,) in which brain responses are handed to other pictures, for shuffled controls.

    They are drawn from all orders but the first, so a picture may keep its own by chance: leaving those out would push
    the control of a good decoder below guessing.

    Raises:
        ConfigError: Fewer than 2 pictures, or no order asked for.
    """
    if n < 2 or count < 1:
        raise ConfigError(f"A shuffled control needs 2 or more pictures and 1 or more orders; got {n} and {count}.")
    rng = np.random.default_rng([seed, n])
    orders: list[np.ndarray] = []
    while len(orders) < count:
        order = rng.permutation(n)
        if (order != np.arange(n)).any():
            orders.append(order)
    return orders


def is_lower_better(metric: str) -> bool:
    """Return whether a picture metric is a distance."""
    return metric.endswith(_DISTANCE)


def score_pictures(
    pictures: Reconstructions,
    features: Mapping[str, Describe] | None = None,
    *,
    seed: int = 0,
    n_permutations: int = 1999,
) -> dict[str, Score]:
    """Return `pixcorr`, `ssim` and one score for each of `features`.

    Each has "value", "ci95", "chance", "p_permutation", "n", "ceiling" and "shuffled", and says how p was made.
    Intervals are about other pictures shown to these subjects: a jackknife leaves out seen pictures, with all that was
    drawn of them, and in two-way identification as competitors, too. p permutes which seen picture belongs to which
    reconstruction, the pictures fixed (SSIM: by 39 rotations). `ceiling` and
    `shuffled` are {"value", "ci95"} or None; the control's value is the mean over its orders.
    "chance" is 0.5 for two-way identification; else the control's value, without one the mean over permutations.

    Args:
        pictures: What to score.
        features: Functions from pictures to features, by metric: `two_way_<name>` for identification,
            `<name>_distance` for the mean correlation distance (lower is better).
        seed: Of the permutations.
        n_permutations: Permutations; 0 leaves p out.

    Raises:
        ConfigError: A metric named neither way.
        DataError: Features of another shape, or that are not finite.
    """
    features = dict(features or {})
    for name in features:
        if not (name.startswith(_TWO_WAY) or is_lower_better(name)):
            raise ConfigError(f"A feature is named two_way_<name> or <name>_distance; got '{name}'. Rename it.")
    prepared: dict[str, Callable[[], PictureComparison]] = {
        "pixcorr": partial(PixelCorrelation, pictures.seen),
        "ssim": partial(StructuralSimilarity, pictures.seen),
    }
    for name, describe in features.items():
        kind = FeatureDistance if is_lower_better(name) else TwoWay
        prepared[name] = partial(kind, pictures.seen, describe, name)
    scores = {}
    for name, prepare in prepared.items():  # one at a time: features of a network are large
        # A generator for each, so that a metric more or less changes no other.
        scores[name] = _score(name, prepare(), pictures, n_permutations, np.random.default_rng([seed, 1]))
    return scores


def _score(
    name: str,
    comparison: PictureComparison,
    pictures: Reconstructions,
    n_permutations: int,
    rng: np.random.Generator,
) -> Score:
    own = comparison.measure(pictures.reconstructed, pictures.rows)
    shuffled = _control(comparison, pictures)
    ceiling = None
    if pictures.ceiling is not None:
        ceiling = comparison.measure(pictures.ceiling, np.arange(len(pictures.seen)))
    p, expected = None, None
    if n_permutations:
        sign = -1.0 if is_lower_better(name) else 1.0
        observed, null = comparison.null(pictures.reconstructed, pictures.rows, n_permutations, rng)
        p, expected = p_value_of(sign * observed, sign * null, _P_METHOD, np.inf), float(null.mean())
    chance = expected if shuffled is None else shuffled.value
    return {
        **_summary(name, own),
        **_statement(len(pictures.seen)),
        "chance": 0.5 if name.startswith(_TWO_WAY) else chance,
        **p_entry(p),
        "n": len(pictures.reconstructed),
        "ceiling": None if ceiling is None else _summary(name, ceiling),
        "shuffled": None if shuffled is None else _summary(name, shuffled),
    }


def _statement(n_seen: int) -> dict[str, Any]:
    """Return what the intervals are about, or why there is none."""
    if n_seen >= LEAST_UNITS:
        return {"ci95_about": THESE_SUBJECTS}
    reason = f"{n_seen} pictures were shown; a statement about other pictures takes {LEAST_UNITS}"
    return {"ci95_about": None, "ci95_reason": f"{THESE_SUBJECTS}: {reason}"}


def _control(comparison: PictureComparison, pictures: Reconstructions) -> Measured | None:
    """Return the mean of the shuffled controls, picture by picture."""
    if not pictures.shuffled:
        return None
    parts = [comparison.measure(part, pictures.rows) for part in pictures.shuffled]
    wins = [part.wins for part in parts if part.wins is not None]
    values = np.mean([part.values for part in parts], axis=0)
    return Measured(pictures.rows, values, np.mean(wins, axis=0) if wins else None)


def _summary(name: str, measured: Measured) -> dict[str, Any]:
    n_seen = int(measured.rows.max()) + 1
    units = Units("picture", joined_units(np.arange(n_seen)))
    without = measured.weighted(left_out_weights(units)[:, units.codes])
    n_perfect = n_seen if name.startswith(_TWO_WAY) else None
    found = interval_of(measured.value, without, without, units, bounds=_bounds(name), n_perfect=n_perfect)
    if n_seen < LEAST_UNITS or isinstance(found, Unavailable):
        return {"value": measured.value, "ci95": [None, None]}
    return {"value": measured.value, "ci95": list(found)}


def _bounds(name: str) -> Interval:
    """Return the lowest and highest value: of shares, distances 1 - r, and correlations."""
    return (0.0, 1.0) if name.startswith(_TWO_WAY) else (0.0, 2.0) if is_lower_better(name) else (-1.0, 1.0)
