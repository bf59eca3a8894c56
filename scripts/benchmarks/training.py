"""EEGNet and NICE against their textbook order (speed, equality), with and without the kept heap; wait for data."""

from __future__ import annotations

import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
import torch
from torch import nn

from brain_decode.core.allocator import keep_heap
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.eegnet import EEGNet
from brain_decode.encoders.nice import NICE
from brain_decode.heads.classification import Classification
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.training.batches import Batch, _Ahead
from brain_decode.training.fitting import GroupReader
from brain_decode.training.lightning_module import fit_network
from brain_decode.training.pilots import timed
from brain_decode.training.trials import RepetitionGroups, Trials

REPETITIONS = 7
N_SECONDS, N_STEPS = 600, 20  # of the recording and the passes that the share of waiting is measured on
TOLERANCE = 1e-8  # of outputs, and of gradients relative to their largest
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
    for name in CASES:
        yield _difference(name)
        yield _waiting(name)


def _compared(name: str) -> dict[str, Any]:
    """Time both orders in turn, so that other load falls on both, and return medians."""
    encoder_class, textbook, batch_size, n_channels, n_times, rate_hz = CASES[name]
    torch.manual_seed(0)
    signal = torch.randn(batch_size, n_channels, n_times)
    sensors = Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    encoder = encoder_class(SignalSpec(sensors, n_times, rate_hz))
    fast = _Step(encoder, SignalBatch.from_array(signal, sensors, rate_hz))
    slow = _Step(textbook(n_channels, n_times), signal[:, None])
    pairs = [(timed(fast)[0], timed(slow)[0]) for _ in range(REPETITIONS + 1)][1:]
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


def _difference(name: str) -> dict[str, Any]:
    """Return the largest difference of outputs and of gradients with equal weights, float64, batch statistics."""
    encoder_class, textbook, _, n_channels, n_times, rate_hz = CASES[name]
    torch.manual_seed(0)
    sensors = Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    fast = encoder_class(SignalSpec(sensors, n_times, rate_hz), dropout=0.0).double()
    slow = textbook(n_channels, n_times).double()
    signal = torch.randn(16, n_channels, n_times, dtype=torch.float64)
    pairs = _same_weights(fast, slow, SignalBatch.from_array(signal, sensors, rate_hz))
    other = signal.clone()
    for layer in slow.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    ours = fast(SignalBatch.from_array(signal.requires_grad_(), sensors, rate_hz)).pooled
    # Channels last to tokens first: the flattened order of the published layers differs.
    theirs = slow(other.requires_grad_()[:, None]).unflatten(1, (-1, fast.n_tokens)).transpose(1, 2).flatten(1)
    weights = torch.randn_like(ours)
    (ours * weights).sum().backward()
    (theirs * weights).sum().backward()
    gradients = [(signal.grad, other.grad), *((_textbook_layout(own.grad, peer), peer.grad) for own, peer in pairs)]
    largest = max(float((own - peer).abs().max() / peer.abs().max()) for own, peer in gradients)
    outputs = float((ours - theirs).detach().abs().max())
    if max(outputs, largest) > TOLERANCE:
        raise RuntimeError(f"{name}: outputs differ by {outputs}, gradients by {largest}; at most {TOLERANCE}.")
    return {
        "name": f"{name}, outputs against textbook",
        "value": outputs,
        "unit": "largest difference in float64",
        "gradients_relative": largest,
        "tolerance": TOLERANCE,
    }


@torch.no_grad()
def _same_weights(fast: Encoder, slow: nn.Module, batch: SignalBatch) -> list[tuple[nn.Parameter, nn.Parameter]]:
    """Give the textbook layers the weights of the encoder and return the pairs.

    Biases stay out of the pairs: those before a batch normalisation have a gradient of zero.
    """
    fast(batch)  # EEGNet limits its norms in the forward pass
    convolutions = [layer for layer in slow.modules() if isinstance(layer, nn.Conv2d)]
    if isinstance(fast, NICE):
        layers = (fast.temporal, fast.spatial, fast.projection)
        for own, peer in zip(layers, convolutions, strict=True):
            peer.bias.copy_(own.bias)
        weights = [own.weight for own in layers]
    else:
        weights = [fast.temporal, fast.spatial, fast.depthwise, fast.pointwise.weight]
    pairs = [(own, peer.weight) for own, peer in zip(weights, convolutions, strict=True)]
    for own, peer in pairs:
        peer.copy_(_textbook_layout(own, peer))
    own_norms = [layer for layer in fast.modules() if isinstance(layer, nn.BatchNorm1d)]
    peer_norms = [layer for layer in slow.modules() if isinstance(layer, nn.BatchNorm2d)]
    for own_norm, peer_norm in zip(own_norms, peer_norms, strict=True):
        peer_norm.load_state_dict(own_norm.state_dict())
    return pairs


def _textbook_layout(own: torch.Tensor, peer: torch.Tensor) -> torch.Tensor:
    """Return a weight or its gradient in the shape of the convolution (output, input, channel, sample)."""
    if own.ndim == 2 and peer.shape[2] > 1:  # spatial filters of NICE: channel before map
        return own.unflatten(1, (peer.shape[2], peer.shape[1])).transpose(1, 2)[..., None]
    return own.reshape(peer.shape)


class Waits:
    """Notes when training asked for a batch and when it got it; the first batch only starts the clock."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def timed(self, take: Callable[[Any], Batch]) -> Callable[[Any], Batch]:
        """Return the taking of a batch, timed."""

        def take_timed(batches: Any) -> Batch:
            begin = time.perf_counter()
            batch = take(batches)
            self.spans.append((begin, time.perf_counter()))
            return batch

        return take_timed

    def share(self) -> float:
        """Return the part of the time between the first and the last batch that went into waiting."""
        durations = [end - begin for begin, end in self.spans[1:]]
        return sum(durations) / (self.spans[-1][1] - self.spans[0][1])

    def seconds_per_batch(self) -> float:
        """Return the median time from one batch to the next, all of training included."""
        return statistics.median(later[1] - earlier[1] for earlier, later in itertools.pairwise(self.spans))


def _waiting(name: str) -> dict[str, Any]:
    """Return the share of real training steps that went into waiting for batches from a store."""
    encoder_class, _, batch_size, n_channels, n_times, rate_hz = CASES[name]
    rng, n_windows = np.random.default_rng(0), batch_size * N_STEPS
    sensors = Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)
    samples = rng.standard_normal((n_channels, int(N_SECONDS * rate_hz)), dtype=np.float32)
    starts = np.sort(rng.uniform(0, N_SECONDS - 1 - n_times / rate_hz, n_windows))
    table = pd.DataFrame({"recording": 0, "event": -1, "subject": "01", "onset_s": starts, "start_s": starts})
    table = table.assign(stop_s=starts + n_times / rate_hz, label=rng.choice(["left", "right"], n_windows))
    no_events = pd.DataFrame({"onset_s": [], "duration_s": [], "trial_type": []})
    recording = Recording(Entities("01"), sensors, rate_hz, no_events, ArraySource(samples))
    with tempfile.TemporaryDirectory() as folder:
        trials = Trials([recording], table, "classification", Path(folder))
        groups = RepetitionGroups(np.arange(n_windows), np.arange(n_windows))
        reader = GroupReader(trials, Preprocessing([], []), groups, ("01",))
        encoder = encoder_class(SignalSpec(sensors, n_times, rate_hz, subjects=("01",)))
        head = Classification(encoder.embedding_dim, trials.target_spec)
        settings = {"max_epochs": 2, "batch_size": batch_size, "accelerator": "cpu"}
        waits = Waits()
        with patch.object(_Ahead, "__next__", waits.timed(_Ahead.__next__)):
            fit_network(encoder, head, reader, groups.rows, np.zeros(0, int), trainer=settings, optimizer={}, seed=0)
    return {
        "name": f"{name}, waiting for data",
        "value": round(100 * waits.share(), 2),
        "unit": "% of a step",
        "s_per_step": round(waits.seconds_per_batch(), 4),
    }
