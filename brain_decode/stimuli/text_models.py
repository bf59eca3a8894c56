"""Vectors of concepts: their names in a sentence, through a frozen text encoder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.core.files import sha256_of
from brain_decode.stimuli.model_weights import load_transformer, model_folder, weights_hash

__all__ = ["PROMPT", "TextModel", "concept_words"]

PROMPT = "This picture is {concept}"  # ATM, Li et al. 2024
TextPooling = Literal["projected", "cls", "mean"]
_TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt")
_NO_TOKENIZER = "'{folder}' has no tokenizer that transformers can load. Save it beside the model."
_INDEX = re.compile(r"^\d+_")


def concept_words(concept: str) -> str:
    """Return the words of a concept's name: "00001_aircraft_carrier" is "aircraft carrier"."""
    return _INDEX.sub("", concept).replace("_", " ").strip()


class TextModel:
    """A frozen text encoder: CLIP, SigLIP, or any other of transformers with a tokenizer.

    Args:
        source: Folder with model and tokenizer, or a Hub id. Only safetensors are read, no code of the model's runs.
        template: Sentence with `{concept}` in it.
        pooling: "projected" is the model's own vector of a text: CLIP's projected embedding, or the pooled output;
            "cls" takes the first token, "mean" averages those that are no padding.
        device: Where it runs; a GPU where there is one and None is given.

    The model itself is loaded when the first concept is embedded.

    Raises:
        ConfigError: No such model, tokenizer or pooling, or a template without `{concept}`.
    """

    def __init__(
        self, source: str, *, template: str = PROMPT, pooling: TextPooling = "projected", device: str | None = None
    ) -> None:
        if "{concept}" not in template:
            raise ConfigError(f"The template of texts has {{concept}} in it; got '{template}'.")
        if pooling not in get_args(TextPooling):
            raise unknown_option("pooling of texts", pooling, get_args(TextPooling))
        self._folder = folder = model_folder(source)
        self.source, self.template, self.pooling = str(source), template, pooling
        self.weights_sha256 = weights_hash(folder)
        self._tokenizer_hash = _tokenizer_hash(folder)
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))

    @cached_property
    def _tower(self) -> _Tower:
        """The model, loaded when the first concept comes."""
        unused = () if self.pooling == "projected" else ("pooler.", "text_projection.")
        return _text_tower(load_transformer(self._folder, unused=unused).to(self._device), _tokenizer(self._folder))

    def describe(self) -> dict[str, Any]:
        """Return what the vectors depend on besides the concept, as plain values."""
        return {
            "weights_sha256": self.weights_sha256,
            "tokenizer_sha256": self._tokenizer_hash,
            "template": self.template,
            "pooling": self.pooling,
        }

    def sentence(self, concept: str) -> str:
        """Return the sentence a concept is put into."""
        return self.template.replace("{concept}", concept_words(concept))

    @torch.inference_mode()
    def embed(self, concepts: Sequence[str]) -> torch.Tensor:
        """Return (concept, dim) float32 vectors.

        Raises:
            ConfigError: A model that transformers does not know, or one without pooled output.
            DataError: Weights that are damaged or incomplete.
        """
        # SigLIP was trained with texts padded to its full length, and reads the last place.
        config = self._tower.model.config
        padding = "max_length" if "siglip" in config.model_type else "longest"
        tokens = self._tower.tokenizer(
            [self.sentence(concept) for concept in concepts],
            padding=padding,
            max_length=int(getattr(config, "max_position_embeddings", 512)),
            truncation=True,
            return_tensors="pt",
        ).to(self._device)
        mask = tokens["attention_mask"]
        seen = {"input_ids": tokens["input_ids"]} | ({"attention_mask": mask} if padding == "longest" else {})
        return self._pooled(self._tower.model(**seen), mask).float().cpu()

    def _pooled(self, output: Any, mask: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return output.last_hidden_state[:, 0]
        if self.pooling == "mean":
            weights = mask[..., None].to(output.last_hidden_state.dtype)
            return (output.last_hidden_state * weights).sum(dim=1) / weights.sum(dim=1)
        embedded = getattr(output, "text_embeds", None)
        if embedded is not None:
            return embedded
        pooled = getattr(output, "pooler_output", None)
        if pooled is None:
            raise ConfigError(f"{type(self._tower.model).__name__} has no pooled output of texts; set pooling=mean.")
        return pooled if self._tower.projection is None else self._tower.projection(pooled)


@dataclass(frozen=True)
class _Tower:
    """The part of a model that reads texts, its tokenizer, and the projection of what it pools where that is apart."""

    model: Any
    tokenizer: Any
    projection: nn.Module | None = None


def _text_tower(whole: nn.Module, tokenizer: Any) -> _Tower:
    if type(whole).__name__.endswith("WithProjection") or not hasattr(whole, "text_model"):
        return _Tower(whole, tokenizer)
    return _Tower(whole.text_model, tokenizer, getattr(whole, "text_projection", None))


def _tokenizer_hash(folder: Path) -> str:
    """Return hexadecimal digits that change with the tokenizer.

    Raises:
        ConfigError: There is none; transformers would make up an empty one.
    """
    found = [folder / name for name in _TOKENIZER_FILES if (folder / name).is_file()]
    if not found:
        raise ConfigError(_NO_TOKENIZER.format(folder=folder))
    return hashlib.sha256("".join(map(sha256_of, found)).encode()).hexdigest()


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # every tokenizer class raises its own
        raise ConfigError(_NO_TOKENIZER.format(folder=folder)) from error
