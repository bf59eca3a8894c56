"""The image embedding of CLIP, from a folder as the Hub publishes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from brain_decode.core.errors import DataError, listed
from brain_decode.stimuli.model_weights import quiet_transformers

__all__ = ["ClipImage", "open_clip_image"]


class ClipImage(nn.Module):
    """Vision transformer and projection; its answer is the projected embedding, not normalised."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Return (picture, dim)."""
        embeddings: torch.Tensor = self.model(pixel_values=pictures).image_embeds
        return embeddings


def open_clip_image(folder: Path) -> nn.Module:
    """Return the frozen image side of a CLIP folder with `config.json` and safetensors weights.

    Raises:
        DataError: Files that are missing or damaged, or that lack weights of the image side.
    """
    from transformers import CLIPConfig, CLIPVisionModelWithProjection

    try:
        config = CLIPConfig.from_pretrained(str(folder), local_files_only=True)
        vision: Any = config.vision_config
        vision.projection_dim = config.projection_dim  # the folder's own says it for both sides at once
        with quiet_transformers():  # the text side of the same file is left out on purpose
            loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
                str(folder), config=vision, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            f"'{folder}' cannot be read as CLIP ({reason}). It needs config.json and safetensors."
        ) from error
    model, told = loaded
    missing = sorted(map(str, told["missing_keys"]))
    if missing:
        raise DataError(f"'{folder}' lacks weights of CLIP's image side: {listed(missing)}. Copy the whole folder.")
    return ClipImage(model).eval().requires_grad_(False)
