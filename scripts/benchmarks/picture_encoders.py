"""Training steps of the encoders for pictures, beside the authors' seconds and the floor of their arithmetic."""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from benchmarks.training import textbook_nice
from torch import nn
from torch.nn import functional

from brain_decode.core.allocator import keep_heap
from brain_decode.encoders.atm import ATM
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.linear_projector import LinearProjector
from brain_decode.encoders.nice import NICE
from brain_decode.heads.retrieval import Projector, Retrieval
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.training.pilots import timed

REPETITIONS = 5
N_TIMES, RATE_HZ = 250, 250.0
SUBJECTS = tuple(f"{number:02d}" for number in range(1, 11))


@dataclass(frozen=True)
class Case:
    """One encoder at one batch size.

    Args:
        name: Of the line.
        encoder: Class.
        batch_size: Windows per step.
        n_features: Values per picture.
        n_channels: Channels per window.
        head: Settings of the retrieval head.
        elsewhere: Seconds of the authors' code and its floor on two threads, measured elsewhere and not by this script.
        has_peer: Time the textbook order of the layers in turn; it needs several gigabytes.
    """

    name: str
    encoder: type[Encoder]
    batch_size: int
    n_features: int = 1024
    n_channels: int = 63
    head: dict[str, Any] = field(default_factory=dict)
    elsewhere: dict[str, float] = field(default_factory=dict)
    has_peer: bool = False


WITHOUT_PROJECTOR = {"projector": "none", "normalise_brain": False}
CASES = (
    Case(
        "nice",
        NICE,
        256,
        768,
        elsewhere={"authors_s": 1.54, "authors_heap_kept_s": 0.81, "floor_s": 0.13},
        has_peer=True,
    ),
    Case("atm", ATM, 256, elsewhere={"authors_s": 2.44, "authors_heap_kept_s": 1.51, "floor_s": 0.42}, has_peer=True),
    Case("atm", ATM, 1024, elsewhere={"authors_s": 10.99, "authors_heap_kept_s": 6.35, "floor_s": 1.74}),
    Case("linear_projector", LinearProjector, 1024, n_channels=17, head=WITHOUT_PROJECTOR),
    Case("linear_projector", LinearProjector, 1024, head=WITHOUT_PROJECTOR),
)


class _Step:
    """zero_grad, forward, loss, backward and fused AdamW."""

    def __init__(self, encoder: nn.Module, head: nn.Module, model_input: Any, target: torch.Tensor) -> None:
        self.encoder, self.head, self.model_input, self.target = encoder, head, model_input, target
        parameters = [*encoder.parameters(), *head.parameters()]
        self.optimizer = torch.optim.AdamW([p for p in parameters if p.requires_grad], lr=3e-4, fused=True)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        embedding = self.encoder(self.model_input)
        if isinstance(self.head, Retrieval):
            loss = self.head.loss(self.head(embedding), self.target)
        else:
            vectors = functional.normalize(self.head(embedding), dim=-1)
            logits = vectors @ functional.normalize(self.target, dim=-1).T / 0.07
            labels = torch.arange(len(logits))
            loss = (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
        loss.backward()
        self.optimizer.step()


class TextbookATM(nn.Module):
    """The published layers of ATM-S in their published order, with separate queries, keys and values."""

    def __init__(self, n_channels: int, n_times: int) -> None:
        super().__init__()
        self.embed, self.person = nn.Linear(n_times, n_times), nn.Parameter(torch.randn(1, 1, n_times))
        self.query, self.key, self.value = (nn.Linear(n_times, 248) for _ in range(3))
        self.out, self.drop = nn.Linear(248, n_times), nn.Dropout(0.25)
        self.widen, self.narrow = nn.Conv1d(n_times, 256, 1), nn.Conv1d(256, n_times, 1)
        self.norms = nn.ModuleList(nn.LayerNorm(n_times) for _ in range(3))
        self.filters = textbook_nice(n_channels, n_times)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) to flattened tokens."""
        tokens = self.drop(torch.cat([self.person.expand(len(signal), -1, -1), self.embed(signal)], dim=1))
        parts = (layer(tokens).unflatten(2, (4, 62)) for layer in (self.query, self.key, self.value))
        query, key, value = parts
        weights = self.drop((torch.einsum("bqhw,bkhw->bhqk", query, key) / 62**0.5).softmax(-1))
        mixed = torch.einsum("bhqk,bkhw->bqhw", weights, value).flatten(2)
        tokens = self.norms[0](tokens + self.drop(self.out(mixed)))
        wide = self.drop(functional.gelu(self.widen(tokens.transpose(1, 2))))
        tokens = self.norms[1](tokens + self.drop(self.narrow(wide).transpose(1, 2)))
        return self.filters(self.norms[2](tokens)[:, None, 1:])


def measure() -> Iterator[dict[str, Any]]:
    """Yield seconds per step of each case with the default heap, then with the heap kept."""
    for heap in ("default", "kept"):
        if heap == "kept" and not keep_heap():
            return
        for case in CASES:
            yield {**_timed(case), "heap": heap, "threads": torch.get_num_threads()}


def _timed(case: Case) -> dict[str, Any]:
    """Time a case, and its peer in turn where it has one, so that other load falls on both; return medians."""
    torch.manual_seed(0)
    sensors = Sensors(tuple(f"c{number}" for number in range(case.n_channels)), ("eeg",) * case.n_channels)
    encoder = case.encoder(SignalSpec(sensors, N_TIMES, RATE_HZ, subjects=SUBJECTS))
    head = Retrieval(encoder.embedding_dim, TargetSpec("retrieval", dim=case.n_features), **case.head)
    signal, target = (
        torch.randn(case.batch_size, case.n_channels, N_TIMES),
        torch.randn(case.batch_size, case.n_features),
    )
    subjects = torch.arange(case.batch_size) % len(SUBJECTS)
    own = _Step(encoder, head, SignalBatch.from_array(signal, sensors, RATE_HZ, subjects=subjects), target)
    steps = [own, _peer(case, signal, target)] if case.has_peer else [own]
    load = os.getloadavg()[0]
    rounds = [[timed(step)[0] for step in steps] for _ in range(REPETITIONS + 1)][1:]
    own_s, *peer_s = (statistics.median(column) for column in zip(*rounds, strict=True))
    told: dict[str, Any] = {"textbook_s": round(peer_s[0], 3)} if peer_s else {}
    if peer_s:
        told["speedup"] = round(statistics.median(pair[1] / pair[0] for pair in rounds), 2)
    return {
        "name": f"{case.name} {case.n_channels} × {N_TIMES}, batch {case.batch_size}",
        "value": round(own_s, 4),
        "unit": "s/step",
        "fastest_s": round(min(row[0] for row in rounds), 4),
        **told,
        "measured_elsewhere": case.elsewhere,
        "load_average": round(load, 2),
    }


def _peer(case: Case, signal: torch.Tensor, target: torch.Tensor) -> _Step:
    """Return the step of the textbook layers."""
    projector = Projector(1440, case.n_features)
    if case.encoder is ATM:
        return _Step(TextbookATM(case.n_channels, N_TIMES), projector, signal, target)
    return _Step(textbook_nice(case.n_channels, N_TIMES), projector, signal[:, None], target)
