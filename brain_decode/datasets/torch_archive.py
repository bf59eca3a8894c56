"""Tensors in the archive of `torch.save`, memory-mapped as numpy arrays without torch."""

from __future__ import annotations

import io
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import DataError

__all__ = ["ArchivedStorages", "StorageKind", "rebuild_tensor"]

_LOCAL_HEADER = 30  # bytes before the name of a zip member; its last four give the lengths of name and extra field
_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}


@dataclass(frozen=True)
class StorageKind:
    """The type of a storage's elements."""

    dtype: str

    @classmethod
    def named(cls, name: str) -> StorageKind | None:
        """Return the kind that torch calls so, or None; numpy has no bfloat16."""
        return cls(_TYPES[name]) if name in _TYPES else None


class ArchivedStorages:
    """The members of an archive, where each lies uncompressed in one piece.

    Args:
        path: File that `torch.save` wrote (its zip format, the default since torch 1.6).

    Raises:
        DataError: A damaged zip file, or one that torch did not write.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except zipfile.BadZipFile as error:
            raise DataError(f"{path} is damaged or cut off ({error}). Copy the file again.") from error
        pickles = [member.filename for member in members if member.filename.endswith("/data.pkl")]
        if len(pickles) != 1 or any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise DataError(f"{path} is a zip file, but none that torch.save wrote. Unpack it, or take the right file.")
        self._folder = pickles[0].removesuffix("data.pkl")
        self._members = {member.filename: member for member in members}
        self.pickle_offset = self._offset(pickles[0])

    def open_pickle(self) -> io.RawIOBase:
        """Return the pickled part; tensors lie beside it."""
        return _Member(self.path, self.pickle_offset, self._members[self._folder + "data.pkl"].file_size)

    def storage(self, identity: Any) -> np.ndarray:
        """Return the elements of a storage as a read-only memory map.

        Args:
            identity: ("storage", kind, key, device, number of elements), as torch writes it.
        """
        word, kind, key, _, n_elements = identity
        name = f"{self._folder}data/{key}"
        if word != "storage" or not isinstance(kind, StorageKind) or name not in self._members:
            raise ValueError(f"it refers to an unknown storage {key!r}")
        dtype = np.dtype(kind.dtype)
        if self._members[name].file_size < n_elements * dtype.itemsize:
            raise ValueError(f"storage {key} is shorter than its {n_elements} elements")
        if n_elements == 0:
            return np.zeros(0, dtype)
        return np.memmap(self.path, dtype, "r", self._offset(name), (n_elements,))

    def _offset(self, name: str) -> int:
        """Return where the content of a member begins in the file."""
        start = self._members[name].header_offset
        with self.path.open("rb") as file:
            file.seek(start + _LOCAL_HEADER - 4)
            name_length, extra_length = struct.unpack("<HH", file.read(4))
        return start + _LOCAL_HEADER + int(name_length) + int(extra_length)


class _Member(io.RawIOBase):
    """A stretch of a file as a file of its own."""

    def __init__(self, path: Path, start: int, size: int) -> None:
        self._file = path.open("rb")
        self._start, self._size, self._place = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._place)
        data = self._file.read(min(len(buffer), self._size - self._place))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def rebuild_tensor(storage: Any, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_rest: Any) -> Any:
    """Return the tensor as a read-only array that shares the memory of its storage.

    Raises:
        ValueError: It reaches beyond its storage.
    """
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError("a tensor has a negative size")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if 0 in shape:
        return np.zeros(shape, storage.dtype)
    if last >= len(storage):
        raise ValueError(f"a tensor of shape {shape} reaches beyond its storage of {len(storage)} elements")
    bytes_apart = tuple(stride * storage.itemsize for stride in strides)
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, bytes_apart, writeable=False)
