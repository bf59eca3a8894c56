"""Captions from vectors of picture features: a trained prefix in front of a frozen language model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, StorageError
from brain_decode.core.files import make_folder, place_beside, read_json_object, storage_error
from brain_decode.core.seeding import derived_seed, torch_generator
from brain_decode.nn.weights_folder import load_weights

__all__ = ["PrefixCaptioner"]

_IGNORED = -100  # of torch's cross-entropy
_FILES = ("captioner.json", "prefix.safetensors")


class PrefixCaptioner(nn.Module):
    """A linear map from a vector to the first tokens of a text, which any causal language model goes on from.

    The map is trained on features of pictures and their captions; the language model stays as it is. Vectors that a
    prior draws from brain responses lie in the same space and are captioned by the same map.

    Args:
        source: Folder or Hub id of a causal language model of transformers, with its tokenizer.
        feature_dim: Values per vector.
        n_tokens: Tokens that stand for a vector.
        max_words: Tokens of a caption at most.

    Raises:
        ConfigError: No such model, weights that are not safetensors, or no token.

    Source: prefix captioning as in ClipCap (Mokady et al. 2021) with a linear map. Differs from the caption branch of
    Li et al. 2024, where a vector becomes 257 tokens of a GIT captioner.
    """

    language: Any  # of transformers

    def __init__(self, source: str, feature_dim: int, *, n_tokens: int = 10, max_words: int = 20) -> None:
        super().__init__()
        if n_tokens < 1 or max_words < 1:
            raise ConfigError(
                f"A captioner has at least one token and one word, got n_tokens={n_tokens}, max_words={max_words}."
            )
        self.settings = {
            "source": str(source),
            "feature_dim": feature_dim,
            "n_tokens": n_tokens,
            "max_words": max_words,
        }
        self.feature_dim, self.n_tokens, self.max_words = feature_dim, n_tokens, max_words
        self.tokenizer, language = _language_model(str(source))
        object.__setattr__(self, "language", language)  # no part of the state dict: it stays where it is
        self.prefix = nn.Linear(feature_dim, n_tokens * self._embedding.embedding_dim)

    @property
    def _embedding(self) -> Any:
        return self.language.get_input_embeddings()

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Return prefixes (n, n_tokens, width) of vectors (n, feature_dim), at the size of the model's own tokens.

        Raises:
            SpecMismatch: Vectors of another size.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.feature_dim:
            raise SpecMismatch(f"The captioner takes vectors (n, {self.feature_dim}), got {tuple(vectors.shape)}.")
        return self.prefix(vectors.to(self.prefix.weight.dtype)).unflatten(1, (self.n_tokens, -1))

    def loss(self, vectors: torch.Tensor, captions: Sequence[str]) -> torch.Tensor:
        """Return the mean cross-entropy of the words of the captions, and of their end, given the vectors."""
        words, is_word = self._words(captions)
        inputs = torch.cat([self(vectors), self._embedding(words)], dim=1)
        there = torch.cat([torch.ones(len(words), self.n_tokens, dtype=torch.long), is_word.long()], dim=1)
        logits = self.language(inputs_embeds=inputs, attention_mask=there).logits[:, self.n_tokens - 1 : -1]
        wanted = torch.where(is_word, words, _IGNORED)
        return functional.cross_entropy(logits.flatten(0, 1).float(), wanted.flatten(), ignore_index=_IGNORED)

    def _words(self, captions: Sequence[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token numbers (n, word), an end after each caption, and which of them are there."""
        end = self.tokenizer.eos_token_id
        rows = [
            [*self.tokenizer(text, add_special_tokens=False).input_ids[: self.max_words - 1], end] for text in captions
        ]
        longest = max(len(row) for row in rows)
        words = torch.tensor([row + [end] * (longest - len(row)) for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        return words, torch.arange(longest) < lengths[:, None]

    def fit(
        self,
        features: np.ndarray,
        captions: Sequence[str],
        *,
        epochs: int = 10,
        batch_size: int = 64,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> list[float]:
        """Train the map on features (n, feature_dim) of pictures and one caption each; returns the loss of each epoch.

        Raises:
            DataError: Not one caption per vector, or none.
        """
        if len(features) != len(captions) or not len(captions):
            raise DataError(f"Training takes one caption per vector, got {len(features)} and {len(captions)}.")
        vectors = torch.from_numpy(np.asarray(features, dtype=np.float32))
        optimizer = torch.optim.AdamW(self.prefix.parameters(), lr=lr)
        losses = []
        for epoch in range(epochs):
            order = torch.randperm(len(vectors), generator=torch_generator(derived_seed(seed, "captions", epoch)))
            parts = [self._train_step(optimizer, vectors[rows], [captions[row] for row in rows.tolist()]) * len(rows)
                     for rows in order.split(batch_size)]  # fmt: skip
            losses.append(sum(parts) / len(vectors))
        return losses

    def _train_step(self, optimizer: torch.optim.Optimizer, vectors: torch.Tensor, captions: Sequence[str]) -> float:
        optimizer.zero_grad()
        loss = self.loss(vectors, captions)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    @torch.no_grad()
    def caption(self, vectors: np.ndarray, *, batch_size: int = 16) -> list[str]:
        """Return the most probable words, one after the other, for vectors (n, feature_dim).

        Raises:
            SpecMismatch: Vectors of another size.
        """
        texts = []
        for start in range(0, len(vectors), batch_size):
            inputs = self(torch.from_numpy(np.asarray(vectors[start : start + batch_size], dtype=np.float32)))
            words = self.language.generate(
                inputs_embeds=inputs,
                attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long),
                max_new_tokens=self.max_words,
                do_sample=False,
                num_beams=1,
                eos_token_id=self.tokenizer.eos_token_id,
                pad_token_id=self.tokenizer.eos_token_id,
            )
            texts += [text.strip() for text in self.tokenizer.batch_decode(words, skip_special_tokens=True)]
        return texts

    def save(self, folder: Path) -> Path:
        """Write the map and the name of its language model into a new folder, and return it.

        Raises:
            StorageError: The folder holds something, or cannot be written.
        """
        if folder.exists():
            raise StorageError(f"'{folder}' is there already; choose another folder for the captioner.")
        make_folder(folder.parent)
        try:
            with place_beside(folder, is_folder=True) as partial:
                (partial / _FILES[0]).write_text(json.dumps(self.settings, indent=1), encoding="utf-8")
                save_file(self.state_dict(), partial / _FILES[1])
                partial.rename(folder)
        except OSError as error:
            raise storage_error(folder, error) from error
        return folder

    @classmethod
    def load(cls, folder: Path) -> PrefixCaptioner:
        """Return a captioner that `save` wrote.

        Raises:
            ConfigError: Nothing there, or its language model is gone.
            DataError: Damaged files.
        """
        if not (folder / _FILES[0]).is_file():
            raise ConfigError(f"'{folder}' holds no captioner: it has no {_FILES[0]}.")
        settings = read_json_object(folder / _FILES[0], remedy="Copy the folder again.")
        try:
            captioner = cls(**settings)
            tensors = load_file(folder / _FILES[1])
        except TypeError as error:
            raise DataError(f"'{folder / _FILES[0]}' does not describe a captioner: {error}.") from error
        except (SafetensorError, OSError) as error:
            raise DataError(f"'{folder / _FILES[1]}' is damaged or missing: {error}. Copy it again.") from error
        load_weights(captioner, tensors, what="the captioner")
        return captioner


def _language_model(source: str) -> tuple[Any, Any]:
    """Return tokenizer and frozen causal language model; a local folder is never looked for on the Hub."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    is_local = Path(source).is_dir()
    if not is_local and (source.count("/") > 1 or source.startswith((".", "/", "~"))):
        raise ConfigError(f"There is no folder '{source}'. Give that of a causal language model, or a Hub id.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=is_local)
        language = AutoModelForCausalLM.from_pretrained(source, local_files_only=is_local, use_safetensors=True)
    except (OSError, ValueError, KeyError) as error:
        reason = f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200]}"
        raise ConfigError(
            f"'{source}' gives no causal language model with safetensors and a tokenizer ({reason}). Without a "
            "network, download it elsewhere and give the local folder."
        ) from error
    return tokenizer, language.eval().requires_grad_(False)
