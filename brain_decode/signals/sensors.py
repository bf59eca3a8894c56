"""The space axis of EEG, MEG and intracranial recordings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["BRAIN_SENSOR_TYPES", "SENSOR_TYPES", "Sensors"]

BRAIN_SENSOR_TYPES = ("eeg", "mag", "grad", "seeg", "ecog", "dbs")
# Other MNE channel types are carried along (eog, ecg, misc, stim) and never decoded unless picked.
SENSOR_TYPES = (*BRAIN_SENSOR_TYPES, "ref_meg", "eog", "ecg", "emg", "resp", "bio", "misc", "stim", "feature")

_PLANAR_COILS = (2, 3011, 3012, 3013, 3014, 3015)  # MNE's numbers of planar gradiometers (Neuromag 122, VectorView)
_LOCATION_SIZE = 12  # MNE's loc: position (3), then the rows of the coil frame (9)


@dataclass(frozen=True, eq=False)
class Sensors:
    """Names, types and geometry of the channels of a recording.

    Args:
        names: Channel names, unique.
        types: One of `SENSOR_TYPES` for each channel.
        locations: (n_channels, 12) in MNE's `loc` layout: position in metres, then the coil frame. NaN where unknown.
        coil_types: MNE coil type number of each channel, 0 where it has none.
        coordinate_frame: MNE name of the frame of the positions ("head", "meg", "mri", "mni_tal", "unknown").

    Raises:
        DataError: Duplicate names, or lengths that disagree.
    """

    names: tuple[str, ...]
    types: tuple[str, ...]
    locations: np.ndarray = field(default=None)  # type: ignore[arg-type]
    coil_types: tuple[int, ...] = ()
    coordinate_frame: str = "head"

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", tuple(str(name) for name in self.names))
        object.__setattr__(self, "types", tuple(self.types))
        n = len(self.names)
        locations = np.full((n, _LOCATION_SIZE), np.nan) if self.locations is None else self.locations
        object.__setattr__(self, "locations", np.asarray(locations, dtype=np.float64))
        object.__setattr__(self, "coil_types", tuple(int(c) for c in self.coil_types) or (0,) * n)
        self._validate()

    def _validate(self) -> None:
        n = len(self.names)
        if len(self.types) != n or len(self.coil_types) != n or self.locations.shape != (n, _LOCATION_SIZE):
            raise DataError(
                f"Every channel needs a type, a coil type and a location of {_LOCATION_SIZE} values; got {n} names, "
                f"{len(self.types)} types, {len(self.coil_types)} coil types, locations {self.locations.shape}."
            )
        repeated = sorted(name for name, count in Counter(self.names).items() if count > 1)
        if repeated:
            raise DataError(f"Channel names must be unique; repeated: {repeated}. Rename them in the recording.")
        unknown = sorted(set(self.types) - set(SENSOR_TYPES))
        if unknown:
            raise DataError(f"Unknown sensor types {unknown}; allowed: {', '.join(SENSOR_TYPES)}.")

    def __len__(self) -> int:
        return len(self.names)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sensors):
            return NotImplemented
        return (
            (self.names, self.types, self.coil_types, self.coordinate_frame)
            == (other.names, other.types, other.coil_types, other.coordinate_frame)
        ) and np.array_equal(self.locations, other.locations, equal_nan=True)

    def __hash__(self) -> int:
        return hash((self.names, self.types))

    @property
    def positions_m(self) -> np.ndarray:
        """(n_channels, 3) positions in metres, NaN where unknown."""
        return self.locations[:, :3]

    @property
    def orientations(self) -> np.ndarray:
        """(n_channels, 3) unit vector that tells how each MEG sensor is turned; NaN for sensors without one.

        The normal of the coil, and for planar gradiometers, whose two sensors share it, the direction in which the
        field is compared.
        """
        directions = self.locations[:, 9:12].copy()
        is_planar = np.isin(self.coil_types, _PLANAR_COILS)
        directions[is_planar] = self.locations[is_planar, 3:6]
        is_meg = np.array([kind in ("mag", "grad", "ref_meg") for kind in self.types], dtype=bool)
        directions[~is_meg] = np.nan
        return directions

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Return the channel index of each name.

        Raises:
            DataError: A name that is not a channel here.
        """
        order = {name: index for index, name in enumerate(self.names)}
        missing = [name for name in names if name not in order]
        if missing:
            raise DataError(f"Channels {missing} are not in the recording, which has {list(self.names)}.")
        return np.array([order[name] for name in names], dtype=int)

    def pick(self, indices: Sequence[int] | np.ndarray) -> Sensors:
        """Return the sensors at these indices, in this order."""
        chosen = [int(index) for index in indices]
        return Sensors(
            tuple(self.names[i] for i in chosen),
            tuple(self.types[i] for i in chosen),
            self.locations[chosen].reshape(len(chosen), _LOCATION_SIZE),
            tuple(self.coil_types[i] for i in chosen),
            self.coordinate_frame,
        )

    def brain_indices(self) -> np.ndarray:
        """Return the indices of channels that measure the brain (EEG, MEG, intracranial)."""
        return np.array([i for i, kind in enumerate(self.types) if kind in BRAIN_SENSOR_TYPES], dtype=int)

    def decoded_indices(self) -> np.ndarray:
        """Return the indices of channels that are decoded unless others are picked: brain sensors and features."""
        kinds = (*BRAIN_SENSOR_TYPES, "feature")
        return np.array([i for i, kind in enumerate(self.types) if kind in kinds], dtype=int)

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values; unknown coordinates become null."""
        locations = [[None if np.isnan(v) else float(v) for v in row] for row in self.locations]
        return {
            "names": list(self.names),
            "types": list(self.types),
            "locations": locations,
            "coil_types": list(self.coil_types),
            "coordinate_frame": self.coordinate_frame,
        }

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Sensors:
        """Rebuild sensors from `to_json`."""
        locations = np.array([[np.nan if v is None else v for v in row] for row in saved["locations"]], dtype=float)
        return cls(
            tuple(saved["names"]),
            tuple(saved["types"]),
            locations.reshape(len(saved["names"]), _LOCATION_SIZE),
            tuple(saved["coil_types"]),
            saved["coordinate_frame"],
        )
