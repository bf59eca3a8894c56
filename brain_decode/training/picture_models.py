"""Train the small picture models that ship with the package: autoencoder, encoder and denoiser of drawings."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.progress import track
from brain_decode.core.seeding import derived_seed, seed_everything, torch_generator
from brain_decode.generation.drawn_pictures import noise_schedule
from brain_decode.generation.latent_denoiser import LatentDenoiser
from brain_decode.generation.picture_autoencoder import PictureAutoencoder
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder
from brain_decode.training.drawings import Drawings

__all__ = [
    "DENOISER_EFFORTS",
    "ENCODER_EFFORT",
    "Effort",
    "FINISH_EFFORT",
    "features_of",
    "finish_autoencoder",
    "latents_of",
    "partly_known",
    "fit_autoencoder",
    "train_denoiser",
    "train_encoder",
    "visibility_of",
]

_FITTED = 4096  # drawings the autoencoder's components come from
_EDGE_WEIGHT = 0.5  # of the difference between neighbouring pixels, beside the pixels themselves
_LAST_LEVELS = 300  # of 1000: where the picture is settled and only its grain is not
_ATTRIBUTE_WEIGHT = 0.3
_CORRELATION_WEIGHT = 0.05
_UNKNOWN = 0.1  # share of pictures about which the denoiser is told nothing, for guidance
_KNOWN = 0.2  # share about which it is told everything
_NOISE_DECADES = (-2.0, 1.0)  # of the noise's variance, beside a mean visibility of 1
_NOISE_SPREAD = 0.2  # decades, between the values of a picture
_LARGEST_WEIGHT = 10.0  # of an error where there is little noise; without a limit it is that of the velocity
_AVERAGE = 0.998  # decay of the average of the denoiser's weights
_SMALLEST = 0.02  # eigenvalue of the encoder's covariance, relative to the largest, that is still scaled to 1


@dataclass(frozen=True)
class Effort:
    """How long one model is trained.

    Args:
        steps: Batches.
        batch: Pictures per batch.
        rate: Largest learning rate; it rises over the first steps and falls along a cosine.
    """

    steps: int
    batch: int
    rate: float


FINISH_EFFORT = Effort(steps=1500, batch=16, rate=2e-3)
ENCODER_EFFORT = Effort(steps=600, batch=64, rate=3e-3)
DENOISER_EFFORTS = (Effort(steps=3000, batch=32, rate=2e-3), Effort(steps=7500, batch=32, rate=2e-3))  # in turn


def fit_autoencoder(drawings: Drawings, *, seed: int = 0) -> PictureAutoencoder:
    """Return the block autoencoder of a few thousand of the drawings."""
    order = torch.randperm(len(drawings.pixels), generator=torch_generator(derived_seed(seed, "autoencoder")))
    return PictureAutoencoder().fit(drawings.pictures(order[:_FITTED])).eval()


def finish_autoencoder(
    autoencoder: PictureAutoencoder,
    denoiser: LatentDenoiser,
    drawings: Drawings,
    features: torch.Tensor,
    effort: Effort,
    *,
    seed: int = 0,
) -> PictureAutoencoder:
    """Train the decoder's convolutions to give the drawing where the denoiser's last steps give nearly its latents.

    Args:
        autoencoder: Fitted; its convolutions are changed.
        denoiser: Trained.
        drawings: Pictures.
        features: (picture, dim) of them.
        effort: How long.
        seed: Chooses order and noise.
    """
    random = torch_generator(derived_seed(seed, "finish", "noise"))
    schedule = noise_schedule()
    for rows in _optimised(autoencoder, len(drawings.pixels), effort, "decoder", seed):
        pictures = drawings.pictures(rows)
        with torch.no_grad():
            latents = autoencoder.encode(pictures)
            level = torch.randint(_LAST_LEVELS, (len(rows),), generator=random)
            noisy = schedule.add_noise(latents, torch.randn(latents.shape, generator=random), level)
            given = denoiser(noisy, level, features[rows])
        wrong = autoencoder.unclipped(given) - pictures
        edges = wrong.diff(dim=2).abs().mean() + wrong.diff(dim=3).abs().mean()
        (wrong.abs().mean() + _EDGE_WEIGHT * edges).backward()
    return autoencoder.eval()


@torch.no_grad()
def latents_of(model: PictureAutoencoder, drawings: Drawings, *, limit: int | None = None) -> torch.Tensor:
    """Return the standardised latents of the first `limit` drawings, or of all."""
    rows = torch.arange(len(drawings.pixels))[:limit]
    return torch.cat([model.encode(drawings.pictures(part)) for part in rows.split(256)])


def train_encoder(drawings: Drawings, effort: Effort, *, seed: int = 0) -> DrawnPictureEncoder:
    """Return an encoder from whose vectors the drawings' components and attributes can be read by linear maps."""
    seed_everything(derived_seed(seed, "encoder"))
    model = DrawnPictureEncoder()
    sizes = [drawings.components.shape[1], *map(len, drawings.names)]
    readers = nn.ModuleList([nn.Linear(model.dim, size) for size in sizes])
    both = nn.ModuleList([model, readers])
    for rows in _optimised(both, len(drawings.pixels), effort, "encoder", seed):
        vectors = model.unwhitened(drawings.pictures(rows))
        _encoder_loss(vectors, readers, drawings, rows).backward()
    return _whitened(model.eval(), drawings)


def _encoder_loss(
    vectors: torch.Tensor, readers: nn.ModuleList, drawings: Drawings, rows: torch.Tensor
) -> torch.Tensor:
    loss = functional.mse_loss(readers[0](vectors), drawings.components[rows])
    for part, reader in enumerate(list(readers)[1:]):
        loss = loss + _ATTRIBUTE_WEIGHT * functional.cross_entropy(reader(vectors), drawings.attributes[rows, part])
    covariance = torch.cov(vectors.T)
    return loss + _CORRELATION_WEIGHT * (covariance - torch.eye(len(covariance))).square().sum() / len(covariance)


@torch.no_grad()
def features_of(model: DrawnPictureEncoder, drawings: Drawings) -> torch.Tensor:
    """Return the vector of every drawing."""
    rows = torch.arange(len(drawings.pixels))
    return torch.cat([model(drawings.pictures(part)) for part in rows.split(256)])


@torch.no_grad()
def _whitened(model: DrawnPictureEncoder, drawings: Drawings) -> DrawnPictureEncoder:
    rows = torch.arange(len(drawings.pixels))
    vectors = torch.cat([model.unwhitened(drawings.pictures(part)) for part in rows.split(256)]).double()
    values, axes = torch.linalg.eigh(torch.cov(vectors.T))
    scale = values.clamp(min=_SMALLEST * float(values[-1])).rsqrt()
    model.mean.copy_(vectors.mean(dim=0))
    model.whitening.copy_(axes * scale)
    _, order = _visible_axes(features_of(model, drawings), drawings.components)
    model.whitening.copy_((axes * scale) @ order.double())
    return model


def _visible_axes(features: torch.Tensor, components: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how much of the components each direction of the vectors moves, and the directions, largest first."""
    slopes = torch.linalg.lstsq(features, components).solution
    values, axes = torch.linalg.eigh(slopes @ slopes.T)
    return values.flip(0).clamp(min=0) / values.mean(), axes.flip(1)


def visibility_of(features: torch.Tensor, components: torch.Tensor) -> torch.Tensor:
    """Return (dim,) how strongly each value of the vectors moves the components that drive visual areas; 1 on average.

    Args:
        features: (picture, dim) of mean 0.
        components: (picture, value) of `Drawings`.
    """
    visible = torch.linalg.lstsq(features, components).solution.square().sum(dim=1)
    return visible / visible.mean()


def train_denoiser(
    latents: torch.Tensor,
    features: torch.Tensor,
    visibility: torch.Tensor,
    effort: Effort,
    *,
    seed: int = 0,
    start: LatentDenoiser | None = None,
) -> LatentDenoiser:
    """Return a denoiser of latents, told of each picture what a regression from noisy signals would tell.

    Args:
        latents: (picture, channel, side, side) of unit variance.
        features: (picture, dim) of unit variance.
        visibility: (dim,) of `visibility_of`.
        effort: How long.
        seed: Chooses weights, order, and noise.
        start: Trained before, to go on from; new where None.

    Returns:
        The average of the weights over the last steps.
    """
    seed_everything(derived_seed(seed, "denoiser"))
    model = copy.deepcopy(start)
    if model is None:
        model = LatentDenoiser(features.shape[1], latents.shape[-1], latents.shape[1])
        model.start_linear(latents, features)
    average = torch.optim.swa_utils.AveragedModel(
        model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(_AVERAGE)
    )
    random = torch_generator(derived_seed(seed, "denoiser", "noise"))
    schedule = noise_schedule()
    for rows in _optimised(model, len(latents), effort, "denoiser", seed):
        noise = torch.randn(latents[rows].shape, generator=random)
        level = torch.randint(schedule.config.num_train_timesteps, (len(rows),), generator=random)
        told = partly_known(features[rows], visibility, random)
        noisy = schedule.add_noise(latents[rows], noise, level)
        wrong = (model(noisy, level, told) - latents[rows]).square().mean(dim=(1, 2, 3))
        signal = schedule.alphas_cumprod[level]
        ((1 / (1 - signal)).clamp(max=_LARGEST_WEIGHT) * wrong).mean().backward()
        average.update_parameters(model)
    trained: LatentDenoiser = average.module.eval()  # type: ignore[assignment]
    return trained


def partly_known(features: torch.Tensor, visibility: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return what a regression would say of vectors of unit variance: shrunk, and wrong by what was shrunk away.

    A value of reliability r is `r * value + sqrt(r (1 - r)) * noise`, the expectation of the value given a signal
    that shares r of its variance. Through a noise of variance v, a value of visibility b has r = b / (b + v); v differs
    between pictures and somewhat between values. Some pictures are wholly known and of some nothing is.
    """
    count = len(features)
    low, high = _NOISE_DECADES
    decades = low + (high - low) * torch.rand(count, 1, generator=random)
    decades = decades + _NOISE_SPREAD * torch.randn(features.shape, generator=random)
    reliability = visibility / (visibility + 10**decades)
    kind = torch.rand(count, 1, generator=random)
    reliability = torch.where(kind < _UNKNOWN, 0.0, reliability)
    reliability = torch.where(kind > 1 - _KNOWN, 1.0, reliability)
    noise = torch.randn(features.shape, generator=random)
    return reliability * features + (reliability * (1 - reliability)).sqrt() * noise


def _optimised(model: nn.Module, count: int, effort: Effort, name: str, seed: int) -> Iterator[torch.Tensor]:
    """Yield rows of one batch after another; the caller leaves gradients, which are applied before the next."""
    optimiser = torch.optim.AdamW(model.parameters(), lr=effort.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _learning_rate(step, effort.steps))
    order = torch_generator(derived_seed(seed, name, "order"))
    model.train()
    for _ in track(range(effort.steps), f"training the {name}", total=effort.steps):
        optimiser.zero_grad()
        yield torch.randint(count, (effort.batch,), generator=order)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        schedule.step()


def _learning_rate(step: int, steps: int) -> float:
    """Return the share of the largest rate: a rise over a twentieth of the steps, then a cosine to 0."""
    rise = max(1, steps // 20)
    return min((step + 1) / rise, 0.5 + 0.5 * math.cos(math.pi * step / steps))
