"""Pictures by a text-to-image diffusion pipeline whose IP-Adapter takes vectors of picture features."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch, unknown_option
from brain_decode.core.seeding import derived_seed, torch_generator
from brain_decode.generation.base import PictureGenerator
from brain_decode.generation.pipeline_layout import adapter_feature_dim, check_layout
from brain_decode.stimuli.resizing import resize

__all__ = ["IPAdapter"]

# Text-to-image pipelines that take the vectors of an IP-Adapter, and what starts from a picture with the same weights.
PIPELINES = {
    "LatentConsistencyModelPipeline": "LatentConsistencyModelImg2ImgPipeline",
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class IPAdapter(PictureGenerator):
    """SDXL-Turbo with the ViT-H IP-Adapter, or another diffusers pipeline that takes an IP-Adapter.

    The vectors go into the adapter as they are; no picture encoder is loaded. Weights are safetensors, and no code
    that comes with them is run.

    Args:
        source: Folder of a diffusers pipeline, or its Hub id.
        adapter: File of the IP-Adapter, or a folder or Hub id that holds `adapter_file`.
        adapter_file: Path inside `adapter` where that is a folder or Hub id.
        n_steps: Of the diffusion.
        guidance: Of the text and the vector together; up to 1 there is none.
        scale: Weight of the vector beside the text.
        strength: Share of the diffusion that a picture to start from goes through.
        height: Of the pictures, in pixels.
        width: Likewise.
        batch_size: Pictures made at once.
        dtype: "float32", "float16" or "bfloat16"; half precision where a GPU is there, if not given.
        device: "cpu", "cuda", …; a GPU where there is one, if not given.
        variant: Of the weight files ("fp16").

    Raises:
        ConfigError: Nothing there, a pipeline that takes no IP-Adapter, or an unknown dtype.
        DataError: An adapter that does not take one vector.

    Source: Li et al. 2024 (ATM): 4 steps, no guidance, empty prompt, scale 1, 512 pixels. Differs: each picture draws
    from its own seed; diffusers' own door for embeddings in place of a changed pipeline.
    """

    architecture = "ip_adapter"

    def __init__(
        self,
        source: str = "stabilityai/sdxl-turbo",
        adapter: str = "h94/IP-Adapter",
        adapter_file: str = "sdxl_models/ip-adapter_sdxl_vit-h.safetensors",
        *,
        n_steps: int = 4,
        guidance: float = 0.0,
        scale: float = 1.0,
        strength: float = 0.5,
        height: int = 512,
        width: int = 512,
        batch_size: int = 4,
        dtype: str | None = None,
        device: str | None = None,
        variant: str | None = None,
    ) -> None:
        if dtype is not None and dtype not in DTYPES:
            raise unknown_option("dtype of the picture generator", dtype, DTYPES)
        if n_steps < 1 or batch_size < 1 or not 0 < strength <= 1:
            raise ConfigError(
                "The picture generator takes at least one step and one picture at once, and a strength above 0 and up "
                f"to 1; got n_steps={n_steps}, batch_size={batch_size}, strength={strength}."
            )
        self.source, self.variant = source, variant
        self.class_name = _pipeline_class(source)
        self.adapter = _adapter_place(adapter, adapter_file)
        self.feature_dim = adapter_feature_dim(self.adapter)
        self.height, self.width, self.batch_size = height, width, batch_size
        self.n_steps, self.guidance, self.scale, self.strength = n_steps, guidance, scale, strength
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.dtype = DTYPES[dtype or ("float32" if self.device == "cpu" else "float16")]
        self._pipelines: dict[str, Any] = {}

    def generate(
        self,
        features: np.ndarray,
        *,
        seed: int,
        starts: np.ndarray | None = None,
        captions: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Return one picture per vector; see `PictureGenerator.generate`.

        Raises:
            SpecMismatch: Vectors of another dimension, or not one start and one caption per vector.
            DataError: Weights that do not fit the pipeline's configuration.
        """
        features = np.asarray(features, dtype=np.float32)
        self._require(features, starts, captions)
        parts = [
            self._part(features, slice(start, start + self.batch_size), seed, starts, captions)
            for start in range(0, len(features), self.batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.height, self.width, 3), np.float32)

    def _require(self, features: np.ndarray, starts: np.ndarray | None, captions: Sequence[str] | None) -> None:
        if features.ndim != 2 or features.shape[1] != self.feature_dim:
            raise SpecMismatch(
                f"'{self.adapter.name}' takes vectors (n, {self.feature_dim}), got {features.shape}. Use features of "
                "the picture encoder that the adapter was trained with."
            )
        for name, given in (("starts", starts), ("captions", captions)):
            if given is not None and len(given) != len(features):
                raise SpecMismatch(f"{len(features)} vectors need as many {name}, got {len(given)}.")
        if starts is not None and (np.ndim(starts) != 4 or np.shape(starts)[-1] != 3):
            raise SpecMismatch(f"Pictures to start from are (picture, height, width, 3), got {np.shape(starts)}.")

    def _part(
        self,
        features: np.ndarray,
        chosen: slice,
        seed: int,
        starts: np.ndarray | None,
        captions: Sequence[str] | None,
    ) -> np.ndarray:
        """Return the pictures of one batch."""
        vectors = torch.from_numpy(features[chosen])[:, None].to(self.device, self.dtype)
        numbers = range(chosen.start, chosen.start + len(vectors))
        settings: dict[str, Any] = {
            "prompt": list(captions[chosen]) if captions is not None else [""] * len(vectors),
            "generator": [torch_generator(derived_seed(seed, "picture", number)) for number in numbers],
            "num_inference_steps": self.n_steps,
            "guidance_scale": self.guidance,
            "output_type": "np",
        }
        if starts is None:
            pipeline = self._pipeline("start from noise")
            settings |= {"height": self.height, "width": self.width}
        else:
            pipeline = self._pipeline("start from pictures")
            settings |= {"image": self._starts(starts[chosen]), "strength": self._strength()}
        if self.guidance > 1:  # diffusers then wants the vectors of no picture, zeros, before the others
            vectors = torch.cat([torch.zeros_like(vectors), vectors])
        with torch.inference_mode():
            pictures = pipeline(ip_adapter_image_embeds=[vectors], **settings).images
        return np.clip(np.asarray(pictures, dtype=np.float32), 0.0, 1.0)

    def _starts(self, starts: np.ndarray) -> torch.Tensor:
        """Return pictures (n, 3, height, width) at the size of the generator."""
        pictures = torch.from_numpy(np.ascontiguousarray(starts, dtype=np.float32)).permute(0, 3, 1, 2)
        return resize(pictures, self.height, self.width, mode="bilinear")

    def _strength(self) -> float:
        """Return the strength, but for one step at least: diffusers refuses to take none."""
        return max(self.strength, 1 / self.n_steps)

    def _pipeline(self, kind: str) -> Any:
        if not self._pipelines:
            loaded = self._load()
            import diffusers

            other = getattr(diffusers, PIPELINES[self.class_name])
            # Built from the same modules: `from_pipe` would drop the adapter's settings.
            start = other(**{name: part for name, part in loaded.components.items() if name in _accepted(other)})
            for pipeline in (loaded, start):
                pipeline.set_progress_bar_config(disable=True)
                # diffusers repeats the vectors by the size of the batch, as if all its pictures shared them.
                pipeline.prepare_ip_adapter_image_embeds = _as_given
            self._pipelines = {"start from noise": loaded, "start from pictures": start}
        return self._pipelines[kind]

    def _load(self) -> Any:
        import diffusers
        from safetensors.torch import load_file

        if Path(self.source).is_dir():
            check_layout(Path(self.source), self.adapter, variant=self.variant)
        pipeline_class = getattr(diffusers, self.class_name)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of the name `torch_dtype`, which older releases need
                pipeline = pipeline_class.from_pretrained(
                    self.source,
                    torch_dtype=self.dtype,
                    use_safetensors=True,
                    variant=self.variant,
                    local_files_only=Path(self.source).is_dir(),
                )
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"The pipeline '{self.source}' cannot be loaded: {error}") from error
        tensors = load_file(self.adapter)
        groups = {
            name: {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
            for name in ("image_proj", "ip_adapter")
        }
        pipeline.unet._load_ip_adapter_weights(
            [groups]
        )  # `load_ip_adapter` would load a picture encoder's settings too
        pipeline.set_ip_adapter_scale(self.scale)
        return pipeline.to(self.device)


def _as_given(
    image: None, vectors: list[torch.Tensor], device: Any, n_pictures: int, guided: bool
) -> list[torch.Tensor]:
    """Take the place of a pipeline's own preparation: one vector per picture, already in the order of its batch."""
    return [part.to(device) for part in vectors]


def _accepted(pipeline_class: Any) -> set[str]:
    required, optional = pipeline_class._get_signature_keys(pipeline_class)
    return set(required) | set(optional)


def _pipeline_class(source: str) -> str:
    """Return the class that a folder or Hub id names, if it is one of those that are known to take an IP-Adapter."""
    from diffusers import DiffusionPipeline

    _require_place(source, Path(source).is_dir())
    try:
        index = DiffusionPipeline.load_config(source, local_files_only=Path(source).is_dir())
    except (OSError, ValueError) as error:
        raise _absent(source, "a diffusers pipeline (model_index.json)", error) from error
    name = str(index.get("_class_name"))
    if name not in PIPELINES:
        raise ConfigError(
            f"'{source}' is a {name}, which takes no IP-Adapter here. Allowed: {', '.join(sorted(PIPELINES))}."
        )
    return name


def _adapter_place(adapter: str, adapter_file: str) -> Path:
    """Return the file of the adapter: itself, in a folder, or from the Hub."""
    inside = Path(adapter) / adapter_file
    place = Path(adapter) if Path(adapter).is_file() else inside
    if not place.name.endswith(".safetensors"):
        raise ConfigError(
            f"The IP-Adapter '{place.name}' is no safetensors file; others could run any code. Convert it."
        )
    if place.is_file():
        return place
    _require_place(adapter, False, inside if Path(adapter).is_dir() else None)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(adapter, adapter_file))
    except (OSError, ValueError) as error:
        raise _absent(adapter, f"an IP-Adapter ({adapter_file})", error) from error


def _require_place(source: str, is_there: bool, lacking: Path | None = None) -> None:
    """Refuse what is neither here nor spelled like a Hub id."""
    if is_there:
        return
    if lacking is not None or source.count("/") != 1 or source.startswith((".", "/", "~")):
        raise ConfigError(f"There is no '{lacking or source}'. Give a local folder, or a Hub id (owner/name).")


def _absent(source: str, what: str, error: Exception) -> ConfigError:
    reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
    return ConfigError(
        f"'{source}' is no local folder with {what}, and the Hub did not give it ({reason}). Without a network, "
        "download it elsewhere and give the local folder."
    )
