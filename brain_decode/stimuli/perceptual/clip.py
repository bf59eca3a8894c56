"""The image embedding of CLIP, from a folder as the Hub publishes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from brain_decode.core.errors import DataError, listed

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
        vision = config.vision_config
        vision.projection_dim = config.projection_dim  # the folder's own says it for both sides at once
        with _quiet():  # the text side of the same file is left out on purpose
            model, told = CLIPVisionModelWithProjection.from_pretrained(
                str(folder), config=vision, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0].rstrip(".")
        raise DataError(
            f"'{folder}' cannot be read as CLIP ({reason}). It needs config.json and safetensors."
        ) from error
    missing = sorted(map(str, told["missing_keys"]))
    if missing:
        raise DataError(f"'{folder}' lacks weights of CLIP's image side: {listed(missing)}. Copy the whole folder.")
    return ClipImage(model).eval().requires_grad_(False)


@contextmanager
def _quiet() -> Iterator[None]:
    from transformers.utils import logging

    level, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if has_bar:
            logging.enable_progress_bar()
