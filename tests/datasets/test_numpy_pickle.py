"""Pickled containers of arrays: read exactly, lazily, and without running anything."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brain_decode.core.errors import DataError
from brain_decode.datasets.numpy_pickle import read_pickled, read_pickled_mapping

LARGE = np.random.default_rng(0).standard_normal((200, 3, 400))  # more than what is read at once
CONTENT: dict[str, Any] = {
    "large": LARGE,
    "again": LARGE,
    "fortran": np.asfortranarray(LARGE),
    "big_endian": np.arange(300_000, dtype=">i4"),
    "strided": LARGE[..., ::2],
    "empty": np.zeros((0, 3)),
    "text": np.array(["Fp1", "Oz"]),
    "objects": np.array(["a", None, [1]], dtype=object),
    "scalar": np.float64(2.5),
    "names": ["Fp1", "Oz"],
    "nested": {"pair": (1, True), "none": None, "bytes": b"xy", "number": 0.5},
}


def assert_same(read: dict[str, Any]) -> None:
    assert read.keys() == CONTENT.keys()
    for key, value in CONTENT.items():
        if isinstance(value, np.ndarray):
            assert read[key].dtype == value.dtype
            np.testing.assert_array_equal(read[key], value)
        else:
            assert read[key] == value


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_pickles_give_what_was_written(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "preprocessed.npy"
    path.write_bytes(pickle.dumps(CONTENT, protocol=protocol))
    assert_same(read_pickled(path))


@pytest.mark.parametrize("module", [b"numpy.core", b"numpy._core"])
def test_the_names_of_either_numpy_are_understood(tmp_path: Path, module: bytes) -> None:
    written = pickle.dumps(np.arange(6.0).reshape(2, 3), protocol=3).replace(b"numpy._core", module)
    (tmp_path / "x.pkl").write_bytes(written)
    assert read_pickled(tmp_path / "x.pkl").tolist() == [[0, 1, 2], [3, 4, 5]]


def test_a_dictionary_saved_by_numpy_is_returned_itself(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", CONTENT)
    assert_same(read_pickled(tmp_path / "x.npy"))


def test_a_plain_array_is_a_memory_map(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", LARGE)
    read = read_pickled(tmp_path / "x.npy")
    assert isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, LARGE)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_large_arrays_stay_in_the_file_and_cannot_be_changed(tmp_path: Path, protocol: int) -> None:
    (tmp_path / "x.pkl").write_bytes(pickle.dumps({"x": LARGE}, protocol=protocol))
    read = read_pickled(tmp_path / "x.pkl")["x"]
    assert isinstance(read, np.memmap)
    assert not read.flags.writeable


# The writer leaves holes for zeros, so that 4 GB take no space; the reader may have 1 GB of memory of its own.
WRITE_SPARSE = """
import pickle, sys
import numpy as np
class Sparse:
    def __init__(self, path): self.file = open(path, "wb")
    def write(self, data):
        data = memoryview(data)
        self.file.seek(data.nbytes, 1) if data.nbytes > 1 << 20 else self.file.write(data)
pickle.dump({"x": np.zeros((1 << 13, 4, 63, 250)), "after": 7}, Sparse(sys.argv[1]), protocol=5)
"""
READ_SPARSE = """
import resource, sys
from pathlib import Path
from brain_decode.datasets.numpy_pickle import read_pickled
resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
read = read_pickled(Path(sys.argv[1]))
print(read["x"].shape, float(read["x"][-1].sum()), read["after"])
"""


def test_an_array_larger_than_memory_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "sparse.npy"
    for script in (WRITE_SPARSE, READ_SPARSE):
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)], capture_output=True, text=True, env=dict(os.environ), check=False
        )
        assert done.returncode == 0, done.stderr
    assert path.stat().st_size > 4 * 10**9
    assert done.stdout.split("\n")[0] == "(8192, 4, 63, 250) 0.0 7"


@pytest.mark.parametrize("protocol", [2, 5])
def test_archives_of_torch_give_tensors_and_arrays(tmp_path: Path, protocol: int) -> None:
    eeg = torch.from_numpy(LARGE).half()
    saved = {"eeg": eeg, "part": eeg[3:5, :, 7], "turned": eeg[0].T, "img": np.array(["a.jpg", "b.jpg"]), "x": LARGE}
    torch.save(saved, tmp_path / "train.pt", pickle_protocol=protocol)
    read = read_pickled(tmp_path / "train.pt")
    for key, value in saved.items():
        np.testing.assert_array_equal(read[key], np.asarray(value))
    assert not read["eeg"].flags.writeable


class Hostile:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("container", ["pickle", "numpy", "torch"])
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_hostile_pickle_is_named_and_not_run(tmp_path: Path, container: str, protocol: int) -> None:
    content = {"preprocessed_eeg_data": LARGE, "times": Hostile(tmp_path / "mark")}
    path = tmp_path / "evil.npy"
    if container == "pickle":
        path.write_bytes(pickle.dumps(content, protocol=protocol))
    elif container == "numpy":
        np.save(path, content)
    else:
        with path.open("wb") as file:
            torch.save(content, file, pickle_protocol=protocol)
    with pytest.raises(DataError, match=r"evil\.npy asks for 'posix\.system'.*nothing was run"):
        read_pickled(path)
    assert not (tmp_path / "mark").exists()


@pytest.mark.parametrize("name", ["builtins.eval", "numpy.load", "builtins.getattr", "copyreg._reconstructor"])
def test_no_other_name_is_looked_up(tmp_path: Path, name: str) -> None:
    module, attribute = name.split(".")
    (tmp_path / "x.pkl").write_bytes(f"c{module}\n{attribute}\n.".encode())
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read_pickled(tmp_path / "x.pkl")


def test_a_file_that_is_cut_off_anywhere_is_one_error(tmp_path: Path) -> None:
    whole = pickle.dumps(CONTENT, protocol=4)
    for length in [0, 1, 2, 11, 100, len(whole) // 2, len(whole) - 1]:
        (tmp_path / "cut.npy").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cut\.npy is damaged, cut off or no pickle"):
            read_pickled(tmp_path / "cut.npy")


def test_damaged_bytes_never_raise_anything_but_the_one_error(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = np.frombuffer(pickle.dumps({"x": np.arange(4.0), "names": ["a"], "n": np.int64(3)}, protocol=4), np.uint8)
    for _ in range(300):
        damaged = whole.copy()
        damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
        (tmp_path / "x.npy").write_bytes(damaged.tobytes())
        with contextlib.suppress(DataError):
            read_pickled(tmp_path / "x.npy")


def test_a_promise_of_more_bytes_than_there_are_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"\x80\x04" + pickle.BINUNICODE8 + (1 << 40).to_bytes(8, "little") + b"a.")
    with pytest.raises(DataError, match="1099511627776 bytes are promised"):
        read_pickled(tmp_path / "x.pkl")


def test_a_cut_archive_and_a_foreign_zip_are_errors(tmp_path: Path) -> None:
    torch.save({"eeg": torch.zeros(9)}, tmp_path / "t.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "t.pt").read_bytes()[:-40])
    with pytest.raises(DataError, match=r"cut\.pt is damaged"):
        read_pickled(tmp_path / "cut.pt")
    np.savez(tmp_path / "x.npz", a=LARGE)
    with pytest.raises(DataError, match=r"none that torch\.save wrote"):
        read_pickled(tmp_path / "x.npz")


def test_a_mapping_is_asked_for_its_entries(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", LARGE)
    with pytest.raises(DataError, match=r"holds one array of shape \(200, 3, 400\)"):
        read_pickled_mapping(tmp_path / "x.npy")
    np.save(tmp_path / "y.npy", {"times": 1})
    with pytest.raises(DataError, match=r"has no \['ch_names'\]; it has \['times'\]"):
        read_pickled_mapping(tmp_path / "y.npy", ("times", "ch_names"))
    with pytest.raises(DataError, match="does not exist"):
        read_pickled_mapping(tmp_path / "z.npy")
