"""Vectors of stimuli on disk, found again by the content of what they were made from."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError
from brain_decode.core.files import (
    fill_atomically,
    make_folder,
    remove_abandoned,
    write_atomically,
)

__all__ = ["FeatureCache", "assembled"]

_FORMAT = 1  # raised whenever the same description gives other vectors


class FeatureCache:
    """One level of features: shards of vectors in a folder that is named after what made them.

    A shard is written beside its place and renamed, so a kill loses at most the shard that was being made. Several
    processes may fill one cache; what both make is the same.

    Args:
        root: Folder of all caches.
        description: All that a vector depends on besides its stimulus: weights, layer, pooling, transform, blur.

    Raises:
        StorageError: The folder cannot be written.
        DataError: A damaged shard.
    """

    def __init__(self, root: Path, description: Mapping[str, Any]) -> None:
        described = {"format": _FORMAT, **json.loads(json.dumps(description))}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()
        self.key = digest[:24]
        self.folder = make_folder(Path(root) / self.key)
        remove_abandoned(self.folder)
        path = self.folder / "description.json"
        if not path.is_file():
            write_atomically(path, described)
        self._places: dict[str, tuple[Path, int]] = {}
        self.dim: int | None = None
        for shard in sorted(self.folder.glob("*.npz")):
            self._index(shard, *_read_shard(shard))

    def __contains__(self, content: str) -> bool:
        return content in self._places

    def missing(self, contents: Sequence[str]) -> list[str]:
        """Return the content hashes that have no vector yet, each once, in order."""
        return [content for content in dict.fromkeys(contents) if content not in self._places]

    def add(self, contents: Sequence[str], vectors: np.ndarray) -> None:
        """Write one shard.

        Args:
            contents: Hash of each stimulus.
            vectors: (stimulus, dim) float32, finite.

        Raises:
            DataError: Vectors that are not finite.
            StorageError: The disk is full.
        """
        if not np.isfinite(vectors).all():
            raise DataError(
                f"{int((~np.isfinite(vectors)).any(axis=1).sum())} vectors of stimuli are not finite; the model "
                "overflows. Use precision=float32, or another model."
            )
        buffer = io.BytesIO()
        stored = np.asarray(vectors, dtype=np.float32)
        np.savez(buffer, contents=np.array(contents), dim=np.array(stored.shape[1]), vectors=stored)
        name = hashlib.sha256("".join(contents).encode()).hexdigest()[:24]
        path = write_atomically(self.folder / f"{name}.npz", buffer.getvalue())
        self._index(path, tuple(contents), vectors.shape[1])

    def _index(self, shard: Path, contents: Sequence[str], dim: int) -> None:
        self.dim = dim
        for row, content in enumerate(contents):
            self._places[content] = (shard, row)

    def parts(self, contents: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (positions in `contents`, vectors) shard by shard.

        Raises:
            DataError: A content without a vector, or a damaged shard.
        """
        by_shard: dict[Path, list[tuple[int, int]]] = {}
        for position, content in enumerate(contents):
            if content not in self._places:
                raise DataError("A stimulus has no vector in the cache; it was changed while it was read. Run again.")
            shard, row = self._places[content]
            by_shard.setdefault(shard, []).append((position, row))
        for shard, pairs in by_shard.items():
            positions, rows = np.array(pairs).T
            yield positions, _load(shard, "vectors")["vectors"][rows]


def _read_shard(path: Path) -> tuple[tuple[str, ...], int]:
    """Return contents and dimension of a shard; its vectors are not read."""
    arrays = _load(path, "contents", "dim")
    return tuple(str(content) for content in arrays["contents"]), int(arrays["dim"])


def _load(path: Path, *names: str) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, str(error)) from error


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"The cached features '{path}' are damaged ({reason}). Remove the file; it is made again.")


def assembled(levels: Sequence[tuple[FeatureCache, Sequence[str]]], root: Path) -> np.ndarray:
    """Return (stimulus, level, dim) float32 vectors as a read-only memory map, or (stimulus, dim) for one level.

    The joint array lies in `root` and is written once; memory does not grow with the number of stimuli.

    Args:
        levels: The filled cache of each level and, in the order of the rows, the content hash of each stimulus in it.
        root: Folder of all caches.

    Raises:
        StorageError: The disk is full.
        DataError: A damaged file.
    """
    digest = hashlib.sha256()
    for cache, contents in levels:
        digest.update(f"{cache.key}:{' '.join(contents)};".encode())
    path = Path(root) / f"{digest.hexdigest()[:24]}.npy"
    if not path.is_file():
        fill_atomically(path, partial(_write_joint, levels))
    try:
        joint = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    if joint.shape[:2] != (len(levels[0][1]), len(levels)):
        raise _damaged(path, f"shape {joint.shape}")
    return joint[:, 0] if len(levels) == 1 else joint


def _write_joint(levels: Sequence[tuple[FeatureCache, Sequence[str]]], path: Path) -> None:
    shape = (len(levels[0][1]), len(levels), int(levels[0][0].dim or 0))
    joint = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=shape)
    for level, (cache, contents) in enumerate(levels):
        for positions, vectors in cache.parts(contents):
            joint[positions, level] = vectors
    joint.flush()
