"""Simulate what the statistics promise: `python scripts/calibrate_statistics.py [DATA] [NAME=VALUE ...]`.

Prints one Markdown table: setting, promised, measured, n. With DATA, labels of the real recordings in it are shuffled,
too. only= is one of p_values, intervals, retrieval, recordings; draws= is how many experiments are simulated;
experiments=A,B chooses real recordings. About an hour and a half on two cores.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from calibration import intervals, p_values, recordings, retrieval

PARTS = {"p_values": p_values.measure, "intervals": intervals.measure, "retrieval": retrieval.measure}


def told(value: Any) -> str:
    """Return a number with three digits, or words as they are."""
    return value if isinstance(value, str) else f"{value:.4g}" if value < 0.01 else f"{value:.3f}"


def main(words: list[str]) -> int:
    """Print the table; progress goes to standard error."""
    settings = dict(word.split("=", 1) for word in words if "=" in word)
    folders = [Path(word) for word in words if "=" not in word]
    unknown = set(settings) - {"only", "draws", "experiments"}
    chosen = settings.get("only")
    if unknown or len(folders) > 1 or chosen not in (None, "recordings", *PARTS):
        print(__doc__, file=sys.stderr)
        return 2
    print("| setting | promised | measured | n |\n|---|---|---|---|")
    draws = {"n_draws": int(settings["draws"])} if "draws" in settings else {}
    for name, measure in PARTS.items():
        if chosen in (None, name):
            started = time.monotonic()
            for row in measure(**draws):
                print(
                    f"| {row['setting']} | {told(row['promised'])} | {told(row['measured'])} | {row['n']} |", flush=True
                )
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    if folders and chosen in (None, "recordings"):
        names = settings["experiments"].split(",") if "experiments" in settings else recordings.EXPERIMENTS
        for row in recordings.measure(folders[0], names):
            print(f"| {row['setting']} | {told(row['promised'])} | {told(row['measured'])} | {row['n']} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
