"""The allocator keeps its heap on Linux, and leaves it alone elsewhere."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from brain_decode.core import allocator

FAULTS = """
import ctypes, resource, sys
from brain_decode.core.allocator import keep_heap
if sys.argv[1] == "keep":
    assert keep_heap()
library = ctypes.CDLL(None)
library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
library.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def touch():
    block = library.malloc(64 << 20)
    library.memset(block, 1, 64 << 20)
    library.free(block)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(8):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")


def faults(word: str) -> int:
    result = subprocess.run([sys.executable, "-c", FAULTS, word], capture_output=True, text=True, check=True)
    return int(result.stdout)


@pytest.fixture(autouse=True)
def untuned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell without malloc settings."""
    for name in allocator._ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)


@glibc
def test_freed_blocks_are_reused_without_page_faults():
    assert faults("keep") < faults("leave") / 20


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert allocator.keep_heap() is False


def test_malloc_settings_of_the_user_win(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MALLOC_MMAP_MAX_", "65536")
    assert allocator.keep_heap() is False


def test_a_c_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda name: object())
    assert allocator.keep_heap() is False
