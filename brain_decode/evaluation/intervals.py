"""What an interval is about, the units it is made from, and the interval itself.

Two statements are kept apart. *These subjects*: what the decoder would reach on more data of the people who were
scored. *New subjects*: what it would reach on other people. Units are never finer than what the split leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import t as student

from brain_decode.datasets.splits import trial_codes, unit_codes
from brain_decode.evaluation.exchangeability import persistent_blocks
from brain_decode.evaluation.unavailable import Unavailable

__all__ = [
    "LEAST_FOLDS",
    "LEAST_SUBJECTS",
    "LEAST_UNITS",
    "NEW_SUBJECTS",
    "THESE_SUBJECTS",
    "Design",
    "Interval",
    "Units",
    "interval_entries",
    "interval_of",
    "jackknife_deviation",
    "joined_units",
    "left_out_weights",
    "new_subject_units",
    "picture_units",
    "shares_stimuli",
    "these_subject_units",
    "trial_units",
    "unit_means",
]

LEAST_SUBJECTS = 5
LEAST_FOLDS = 3
LEAST_UNITS = 5  # runs, blocks or pictures of one test set
THESE_SUBJECTS, NEW_SUBJECTS = "these subjects", "new subjects"
_MOST_UNITS = 200  # finer ones are joined with their neighbours; a variance of 200 groups is known to a tenth
_LEVEL = 0.95

Interval = tuple[float, float]
# Each score without each of the units, (n_units,).
LeftOut = Callable[["Units"], Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class Design:
    """How the scored answers came about: what an interval has to carry.

    Args:
        left_out: What a fold leaves out: "subject", "session", "run", "block", "concept"; empty for one test set.
        n_folds: Decoders that were fitted, each on another part of the same windows.
        test_to_train: Test windows over training windows of a fold. It measures how much the decoders share; 0 where
            one decoder, fitted beforehand, gave every answer.
        needs_refit: Folds were trained on each other's test windows, so that answers of fixed decoders depend on the
            labels of all of them, and a permutation test takes decoders that are fitted again.
    """

    left_out: str = ""
    n_folds: int = 1
    test_to_train: float = 0.0
    needs_refit: bool = False

    @property
    def is_crossvalidated(self) -> bool:
        """True where folds share training windows."""
        return self.n_folds > 1

    @property
    def inflation(self) -> float:
        """By how much the variance of training sets widens that of the test windows: about 2 in cross-validation.

        Source: Nadeau and Bengio 2003, equation 9: 1 / n becomes 1 / n + test / train.
        """
        return 1 + self.n_folds * self.test_to_train if self.is_crossvalidated else 1.0


@dataclass(frozen=True, eq=False)
class Units:
    """Groups of windows that are left out one at a time.

    Args:
        level: "subject", "fold", "run", "block", "picture" or "window".
        codes: (n,) unit of each window, 0 to `n_units` - 1.
        inflation: Of the variance, see `Design.inflation`.
        about: What an interval over them is about.
    """

    level: str
    codes: np.ndarray
    inflation: float = 1.0
    about: str = THESE_SUBJECTS

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return int(self.codes.max()) + 1


def these_subject_units(table: pd.DataFrame, design: Design) -> Units | Unavailable:
    """Return the units of the statement about these subjects: folds, else runs, blocks of labels, or windows."""
    if design.is_crossvalidated:
        if design.left_out == "subject":
            return Unavailable("the split leaves out whole subjects, so it says nothing about more data of the same")
        if design.n_folds < LEAST_FOLDS:
            return Unavailable(f"{design.n_folds} folds do not show how much decoders differ; it takes {LEAST_FOLDS}")
        return Units("fold", _codes(table["fold"]), design.inflation)
    runs, names = unit_codes(table, "run")
    if len(names) >= LEAST_UNITS:
        return Units("run", runs)
    blocks = persistent_blocks(table, table["truth"].to_numpy()) if "truth" in table else None
    if blocks is None:
        return trial_units(table)
    if int(blocks.max()) + 1 < LEAST_UNITS:
        return Unavailable(
            f"labels come in {int(blocks.max()) + 1} blocks, whose windows are no independent evidence; it takes "
            f"{LEAST_UNITS} blocks or runs"
        )
    return Units("block", joined_units(blocks))


def shares_stimuli(table: pd.DataFrame) -> bool:
    """Return whether stimuli with one label each were answered in several folds: intervals are about these stimuli."""
    if not {"stimulus", "fold", "truth"} <= set(table.columns):
        return False
    named = table[table["stimulus"].astype(str) != ""]
    counts = named.groupby(named["stimulus"].astype(str))[["fold", "truth"]].nunique()
    n_labels = named["truth"].nunique()
    return len(counts) >= 2 * n_labels > 0 and bool(((counts["fold"] > 1) & (counts["truth"] == 1)).mean() > 0.5)


def new_subject_units(table: pd.DataFrame, design: Design) -> Units | Unavailable:
    """Return subjects as units, from five on."""
    codes, names = unit_codes(table, "subject")
    if len(names) < LEAST_SUBJECTS:
        people = "1 subject was" if len(names) == 1 else f"{len(names)} subjects were"
        return Unavailable(f"{people} scored; a statement about new subjects takes {LEAST_SUBJECTS}")
    return Units("subject", codes, design.inflation, NEW_SUBJECTS)


def picture_units(table: pd.DataFrame) -> Units | Unavailable:
    """Return the shown pictures as units, with all their showings: of retrieval from one test set."""
    codes = _codes(table["truth"].astype(str))
    n_pictures = int(codes.max()) + 1
    if n_pictures < LEAST_UNITS:
        return Unavailable(f"{n_pictures} pictures were shown; a statement about other pictures takes {LEAST_UNITS}")
    return Units("picture", joined_units(codes))


def trial_units(table: pd.DataFrame, inflation: float = 1.0) -> Units:
    """Return trials, neighbours joined where they are many."""
    known = {"recording", "event", "onset_s"} <= set(table.columns)
    codes = trial_codes(table) if known else np.arange(len(table))
    return Units("window", joined_units(codes), inflation)


def left_out_weights(units: Units) -> np.ndarray:
    """Return (n_units, n_units) weights of the units; row i leaves out unit i."""
    return 1.0 - np.eye(units.n_units)


def unit_means(values: np.ndarray, units: Units, weights: np.ndarray) -> np.ndarray:
    """Return (n_weights,) the mean of (n,) values where each unit counts so often."""
    sums = np.bincount(units.codes, values, minlength=units.n_units)
    counts = np.bincount(units.codes, minlength=units.n_units)
    n_counted = weights @ counts
    return np.divide(weights @ sums, n_counted, out=np.full(len(weights), np.nan), where=n_counted > 0)


def interval_entries(
    values: Mapping[str, float],
    left_out: LeftOut,
    table: pd.DataFrame,
    design: Design,
    *,
    bounds: Mapping[str, Interval],
    n_perfect: Mapping[str, int] | None = None,
    these: Units | Unavailable | None = None,
) -> dict[str, dict[str, Any]]:
    """Return for each score its intervals and what they are about.

    `ci95` is about these subjects, where the split allows that statement, else about new subjects; `ci95_about` says
    which, `ci95_new_subjects` is there in any case. An interval that would not hold what it promises is [None, None],
    and `ci95_reason` says why.

    Args:
        values: Scores of all windows.
        left_out: Gives them without each unit.
        table: The scored rows.
        design: How they came about.
        bounds: The lowest and highest value of each score.
        n_perfect: Of a score, windows that were all right (or wrong) where it stands at a bound.
        these: Units of the statement about these subjects; `these_subject_units` where None.
    """
    stated = [these_subject_units(table, design) if these is None else these, new_subject_units(table, design)]
    windows = trial_units(table, design.inflation)
    samples = {id(units): left_out(units) for units in (*stated, windows) if isinstance(units, Units)}
    entries = {}
    for name, value in values.items():
        found = [
            units
            if isinstance(units, Unavailable)
            else interval_of(
                value,
                samples[id(units)][name],
                samples[id(windows)][name],
                units,
                bounds=bounds[name],
                n_perfect=(n_perfect or {}).get(name),
            )
            for units in stated
        ]
        entries[name] = _entry(*found)
    return entries


def _entry(these: Interval | Unavailable, new: Interval | Unavailable) -> dict[str, Any]:
    chosen, about = (new, NEW_SUBJECTS) if isinstance(these, Unavailable) else (these, THESE_SUBJECTS)
    reasons = [
        f"{what}: {found.reason}"
        for what, found in ((THESE_SUBJECTS, these), (NEW_SUBJECTS, new))
        if isinstance(found, Unavailable)
    ]
    return {
        "ci95": _listed(chosen),
        "ci95_about": None if isinstance(chosen, Unavailable) else about,
        "ci95_new_subjects": _listed(new),
        **({"ci95_reason": "; ".join(reasons)} if reasons else {}),
    }


def _listed(found: Interval | Unavailable) -> list[float | None]:
    return [None, None] if isinstance(found, Unavailable) else list(found)


def interval_of(
    value: float,
    without_units: np.ndarray,
    without_windows: np.ndarray,
    units: Units,
    *,
    bounds: Interval,
    n_perfect: int | None = None,
) -> Interval | Unavailable:
    """Return the 95 % interval of a score.

    The wider of two: a jackknife over the units with the quantile of Student's t, and one over single windows, which
    keeps a few units that happen to agree from promising too much. In cross-validation both carry the variance of
    training sets.

    Args:
        value: The score of all windows.
        without_units: (n_units,) the score without each unit.
        without_windows: (n,) the score without each window, or each few neighbouring ones.
        units: What the statement is made over.
        bounds: The lowest and highest value the score can have.
        n_perfect: Windows that were all right where the score stands at a bound; the interval is then at least that
            of Clopper and Pearson for so many. None: the score has no such bound.

    Source: Efron and Stein 1981 (jackknife); Clopper and Pearson 1934.
    """
    both = (without_units, without_windows)
    deviations = [jackknife_deviation(value, left_out, units.inflation) for left_out in both]
    if not np.isfinite(deviations).all():
        return Unavailable(f"without one {units.level} the score has no value")
    tail = (1 + _LEVEL) / 2
    quantiles = [student.ppf(tail, len(left_out) - 1) for left_out in both]
    half = max(quantile * deviation for quantile, deviation in zip(quantiles, deviations, strict=True))
    low, high = _bounded(value, half, bounds)
    if n_perfect:
        beyond = (bounds[1] - bounds[0]) * (1 - (1 - tail) ** (1 / n_perfect))
        low = min(low, bounds[1] - beyond) if value >= bounds[1] else low
        high = max(high, bounds[0] + beyond) if value <= bounds[0] else high
    return float(low), float(high)


def _bounded(value: float, half: float, bounds: Interval) -> Interval:
    """Return value ± half, on the logit scale between bounds: a plain one misses skewed scores near a bound too often.

    For a correlation this is Fisher's z.
    """
    span = bounds[1] - bounds[0]
    if not np.isfinite(span) or not bounds[0] < value < bounds[1]:
        return max(value - half, bounds[0]), min(value + half, bounds[1])
    share = (value - bounds[0]) / span
    half_logit = half / span / (share * (1 - share))
    low, high = (bounds[0] + span * float(expit(logit(share) + sign * half_logit)) for sign in (-1, 1))
    return low, high


def jackknife_deviation(value: float, left_out: np.ndarray, inflation: float) -> float:
    """Return the standard error of a score, NaN where one is not known."""
    n_units = len(left_out)
    if n_units < 2 or not np.isfinite(left_out).all():
        return np.nan
    pseudo = n_units * value - (n_units - 1) * left_out
    return float(np.sqrt(pseudo.var(ddof=1) / n_units * inflation))


def _codes(names: pd.Series) -> np.ndarray:
    return pd.factorize(names, sort=True)[0]


def joined_units(codes: np.ndarray) -> np.ndarray:
    """Return at most `_MOST_UNITS` units: neighbouring ones are joined."""
    n_units = int(codes.max()) + 1
    return codes if n_units <= _MOST_UNITS else codes * _MOST_UNITS // n_units
