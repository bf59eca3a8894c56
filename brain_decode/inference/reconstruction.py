"""Feature vectors to draw pictures from: what a decoder answers to the windows of one recording file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, did_you_mean
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.inference.recordings import read_for
from brain_decode.signals.windows import Windows

__all__ = ["answers_of_recording"]

_AVERAGED_AT_ONCE = 32  # averages; each brings all its windows


def answers_of_recording(
    decoder: BrainDecoder,
    path: Path,
    events: Path | None = None,
    *,
    average: str | None = None,
    input_unit: str | None = None,
) -> tuple[list[str], np.ndarray]:
    """Return names and answers (n, dim) of the windows of a recording file, or of their averages.

    Args:
        decoder: For retrieval.
        path: Recording file.
        events: Table of events that replaces the recording's own.
        average: Event column; windows with the same value are averaged before they are answered. None answers each
            window, named by its number and its onset.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.

    Raises:
        ConfigError: A column that the events do not have.
        SpecMismatch: The recording lacks what the decoder needs.
        DataError: The file cannot be read.
    """
    windows = decoder.windows(read_for(decoder, path, events), input_unit=input_unit)
    if average is None:
        onsets = windows.table.get("onset_s", pd.Series(np.nan, index=windows.table.index))
        names = [f"window-{number:04d}_{onset:.2f}s" for number, onset in enumerate(onsets, start=1)]
        return names, decoder.answer_windows(windows)
    if average not in windows.table:
        raise ConfigError(
            f"The events have no column '{average}' to average by.{did_you_mean(average, windows.table.columns)} "
            f"They have {sorted(map(str, windows.table.columns))}; events= names another table."
        )
    return _averaged(decoder, windows, windows.table[average].astype(str).to_numpy())


def _averaged(decoder: BrainDecoder, windows: Windows, values: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Answer the mean of the windows of each value, in the order in which values first appear."""
    codes, names = pd.factorize(values)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    answers = []
    for group in np.array_split(np.arange(len(names)), -(-len(names) // _AVERAGED_AT_ONCE)):
        first, stop = bounds[group[0]], bounds[group[-1] + 1]
        processed = decoder.preprocessing.apply_windows(windows.rows(order[first:stop]))
        answers.append(decoder.answer_preprocessed(processed.run_means(bounds[group] - first)))
    return names.tolist(), np.concatenate(answers)
