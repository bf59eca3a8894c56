"""How well self-supervised models do what they were trained for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.evaluation.intervals import NEW_SUBJECTS, Design, interval_entries, left_out_weights, unit_means

__all__ = [
    "BANDS_HZ",
    "amplitude_correlations",
    "band_correlations",
    "codebook_use",
    "correlations",
    "mean_with_interval",
    "most_frequent",
]

BANDS_HZ: Mapping[str, tuple[float, float]] = {
    "delta": (0.5, 4.0),
    "theta": (4.0, 8.0),
    "alpha": (8.0, 13.0),
    "beta": (13.0, 30.0),
    "gamma": (30.0, 90.0),
}


def correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation along the last axis; NaN where either never varies."""
    first, second = first - first.mean(-1, keepdims=True), second - second.mean(-1, keepdims=True)
    product = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(product > 0, (first * second).sum(-1) / product, np.nan)


def band_correlations(first: np.ndarray, second: np.ndarray, rate_hz: float) -> dict[str, np.ndarray]:
    """Return the correlation of two signals within each of `BANDS_HZ`, along the last axis.

    The bands are cut out of the spectrum of the whole window, so the correlation is that of its coefficients; bands
    without a coefficient (short windows, low rates) are left out.

    Args:
        first: (..., sample).
        second: Same shape.
        rate_hz: Samples per second.
    """
    ours, theirs = np.fft.rfft(first), np.fft.rfft(second)
    frequencies = np.fft.rfftfreq(first.shape[-1], 1 / rate_hz)
    found = {}
    for name, (low_hz, high_hz) in BANDS_HZ.items():
        inside = (frequencies >= low_hz) & (frequencies < high_hz)
        if inside.any():
            a, b = ours[..., inside], theirs[..., inside]
            product = np.sqrt((np.abs(a) ** 2).sum(-1) * (np.abs(b) ** 2).sum(-1))
            with np.errstate(invalid="ignore", divide="ignore"):
                found[name] = np.where(product > 0, (a * b.conj()).real.sum(-1) / product, np.nan)
    return found


def amplitude_correlations(first: np.ndarray, second: np.ndarray, frequencies_hz: np.ndarray) -> dict[str, np.ndarray]:
    """Return the correlation of two spectrograms within each of `BANDS_HZ`, over the values of the band.

    Args:
        first: (..., value) amplitudes.
        second: Same shape.
        frequencies_hz: (value,) frequency of each value.
    """
    inside = {name: (frequencies_hz >= low) & (frequencies_hz < high) for name, (low, high) in BANDS_HZ.items()}
    return {name: correlations(first[..., band], second[..., band]) for name, band in inside.items() if band.any()}


def codebook_use(codes: np.ndarray, codebook_size: int) -> dict[str, list[float]]:
    """Return how evenly the codewords of each level are used.

    Args:
        codes: (token, level).
        codebook_size: Codewords per level.

    Returns:
        `perplexity_share`: exp of the entropy over the codebook's size, 1 where all are used alike; `used_share`: share
        of the codewords that occur at all; one value per level.
    """
    level = np.arange(codes.shape[1]) * codebook_size
    counts = np.bincount((codes + level).ravel(), minlength=codes.shape[1] * codebook_size)
    counts = counts.reshape(codes.shape[1], codebook_size)
    share = counts / len(codes)
    logarithm = np.log(share, out=np.zeros_like(share), where=share > 0)
    perplexity = np.exp(-(share * logarithm).sum(1))
    return {
        "perplexity_share": (perplexity / codebook_size).tolist(),
        "used_share": (counts > 0).mean(1).tolist(),
    }


def most_frequent(codes: np.ndarray, codebook_size: int) -> np.ndarray:
    """Return the most frequent code of each level: (token, level) to (level,)."""
    level = np.arange(codes.shape[1]) * codebook_size
    counts = np.bincount((codes + level).ravel(), minlength=codes.shape[1] * codebook_size)
    return counts.reshape(codes.shape[1], codebook_size).argmax(1)


def mean_with_interval(values: np.ndarray, table: pd.DataFrame) -> dict[str, Any]:
    """Return the mean of one value per window, with intervals as of a score: about new subjects from five on.

    Args:
        values: (n,); NaN is left out.
        table: Window table of the same rows.
    """
    known = np.isfinite(values)
    values, table = values[known], table[known]
    mean = {"value": float(values.mean())}
    intervals = interval_entries(
        mean,
        lambda units: {"value": unit_means(values, units, left_out_weights(units))},
        table,
        Design(),
        bounds={"value": (-np.inf, np.inf)},
    )["value"]
    new = intervals["ci95_new_subjects"]
    if new[0] is not None:
        intervals |= {"ci95": new, "ci95_about": NEW_SUBJECTS}
    people = len(table[["dataset", "subject"]].drop_duplicates())
    return {**mean, **intervals, "n": len(values), "people": people}
