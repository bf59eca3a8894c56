"""BrainTokenizer and BrainOmni at released sizes: tokenising, encoding, both training steps, k-means, memory."""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from brain_decode.core.allocator import keep_heap
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.braintokenizer import BrainTokenizer

N_RECORDINGS, N_CHANNELS, SECONDS, RATE_HZ = 2, 32, 10, 256.0
LONG_S = 600
REPETITIONS = 5
SIZES: dict[str, dict[str, int]] = {"tiny": {}, "base": {"dim": 512, "n_heads": 16}}
# The authors' code on two threads at 184 GFLOP/s, measured elsewhere; floors are arithmetic at that rate.
AUTHORS: dict[str, dict[str, Any]] = {
    "tokenise": {"authors_s": [0.27, 0.38], "floor_s_at_184": 0.16},
    "tokenise_long": {"limit": "memory of the short recordings"},
    "encode_tiny": {"authors_s": 0.64, "floor_s_at_184": 0.31},
    "encode_base": {"authors_s": [0.94, 1.0], "floor_s_at_184": 0.73},
    "stage_1_step": {"authors_s": 1.1, "floor_s_at_184": 0.58},
    "stage_2_step_tiny": {"authors_s": 0.98, "floor_s_at_184": 0.67},
    "stage_2_step_base": {"authors_s": 2.5, "floor_s_at_184": 2.1},
    "k_means": {"authors_s": 53.2, "floor_s_at_184": 0.23, "authors_peak_gb": 5.0},
}


def measure() -> Iterator[dict[str, Any]]:
    """Yield seconds for 2 recordings x 32 channels x 10 s, each in a process of its own, with its peak memory."""
    yield _apart("tokenise", _tokenise, "float32")  # in float32 under autocast too
    yield _apart("tokenise_long", _tokenise_long, "float32")
    for precision in ("float32", "bfloat16"):
        for size in SIZES:
            yield _apart(f"encode_{size}", _encode, precision, size)
            yield _apart(f"stage_2_step_{size}", _stage_two, precision, size)
        yield _apart("stage_1_step", _stage_one, precision)
    yield _apart("k_means", _k_means, "float32")


def _apart(name: str, task: Callable[..., dict[str, Any]], precision: str, *words: str) -> dict[str, Any]:
    """Run a task in a fresh process, so that its peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply(_measured, (task, precision, words))
    return {"name": name, "precision": precision, "unit": "s", **found, **AUTHORS[name]}


def _measured(task: Callable[..., dict[str, Any]], precision: str, words: tuple[str, ...]) -> dict[str, Any]:
    keep_heap()
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bfloat16"):
        found = task(*words)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**found, "peak_gb": round(peak, 2), "threads": torch.get_num_threads()}


def _batch(n_recordings: int = N_RECORDINGS, seconds: int = SECONDS) -> SignalBatch:
    rng = np.random.default_rng(0)
    locations = rng.normal(0.0, 0.06, (N_CHANNELS, 12))
    sensors = Sensors(tuple(f"c{i}" for i in range(N_CHANNELS)), ("eeg",) * N_CHANNELS, locations)
    signal = rng.standard_normal((n_recordings, N_CHANNELS, int(seconds * RATE_HZ)), dtype=np.float32)
    return SignalBatch.from_array(signal, sensors, RATE_HZ)


def _encoder(size: str, compat: str | None = None) -> BrainOmni:
    """Return the encoder without dropout in evaluation; `official` leaves out the last block, as the authors do."""
    spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), int(SECONDS * RATE_HZ), RATE_HZ)
    return BrainOmni(spec, **SIZES[size], dropout=0.0 if compat else 0.1, compat=compat)  # type: ignore[arg-type]


def _timed(task: Callable[[], Any]) -> dict[str, Any]:
    task()
    durations = []
    for _ in range(REPETITIONS):
        start = time.perf_counter()
        task()
        durations.append(time.perf_counter() - start)
    seconds = statistics.median(durations)
    return {"value": round(seconds, 4), "recorded_s_per_s": round(N_RECORDINGS * SECONDS / seconds, 1)}


def _tokenise() -> dict[str, Any]:
    model, batch = BrainTokenizer().eval(), _batch()
    return _timed(lambda: model.tokenize(batch, 0.25))


def _tokenise_long() -> dict[str, Any]:
    """Time ten minutes of one recording, once: what matters is the memory."""
    model, batch = BrainTokenizer().eval(), _batch(1, LONG_S)
    start = time.perf_counter()
    model.tokenize(batch, 0.25)
    seconds = time.perf_counter() - start
    return {"value": round(seconds, 4), "recorded_s_per_s": round(LONG_S / seconds, 1)}


@torch.no_grad()
def _encode(size: str) -> dict[str, Any]:
    model, batch = _encoder(size, "official").eval(), _batch()
    found = _timed(lambda: model(batch))
    with torch.autocast("cpu", enabled=False):
        exact = model(batch).pooled
    difference = float((model(batch).pooled - exact).norm() / exact.norm())
    return {**found, "relative_difference_to_float32": round(difference, 5)}


def _step(model: torch.nn.Module, loss: Callable[[], torch.Tensor]) -> Callable[[], None]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return _Step(torch.optim.AdamW(trained, fused=True), loss)


class _Step:
    """One training step: gradients of a loss, and AdamW."""

    def __init__(self, optimizer: torch.optim.Optimizer, loss: Callable[[], torch.Tensor]) -> None:
        self.optimizer, self.loss = optimizer, loss

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.loss().backward()
        self.optimizer.step()


def _stage_one() -> dict[str, Any]:
    model, batch = BrainTokenizer().train(), _batch()
    return _timed(_step(model, lambda: model.pretraining_terms(batch)["loss"]))


def _stage_two(size: str) -> dict[str, Any]:
    """Time a step on tokens that were computed once, and say what computing them costs."""
    model, batch = _encoder(size).train(), _batch()
    model.set_pretraining(True)
    tokens = model.tokenize(batch)
    return _timed(_step(model, lambda: model.pretraining_terms(tokens)["loss"]))


def _k_means() -> dict[str, Any]:
    """Time the quantiser's first training batch: k-means of the four codebooks."""
    model = BrainTokenizer().train()
    rows = torch.randn(4096, 256)
    start = time.perf_counter()
    model.quantizer(rows)
    return {"value": round(time.perf_counter() - start, 4)}
