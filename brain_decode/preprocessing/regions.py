"""Steps that choose voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, unknown_option
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.signals.voxels import Voxels

__all__ = ["PickRegions"]


@dataclass
class PickRegions(SignalStep):
    """Keep the voxels that lie in any of the named regions.

    Args:
        names: Regions of the dataset, as named by its `loader.regions`.
    """

    name = "pick_regions"
    is_causal = True

    names: list[str]

    def __post_init__(self) -> None:
        if isinstance(self.names, str) or not len(self.names):
            raise ConfigError(f"pick_regions needs a list of region names; got {self.names!r}.")

    def apply(self, signal: Continuous) -> Continuous:
        """Return the voxels inside, in the order of the mask.

        Raises:
            SpecMismatch: Sensors instead of voxels.
            ConfigError: A region the recording does not have.
            DataError: Regions without a voxel.
        """
        space = signal.sensors
        if not isinstance(space, Voxels):
            raise SpecMismatch(f"pick_regions needs voxels; the recording has {len(space)} sensors. Use pick.")
        for name in self.names:
            if name not in space.regions:
                raise unknown_option("region", name, space.regions)
        inside = np.flatnonzero(np.logical_or.reduce([np.asarray(space.regions[name]) for name in self.names]))
        if not len(inside):
            raise DataError(f"The regions {list(self.names)} hold none of the {len(space)} voxels of the recording.")
        return replace(signal, data=signal.data[inside], sensors=space.pick(inside))

    def reach_s(self, rate_hz: float) -> float:
        """Return zero: voxels are chosen."""
        return 0.0
