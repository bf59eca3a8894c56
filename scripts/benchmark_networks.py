"""Time the exact fast order of NICE and EEGNet against their textbook order, as JSON lines.

Each line holds the median of forward plus backward over repetitions, in random data and at published sizes; the first
line holds the speed of a matrix product on the same machine, without which seconds mean little.

Run: python scripts/benchmark_networks.py [--repetitions 5] [--default-heap]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from brain_decode.core.allocator import keep_heap
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.eegnet import EEGNet
from brain_decode.encoders.nice import NICE
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

MATRIX = 2048


def textbook_nice(n_channels: int, n_times: int) -> nn.Module:
    """Return the published layers of NICE on (batch, 1, channel, time)."""
    return nn.Sequential(
        nn.Conv2d(1, 40, (1, 25)),
        nn.AvgPool2d((1, 51), (1, 5)),
        nn.BatchNorm2d(40),
        nn.ELU(),
        nn.Conv2d(40, 40, (n_channels, 1)),
        nn.BatchNorm2d(40),
        nn.ELU(),
        nn.Dropout(0.5),
        nn.Conv2d(40, 40, (1, 1)),
        nn.Flatten(),
    )


def textbook_eegnet(n_channels: int, n_times: int) -> nn.Module:
    """Return the published layers of EEGNet-8,2 on (batch, 1, channel, time), without the norm limit."""
    return nn.Sequential(
        nn.Conv2d(1, 8, (1, 128), padding="same", bias=False),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 16, (n_channels, 1), groups=8, bias=False),
        nn.BatchNorm2d(16),
        nn.ELU(),
        nn.AvgPool2d((1, 4)),
        nn.Dropout(0.5),
        nn.Conv2d(16, 16, (1, 32), padding="same", groups=16, bias=False),
        nn.Conv2d(16, 16, (1, 1), bias=False),
        nn.BatchNorm2d(16),
        nn.ELU(),
        nn.AvgPool2d((1, 8)),
        nn.Dropout(0.5),
        nn.Flatten(),
    )


CASES: dict[str, tuple[type[Encoder], Callable[[int, int], nn.Module], int, int, int, float]] = {
    "nice": (NICE, textbook_nice, 256, 63, 250, 250.0),
    "eegnet": (EEGNet, textbook_eegnet, 64, 64, 256, 256.0),
}


def median_seconds(action: Callable[[], Any], repetitions: int) -> float:
    """Return the median duration after one warm-up."""
    action()
    durations = []
    for _ in range(repetitions):
        start = time.perf_counter()
        action()
        durations.append(time.perf_counter() - start)
    return statistics.median(durations)


class _Step:
    """Forward and backward of one model on one input."""

    def __init__(self, model: nn.Module, model_input: Any) -> None:
        self.model, self.model_input = model, model_input

    def __call__(self) -> None:
        self.model.zero_grad()
        output = self.model(self.model_input)
        (output if isinstance(output, torch.Tensor) else output.pooled).square().mean().backward()


class _Product:
    """One square matrix product."""

    def __init__(self) -> None:
        self.matrix = torch.randn(MATRIX, MATRIX)

    def __call__(self) -> torch.Tensor:
        return self.matrix @ self.matrix


def measure(name: str, repetitions: int) -> dict[str, Any]:
    """Return seconds of both orders for one model."""
    encoder_class, textbook, batch_size, n_channels, n_times, rate_hz = CASES[name]
    torch.manual_seed(0)
    signal = torch.randn(batch_size, n_channels, n_times)
    sensors = Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    encoder = encoder_class(SignalSpec(sensors, n_times, rate_hz))
    fast = median_seconds(_Step(encoder, SignalBatch.from_array(signal, sensors, rate_hz)), repetitions)
    slow = median_seconds(_Step(textbook(n_channels, n_times), signal[:, None]), repetitions)
    size = {"model": name, "batch": batch_size, "channels": n_channels, "samples": n_times}
    return size | {"fast_s": round(fast, 4), "textbook_s": round(slow, 4), "speedup": round(slow / fast, 2)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--default-heap", action="store_true", help="leave the memory allocator as it is")
    arguments = parser.parse_args()
    kept = False if arguments.default_heap else keep_heap()
    seconds = median_seconds(_Product(), arguments.repetitions)
    machine = {
        "matmul_gflop_per_s": round(2 * MATRIX**3 / seconds / 1e9, 1),
        "threads": torch.get_num_threads(),
        "kept_heap": kept,
        "torch": torch.__version__,
    }
    sys.stdout.write(json.dumps(machine) + "\n")
    for name in CASES:
        sys.stdout.write(json.dumps(measure(name, arguments.repetitions)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
