"""Keep freed memory in the process: large activations then cost no page faults at every step."""

from __future__ import annotations

import ctypes
import os
import sys

__all__ = ["keep_heap"]

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8
_NEVER_TRIM_BYTES = 2**31 - 1  # the largest int; mallopt takes no size_t
_ENVIRONMENT = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_heap() -> bool:
    """Tell glibc to take large blocks from the heap and never to give the heap back; return whether it agreed.

    Networks on the CPU allocate and free the same hundreds of megabytes at every step. By default each block is mapped
    anew and its pages are cleared by the system, which takes longer than the arithmetic of some models. Costs memory:
    the process keeps its peak, once, because threads share one heap. Does nothing where the C library is not glibc or
    the user has tuned malloc.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _ENVIRONMENT):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, _NEVER_TRIM_BYTES), (_ARENA_MAX, 1))
    return all(bool(mallopt(name, value)) for name, value in settings)
