"""Forward and backward of EEGNet and NICE against their textbook order, with and without the kept heap."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
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

REPETITIONS = 7
# Measured elsewhere on two threads, not by this script.
ELSEWHERE = {
    "nice": {"authors_s_per_step": 1.54, "floor_s_per_step": 0.13},
    "eegnet": {"braindecode_1.8.1_windows_per_s": {"EEGNet": 60, "ATCNet": 213, "Conformer": 120}},
}


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


class _Step:
    """Forward and backward of one model on one input."""

    def __init__(self, model: nn.Module, model_input: Any) -> None:
        self.model, self.model_input = model, model_input

    def __call__(self) -> None:
        self.model.zero_grad()
        output = self.model(self.model_input)
        (output if isinstance(output, torch.Tensor) else output.pooled).square().mean().backward()


def measure() -> Iterator[dict[str, Any]]:
    """Yield windows per second of each network with the default heap, then with the heap kept."""
    for heap in ("default", "kept"):
        if heap == "kept" and not keep_heap():
            return
        for name in CASES:
            yield {**_compared(name), "heap": heap, "threads": torch.get_num_threads()}


def _compared(name: str) -> dict[str, Any]:
    """Time both orders in turn, so that other load falls on both, and return medians."""
    encoder_class, textbook, batch_size, n_channels, n_times, rate_hz = CASES[name]
    torch.manual_seed(0)
    signal = torch.randn(batch_size, n_channels, n_times)
    sensors = Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    encoder = encoder_class(SignalSpec(sensors, n_times, rate_hz))
    fast = _Step(encoder, SignalBatch.from_array(signal, sensors, rate_hz))
    slow = _Step(textbook(n_channels, n_times), signal[:, None])
    pairs = [(_seconds(fast), _seconds(slow)) for _ in range(REPETITIONS + 1)][1:]
    fast_s, slow_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "name": f"{name} {n_channels} × {n_times}, batch {batch_size}",
        "value": round(batch_size / fast_s),
        "unit": "windows/s",
        "s_per_step": round(fast_s, 4),
        "textbook_s_per_step": round(slow_s, 4),
        "speedup": round(statistics.median(slow / quick for quick, slow in pairs), 2),
        "measured_elsewhere": ELSEWHERE[name],
    }


def _seconds(action: Callable[[], Any]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start
