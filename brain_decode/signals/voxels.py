"""The space axis of fMRI recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

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

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Voxel names `v<x>-<y>-<z>`, in the order of the space axis."""
        return tuple(f"v{x}-{y}-{z}" for x, y, z in self.grid_indices.tolist())

    @property
    def types(self) -> tuple[str, ...]:
        """The type "voxel" for each voxel, as `Sensors` has one for each channel."""
        return ("voxel",) * len(self)

    @cached_property
    def grid_indices(self) -> np.ndarray:
        """(n_voxels, 3) indices into the volume, in the order of the space axis."""
        return np.argwhere(self.mask)

    @property
    def positions_m(self) -> np.ndarray:
        """(n_voxels, 3) voxel centres in metres."""
        return (self.grid_indices @ self.affine[:3, :3].T + self.affine[:3, 3]) / 1000.0

    @property
    def orientations(self) -> np.ndarray:
        """(n_voxels, 3) of NaN: a voxel measures in no direction."""
        return np.full((len(self), 3), np.nan)

    def decoded_indices(self) -> np.ndarray:
        """Return the index of every voxel: all are decoded."""
        return np.arange(len(self))

    def brain_indices(self) -> np.ndarray:
        """Return the index of every voxel: the mask says which measure the brain."""
        return np.arange(len(self))

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Return the voxel index of each name.

        Raises:
            DataError: A name that is no voxel here.
        """
        order = {name: index for index, name in enumerate(self.names)}
        missing = [name for name in names if name not in order]
        if missing:
            raise DataError(f"{len(missing)} voxels are not in the mask of {len(self)}, for example '{missing[0]}'.")
        return np.array([order[name] for name in names], dtype=int)

    def pick(self, indices: Sequence[int] | np.ndarray) -> Voxels:
        """Return the voxels at these ascending indices.

        Raises:
            DataError: Indices in another order; the space axis follows the mask.
        """
        chosen = np.asarray(indices, dtype=int)
        if (np.diff(chosen) <= 0).any():
            raise DataError("Voxels are picked in the order of the mask, each once; sort the indices.")
        mask = np.zeros(self.mask.shape, dtype=bool)
        mask[tuple(self.grid_indices[chosen].T)] = True
        return Voxels(mask, self.affine, {name: np.asarray(member)[chosen] for name, member in self.regions.items()})

    def volume(self, values: np.ndarray, fill: float = np.nan) -> np.ndarray:
        """Return one value per voxel as an (x, y, z) volume; `fill` outside the mask."""
        filled = np.full(self.mask.shape, fill, dtype=float)
        filled[self.mask] = values
        return filled

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values; masks and regions as alternating run lengths that begin with False."""
        return {
            "kind": "voxels",
            "shape": list(self.mask.shape),
            "mask_runs": _run_lengths(self.mask.ravel()),
            "affine": self.affine.tolist(),
            "regions": {name: _run_lengths(np.asarray(member, dtype=bool)) for name, member in self.regions.items()},
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Voxels:
        """Rebuild voxels from `to_json`."""
        mask = _from_run_lengths(saved["mask_runs"]).reshape(saved["shape"])
        regions = {str(name): _from_run_lengths(runs) for name, runs in saved["regions"].items()}
        return cls(mask, np.array(saved["affine"], dtype=float), regions)


def _run_lengths(flags: np.ndarray) -> list[int]:
    """Return the lengths of the runs of equal flags; the first counts False and may be 0."""
    changes = np.flatnonzero(np.diff(flags)) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(flags)]])).tolist()
    return [0, *runs] if flags[0] else runs


def _from_run_lengths(runs: Sequence[int]) -> np.ndarray:
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs)
