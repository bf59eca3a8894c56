"""The settings of a simulated study, and the name they give it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from brain_decode.core.errors import ConfigError, unknown_option

__all__ = ["SENSOR_KINDS", "SIMULATION_VERSION", "StudySettings"]

SIMULATION_VERSION = 1  # raised whenever the same settings give other samples
SENSOR_KINDS = {"eeg": ("eeg",), "meg": ("meg",), "both": ("eeg", "meg")}


@dataclass(frozen=True)
class StudySettings:
    """Who sees what how often, and through which sensors.

    Args:
        n_subjects, n_sessions: Participants and sessions of each.
        n_runs: Training runs per session; one more run of the session shows the test pictures.
        n_train_concepts, n_exemplars, n_test_concepts, n_rims: See `draw_pictures`.
        train_repetitions: How often each training picture is seen, over all sessions.
        test_repetitions: How often each test picture is seen per session.
        sensors: "eeg", "meg" or "both" at once.
        n_electrodes: 16, 32, 64 or 128 at the BioSemi positions, or 63: the cap of THINGS-EEG2.
        n_coils: Magnetic sensors of the helmet.
        meg_system: "opm" or "ctf".
        rate_hz: Samples per second.
        onset_step_s: From one picture's onset to the next.
        picture_s: How long a picture stays.
        coupling: Strength of what the response says about the picture; 0 leaves a response that is the same for all.
        noise: Factor on all noise.
        individuality: How different participants are, 0 to 1.
        n_features: Dimensions of the stored picture features.
        n_bad_channels: Broken sensors of the laboratory, marked bad in every recording.
        seed: The number all randomness comes from.

    Raises:
        ConfigError: A value out of its range.
    """

    n_subjects: int = 1
    n_sessions: int = 2
    n_runs: int = 2
    n_train_concepts: int = 240
    n_exemplars: int = 4
    n_test_concepts: int = 50
    n_rims: int = 1
    train_repetitions: int = 1
    test_repetitions: int = 6
    sensors: str = "eeg"
    n_electrodes: int = 32
    n_coils: int = 64
    meg_system: str = "opm"
    rate_hz: float = 250.0
    onset_step_s: float = 0.5
    picture_s: float = 0.1
    coupling: float = 1.0
    noise: float = 1.0
    individuality: float = 0.3
    n_features: int = 64
    n_bad_channels: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sensors not in SENSOR_KINDS:
            raise unknown_option("sensors", self.sensors, SENSOR_KINDS)
        counts = ("n_subjects", "n_sessions", "n_runs", "train_repetitions", "test_repetitions", "n_features")
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of a simulation is at least 1, got {getattr(self, name)}.")
        if not self.rate_hz >= 100:
            raise ConfigError(f"A simulation needs at least 100 samples per second, got rate_hz={self.rate_hz}.")
        if min(self.coupling, self.noise, self.n_bad_channels) < 0 or not 0 <= self.individuality <= 1:
            raise ConfigError(
                "coupling, noise and n_bad_channels are not negative and individuality lies in [0, 1]; got "
                f"{self.coupling}, {self.noise}, {self.n_bad_channels} and {self.individuality}."
            )
        if not 0 < self.picture_s <= self.onset_step_s:
            raise ConfigError(
                f"A picture ends before the next begins: picture_s={self.picture_s} must lie in (0, "
                f"onset_step_s={self.onset_step_s}]."
            )

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> StudySettings:
        """Build from plain values; an unknown key is a ConfigError with the closest allowed one."""
        allowed = [entry.name for entry in fields(cls)]
        for key in config:
            if key not in allowed:
                raise unknown_option("setting of the simulation", key, allowed)
        return cls(**dict(config))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return asdict(self)

    @property
    def hash(self) -> str:
        """Twelve digits that change with any setting and with the version of the simulation."""
        text = json.dumps({"version": SIMULATION_VERSION, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]
