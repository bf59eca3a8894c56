"""BrainFLORA's training step against its textbook order, for EEG, MEG and voxels; a joint step of the experts."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.allocator import keep_heap
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.encoders.brainflora import BrainFLORA
from brain_decode.encoders.token_augmentations import AUGMENTATIONS, TokenAugmentation
from brain_decode.heads.retrieval import Retrieval
from brain_decode.heads.universal_retrieval import UniversalRetrieval
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import Space
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.voxels import Voxels
from brain_decode.training.pilots import timed

REPETITIONS = 5
BATCH, N_FEATURES = 100, 1024  # of the authors
DIM, HEADS, FF_DIM, DROPOUT, LENGTHS = 250, 4, 256, 0.25, (2, 4, 8)
CASES = {"eeg": (63, 250, 250.0), "meg": (271, 201, 200.0), "voxels": (7000, 1, 1 / 1.5)}
# Measured elsewhere on two threads, not by this script: the authors' code, and arithmetic at 184 GFLOP/s.
ELSEWHERE = {"eeg": {"authors_s_per_step": 3.09, "floor_s_per_step": 0.55}}


class _Attention(nn.Module):
    """Attention with its weights written out."""

    def __init__(self) -> None:
        super().__init__()
        width = DIM // HEADS * HEADS
        self.queries, self.keys, self.values = (nn.Linear(DIM, width) for _ in range(3))
        self.outputs, self.dropout = nn.Linear(width, DIM), nn.Dropout(DROPOUT)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        queries, keys, values = (
            layer(tokens).unflatten(-1, (HEADS, -1)) for layer in (self.queries, self.keys, self.values)
        )
        scores = torch.einsum("blhe,bshe->bhls", queries, keys) / math.sqrt(DIM // HEADS)
        mixed = torch.einsum("bhls,bshe->blhe", self.dropout(scores.softmax(-1)), values)
        return self.outputs(mixed.flatten(2))


class _Textbook(nn.Module):
    """The published layers one after the other: every patch length by itself, filters before the mean filter."""

    def __init__(self, n_channels: int, n_times: int) -> None:
        super().__init__()
        self.patches = nn.ModuleList(
            nn.Conv2d(1, DIM, (n_channels, length), (1, length), bias=False) for length in LENGTHS
        )
        self.augmentation = TokenAugmentation(tuple(AUGMENTATIONS))
        self.lengths = nn.ParameterList(nn.Parameter(torch.randn(1, DIM)) for _ in LENGTHS)
        self.within, self.between = nn.ModuleList(_Attention() for _ in LENGTHS), _Attention()
        self.widen, self.narrow = nn.Conv1d(DIM, FF_DIM, 1), nn.Conv1d(FF_DIM, DIM, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(DIM) for _ in range(3))
        self.dropout = nn.Dropout(DROPOUT)
        n_tokens = sum(n_times // length + 1 for length in LENGTHS)
        self.head = nn.Sequential(
            *(nn.Conv2d(1, 40, (1, 25)), nn.AvgPool2d((1, 51), (1, 5)), nn.BatchNorm2d(40), nn.ELU()),
            *(nn.Conv2d(40, 40, (n_tokens, 1)), nn.BatchNorm2d(40), nn.ELU(), nn.Dropout(0.5)),
            *(nn.Conv2d(40, 40, 1), nn.Flatten()),
        )

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        tokens = [
            self.augmentation(layer(functional.pad(signal, (0, length), mode="replicate")[:, None])[:, :, 0].mT) + own
            for layer, length, own in zip(self.patches, LENGTHS, self.lengths, strict=True)
        ]
        attended = [layer(part) for layer, part in zip(self.within, tokens, strict=True)]
        carried = self.between(torch.cat([part[:, -1:] for part in attended], dim=1))
        attended = [torch.cat([part[:, :-1], carried[:, i : i + 1]], dim=1) for i, part in enumerate(attended)]
        tokens = [self.norms[0](one + self.dropout(other)) for one, other in zip(tokens, attended, strict=True)]
        tokens = [self.norms[1](part + self._feed_forward(part)) for part in tokens]
        return self.head(self.dropout(functional.gelu(self.norms[2](torch.cat(tokens, dim=1))))[:, None])

    def _feed_forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden = self.dropout(functional.gelu(self.widen(tokens.mT)))
        return self.dropout(self.narrow(hidden).mT)


class _Step:
    """Gradients to zero, forward, loss, backward, fused AdamW."""

    def __init__(self, embed: Callable[[], torch.Tensor], model: nn.Module, head: Retrieval) -> None:
        self.embed, self.head = embed, head
        self.target = torch.randn(BATCH, N_FEATURES)
        trained = [weight for weight in (*model.parameters(), *head.parameters()) if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, lr=3e-4, fused=True)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.head.loss(self.head(BrainEmbedding(self.embed())), self.target).backward()
        self.optimizer.step()


def measure() -> Iterator[dict[str, Any]]:
    """Yield seconds per step of each kind of recording, with the default heap and with the heap kept."""
    for heap in ("default", "kept"):
        if heap == "kept" and not keep_heap():
            return
        for name in CASES:
            yield {**_compared(name), "heap": heap, **_machine()}
        yield {**_joint(), "heap": heap, **_machine()}


def _machine() -> dict[str, Any]:
    return {"threads": torch.get_num_threads(), "load": round(os.getloadavg()[0], 1)}


def _space(name: str, n_channels: int) -> Space:
    if name == "voxels":
        return Voxels(np.ones((n_channels, 1, 1), dtype=bool), np.eye(4))
    return Sensors(tuple(f"c{number}" for number in range(n_channels)), ("eeg",) * n_channels)


def _compared(name: str) -> dict[str, Any]:
    """Time both orders in turn, so that other load falls on both, and return medians."""
    n_channels, n_times, rate_hz = CASES[name]
    torch.manual_seed(0)
    space = _space(name, n_channels)
    signal, spec = torch.randn(BATCH, n_channels, n_times), TargetSpec("retrieval", dim=N_FEATURES)
    encoder = BrainFLORA(SignalSpec(space, n_times, rate_hz))
    batch = SignalBatch.from_array(signal, space, rate_hz)
    fast = _Step(lambda: encoder(batch).pooled, encoder, Retrieval(1440, spec))
    if name == "voxels":
        wide, inner = nn.Linear(n_channels, 8192), _Textbook(8, 1024)
        slow = _Step(
            lambda: inner(wide(signal[..., 0]).unflatten(1, (8, 1024))),
            nn.ModuleList([wide, inner]),
            Retrieval(1440, spec),
        )
    else:
        textbook = _Textbook(n_channels, n_times)
        slow = _Step(lambda: textbook(signal), textbook, Retrieval(1440, spec))
    pairs = [(timed(fast)[0], timed(slow)[0]) for _ in range(REPETITIONS + 1)][1:]
    fast_s, slow_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "name": f"brainflora {name} {n_channels} × {n_times}, batch {BATCH}",
        "value": round(fast_s, 4),
        "unit": "s/step",
        "textbook_s_per_step": round(slow_s, 4),
        "speedup": round(statistics.median(other / own for own, other in pairs), 2),
        "measured_elsewhere": ELSEWHERE.get(name),
    }


def _joint() -> dict[str, Any]:
    """Return the time of a step of the shared experts, on vectors that frozen encoders made once."""
    torch.manual_seed(0)
    vectors, spec = torch.randn(BATCH, N_FEATURES), TargetSpec("retrieval", dim=N_FEATURES)
    head = UniversalRetrieval(N_FEATURES, spec, projector="none")
    step = _Step(lambda: vectors, nn.Identity(), head)
    durations = [timed(step)[0] for _ in range(REPETITIONS + 1)][1:]
    return {
        "name": f"universal_retrieval, batch {BATCH}",
        "value": round(statistics.median(durations), 4),
        "unit": "s/step",
    }
