"""Feature vectors of stimuli: the gallery a retrieval decoder searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError, did_you_mean, unknown_option
from brain_decode.datasets.arrays import load_arrays
from brain_decode.datasets.base import dataset_folder, event_text

__all__ = ["FeatureFile", "StimulusFeatures"]

_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class StimulusFeatures:
    """One vector per stimulus.

    Args:
        ids: Stimulus identities, unique, as in the `stimulus` column of the window table.
        vectors: (stimulus, dim) float32, or (stimulus, level, dim) where each has vectors of several layers or blurs.
        concepts: Concept of each stimulus, as in the `concept` column of the window table; empty where unknown.
    """

    ids: tuple[str, ...]
    vectors: np.ndarray
    concepts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.vectors.ndim not in (2, 3) or len(self.ids) != len(self.vectors):
            raise DataError(
                f"{len(self.ids)} stimuli need one vector each; got an array of shape {self.vectors.shape}."
            )
        if len(set(self.ids)) < len(self.ids):
            raise DataError("Stimulus identities of a gallery must be unique.")
        if self.concepts and len(self.concepts) != len(self.ids):
            raise DataError(f"{len(self.ids)} stimuli need one concept each, got {len(self.concepts)}.")
        if not _all_finite(self.vectors):
            raise DataError("Stimulus features hold NaN or infinite values. Extract them again.")

    @property
    def dim(self) -> int:
        """Values per stimulus and level."""
        return int(self.vectors.shape[-1])

    def rows(self, stimuli: Sequence[str]) -> np.ndarray:
        """Return the gallery row of each stimulus.

        Raises:
            DataError: A stimulus without features.
        """
        order = {identity: row for row, identity in enumerate(self.ids)}
        missing = sorted({str(stimulus) for stimulus in stimuli} - set(order))
        if missing:
            raise DataError(f"Stimuli {missing[:5]} have no features.{did_you_mean(missing[0], self.ids)}")
        return np.array([order[str(stimulus)] for stimulus in stimuli], dtype=int)


def _all_finite(vectors: np.ndarray) -> bool:
    """Return whether every value is finite; a memory map is read a part at a time."""
    starts = range(0, len(vectors), _ROWS_AT_ONCE)
    return all(bool(np.isfinite(vectors[start : start + _ROWS_AT_ONCE]).all()) for start in starts)


@dataclass(frozen=True)
class FeatureFile:
    """Where the features of a dataset lie: the `features:` block of a dataset file.

    Args:
        file: `.npz`, `.npy` or `.mat` file below the dataset folder.
        key: Array of (stimulus, dim) or (stimulus, level, dim).
        ids: Key of the stimulus identities; None numbers the rows from 0.
        concepts: Key of the concept of each stimulus; None where it is unknown.
    """

    file: str
    key: str | None = None
    ids: str | None = None
    concepts: str | None = None

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FeatureFile:
        """Build from the `features:` block; an unknown key is a ConfigError."""
        allowed = [entry.name for entry in fields(cls)]
        for key in config:
            if key not in allowed:
                raise unknown_option("key of features", key, allowed)
        return cls(**dict(config))

    def load(self, root: Path, *, name: str = "features") -> StimulusFeatures:
        """Return the features of the dataset whose folder is `root`."""
        path = dataset_folder(Path(root), self.file, name) / self.file
        arrays = load_arrays(path)
        for key in (self.key, self.ids, self.concepts):
            if key is not None and key not in arrays:
                raise DataError(
                    f"{path.name} has no array '{key}'.{did_you_mean(key, arrays)} It has {sorted(arrays)}."
                )
        vectors = np.asarray(arrays[self.key or ""], dtype=np.float32)
        ids = range(len(vectors)) if self.ids is None else np.ravel(arrays[self.ids])
        concepts = () if self.concepts is None else np.ravel(arrays[self.concepts])
        return StimulusFeatures(
            tuple(event_text(identity) for identity in ids), vectors, tuple(event_text(concept) for concept in concepts)
        )
