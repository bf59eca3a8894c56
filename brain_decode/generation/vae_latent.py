"""Pictures to the latents of a diffusion autoencoder, and latents to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.core.files import read_json_object
from brain_decode.generation.base import PictureGenerator
from brain_decode.generation.pipeline_layout import check_model
from brain_decode.stimuli.resizing import centre_crop, resize_shorter_side

__all__ = ["VAELatent"]


class VAELatent(PictureGenerator):
    """Decoder of a diffusers `AutoencoderKL`; its encoder gives the targets of the low-level branch.

    Latents are the mean of the posterior, not multiplied by the scaling factor that diffusion uses.

    Args:
        source: Folder of the autoencoder, or of a pipeline with a folder `vae/`.
        size: Side of the pictures, in pixels.
        batch_size: Pictures in one pass.
        device: "cpu", "cuda", …; a GPU where there is one, if not given.

    Raises:
        ConfigError: No autoencoder there.
        DataError: Weights that do not fit its configuration.

    Source: Li et al. 2024 (ATM), targets of the low-level pipeline: 512 pixels, 4 x 64 x 64 latents.
    """

    architecture = "vae_latent"

    def __init__(self, source: str, *, size: int = 512, batch_size: int = 4, device: str | None = None) -> None:
        self.folder = _autoencoder_folder(Path(source))
        settings = read_json_object(self.folder / "config.json", remedy="Copy the folder again, whole.")
        try:
            shrinkage = 2 ** (len(settings["block_out_channels"]) - 1)
            self.latent = (int(settings["latent_channels"]), size // shrinkage, size // shrinkage)
        except (KeyError, TypeError) as error:
            raise ConfigError(f"'{self.folder}' is no autoencoder of pictures: it lacks {error}.") from error
        self.feature_dim = int(np.prod(self.latent))
        self.height = self.width = self.latent[1] * shrinkage
        self.batch_size = batch_size
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._model: Any = None

    def features_of(self, pixels: np.ndarray) -> np.ndarray:
        """Return the latents of pictures; see `encode`."""
        return self.encode(pixels)

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Return latents (n, channels * side * side) of pictures (n, height, width, 3) in [0, 1].

        The shorter side is scaled to `size` (bicubic, antialiased) and the middle square is taken.

        Raises:
            SpecMismatch: Not pictures of three colours.
        """
        pictures = np.asarray(pictures, dtype=np.float32)
        if pictures.ndim != 4 or pictures.shape[-1] != 3:
            raise SpecMismatch(f"Pictures are (picture, height, width, 3), got {pictures.shape}.")
        return self._in_batches(pictures, self._encode)

    def generate(
        self,
        features: np.ndarray,
        *,
        seed: int,
        starts: np.ndarray | None = None,
        captions: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return the pictures of latents (n, channels * side * side); nothing is drawn, so the seed does not matter.

        Raises:
            SpecMismatch: Latents of another size.
            ConfigError: Starts or captions, which a decoder of latents has no use for.
        """
        if starts is not None or captions is not None:
            raise ConfigError("vae_latent decodes latents as they are; it takes neither starts nor captions.")
        features = np.asarray(features, dtype=np.float32)
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            shape = " x ".join(map(str, self.latent))
            raise SpecMismatch(
                f"'{self.folder}' decodes latents (n, {self.feature_dim}), {shape} flattened, got {features.shape}."
            )
        return self._in_batches(features, self._decode)

    @torch.inference_mode()
    def _in_batches(self, values: np.ndarray, work: Any) -> np.ndarray:
        parts = [
            work(torch.from_numpy(np.ascontiguousarray(values[start : start + self.batch_size])).to(self.device))
            for start in range(0, len(values), self.batch_size)
        ]
        nothing = (0, self.feature_dim) if values.ndim == 4 else (0, self.height, self.width, 3)
        return torch.cat(parts).cpu().numpy() if parts else np.zeros(nothing, np.float32)

    def _encode(self, pictures: torch.Tensor) -> torch.Tensor:
        square = centre_crop(resize_shorter_side(pictures.permute(0, 3, 1, 2), self.height), self.height, self.width)
        return self.model.encode(2 * square - 1).latent_dist.mean.flatten(1)

    def _decode(self, latents: torch.Tensor) -> torch.Tensor:
        pictures = self.model.decode(latents.unflatten(1, self.latent)).sample
        return (pictures / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).contiguous()

    @property
    def model(self) -> Any:
        """The autoencoder, loaded when it is first used."""
        if self._model is None:
            from diffusers import AutoencoderKL

            check_model("diffusers", "AutoencoderKL", self.folder)
            loaded = AutoencoderKL.from_pretrained(self.folder, use_safetensors=True, local_files_only=True)
            self._model = loaded.to(self.device).eval().requires_grad_(False)
        return self._model


def _autoencoder_folder(source: Path) -> Path:
    for folder in (source / "vae", source):
        if (folder / "config.json").is_file():
            return folder
    raise ConfigError(f"There is no autoencoder at '{source}': neither it nor its folder vae/ has a config.json.")
