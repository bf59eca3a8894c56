"""Vectors of pictures from any layer of a frozen vision model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import torch
from torch import nn

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.core.files import read_json_object
from brain_decode.stimuli.model_weights import load_transformer, model_folder, weights_hash
from brain_decode.stimuli.picture_transform import PictureTransform

__all__ = ["Layer", "Pooling", "Precision", "VisionModel"]

Layer = int | Literal["projected", "pooler"]
Pooling = Literal["cls", "mean", "patches_mean"]
Precision = Literal["float32", "bfloat16"]
_NAMED_LAYERS = ("projected", "pooler")
_OTHER_INPUTS = ("siglip2", "siglip2_vision_model")  # take cut patches, not pictures


class VisionModel:
    """A frozen vision transformer or convolutional network: CLIP, DINOv2, DINOv3, SigLIP, or any other of transformers.

    Args:
        source: Folder that transformers saved, with its image processor, or a Hub id. Only safetensors are read and no
            code that comes with the model runs.
        layers: Hidden states by index: 0 is the embedding, n the output of layer n, -1 that of the last, all before the
            final normalisation, as transformers counts them. "projected" is the model's own vector: CLIP's
            projected embedding, the pooled output of models without projection. "pooler" is the pooled output before
            the projection.
        pooling: Of hidden states over tokens: "cls" takes the first, "patches_mean" averages those that stand for
            places, "mean" averages all, registers and class token included. Named layers are pooled already.
        precision: "float32", or "bfloat16" for the multiplications.
        device: Where it runs; a GPU where there is one and None is given.

    The model itself is loaded when the first picture is embedded.

    Raises:
        ConfigError: No such model, layer or pooling.
    """

    def __init__(
        self,
        source: str,
        *,
        layers: Sequence[Layer] = ("projected",),
        pooling: Pooling = "cls",
        precision: Precision = "float32",
        device: str | None = None,
    ) -> None:
        for layer in layers:
            if not isinstance(layer, int) and layer not in _NAMED_LAYERS:
                raise unknown_option("layer", layer, (*_NAMED_LAYERS, "a number"))
        if not layers or len(set(layers)) < len(layers):
            raise ConfigError(f"layers names each layer once and at least one; got {list(layers)}.")
        if pooling not in get_args(Pooling):
            raise unknown_option("pooling", pooling, get_args(Pooling))
        if precision not in get_args(Precision):
            raise unknown_option("precision", precision, get_args(Precision))
        self._folder = folder = model_folder(source)
        self.source, self.layers, self.pooling, self.precision = str(source), tuple(layers), pooling, precision
        self.weights_sha256 = weights_hash(folder)
        self.transform = PictureTransform.from_folder(folder)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        config = read_json_object(folder / "config.json", remedy="Copy the model again.")
        self.architecture = str(next(iter(config.get("architectures") or ()), config.get("model_type")))
        if config.get("model_type") in _OTHER_INPUTS:
            raise ConfigError(
                f"{self.architecture} takes patches of pictures of any shape, which is not supported; "
                "choose a model with one input size."
            )

    @cached_property
    def _tower(self) -> _Tower:
        """The model, loaded when the first picture comes: where every vector is cached, none does."""
        needs_pooler = any(layer in _NAMED_LAYERS for layer in self.layers)
        whole = load_transformer(self._folder, unused=() if needs_pooler else ("pooler.", "visual_projection."))
        return _picture_tower(whole.to(self.device))

    def describe(self) -> dict[str, Any]:
        """Return what the vectors depend on besides layers and pictures, as plain values."""
        return {
            "weights_sha256": self.weights_sha256,
            "pooling": self.pooling,
            "precision": self.precision,
            "transform": self.transform.to_json(),
        }

    @torch.inference_mode()
    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return (picture, layer, dim) float32 vectors of transformed pictures (picture, 3, height, width).

        Raises:
            ConfigError: A model that transformers does not know, a layer it does not have, layers of several widths,
                or no class token to take.
            DataError: Weights that are damaged or incomplete.
        """
        needs_states = any(isinstance(layer, int) for layer in self.layers)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self._tower.model(inputs.to(self.device), output_hidden_states=needs_states)
            parts = [self._vectors(output, layer, inputs.shape[-2:]).float().cpu() for layer in self.layers]
        widths = {str(layer): part.shape[1] for layer, part in zip(self.layers, parts, strict=True)}
        if len(set(widths.values())) > 1:
            raise ConfigError(f"Layers that are mixed have one width; got {widths}. Choose layers of one width.")
        return torch.stack(parts, dim=1)

    def _vectors(self, output: Any, layer: Layer, size: torch.Size) -> torch.Tensor:
        if isinstance(layer, int):
            return self._pooled(_hidden_state(output.hidden_states, layer), size)
        embedded = getattr(output, "image_embeds", None)
        if layer == "projected" and embedded is not None:
            return embedded
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ConfigError(f"{self.architecture} has no pooled output; give the number of a layer, such as -1.")
        pooled = pooled.flatten(1)
        return pooled if layer == "pooler" or self._tower.projection is None else self._tower.projection(pooled)

    def _pooled(self, state: torch.Tensor, size: torch.Size) -> torch.Tensor:
        """Pool tokens (picture, token, dim) or a map (picture, dim, row, column) to (picture, dim)."""
        n_prefix = 0
        if state.ndim == 4:
            state = state.flatten(2).transpose(1, 2)
        else:
            n_prefix = _n_prefix_tokens(self._tower.model.config, state.shape[1], size)
        if self.pooling == "cls" and n_prefix == 0:
            raise ConfigError(f"{self.architecture} has no class token; set pooling=patches_mean.")
        if self.pooling == "cls":
            return state[:, 0]
        return state[:, n_prefix if self.pooling == "patches_mean" else 0 :].mean(dim=1)


@dataclass(frozen=True)
class _Tower:
    """The part of a model that sees pictures, and the projection of its pooled output where it is apart."""

    model: Any
    projection: nn.Module | None = None


def _picture_tower(whole: nn.Module) -> _Tower:
    if type(whole).__name__.endswith("WithProjection") or not hasattr(whole, "vision_model"):
        return _Tower(whole)
    return _Tower(whole.vision_model, getattr(whole, "visual_projection", None))


def _hidden_state(states: Sequence[torch.Tensor], layer: int) -> torch.Tensor:
    if not -len(states) <= layer < len(states):
        raise ConfigError(f"The model has the layers 0 to {len(states) - 1}; got {layer}.")
    return states[layer]


def _n_prefix_tokens(config: Any, n_tokens: int, size: torch.Size) -> int:
    """Return how many tokens stand for no place: class token and registers."""
    patch = getattr(config, "patch_size", None)
    if patch is None:
        return 0
    height, width = (patch, patch) if isinstance(patch, int) else patch
    n_patches = (size[0] // height) * (size[1] // width)
    # Pyramids merge patches on the way and have no class token.
    return n_tokens - n_patches if n_tokens >= n_patches else 0
