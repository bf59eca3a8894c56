"""The sizes a model must be built for, read from data and never written in YAML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from brain_decode.core.errors import ConfigError
from brain_decode.signals.space import Space, space_from_json

__all__ = ["SignalSpec", "TargetSpec", "Task", "probability_columns"]

Task = Literal["classification", "regression", "retrieval"]


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Return the names of the probability columns of every table of answers, in the order of the classes."""
    return [f"probability_{name}" for name in classes]


@dataclass(frozen=True)
class SignalSpec:
    """What the windows that reach an encoder look like.

    Args:
        sensors: Sensors or voxels in the order of the channel axis (after preprocessing).
        n_times: Samples per window.
        rate_hz: Samples per second.
        start_s: Time of the first sample relative to the event.
        subjects: Subject labels seen in training, in the order of the subject index.
    """

    sensors: Space
    n_times: int
    rate_hz: float
    start_s: float = 0.0
    subjects: tuple[str, ...] = ()

    @property
    def n_channels(self) -> int:
        """Channels per window."""
        return len(self.sensors)

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values."""
        return {
            "sensors": self.sensors.to_json(),
            "n_times": self.n_times,
            "rate_hz": self.rate_hz,
            "start_s": self.start_s,
            "subjects": list(self.subjects),
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> SignalSpec:
        """Rebuild a spec from `to_json`."""
        sensors = space_from_json(saved["sensors"])
        return cls(sensors, saved["n_times"], saved["rate_hz"], saved["start_s"], tuple(saved["subjects"]))


@dataclass(frozen=True)
class TargetSpec:
    """What a head answers.

    Args:
        task: "classification", "regression" or "retrieval".
        classes: Class labels in the order of the output columns (classification).
        dim: Values per target (regression) or features per stimulus (retrieval).
        n_levels: Vectors of `dim` features each stimulus has (retrieval): layers of a model, levels of blur.
    """

    task: Task
    classes: tuple[str, ...] = ()
    dim: int = 0
    n_levels: int = 1

    def __post_init__(self) -> None:
        if self.task == "classification" and len(self.classes) < 2:
            raise ConfigError(f"Classification needs at least two classes, got {list(self.classes)}.")
        if self.task != "classification" and self.dim < 1:
            raise ConfigError(f"A {self.task} target has at least one value, got dim={self.dim}.")
        if self.n_levels < 1 or (self.n_levels > 1 and self.task != "retrieval"):
            raise ConfigError(f"Stimuli of retrieval have at least one level, others one; got {self.n_levels}.")

    @property
    def n_outputs(self) -> int:
        """Columns of the head's output."""
        return len(self.classes) if self.task == "classification" else self.dim

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values."""
        return asdict(self) | {"classes": list(self.classes)}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> TargetSpec:
        """Rebuild a spec from `to_json`."""
        return cls(saved["task"], tuple(saved["classes"]), saved["dim"], saved.get("n_levels", 1))
