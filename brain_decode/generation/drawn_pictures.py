"""Drawings from vectors: latent diffusion small enough for two cores, with weights that ship with the package."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler
from torch import nn

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.generation.base import PictureGenerator
from brain_decode.generation.latent_denoiser import LatentDenoiser
from brain_decode.generation.picture_autoencoder import PictureAutoencoder
from brain_decode.nn.weights_folder import load_weights, read_part
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder

__all__ = ["SHIPPED_GENERATOR", "DrawnPictures", "noise_schedule"]

SHIPPED_GENERATOR = Path(__file__).parent / "weights" / "drawn_pictures"
_CHUNK = 10  # pictures computed at once; short chunks are filled up, so that a picture never depends on its company


def noise_schedule() -> Any:
    """Return diffusers' DDIM schedule for a denoiser that predicts latents; its first step is nothing but noise."""
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="sample",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
    )


class DrawnPictures(PictureGenerator):
    """Draw coloured, textured shapes on grey from vectors of `DrawnPictureEncoder`, true or regressed from a brain.

    True vectors have a mean square of about 1. Shorter ones are taken for what a regression gives that knows less: the
    rest is drawn by chance, and remains a drawing. Vectors of zeros give any drawing.

    Args:
        weights: Folder of the weights; None takes those that ship with the package.
        steps: Steps of the diffusion.
        guidance: How strongly the vector is followed; 1 draws from the distribution that was learnt. This and
            `least_known` were chosen on simulated studies of seeds 1 and 2.
        start_noise: Share of the steps that is drawn anew where generation starts from pictures.
        least_known: Mean square to which shorter vectors, except those of zeros, are lengthened: a regression on single
            trials shrinks for the noise of one trial, also where it is then given averages of many. 0 leaves vectors
            as they are.

    Raises:
        ConfigError: No steps, a guidance below 0, or a share that is none.
        DataError: Damaged weights.
    """

    architecture = "drawn_pictures"
    feature_model = "drawn_pictures"

    def __init__(
        self,
        weights: str | None = None,
        *,
        steps: int = 16,
        guidance: float = 2.0,
        start_noise: float = 0.75,
        least_known: float = 0.6,
    ) -> None:
        if steps < 1 or guidance < 0 or not 0 < start_noise <= 1 or not 0 <= least_known <= 1:
            raise ConfigError(
                "drawn_pictures takes steps from 1 on, guidance from 0 on, start_noise in (0, 1] and least_known in "
                f"[0, 1]; got steps={steps}, guidance={guidance}, start_noise={start_noise}, least_known={least_known}."
            )
        self.steps, self.guidance, self.start_noise, self.least_known = steps, guidance, start_noise, least_known
        part = read_part(weights or SHIPPED_GENERATOR, kind="picture_generator")
        self._autoencoder = PictureAutoencoder(**part.settings["autoencoder"])
        self._denoiser = LatentDenoiser(**part.settings["denoiser"])
        networks = nn.ModuleDict({"autoencoder": self._autoencoder, "denoiser": self._denoiser})
        load_weights(networks, part.tensors, what=self.architecture)
        networks.eval()
        self.feature_dim = int(part.settings["denoiser"]["feature_dim"])
        self.height = self.width = int(part.settings["side"])

    @torch.no_grad()
    def generate(
        self,
        features: np.ndarray,
        *,
        seed: int,
        starts: np.ndarray | None = None,
        captions: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return one drawing per vector; see `PictureGenerator.generate`.

        Raises:
            SpecMismatch: Vectors of another dimension, or starts of another shape.
            ConfigError: Captions, which this generator cannot read.
        """
        self._check(features, starts, captions)
        noise = [
            np.random.default_rng([seed, item]).standard_normal(self._latent_shape) for item in range(len(features))
        ]
        parts = []
        for first in range(0, len(features), _CHUNK):
            chunk = slice(first, first + _CHUNK)
            told = self._lengthened(_filled(features[chunk]))
            latents = _filled(np.array(noise[chunk]))
            start = None if starts is None else _filled(starts[chunk]).permute(0, 3, 1, 2)
            pictures = self._autoencoder.decode(self._denoised(latents, told, start))
            parts.append(pictures.permute(0, 2, 3, 1).numpy()[: len(features[chunk])])
        return np.concatenate(parts) if parts else np.zeros((0, self.height, self.width, 3), dtype=np.float32)

    def features_of(self, pixels: np.ndarray) -> np.ndarray:
        """Return the vectors (picture, feature_dim) of pictures by the encoder that ships with the package."""
        return DrawnPictureEncoder.load().embed(pixels)

    @property
    def _latent_shape(self) -> tuple[int, int, int]:
        reduction = self._autoencoder.reduction
        return (self._autoencoder.latent_channels, self.height // reduction, self.width // reduction)

    def _check(self, features: np.ndarray, starts: np.ndarray | None, captions: Sequence[str] | None) -> None:
        if captions is not None:
            raise ConfigError("drawn_pictures draws from vectors and reads no captions; leave them out.")
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise SpecMismatch(
                f"drawn_pictures takes vectors (picture, {self.feature_dim}) of DrawnPictureEncoder, got shape "
                f"{features.shape}. Train the decoder on these vectors."
            )
        wanted = (len(features), self.height, self.width, 3)
        if starts is not None and starts.shape != wanted:
            raise SpecMismatch(f"Generation starts from pictures {wanted}, got {starts.shape}. Resize them.")

    def _lengthened(self, told: torch.Tensor) -> torch.Tensor:
        known = told.square().mean(dim=1, keepdim=True)
        return told * (self.least_known / known.clamp(min=1e-12)).sqrt().clamp(min=1.0)

    def _denoised(self, noise: torch.Tensor, told: torch.Tensor, start: torch.Tensor | None) -> torch.Tensor:
        schedule = noise_schedule()
        schedule.set_timesteps(self.steps)
        levels, latents = schedule.timesteps, noise
        if start is not None:
            levels = levels[-max(1, round(self.start_noise * len(levels))) :]
            latents = schedule.add_noise(self._autoencoder.encode(start), noise, levels[:1])
        for level in levels:
            latents = schedule.step(self._guess(latents, level, told), level, latents).prev_sample
        return latents

    def _guess(self, latents: torch.Tensor, level: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        levels = level.expand(len(latents))
        guess = self._denoiser(latents, levels, told)
        if self.guidance == 1:
            return guess
        without = self._denoiser(latents, levels, torch.zeros_like(told))
        return without + self.guidance * (guess - without)


def _filled(values: np.ndarray) -> torch.Tensor:
    """Return float32 rows, filled up with the last one to the size of a chunk."""
    rows = np.minimum(np.arange(_CHUNK), len(values) - 1)
    return torch.from_numpy(np.asarray(values, dtype=np.float32)[rows])
