"""Recordings of Muse headbands as the Mind Monitor app exports them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError

__all__ = ["read_muse_csv"]

_CHANNELS = ("TP9", "AF7", "AF8", "TP10")
_MICROVOLT = 1e-6
_LARGEST_JITTER = 0.5  # of the median interval, on average; more means that time stamps are no regular samples


def read_muse_csv(path: Path) -> Any:
    """Return the raw electrodes (RAW_TP9, …) of a Mind Monitor file as `mne.io.RawArray`, its elements as events.

    The rate is what the time stamps give; blinks and other elements become annotations.

    Raises:
        DataError: No such columns, fewer than two samples, or time stamps without a constant interval.
    """
    table = pd.read_csv(path)
    wanted = [f"RAW_{name}" for name in _CHANNELS]
    lacking = [name for name in ("TimeStamp", *wanted) if name not in table]
    if lacking:
        raise DataError(
            f"{path.name} is no Mind Monitor export: it lacks the columns {lacking}. Other tables are read with "
            "loader._target_: brain_decode.datasets.arrays.ArrayDataset."
        )
    times = pd.to_datetime(table["TimeStamp"])
    seconds = (times - times.iloc[0]).dt.total_seconds().to_numpy()
    samples = table[wanted].to_numpy(float)
    measured = np.isfinite(samples).all(axis=1)
    rate = _rate(seconds[measured], path)
    raw = mne.io.RawArray(
        samples[measured].T * _MICROVOLT, mne.create_info(list(_CHANNELS), rate, "eeg"), verbose="ERROR"
    )
    elements = table.get("Elements", pd.Series(dtype=object)).fillna("").astype(str)
    chosen = np.flatnonzero(elements.to_numpy() != "")
    raw.set_annotations(mne.Annotations(seconds[chosen], 0.0, elements.iloc[chosen].tolist()))
    return raw


def _rate(seconds: np.ndarray, path: Path) -> float:
    steps = np.diff(seconds)
    if not len(steps) or np.median(steps) <= 0:
        raise DataError(
            f"{path.name} has {len(seconds)} samples whose time stamps give no sampling rate. Export it at a constant "
            "interval, or describe the rate with loader._target_: brain_decode.datasets.arrays.ArrayDataset."
        )
    jitter = float(np.abs(steps - np.median(steps)).mean() / np.median(steps))
    if jitter > _LARGEST_JITTER:
        raise DataError(
            f"{path.name}: the intervals between its time stamps vary by {jitter:.0%} on average, so it has no "
            "sampling rate. Export it at a constant interval."
        )
    return float(round(1.0 / np.mean(steps), 3))
