"""Feature vectors of stimuli: the gallery a retrieval decoder searches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, did_you_mean, unknown_option
from brain_decode.datasets.arrays import load_arrays
from brain_decode.datasets.base import dataset_folder, event_text
from brain_decode.datasets.numpy_pickle import read_pickled_mapping
from brain_decode.datasets.things_pictures import PARTITIONS, read_pictures

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
        file: `.npz`, `.npy`, `.mat` or `.pt` file below the dataset folder.
        key: Array of (stimulus, dim) or (stimulus, level, dim).
        ids: Key of the stimulus identities; None numbers the rows from 0.
        concepts: Key of the concept of each stimulus; None where it is unknown.
        pictures: "train" or "test" instead of `ids`: the rows are the THINGS pictures of that partition in the order
            of their condition numbers, named as in `read_pictures`.
        parts: Blocks like this one instead of all of the above; their rows become one gallery.

    Raises:
        ConfigError: A block that names no file, or parts beside one.
    """

    file: str | None = None
    key: str | None = None
    ids: str | None = None
    concepts: str | None = None
    pictures: str | None = None
    parts: tuple[FeatureFile, ...] = ()

    def __post_init__(self) -> None:
        if (self.file is None) == (not self.parts):
            raise ConfigError(f"features: names either a file or parts; got file={self.file}, {len(self.parts)} parts.")
        if self.pictures not in (None, *PARTITIONS):
            raise unknown_option("pictures of features", self.pictures, PARTITIONS)
        if self.pictures is not None and (self.ids or self.concepts):
            raise ConfigError("features: `pictures` names the rows; leave `ids` and `concepts` out.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> FeatureFile:
        """Build from the `features:` block; an unknown key is a ConfigError."""
        allowed = [entry.name for entry in fields(cls)]
        for key in config:
            if key not in allowed:
                raise unknown_option("key of features", key, allowed)
        parts = tuple(cls.from_config(part) for part in config.get("parts") or ())
        return cls(**{**config, "parts": parts})

    def load(self, root: Path, *, name: str = "features") -> StimulusFeatures:
        """Return the features of the dataset whose folder is `root`.

        Raises:
            DataError: No such file, array or names, or parts of different dimensions or with shared stimuli.
        """
        if self.parts:
            return _joined([part.load(root, name=name) for part in self.parts], [str(p.file) for p in self.parts])
        folder = dataset_folder(Path(root), str(self.file), name)
        path = folder / str(self.file)
        arrays = _feature_arrays(path)
        for key in (self.key, self.ids, self.concepts):
            if key is not None and key not in arrays:
                raise DataError(
                    f"{path.name} has no array '{key}'.{did_you_mean(key, arrays)} It has {sorted(arrays)}."
                )
        vectors = np.asarray(arrays[self.key or ""], dtype=np.float32)
        if self.pictures is not None:
            return _of_pictures(vectors, self.pictures, folder, path)
        ids = range(len(vectors)) if self.ids is None else np.ravel(arrays[self.ids])
        concepts = () if self.concepts is None else np.ravel(arrays[self.concepts])
        return StimulusFeatures(
            tuple(event_text(identity) for identity in ids), vectors, tuple(event_text(concept) for concept in concepts)
        )


def _feature_arrays(path: Path) -> dict[str, np.ndarray]:
    if path.suffix != ".pt":
        return load_arrays(path)
    content = read_pickled_mapping(path)
    return {key: value for key, value in content.items() if isinstance(value, np.ndarray)}


def _of_pictures(vectors: np.ndarray, partition: str, folder: Path, path: Path) -> StimulusFeatures:
    """Return vectors in the order of condition numbers, with the names of the pictures."""
    described = read_pictures(folder)
    if partition not in described:
        raise DataError(
            f"{path.name} does not name its pictures. Put image_metadata.npy, or training_images/ and test_images/, "
            f"into {folder}."
        )
    pictures = described[partition]
    if len(vectors) != len(pictures):
        raise DataError(
            f"{path.name} has {len(vectors)} vectors, {pictures.source} names {len(pictures)} pictures of partition "
            f"'{partition}'. Take both from one source, or extract the features again."
        )
    return StimulusFeatures(pictures.names, vectors, pictures.concepts)


def _joined(parts: Sequence[StimulusFeatures], files: Sequence[str]) -> StimulusFeatures:
    for part, file in zip(parts, files, strict=True):
        if part.dim != parts[0].dim:
            raise DataError(
                f"{file} has vectors of {part.dim} values, {files[0]} of {parts[0].dim}. Features of one gallery come "
                "from one model: take files of one source."
            )
    ids = tuple(identity for part in parts for identity in part.ids)
    has_concepts = all(part.concepts for part in parts)
    concepts = tuple(concept for part in parts for concept in part.concepts) if has_concepts else ()
    return StimulusFeatures(ids, np.concatenate([part.vectors for part in parts]), concepts)
