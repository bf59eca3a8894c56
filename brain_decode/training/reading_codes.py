"""What a naive Bayes reading of codes has found, for the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.encoders.code_ngrams import CodeNgrams
from brain_decode.evaluation.code_reading import code_reading
from brain_decode.heads.naive_bayes import NaiveBayes
from brain_decode.training.trials import Trials

__all__ = ["describe_codes"]

_MOST_WINDOWS = 1000  # described; averages of more look the same


def describe_codes(decoder: BrainDecoder, trials: Trials, rows: np.ndarray, seed: int) -> dict[str, Any] | None:
    """Return which codes mark which class; None for decoders that do not read codes.

    Args:
        decoder: Fitted on `rows`.
        trials: The run's windows.
        rows: Positions; of many, some are drawn.
        seed: Of the drawing.
    """
    encoder, head = decoder.encoder, decoder.head
    if not len(rows) or not isinstance(encoder, CodeNgrams) or not isinstance(head, NaiveBayes):
        return None
    if len(rows) > _MOST_WINDOWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST_WINDOWS, replace=False))
    windows = decoder.preprocessing.apply_windows(trials.windows(decoder.preprocessing, rows)).data
    occurrences = encoder.occurrences(windows)
    per_channel = encoder.tokenizer.per_channel
    spaces = (
        list(encoder.signal_spec.sensors.names)
        if per_channel
        else [f"source {number}" for number in range(occurrences.shape[2])]
    )
    return code_reading(
        encoder.words(),
        head.evidence(),
        occurrences,
        trials.targets(rows),
        classes=trials.classes,
        spaces=spaces,
        waveforms=windows if per_channel else None,
    )
