"""Pickled numpy containers, read without running what a pickle asks for and without loading large arrays."""

from __future__ import annotations

import io
import pickle
import re
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Literal

import numpy as np

from brain_decode.core.errors import DataError
from brain_decode.datasets.torch_archive import ArchivedStorages, StorageKind, rebuild_tensor

__all__ = ["read_pickled", "read_pickled_mapping"]

_Order = Literal["C", "F"]
_MAPPED_BYTES = 1 << 20  # smaller payloads are read at once
_NUMPY_MAGIC = b"\x93NUMPY"
_ZIP_MAGIC = b"PK\x03\x04"
_NUMBERS_AND_TEXT = re.compile(r"[fiubcSUO?]\d*")
# What damaged bytes make an unpickler raise; none of them says anything to the person who has the file.
_DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def read_pickled(path: Path) -> Any:
    """Return what a pickled file holds: plain Python values and numpy arrays, large arrays memory-mapped.

    Three containers are told apart by their first bytes, whatever the suffix: numpy's `.npy` (its object arrays as
    well: a single object is returned itself), a plain pickle of protocol 2 to 5, and the archive of `torch.save`.
    An array whose bytes lie in one piece in the file is a read-only memory map into it, so that opening costs no
    memory however large the file is. In pickles of protocol 2 bytes are written as text, which is decoded in memory.

    Raises:
        DataError: No such file, a damaged or cut file, or a pickle that asks for anything but numpy arrays, numbers,
            text and plain containers. Nothing it asks for is run.
    """
    if not path.is_file():
        raise DataError(f"The file {path} does not exist.")
    try:
        with path.open("rb") as file:
            first = file.read(len(_NUMPY_MAGIC))
            file.seek(0)
            if first == _NUMPY_MAGIC:
                return _read_npy(file, path)
            if first.startswith(_ZIP_MAGIC):
                return _read_torch(path)
            return _PlainUnpickler(file, path).load()
    except _DAMAGE as error:
        reason = str(error) or type(error).__name__
        raise DataError(
            f"{path} is damaged, cut off or no pickle of arrays ({reason}). Copy the file again."
        ) from error
    except OSError as error:
        raise DataError(f"{path} could not be read: {error}. Check the file and its drive.") from error


def read_pickled_mapping(path: Path, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the dictionary that a pickled file holds.

    Args:
        path: Of the file.
        keys: Entries it must have.

    Raises:
        DataError: As in `read_pickled`; no dictionary, or one without these entries.
    """
    content = read_pickled(path)
    if not isinstance(content, dict):
        raise DataError(f"{path} should hold a dictionary of arrays; it holds {_described(content)}.")
    missing = [key for key in keys if key not in content]
    if missing:
        raise DataError(f"{path} has no {missing}; it has {sorted(str(key) for key in content)}.")
    return content


def _described(content: Any) -> str:
    if isinstance(content, np.ndarray):
        return f"one array of shape {content.shape}"
    return f"a {type(content).__name__}"


def _read_npy(file: BinaryIO, path: Path) -> Any:
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in read_header or not read_header[version](file)[2].hasobject:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    content = _PlainUnpickler(file, path).load()
    return content.item() if isinstance(content, np.ndarray) and content.shape == () else content


def _read_torch(path: Path) -> Any:
    storages = ArchivedStorages(path)
    with storages.open_pickle() as file:
        return _PlainUnpickler(file, path, storages).load()


@dataclass(frozen=True)
class _Payload:
    """Bytes of a pickle that were left in the file."""

    offset: int
    size: int


class _Unbuilt(ABC):
    """An array or a dtype whose state comes later in the pickle."""

    @abstractmethod
    def build(self, state: Any) -> Any:
        """Return what the state makes of it."""


class _BoundedFile:
    """A file that refuses to read past its end before memory is taken for it."""

    def __init__(self, file: BinaryIO | io.RawIOBase) -> None:
        self.file = file
        place = file.tell()
        self.end = file.seek(0, io.SEEK_END)
        file.seek(place)

    def read(self, size: int) -> bytes:
        self.require(size)
        return self.file.read(size) or b""

    def readline(self) -> bytes:
        return self.file.readline()

    def skip(self, size: int) -> int:
        """Pass over bytes and return where they begin."""
        self.require(size)
        place = self.file.tell()
        self.file.seek(size, io.SEEK_CUR)
        return place

    def require(self, size: int) -> None:
        if size > self.end - self.file.tell():
            raise EOFError(f"{size} bytes are promised, {self.end - self.file.tell()} are there")


# The unpickler written in Python is the one whose opcodes can be replaced; these pickles have few of them.
_PythonUnpickler: Any = pickle._Unpickler


class _PlainUnpickler(_PythonUnpickler):
    """Builds plain values and arrays only; every name in the pickle is looked up in a closed list of functions here."""

    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def __init__(self, file: BinaryIO | io.RawIOBase, path: Path, storages: ArchivedStorages | None = None) -> None:
        self._bounded = _BoundedFile(file)
        super().__init__(self._bounded, encoding="latin1")  # text of Python 2 is bytes
        self._path, self._storages = path, storages
        # Within an archive, offsets count from the archive's member.
        self._origin = 0 if storages is None else storages.pickle_offset

    def find_class(self, module: str, name: str) -> Any:
        found = _TORCH_NAMES.get((module, name)) if self._storages else None
        if found is None and module == "torch" and self._storages:
            found = StorageKind.named(name)
        if found is None:
            found = _NAMES.get((module.replace("numpy._core", "numpy.core"), name))
        if found is None:
            raise DataError(
                f"{self._path} asks for '{module}.{name}', which is no part of a numpy container; nothing was run. "
                "Do not trust this file: take it from the official source, or save its arrays as plain .npy."
            )
        return partial(found, self) if found in (_BegunArray, _buffered_array) else found

    def persistent_load(self, pid: Any) -> Any:
        if self._storages is None:
            raise pickle.UnpicklingError("it refers to objects outside the file")
        return self._storages.storage(pid)

    def array(self, data: Any, dtype: np.dtype, shape: tuple[int, ...], order: _Order) -> np.ndarray:
        """Return an array of bytes that were read, or a memory map of those that were not."""
        size = data.size if isinstance(data, _Payload) else len(data)
        if size != dtype.itemsize * prod(shape):
            raise ValueError(f"{size} bytes are no array of shape {shape} and type {dtype}")
        if isinstance(data, _Payload):
            return np.memmap(self._path, dtype, "r", data.offset, shape, order=order)
        return np.frombuffer(data, dtype).reshape(shape, order=order)

    def _load_bytes(self, size: int) -> None:
        in_frame = self._unframer.current_frame is not None
        if in_frame or size < _MAPPED_BYTES:
            self.append(self.read(size))
        else:
            self.append(_Payload(self._origin + self._bounded.skip(size), size))

    def load_binbytes(self) -> None:
        self._load_bytes(*struct.unpack("<I", self.read(4)))

    def load_binbytes8(self) -> None:
        self._load_bytes(*struct.unpack("<Q", self.read(8)))

    def load_build(self) -> None:
        """Replace what was begun with what its state makes of it, also where the pickle refers back to it."""
        state = self.stack.pop()
        begun = self.stack[-1]
        if not isinstance(begun, _Unbuilt):
            raise pickle.UnpicklingError(f"a {type(begun).__name__} has no state to be set")
        built = begun.build(state)
        self.stack[-1] = built
        for key in [key for key, value in self.memo.items() if value is begun]:
            self.memo[key] = built

    dispatch[pickle.BINBYTES[0]] = load_binbytes
    dispatch[pickle.BINBYTES8[0]] = load_binbytes8
    dispatch[pickle.BYTEARRAY8[0]] = load_binbytes8
    dispatch[pickle.BUILD[0]] = load_build


class _BegunArray(_Unbuilt):
    """An array of the kind that `ndarray.__reduce__` writes."""

    def __init__(self, unpickler: _PlainUnpickler, *_: Any) -> None:
        self.unpickler = unpickler

    def build(self, state: Any) -> np.ndarray:
        _, shape, dtype, is_fortran, content = state
        order: _Order = "F" if is_fortran else "C"
        if isinstance(content, list):
            filled = np.empty(len(content), dtype=object)
            filled[:] = content
            return filled.reshape(shape, order=order)
        data = content.encode("latin1") if isinstance(content, str) else content
        return self.unpickler.array(data, _plain_dtype(dtype), shape, order)


def _buffered_array(unpickler: _PlainUnpickler, data: Any, dtype: Any, shape: Any, order: _Order, *_axes: Any) -> Any:
    return unpickler.array(data, _plain_dtype(dtype), tuple(shape), order)


def _plain_dtype(dtype: Any) -> np.dtype:
    if not isinstance(dtype, np.dtype) or dtype.hasobject:
        raise ValueError(f"{dtype} is no type of numbers or text")
    return dtype


class _BegunDtype(_Unbuilt):
    """A type of numbers or text; its state says the order of bytes."""

    def __init__(self, code: Any, *_: Any) -> None:
        if not isinstance(code, str) or not _NUMBERS_AND_TEXT.fullmatch(code):
            raise ValueError(f"arrays of type {code!r} are not read")
        self.code = code

    def build(self, state: Any) -> np.dtype:
        if any(part is not None for part in state[2:5]):
            raise ValueError("arrays of records are not read")
        return np.dtype(self.code).newbyteorder(state[1] if state[1] in ("<", ">") else "=")


def _scalar(dtype: Any, data: Any) -> Any:
    return np.frombuffer(data.encode("latin1") if isinstance(data, str) else data, _plain_dtype(dtype))[0]


def _latin1_bytes(text: str, encoding: str = "latin1") -> bytes:
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"bytes are written as latin1, not as {encoding}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    return b""


def _empty_mapping() -> dict[Any, Any]:
    return {}


_NAMES: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): "numpy.ndarray",  # only ever handed to `_reconstruct`, which needs no word of it
    ("numpy", "dtype"): _BegunDtype,
    ("numpy.core.multiarray", "_reconstruct"): _BegunArray,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _buffered_array,
    ("_codecs", "encode"): _latin1_bytes,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): _empty_mapping,
}
_TORCH_NAMES: dict[tuple[str, str], Any] = {("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor}
