"""Which runs of codes mark which class: for the report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["code_reading"]

_SHOWN, _FEWEST = 6, 5  # words per class, and how often a shown word occurs at least


def code_reading(
    words: Sequence[Mapping[str, Any] | None],
    evidence: np.ndarray,
    occurrences: np.ndarray,
    labels: np.ndarray,
    *,
    classes: Sequence[str],
    spaces: Sequence[str],
    waveforms: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the words that mark each class, where they are, and what the signal looks like there.

    Args:
        words: For each column, `space` and `codes`; None for columns that are not used.
        evidence: (classes, words) log of how much likelier a word is in a class than in the others.
        occurrences: (window, length, space, time), the column that begins there; -1 for none.
        labels: (window,) class indices.
        classes: Names.
        spaces: Names of channels or latent sources.
        waveforms: (window, space, sample), where each space is a channel.

    Returns:
        `classes`, `spaces`; `markers`: by class, the likeliest words that are not rare, with `name`, `evidence`, `n`
        and `waveform` (mean over where the word occurs); `heat`: (class, space, time) mean sum of the evidence for a
        class over its own windows.
    """
    present = occurrences[occurrences >= 0]
    counts = np.bincount(present, minlength=len(words))
    shown = [
        [column for column in np.argsort(-row, kind="stable") if counts[column] >= _FEWEST and row[column] > 0][:_SHOWN]
        for row in evidence
    ]
    markers = [
        [
            {
                "name": f"{spaces[words[column]['space']]}: {' '.join(map(str, words[column]['codes']))}",  # type: ignore[index]
                "evidence": float(row[column]),
                "n": int(counts[column]),
                "waveform": _mean_waveform(column, words[column], occurrences, waveforms),  # type: ignore[arg-type]
            }
            for column in columns
        ]
        for columns, row in zip(shown, evidence, strict=True)
    ]
    return {
        "classes": list(classes),
        "spaces": list(spaces),
        "markers": markers,
        "heat": [_heat(row, occurrences[labels == number]).tolist() for number, row in enumerate(evidence)],
    }


def _heat(evidence: np.ndarray, occurrences: np.ndarray) -> np.ndarray:
    """Return (space, time) sums over lengths, averaged over windows."""
    if not len(occurrences):
        return np.zeros(occurrences.shape[2:])
    return np.where(occurrences >= 0, evidence[occurrences], 0).sum(1).mean(0)


def _mean_waveform(
    column: int, word: Mapping[str, Any], occurrences: np.ndarray, waveforms: np.ndarray | None
) -> list[float] | None:
    if waveforms is None:
        return None
    length, space = len(word["codes"]), word["space"]
    samples_per_step = waveforms.shape[2] // occurrences.shape[3]
    rows, steps = np.nonzero(occurrences[:, length - 1, space] == column)
    samples = steps[:, None] * samples_per_step + np.arange(length * samples_per_step)
    return waveforms[rows[:, None], space, samples].mean(0).tolist()
