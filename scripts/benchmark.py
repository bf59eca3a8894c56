"""Run one benchmark and print JSON lines: `python scripts/benchmark.py NAME`; without a name, list the names.

A benchmark is a module of `scripts/benchmarks/` with `measure()`, which yields one dictionary per figure: `name`,
`value`, `unit`, and the peer or bare limit beside it. Every line gets the rate of a 2048³ product measured with it.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from brain_decode.core.errors import ConfigError, unknown_option

_FOLDER = Path(__file__).parent / "benchmarks"
_SIDE, _REPETITIONS = 2048, 3


def descriptions() -> dict[str, str]:
    """Return the first docstring line of each benchmark, without importing any."""
    modules = sorted(path for path in _FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return {path.stem: (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n")[0] for path in modules}


def product_gflop_per_s() -> float:
    """Return the machine's rate of a 2048³ float32 product, the median of three after one to warm up."""
    import torch

    matrix = torch.ones(_SIDE, _SIDE)
    durations = []
    for _ in range(_REPETITIONS + 1):
        start = time.perf_counter()
        matrix @ matrix
        durations.append(time.perf_counter() - start)
    return round(2 * _SIDE**3 / statistics.median(durations[1:]) / 1e9, 1)


def main(words: Sequence[str]) -> int:
    """List the benchmarks, or run the named one; return the exit status."""
    known = descriptions()
    if not words:
        print("\n".join(f"{name:20} {line}" for name, line in known.items()))
        return 0
    name, *others = words
    if name not in known:
        print(unknown_option("benchmark", name, known), file=sys.stderr)
        return 2
    measure = importlib.import_module(f"benchmarks.{name}").measure
    if len(others) > len(inspect.signature(measure).parameters):
        print(ConfigError(f"Benchmark '{name}' takes no words {others}: {known[name]}"), file=sys.stderr)
        return 2
    for line in measure(*others):
        print(json.dumps({"benchmark": name, **line, "product_gflop_per_s": product_gflop_per_s()}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
