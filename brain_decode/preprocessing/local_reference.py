"""Local references: surface and nearest-neighbour Laplacian, and bipolar pairs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.mne_signal import has_position, mne_raw, require_positions, sensors_of
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spheres import fitted_sphere

__all__ = ["Bipolar", "Laplacian", "adjacent_pairs"]

_INTRACRANIAL = ("seeg", "ecog", "dbs")
_NEIGHBOUR_RATIO = 1.3  # of the distance to the nearest contact: the diagonal of a square grid is 1.41
_CONTACT = re.compile(r"(.*?)(\d+)")


@dataclass
class Laplacian(SignalStep):
    """Subtract what the surroundings of each sensor share.

    EEG becomes current source density in V/m² by spherical splines (MNE). Each intracranial contact loses the mean of
    its nearest good contacts of the same type, and stays in volts. Other channels stay as they are. Contacts marked as
    bad are no neighbours; EEG channels marked as bad are refused, as by MNE, because splines run through all.

    Args:
        stiffness: Of the splines.
        regularisation: Of the splines, between 0 and 1 (MNE's `lambda2`).

    Source: Perrin et al. 1989; Li et al. 2018 (nearest contacts). Differs from MNE's default: the sphere is the one
    through the electrodes, where MNE's `sphere="auto"` centres it on the origin of the frame if no device is known.
    """

    name = "laplacian"
    is_causal = True

    stiffness: float = 4.0
    regularisation: float = 1e-5

    def __post_init__(self) -> None:
        if self.stiffness < 0 or not 0 <= self.regularisation < 1:
            raise ConfigError(
                "laplacian needs stiffness of at least 0 and regularisation in [0, 1); got "
                f"{self.stiffness} and {self.regularisation}."
            )

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal against its surroundings.

        Raises:
            DataError: No EEG and no intracranial channel, positions that are missing, a bad EEG channel, or contacts
                that have no good neighbour.
        """
        kinds = np.array(signal.sensors.types)
        present = [kind for kind in ("eeg", *_INTRACRANIAL) if (kinds == kind).any()]
        if not present:
            raise DataError(f"laplacian needs EEG or intracranial channels; the recording has {sorted(set(kinds))}.")
        data, left_out = signal.data.copy(), []
        is_bad = np.isin(signal.sensors.names, signal.bads)
        for kind in present:
            members = np.flatnonzero(kinds == kind)
            bad = [signal.sensors.names[index] for index in members[is_bad[members]]]
            require_positions(self.name, sensors_of(self.name, signal), members)
            if kind == "eeg":
                self._refuse_bad(bad)
                data[members] = self._current_source_density(signal, members)
            else:
                weights = _neighbour_weights(signal.sensors.positions_m[members], is_bad[members])
                # A product with a weight of zero would still spread NaN of a bad contact.
                data[members] -= weights[:, ~is_bad[members]] @ signal.data[members[~is_bad[members]]]
                left_out += bad
        notes = (f"local reference without contacts marked as bad: {', '.join(left_out)}",) if left_out else ()
        return replace(signal, data=data, notes=(*signal.notes, *notes))

    def _refuse_bad(self, bad: Sequence[str]) -> None:
        if bad:
            raise DataError(
                f"laplacian needs good EEG channels, as each shapes its surroundings; {list(bad)} are marked as bad. "
                "Put interpolate_bads before it, or drop them by drop_channels."
            )

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: channels are combined at one time only."""
        return 0.0

    def _current_source_density(self, signal: Continuous, members: np.ndarray) -> np.ndarray:
        import mne

        centre, radius_m = fitted_sphere(signal.sensors.positions_m[members])
        alone = Continuous(signal.data[members], signal.rate_hz, signal.sensors.pick(members))
        return mne.preprocessing.compute_current_source_density(
            mne_raw(alone),
            sphere=(*centre, radius_m),
            lambda2=self.regularisation,
            stiffness=self.stiffness,
            copy=False,
            verbose="ERROR",
        ).get_data()


def _neighbour_weights(positions_m: np.ndarray, is_bad: np.ndarray) -> np.ndarray:
    """Return (contact, contact) weights that average the nearest good contacts of each."""
    if len(positions_m) < 2:
        raise DataError("laplacian needs at least two contacts of a type; got one. Use another reference.")
    distances = np.linalg.norm(positions_m[:, None] - positions_m[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    distances[:, is_bad] = np.inf
    if not np.isfinite(distances).any(axis=1).all():
        raise DataError(
            f"laplacian needs a good neighbour for each contact; {int(is_bad.sum())} of {len(is_bad)} contacts of a "
            "type are marked as bad. Use another reference, or correct the marks."
        )
    near = distances <= _NEIGHBOUR_RATIO * distances.min(axis=1, keepdims=True)
    return near / near.sum(axis=1, keepdims=True)


def adjacent_pairs(sensors: Sensors) -> list[tuple[str, str]]:
    """Return the neighbouring contacts of each shaft, strip or grid row by name: ("AHL1", "AHL2").

    Only intracranial contacts whose names end in a number are paired, and only numbers that follow each other.
    """
    contacts = {}
    for name, kind in zip(sensors.names, sensors.types, strict=True):
        match = _CONTACT.fullmatch(name)
        if match and kind in _INTRACRANIAL:
            contacts[match[1], int(match[2])] = name
    return [(name, contacts[shaft, n + 1]) for (shaft, n), name in contacts.items() if (shaft, n + 1) in contacts]


@dataclass
class Bipolar(SignalStep):
    """Replace channels by differences of two: channel A-B lies halfway and is A minus B; other channels are dropped.

    Args:
        pairs: Names of the two channels of each difference; None pairs neighbouring intracranial contacts by name.
    """

    name = "bipolar"
    is_causal = True

    pairs: list[list[str]] | None = None

    def __post_init__(self) -> None:
        if self.pairs is None:
            return
        wrong = [pair for pair in self.pairs if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]]
        if wrong or not self.pairs:
            raise ConfigError(f"bipolar needs pairs of two different channels, [[A, B], ...]; got {wrong or '[]'}.")

    def apply(self, signal: Continuous) -> Continuous:
        """Return the differences; one with a bad channel in it is bad.

        Raises:
            DataError: A channel that is not there, a pair of two types, or no neighbouring contacts.
        """
        sensors = sensors_of(self.name, signal)
        pairs: Sequence[Sequence[str]] = adjacent_pairs(sensors) if self.pairs is None else self.pairs
        if not pairs:
            raise DataError(
                "bipolar finds no neighbouring intracranial contacts by name (AHL1, AHL2); the channels are "
                f"{list(sensors.names)[:8]}. Name the pairs: pairs=[[A, B], ...]."
            )
        first, second = sensors.indices([a for a, _ in pairs]), sensors.indices([b for _, b in pairs])
        mixed = [
            list(pair) for pair, a, b in zip(pairs, first, second, strict=True) if sensors.types[a] != sensors.types[b]
        ]
        if mixed:
            raise DataError(f"bipolar subtracts channels of one type; the pairs {mixed} mix two. Change the pairs.")
        names = tuple(f"{a}-{b}" for a, b in pairs)
        locations = np.full((len(pairs), sensors.locations.shape[1]), np.nan)
        known = has_position(sensors)[first] & has_position(sensors)[second]
        locations[known, :3] = (sensors.positions_m[first] + sensors.positions_m[second])[known] / 2
        types = tuple(sensors.types[index] for index in first)
        bads = tuple(name for name, pair in zip(names, pairs, strict=True) if set(pair) & set(signal.bads))
        combined = Sensors(names, types, locations, coordinate_frame=sensors.coordinate_frame)
        return replace(signal, data=signal.data[first] - signal.data[second], sensors=combined, bads=bads)

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: channels are combined at one time only."""
        return 0.0
