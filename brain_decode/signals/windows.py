"""Windows: slices of recordings with what was seen, and the tables and arrays that hold many of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

__all__ = ["WINDOW_COLUMNS", "Window", "Windows"]

# Columns of a window table (one row per window), shared by splits, store, predictions and report.
WINDOW_COLUMNS = (
    "recording",  # int, position of the recording in the list the table was made from
    "event",  # int, row of the recording's event table (-1 for sliding windows)
    "dataset",
    "subject",
    "session",
    "task",
    "run",
    "onset_s",  # event time in the recording; NaN for cut trials where it is not known
    "start_s",  # window [start_s, stop_s) in the recording; relative to the event for cut trials
    "stop_s",
    "is_cut",  # True for cut trials, whose start_s and stop_s are relative to the event
    "label",  # class label (str), regression value (float) or "" where there is none
    "stimulus",  # identity of what was shown, "" where it was not recorded
    "concept",  # category of the stimulus, "" where there is none
    "partition",  # "train", "validation" or "test" of an official split, "" where there is none
    "rejected",  # "" or the rule that rejected the window
)


@dataclass(frozen=True)
class Window:
    """`[start_s, stop_s)` of a recording with its stimulus, label and split."""

    recording: int
    start_s: float
    stop_s: float
    stimulus: str = ""
    label: str | float = ""
    split: str = ""


@dataclass(frozen=True)
class Windows:
    """Equally sized windows of one montage in memory, with what fitted steps may need to know about each.

    Args:
        data: (window, channel, time) float32 or float64, SI units until a step rescales it.
        rate_hz: Samples per second.
        start_s: Time of the first sample relative to the event.
        space: Sensors or voxels of the channel axis.
        table: One row per window with (some of) `WINDOW_COLUMNS`.
    """

    data: np.ndarray
    rate_hz: float
    start_s: float
    space: Sensors | Voxels
    table: pd.DataFrame = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        if self.table is None:
            object.__setattr__(self, "table", pd.DataFrame(index=range(len(self.data))))
        if self.data.ndim != 3 or self.data.shape[1] != len(self.space):
            raise DataError(
                f"Windows are (window, channel, time) with {len(self.space)} channels; got shape {self.data.shape}."
            )
        if len(self.table) != len(self.data):
            raise DataError(f"{len(self.data)} windows but {len(self.table)} table rows.")

    def __len__(self) -> int:
        return len(self.data)

    @property
    def times_s(self) -> np.ndarray:
        """(time,) seconds relative to the event."""
        return self.start_s + np.arange(self.data.shape[2]) / self.rate_hz

    def with_data(self, data: np.ndarray) -> Windows:
        """Return the same windows with other samples."""
        return replace(self, data=data)

    def run_means(self, starts: np.ndarray) -> Windows:
        """Return one window per run of neighbouring windows: their mean, with the table row of the first.

        Args:
            starts: (run,) where each run begins, the first at 0; column `n_repetitions` says how long each is.
        """
        sizes = np.diff(np.append(starts, len(self)))
        means = (np.add.reduceat(self.data, starts, axis=0) / sizes[:, None, None]).astype(self.data.dtype)
        return replace(self, data=means, table=self.table.iloc[starts].assign(n_repetitions=sizes))

    def rows(self, indices: np.ndarray) -> Windows:
        """Return the windows at these positions."""
        return replace(self, data=self.data[indices], table=self.table.iloc[indices])
