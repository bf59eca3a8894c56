"""From an embedding of a brain response to the picture features it may stand for, by diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch, unknown_option
from brain_decode.core.seeding import derived_seed, torch_generator
from brain_decode.generation.prior_network import WIDTHS, PriorNetwork

__all__ = ["DenoisingSteps", "DiffusionPrior", "Noise", "draw_noise"]

N_TIMES = 1000  # of the diffusion; Ho et al. 2020
_AT_ONCE = 256  # vectors sampled at once; bounds memory by 256 * (steps + 1) * dim of noise
_SMALLEST_VARIANCE = 1e-20  # as in diffusers
SCALINGS = ("dimension", "global", "none")


@dataclass(frozen=True)
class DenoisingSteps:
    """The coefficients of ancestral sampling: next = clean * predicted + noisy * current + noise * drawn.

    Args:
        times: (step,) falling time steps.
        signal: (step,) square root of the share of signal.
        clean: Weight of the predicted clean vector.
        noisy: Weight of the current vector.
        noise: Weight of the drawn noise; 0 in the last step.
    """

    times: torch.Tensor
    signal: torch.Tensor
    clean: torch.Tensor
    noisy: torch.Tensor
    noise: torch.Tensor

    @classmethod
    def evenly(cls, n_steps: int) -> DenoisingSteps:
        """Return the steps of diffusers' DDPM scheduler with leading spacing and the smaller variance.

        Raises:
            ConfigError: Fewer than one step or more than there are time steps.
        """
        if not 1 <= n_steps <= N_TIMES:
            raise ConfigError(f"The diffusion prior samples in 1 to {N_TIMES} steps, got {n_steps}.")
        scheduler = _scheduler()
        scheduler.set_timesteps(n_steps)
        times = scheduler.timesteps
        share = scheduler.alphas_cumprod.double()
        earlier = times - N_TIMES // n_steps
        before = torch.where(earlier >= 0, share[earlier.clamp(min=0)], torch.ones(()).double())
        now = share[times]
        kept = now / before
        variance = ((1 - before) / (1 - now) * (1 - kept)).clamp(min=_SMALLEST_VARIANCE)
        weights = (
            now.sqrt(),
            before.sqrt() * (1 - kept) / (1 - now),
            kept.sqrt() * (1 - before) / (1 - now),
            torch.where(times > 0, variance.sqrt(), torch.zeros(()).double()),
        )
        return cls(times, *(weight.float() for weight in weights))


@dataclass(frozen=True)
class Noise:
    """What one sampling run draws: the vectors it starts from and those that each step adds.

    Args:
        initial: (item, dim), or (1, dim) that every item shares.
        steps: (step, item, dim), or (step, 1, dim).
    """

    initial: torch.Tensor
    steps: torch.Tensor


def draw_noise(seed: int, items: Sequence[int], n_steps: int, dim: int) -> Noise:
    """Return standard normal noise, that of each item by (seed, item) alone, whatever items are drawn together."""
    drawn = [
        torch.randn(n_steps + 1, dim, generator=torch_generator(derived_seed(seed, "prior", item))) for item in items
    ]
    together = torch.stack(drawn, dim=1)
    return Noise(together[0], together[1:])


class DiffusionPrior(nn.Module):
    """Draws vectors of picture features given embeddings.

    Features are learnt in training standard deviations around their training mean, as diffusion to standard normal
    noise needs; predictions are kept within the range of the training features, which cuts none of them off.

    Args:
        dim: Values per feature vector.
        condition_dim: Values per embedding.
        widths: Of the network.
        time_dim: Values of the code of a time step.
        dropout: Share of values dropped in the network.
        condition_dropout: Probability that training leaves a condition out, which guidance needs.
        scaling: Standard deviation of each "dimension", one "global" one, or "none".
        compat: "official" is the authors' arithmetic: raw features, predictions cut to [-1, 1] (which cuts features
            off, and leaves vectors of unit length far below the noise), condition left out for whole batches.

    Raises:
        ConfigError: An unknown scaling or compat, or sizes the network cannot have.

    Source: Li et al. 2024 (ATM), diffusion prior; DDPM of Ho et al. 2020 with diffusers' schedule. Differs, unless
    compat="official": scaling, range of predictions, conditions left out item by item.
    """

    target_mean: torch.Tensor
    target_scale: torch.Tensor
    limit: torch.Tensor
    shares: torch.Tensor

    def __init__(
        self,
        dim: int,
        condition_dim: int,
        *,
        widths: Sequence[int] = WIDTHS,
        time_dim: int = 512,
        dropout: float = 0.1,
        condition_dropout: float = 0.1,
        scaling: Literal["dimension", "global", "none"] = "dimension",
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if scaling not in SCALINGS:
            raise unknown_option("scaling of the diffusion prior", scaling, SCALINGS)
        if compat not in (None, "official"):
            raise unknown_option("compat of the diffusion prior", compat, ["official"])
        self.dim, self.condition_dim = dim, condition_dim
        self.condition_dropout = condition_dropout
        self.is_official = compat == "official"
        self.scaling = "none" if self.is_official else scaling
        self.network = PriorNetwork(dim, condition_dim, widths, time_dim, dropout)
        self.register_buffer("target_mean", torch.zeros(dim))
        self.register_buffer("target_scale", torch.ones(dim))
        self.register_buffer("limit", torch.tensor(1.0 if self.is_official else torch.inf))
        self.register_buffer("shares", _scheduler().alphas_cumprod.clone(), persistent=False)

    def learn_targets(self, target: torch.Tensor) -> None:
        """Take mean, scale and range of the training features (n, dim); constant ones keep scale 1."""
        if self.is_official:
            return
        values = target.reshape(-1, self.dim).double()
        if self.scaling != "none":
            centred = values - values.mean(dim=0)
            power = centred.square().mean(dim=0)
            scale = (power if self.scaling == "dimension" else power.mean().expand(self.dim)).sqrt()
            self.target_mean.copy_(values.mean(dim=0))
            self.target_scale.copy_(torch.where(scale > 0, scale, torch.ones_like(scale)))
        self.limit.copy_(self.scaled(target).abs().max())

    def scaled(self, target: torch.Tensor) -> torch.Tensor:
        """Return features (n, dim) as the network learns them."""
        return (target.to(self.target_mean.dtype) - self.target_mean) / self.target_scale

    def unscaled(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return features in their own unit."""
        return vectors * self.target_scale + self.target_mean

    def loss(
        self, target: torch.Tensor, condition: torch.Tensor, *, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return the mean squared error of the noise found in features with noise at random time steps.

        Args:
            target: (batch, dim) picture features.
            condition: (batch, condition_dim) embeddings.
            generator: Draws noise, time steps and left-out conditions; torch's global one where None.
        """
        clean, device = self.scaled(target), target.device
        noise = torch.randn(clean.shape, generator=generator, device=device, dtype=clean.dtype)
        times = torch.randint(N_TIMES, (len(clean),), generator=generator, device=device)
        kept = self._kept(len(clean), generator, device)
        return self.noise_error(clean, condition, noise=noise, times=times, kept=kept)

    def noise_error(
        self,
        clean: torch.Tensor,
        condition: torch.Tensor | None,
        *,
        noise: torch.Tensor,
        times: torch.Tensor,
        kept: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the mean squared error for noise (batch, dim) and time steps (batch,) that are given."""
        found = self.network(self.noised(clean, noise, times), times, condition, kept)
        return functional.mse_loss(found, noise)

    def noised(self, clean: torch.Tensor, noise: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        """Return scaled features (batch, dim) with the noise of their time steps (batch,)."""
        share = self.shares[times][:, None]
        return share.sqrt() * clean + (1 - share).sqrt() * noise

    def _kept(self, n_items: int, generator: torch.Generator | None, device: torch.device) -> torch.Tensor | None:
        """Return which items keep their condition; the authors draw once for the whole batch."""
        if not self.training or self.condition_dropout == 0:
            return None
        drawn = torch.rand(1 if self.is_official else n_items, generator=generator, device=device)
        return (drawn >= self.condition_dropout).expand(n_items)

    @torch.no_grad()
    def sample(
        self, condition: torch.Tensor, *, seed: int, n_steps: int = 50, guidance: float = 5.0, first_item: int = 0
    ) -> torch.Tensor:
        """Return one drawn feature vector per embedding, (n, dim), the same whatever the size of the batch.

        Args:
            condition: (n, condition_dim) embeddings.
            seed: Item i draws its noise from (seed, first_item + i).
            n_steps: Of the sampling.
            guidance: How much the condition is exaggerated: 0 leaves it out, 1 takes it as learnt.
            first_item: Number of the first embedding, where they come in parts.

        Raises:
            SpecMismatch: Embeddings of another size.
            ConfigError: A number of steps that cannot be taken.
        """
        parts = []
        for start in range(0, len(condition), _AT_ONCE):
            part = condition[start : start + _AT_ONCE]
            items = range(first_item + start, first_item + start + len(part))
            parts.append(self.denoise(part, draw_noise(seed, items, n_steps, self.dim), guidance=guidance))
        return torch.cat(parts) if parts else condition.new_zeros(0, self.dim)

    @torch.no_grad()
    def denoise(self, condition: torch.Tensor, noise: Noise, *, guidance: float) -> torch.Tensor:
        """Return feature vectors (n, dim) from given noise, which also says how many steps are taken.

        Raises:
            SpecMismatch: Embeddings of another size.
        """
        if condition.ndim != 2 or condition.shape[1] != self.condition_dim:
            raise SpecMismatch(
                f"This diffusion prior takes embeddings (n, {self.condition_dim}), got {tuple(condition.shape)}. "
                "Give the embeddings of the encoder it was trained with."
            )
        steps = DenoisingSteps.evenly(len(noise.steps))
        weight = self.network.output_layer.weight
        time_terms = self.network.time_terms(steps.times.to(weight.device))
        both = self.network.both_branches(condition.to(weight))
        current = noise.initial.to(weight).expand(len(condition), self.dim)
        for number in range(len(steps.times)):
            terms = [term[number] for term in time_terms]
            found = self.network.guided(current, terms, both, guidance)
            current = self.step(current, found, noise.steps[number].to(weight), steps, number)
        return self.unscaled(current)

    def step(
        self, current: torch.Tensor, found: torch.Tensor, drawn: torch.Tensor, steps: DenoisingSteps, number: int
    ) -> torch.Tensor:
        """Return the vectors after one step: noise `found` is taken out, noise `drawn` put in."""
        signal = float(steps.signal[number])
        clean = (current - (1 - signal**2) ** 0.5 * found) / signal
        clean = torch.clamp(clean, -self.limit, self.limit)
        return (
            float(steps.clean[number]) * clean
            + float(steps.noisy[number]) * current
            + float(steps.noise[number]) * drawn
        )


@cache
def _scheduler() -> Any:
    """Return diffusers' DDPM scheduler as it comes: linear noise from 1e-4 to 0.02, leading spacing."""
    from diffusers import DDPMScheduler  # seconds to import

    return DDPMScheduler(num_train_timesteps=N_TIMES)
