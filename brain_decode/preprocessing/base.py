"""The two kinds of preprocessing step and the pipeline that is saved with every decoder."""

from __future__ import annotations

import importlib
import inspect
import itertools
import math
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import numpy as np

from brain_decode.core.errors import ConfigError, SpecMismatch, unknown_option
from brain_decode.signals.recording import Recording
from brain_decode.signals.space import Space
from brain_decode.signals.windows import Windows

__all__ = [
    "Continuous",
    "Preprocessing",
    "SignalStep",
    "Step",
    "WindowStep",
    "apply_pass",
    "require_continuous",
    "signal_passes",
    "step_from_json",
]

_BLOCK_BYTES = 1 << 25  # of a channelwise pass at a time


@dataclass(frozen=True)
class Continuous:
    """A whole recording in memory while stateless steps run on it: (channel, time) float64, SI units.

    The channels are sensors, or the voxels of a volume.

    Args:
        data: (channel, time).
        rate_hz: Samples per second.
        sensors: The channels.
        header: MNE `Info` of the recording as it was read, where there is one: projectors, head position coils, mains.
        bads: Channels marked as bad in the files and not repaired yet.
        notes: Sentences about what steps repaired, for the report.
    """

    data: np.ndarray
    rate_hz: float
    sensors: Space
    header: Any = field(default=None, repr=False)
    bads: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_recording(cls, recording: Recording, data: np.ndarray, sensors: Space) -> Continuous:
        """Return samples of a recording, which may be some of its channels, with its header and bad channels."""
        return cls(data, recording.rate_hz, sensors, recording.header, _among(recording.bads, sensors))

    def with_data(self, data: np.ndarray) -> Continuous:
        """Return other samples of the same channels at the same rate."""
        return replace(self, data=data)

    def with_channels(self, data: np.ndarray, sensors: Space) -> Continuous:
        """Return other channels; bad channels that are not among them are forgotten."""
        return replace(self, data=data, sensors=sensors, bads=_among(self.bads, sensors))


def _among(names: Sequence[str], sensors: Space) -> tuple[str, ...]:
    return tuple(name for name in names if name in sensors.names) if names else ()


class Step(ABC):
    """One named operation with JSON-able settings (its dataclass fields) and, where fitted, a JSON-able state.

    Subclasses are frozen-free dataclasses; `name` is the word used in YAML and in `preprocessing.json`.
    """

    name: ClassVar[str]
    is_causal: ClassVar[bool]  # True when no output sample depends on a later input sample
    is_transductive: ClassVar[bool] = False  # True when a window's answer depends on the other windows that are scored

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        # `isabstract` is not known yet here; private bases and the two kinds below are not steps themselves.
        if cls.__name__.startswith("_") or ABC in cls.__bases__ or cls.__name__ in ("SignalStep", "WindowStep"):
            return
        missing = [attribute for attribute in ("name", "is_causal") if not hasattr(cls, attribute)]
        if missing:
            raise TypeError(f"{cls.__name__} is a preprocessing step and must define {missing}.")

    def settings(self) -> dict[str, Any]:
        """Return the constructor arguments as plain Python values."""
        if not is_dataclass(self):
            raise TypeError(f"{type(self).__name__} must be a dataclass so that its settings can be saved.")
        return {entry.name: getattr(self, entry.name) for entry in fields(self) if entry.init}

    def state(self) -> dict[str, Any] | None:
        """Return what was fitted as JSON-able values, None for a step that is not fitted."""
        return None

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        raise ConfigError(f"Step '{self.name}' is never fitted, but the file holds a state for it.")

    def to_json(self) -> dict[str, Any]:
        """Return {"step": name, "settings": ..., "state": ...} with plain Python values."""
        return {"step": self.name, "settings": self.settings(), "state": self.state()}


class SignalStep(Step):
    """A stateless step on a continuous recording; its output may be kept in the signal store."""

    is_channelwise: ClassVar[bool] = False  # True when each output channel depends on the same input channel alone
    repairs_samples: ClassVar[bool] = False  # True when channels with NaN or infinite samples come out repaired
    uses_everything: ClassVar[str] = "does not say how far it reaches"  # completes "step 'x' ..." where reach is inf

    @abstractmethod
    def apply(self, signal: Continuous) -> Continuous:
        """Return the processed signal; the input is not changed."""

    def reach_s(self, rate_hz: float) -> float:
        """Return how many seconds away, to either side, an input sample still changes an output sample.

        Zero where samples of other times play no part, infinite where the whole recording is used or where a step does
        not say.

        Args:
            rate_hz: Of the signal that comes in.
        """
        return math.inf

    def rate_after_hz(self, rate_hz: float) -> float:
        """Return the rate of the signal that comes out."""
        return rate_hz


class WindowStep(Step):
    """A step on windows; where it is fitted, `fit` sees training windows only."""

    is_fitted_step: ClassVar[bool] = False
    sees_labels: ClassVar[bool] = False  # True when what is fitted depends on what the windows show
    changes_channels: ClassVar[bool] = False  # True when the channels that come out are not those that went in

    def fit(self, windows: Windows) -> None:
        """Learn from training windows; does nothing for steps that are not fitted."""

    @abstractmethod
    def apply(self, windows: Windows) -> Windows:
        """Return the processed windows; the input is not changed."""


def _step_classes() -> dict[str, type[Step]]:
    """Import every module of this package once and return its steps by name."""
    import brain_decode.preprocessing as package

    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    found: dict[str, type[Step]] = {}
    pending: list[type[Step]] = [SignalStep, WindowStep]
    while pending:
        for subclass in pending.pop().__subclasses__():
            pending.append(subclass)
            # Only steps of this package: a saved file may never name code from elsewhere.
            is_own = subclass.__module__.startswith(f"{package.__name__}.")
            if is_own and not subclass.__name__.startswith("_") and not inspect.isabstract(subclass):
                found[subclass.name] = subclass
    return found


def step_from_json(saved: Mapping[str, Any]) -> Step:
    """Build a step from {"step": name, "settings": {...}, "state": {...} or null}.

    Raises:
        ConfigError: An unknown step or setting, with the closest allowed word; a setting that is missing or of the
            wrong type; a state that is not complete.
    """
    steps = _step_classes()
    name = saved.get("step")
    if name not in steps:
        raise unknown_option("preprocessing step", name, steps)
    settings = dict(saved.get("settings") or {})
    entries = {entry.name: entry for entry in fields(steps[name]) if entry.init}  # type: ignore[arg-type]
    for key in settings:
        if key not in entries:
            raise unknown_option(f"setting of step '{name}'", key, entries)
    optional = {key for key, entry in entries.items() if (entry.default, entry.default_factory) != (MISSING, MISSING)}
    missing = [key for key in entries if key not in settings and key not in optional]
    if missing:
        raise ConfigError(f"Step '{name}' needs the settings {missing}; got {settings}.")
    try:
        step = steps[name](**settings)
    except TypeError as error:
        raise ConfigError(f"Step '{name}' cannot use the settings {settings}: {error}.") from error
    if saved.get("state") is not None:
        _load_state(step, saved["state"])
    return step


def _load_state(step: Step, state: Mapping[str, Any]) -> None:
    try:
        step.load_state(dict(state))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"The saved state of step '{step.name}' cannot be read ({type(error).__name__}: {error}). "
            "Save the decoder again, or download it again."
        ) from error


@dataclass
class Preprocessing:
    """Stateless steps on the recording, then steps on its windows.

    Args:
        signal_steps: Run once per recording; their output is what the signal store keeps.
        window_steps: Run on batches of windows; fitted ones are fitted per fold.
    """

    signal_steps: list[SignalStep] = field(default_factory=list)
    window_steps: list[WindowStep] = field(default_factory=list)

    @property
    def is_causal(self) -> bool:
        """True when a live stream can reproduce the offline result."""
        return all(step.is_causal for step in (*self.signal_steps, *self.window_steps))

    @property
    def transductive_steps(self) -> tuple[str, ...]:
        """Names of the steps that use the signal, never the labels, of all that is scored."""
        return tuple(step.name for step in (*self.signal_steps, *self.window_steps) if step.is_transductive)

    def apply_signal(self, signal: Continuous) -> Continuous:
        """Run the stateless steps in order."""
        for steps in signal_passes(self.signal_steps):
            signal = apply_pass(steps, signal)
        return signal

    def fit_windows(self, windows: Windows) -> Windows:
        """Fit each window step on training windows, and return them processed."""
        for step in self.window_steps:
            step.fit(windows)
            windows = step.apply(windows)
        return windows

    def apply_windows(self, windows: Windows) -> Windows:
        """Run the (already fitted) window steps in order."""
        for step in self.window_steps:
            windows = step.apply(windows)
        return windows

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values, settings and fitted state included."""
        return {
            "format": 1,
            "signal_steps": [step.to_json() for step in self.signal_steps],
            "window_steps": [step.to_json() for step in self.window_steps],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Preprocessing:
        """Rebuild a pipeline from `to_json`, or from YAML lists of {step, settings}.

        Raises:
            ConfigError: An unknown step or setting, or a step in the wrong list.
        """
        signal_steps = [step_from_json(entry) for entry in saved.get("signal_steps") or []]
        window_steps = [step_from_json(entry) for entry in saved.get("window_steps") or []]
        _require_kind(signal_steps, SignalStep, "signal_steps")
        _require_kind(window_steps, WindowStep, "window_steps")
        return cls(signal_steps, window_steps)  # type: ignore[arg-type]


def signal_passes(steps: Sequence[SignalStep]) -> Iterator[list[SignalStep]]:
    """Yield the steps in order, neighbouring channelwise ones together, for `apply_pass` one after the other."""
    for _, group in itertools.groupby(steps, key=lambda step: step.is_channelwise):
        yield list(group)


def apply_pass(steps: Sequence[SignalStep], signal: Continuous) -> Continuous:
    """Run the steps of one pass; a long recording goes through channelwise ones a few channels at a time.

    Working copies are then small beside the recording; the numbers are the same.
    """
    rows = max(_BLOCK_BYTES // max(signal.data.shape[1] * signal.data.itemsize, 1), 1)
    in_blocks = all(step.is_channelwise for step in steps) and rows < len(signal.data)
    return _apply_in_blocks(steps, signal, rows) if in_blocks else _apply_whole(steps, signal)


def _apply_whole(steps: Sequence[SignalStep], signal: Continuous) -> Continuous:
    for step in steps:
        signal = step.apply(signal)
    return signal


def _apply_in_blocks(steps: Sequence[SignalStep], signal: Continuous, rows: int) -> Continuous:
    out = np.empty((0, 0))
    rate_hz = signal.rate_hz
    for first in range(0, len(signal.data), rows):
        block = slice(first, first + rows)  # a view: the steps copy what they change
        sensors = signal.sensors.pick(np.arange(len(signal.data))[block])
        part = _apply_whole(steps, signal.with_channels(signal.data[block], sensors))
        if first == 0:
            out, rate_hz = np.empty((len(signal.data), part.data.shape[1])), part.rate_hz
        out[block] = part.data
    return replace(signal, data=out, rate_hz=rate_hz)


def _require_kind(steps: Sequence[Step], kind: type[Step], where: str) -> None:
    for step in steps:
        if not isinstance(step, kind):
            other = "window_steps" if where == "signal_steps" else "signal_steps"
            raise ConfigError(f"Step '{step.name}' does not belong in {where}; move it to {other}.")


def require_continuous(step: str, label: str) -> SpecMismatch:
    """Build the error for a filter or sliding window asked of cut trials."""
    return SpecMismatch(
        f"Step '{step}' needs a continuous recording; '{label}' holds cut trials. Filter before cutting, "
        "or choose preprocessing=trials."
    )
