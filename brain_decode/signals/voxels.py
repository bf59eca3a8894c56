"""The space axis of fMRI recordings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["Voxels"]


@dataclass(frozen=True, eq=False)
class Voxels:
    """Which voxels of a volume a recording holds, where they lie, and the regions they belong to.

    Args:
        mask: (x, y, z) bool; the recording's space axis follows `mask` in C order.
        affine: (4, 4) voxel indices to millimetres, as in NIfTI.
        regions: Region name to (n_voxels,) bool membership.

    Raises:
        DataError: Shapes that disagree, or an empty mask.
    """

    mask: np.ndarray
    affine: np.ndarray
    regions: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", np.asarray(self.mask, dtype=bool))
        object.__setattr__(self, "affine", np.asarray(self.affine, dtype=float))
        if self.mask.ndim != 3 or not self.mask.any():
            raise DataError(f"A voxel mask has three axes and at least one voxel; got shape {self.mask.shape}.")
        if self.affine.shape != (4, 4):
            raise DataError(f"An affine is 4 x 4; got {self.affine.shape}.")
        for name, member in self.regions.items():
            if np.shape(member) != (len(self),):
                raise DataError(f"Region '{name}' must mark each of the {len(self)} voxels; got {np.shape(member)}.")

    def __len__(self) -> int:
        return int(self.mask.sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Voxels):
            return NotImplemented
        same_volume = np.array_equal(self.mask, other.mask) and np.array_equal(self.affine, other.affine)
        same_regions = set(self.regions) == set(other.regions)
        return (
            same_volume
            and same_regions
            and all(np.array_equal(self.regions[name], other.regions[name]) for name in self.regions)
        )

    def __hash__(self) -> int:
        return hash((self.mask.shape, len(self)))

    @property
    def names(self) -> tuple[str, ...]:
        """Voxel names `v<x>-<y>-<z>`, in the order of the space axis."""
        return tuple(f"v{x}-{y}-{z}" for x, y, z in np.argwhere(self.mask))

    @property
    def positions_m(self) -> np.ndarray:
        """(n_voxels, 3) voxel centres in metres."""
        indices = np.argwhere(self.mask)
        return (indices @ self.affine[:3, :3].T + self.affine[:3, 3]) / 1000.0
