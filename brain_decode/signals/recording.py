"""One run of one participant, read lazily."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.voxels import Voxels

__all__ = ["ArraySource", "ContinuousSource", "Entities", "Recording", "TrialArraySource", "TrialSource"]


@dataclass(frozen=True, order=True)
class Entities:
    """The BIDS entities that name a recording; labels are strings without their prefix ("01", not "sub-01")."""

    subject: str
    session: str = ""
    task: str = ""
    run: str = ""

    @property
    def label(self) -> str:
        """`sub-01_ses-02_task-n170_run-03`, without the entities that are absent."""
        parts = (("sub", self.subject), ("ses", self.session), ("task", self.task), ("run", self.run))
        return "_".join(f"{prefix}-{value}" for prefix, value in parts if value)


class ContinuousSource(Protocol):
    """A lazily read (space, time) signal in SI units."""

    n_times: int

    def read(self, start: int, stop: int) -> np.ndarray:
        """Return samples [start, stop) as (space, time) float64."""


class TrialSource(Protocol):
    """Lazily read (trial, space, time) windows in SI units."""

    n_trials: int
    n_times: int

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return these trials as (trial, space, time) float64."""


_READ_ERRORS = (OSError, ValueError, RuntimeError, EOFError)  # what readers raise, by format


@dataclass(frozen=True)
class ArraySource:
    """A (space, time) array held in memory."""

    samples: np.ndarray

    @property
    def n_times(self) -> int:
        return int(self.samples.shape[1])

    def read(self, start: int, stop: int) -> np.ndarray:
        return np.asarray(self.samples[:, start:stop], dtype=np.float64)


@dataclass(frozen=True)
class TrialArraySource:
    """A (trial, space, time) array held in memory or memory-mapped."""

    trials: np.ndarray

    @property
    def n_trials(self) -> int:
        return int(self.trials.shape[0])

    @property
    def n_times(self) -> int:
        return int(self.trials.shape[2])

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return np.asarray(self.trials[np.asarray(indices, dtype=int)], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Recording:
    """A lazily read signal with its rate, space axis and events.

    Args:
        entities: Which run of which participant this is.
        space: Sensors or voxels, the order of the space axis.
        rate_hz: Samples per second.
        events: One row per event; columns `onset_s`, `duration_s`, `trial_type`, then whatever the files hold.
            For cut trials, row i describes trial i.
        source: Reads the signal, in volts, tesla, tesla per metre or the unit of the volume.
        continuous: False for cut trials, where filters and sliding windows are refused.
        start_s: For cut trials, the time of their first sample relative to the event.
        line_frequency_hz: Mains frequency, where the files state it.
        reference: Name of the reference, where the files state it.
        files: The files the signal was read from; their content identifies the recording.
        header: The MNE `Info` the recording came from, kept so that the way back loses nothing.
        annotations: MNE annotations of a continuous recording, likewise.
        first_sample: Sample number of the first sample where the acquisition system counts from elsewhere (MNE's
            `first_samp`); events and windows count from the first sample that is there.
        notes: Sentences about what was not in the files and was filled in, for passport and report.

    Raises:
        DataError: A rate that is not positive, no samples, events without `onset_s`, or trials and event rows
            that disagree.
    """

    entities: Entities
    space: Sensors | Voxels
    rate_hz: float
    events: pd.DataFrame
    source: Any
    continuous: bool = True
    start_s: float = 0.0
    line_frequency_hz: float | None = None
    reference: str | None = None
    files: tuple[Path, ...] = ()
    header: Any = field(default=None, repr=False)
    annotations: Any = field(default=None, repr=False)
    first_sample: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not np.isfinite(self.rate_hz) or self.rate_hz <= 0:
            raise DataError(f"{self.label}: the sampling rate must be positive, got {self.rate_hz} Hz.")
        if self.n_times < 1:
            raise DataError(f"{self.label} holds no samples (0 seconds). Record it again or leave it out.")
        missing = {"onset_s", "duration_s", "trial_type"} - set(self.events.columns)
        if missing:
            raise DataError(f"{self.label}: events need the columns {sorted(missing)}; they have {list(self.events)}.")
        if not self.continuous and len(self.events) != self.source.n_trials:
            raise DataError(
                f"{self.label}: {self.source.n_trials} cut trials but {len(self.events)} rows that describe them."
            )

    @property
    def label(self) -> str:
        """The BIDS-like name of the recording, for messages."""
        return self.entities.label

    @property
    def n_times(self) -> int:
        """Samples of the recording, or of one trial."""
        return int(self.source.n_times)

    @property
    def duration_s(self) -> float:
        """Seconds of the recording, or of one trial."""
        return self.n_times / self.rate_hz

    def read(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Return samples [start, stop) as (space, time) float64.

        Raises:
            DataError: The recording holds cut trials, or its file can no longer be read.
        """
        if not self.continuous:
            raise DataError(f"{self.label} holds cut trials; a continuous signal was asked for. Use read_trials.")
        try:
            return self.source.read(start, self.n_times if stop is None else stop)
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return cut trials as (trial, space, time) float64.

        Raises:
            DataError: The recording is continuous, or its file can no longer be read.
        """
        if self.continuous:
            raise DataError(f"{self.label} is continuous; cut trials were asked for. Cut windows around its events.")
        try:
            return self.source.read_trials(indices)
        except _READ_ERRORS as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> DataError:
        files = ", ".join(str(path) for path in self.files) or "its file"
        return DataError(
            f"{self.label} can no longer be read ({error}): it is damaged, cut off, or its drive is gone. Check "
            f"{files} and repeat the command; what is prepared stays."
        )

    def with_events(self, events: pd.DataFrame) -> Recording:
        """Return the same recording with another event table."""
        return replace(self, events=events)
