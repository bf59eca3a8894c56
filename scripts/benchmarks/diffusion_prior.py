"""Training step and sampling of the diffusion prior against the plain order of its layers, and the authors' times."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.nn import functional

from brain_decode.generation.diffusion_prior import DenoisingSteps, DiffusionPrior, draw_noise
from brain_decode.generation.prior_network import PriorNetwork, timestep_code
from brain_decode.training.pilots import timed

DIM, BATCH, N_STEPS, GUIDANCE, N_ITEMS = 1024, 1024, 50, 5.0, 200
REPETITIONS = 3
# Measured elsewhere on two threads that had the machine to themselves, not by this script.
STEP_ELSEWHERE = {"authors_s_per_step": 0.33, "floor_s_per_step": 0.26}
SAMPLE_ELSEWHERE = {"authors_s_at_batch_1": 0.34, "floor_s_at_batch_1": 0.10}


class _PlainOrder:
    """The same weights, applied layer after layer as in the paper: each layer makes its own terms of every row."""

    def __init__(self, network: PriorNetwork) -> None:
        self.network = network

    def __call__(self, noisy: torch.Tensor, steps: torch.Tensor, condition: torch.Tensor | None) -> torch.Tensor:
        code = timestep_code(steps, self.network.time_dim)
        values, stored = self.network.input_layer(noisy), []
        for layer, time, term in zip(*self._parts("encode"), strict=True):
            stored.append(values)
            values = layer(self._with_terms(values, code, condition, time, term))
        for layer, time, term in zip(*self._parts("decode"), strict=True):
            values = layer(self._with_terms(values, code, condition, time, term)) + stored.pop()
        return self.network.output_layer(values)

    def _parts(self, way: str) -> tuple[Any, Any, Any]:
        names = (f"{way}_layers", f"{way}_time_embedding", f"{way}_cond_embedding")
        return tuple(getattr(self.network, name) for name in names)  # type: ignore[return-value]

    @staticmethod
    def _with_terms(values: torch.Tensor, code: torch.Tensor, condition: Any, time: Any, term: Any) -> torch.Tensor:
        values = values + time.linear_2(functional.silu(time.linear_1(code)))
        return values if condition is None else values + term(condition)


class _Step:
    """Forward, backward and optimiser on one batch."""

    def __init__(self, prior: DiffusionPrior, network: Callable[..., torch.Tensor]) -> None:
        self.prior, self.network = prior, network
        self.optimizer = torch.optim.AdamW(prior.parameters(), lr=1e-5, fused=network is prior.network)
        self.target, self.condition = torch.randn(BATCH, DIM), torch.randn(BATCH, DIM)

    def __call__(self) -> None:
        self.prior.train()
        self.optimizer.zero_grad()
        noise, times = torch.randn(BATCH, DIM), torch.randint(1000, (BATCH,))
        found = self.network(self.prior.noised(self.target, noise, times), times, self.condition)
        functional.mse_loss(found, noise).backward()
        self.optimizer.step()


class _Sampling:
    """One sampling run of a batch, its noise included."""

    def __init__(self, prior: DiffusionPrior, n_items: int) -> None:
        self.prior, self.condition = prior, torch.randn(n_items, DIM)

    def __call__(self) -> torch.Tensor:
        return self.prior.eval().sample(self.condition, seed=0, n_steps=N_STEPS, guidance=GUIDANCE)


class _PlainSampling(_Sampling):
    """Both branches of guidance one after the other, with all terms anew in every step, one vector at a time."""

    @torch.no_grad()
    def __call__(self) -> torch.Tensor:
        prior, network, steps = self.prior.eval(), _PlainOrder(self.prior.network), DenoisingSteps.evenly(N_STEPS)
        drawn = []
        for item, condition in enumerate(self.condition[:, None]):
            noise = draw_noise(0, [item], N_STEPS, DIM)
            current = noise.initial
            for number, time in enumerate(steps.times):
                without, with_condition = (network(current, time[None], given) for given in (None, condition))
                found = without + GUIDANCE * (with_condition - without)
                current = prior.step(current, found, noise.steps[number], steps, number)
            drawn.append(current)
        return torch.cat(drawn)


def measure() -> Iterator[dict[str, Any]]:
    """Yield seconds of a training step, of one sample, and of a sample among 200, beside the plain order."""
    torch.manual_seed(0)
    prior = DiffusionPrior(DIM, DIM)
    step = _compared(_Step(prior, prior.network), _Step(prior, _PlainOrder(prior.network)))
    yield {"name": f"training step, batch {BATCH}", "unit": "s", **step, "measured_elsewhere": STEP_ELSEWHERE}
    one, plain, several = _Sampling(prior, 1), _PlainSampling(prior, 1), _Sampling(prior, N_ITEMS)
    plain.condition = one.condition
    ours, theirs = one(), plain()
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    for n_items, work in ((1, one), (N_ITEMS, several)):
        yield {
            "name": f"sampling, {N_STEPS} steps, guidance {GUIDANCE:g}, batch {n_items}",
            "unit": "s per item",
            **_compared(work, plain, n_items),
            "largest_relative_difference": difference,
            "measured_elsewhere": SAMPLE_ELSEWHERE,
        }


def _compared(fast: Callable[[], Any], plain: Callable[[], Any], n_items: int = 1) -> dict[str, Any]:
    """Time both in turn, so that other load falls on both, and return medians; `fast` does `n_items` at once."""
    pairs = [(timed(fast)[0] / n_items, timed(plain)[0]) for _ in range(REPETITIONS + 1)][1:]
    fast_s, plain_s = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "value": round(fast_s, 5),
        "plain_order_s": round(plain_s, 5),
        "speedup": round(statistics.median(slow / quick for quick, slow in pairs), 2),
        "threads": torch.get_num_threads(),
    }
