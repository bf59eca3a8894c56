"""Tokens of a frozen tokenizer, computed once and kept as a memory map of codes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.core.files import fill_atomically
from brain_decode.core.progress import track
from brain_decode.tokenizers.base import Tokens
from brain_decode.training.batches import Batch
from brain_decode.training.pretraining_windows import PretrainingWindows

__all__ = ["StoredTokens", "TokenisedWindows", "require_storable", "store_tokens"]


@dataclass(frozen=True)
class StoredTokens:
    """Codes on disk, read a batch at a time.

    Args:
        path: (window, space, time, level) int16.
        tokenizer: Looks codes up.
    """

    path: Path
    tokenizer: Any

    def codes(self, positions: np.ndarray) -> np.ndarray:
        """Return (window, space, time, level) int64."""
        return np.load(self.path, mmap_mode="r")[np.asarray(positions)].astype(np.int64)

    def tokens(self, positions: np.ndarray) -> Tokens:
        """Return the tokens of windows."""
        return _looked_up(self.tokenizer, self.codes(positions))

    def batch(self, positions: np.ndarray) -> Batch:
        """Return tokens, and nothing in the place of targets."""
        return self.tokens(positions), torch.empty(0)


@dataclass(frozen=True)
class TokenisedWindows:
    """What a frozen tokenizer made of windows, once, for an encoder that sees them in every epoch.

    Args:
        codes: (window, space, time, level) int16 in memory: a hundredth of the features they stand for.
        tokenizer: Looks codes up.
        target: (window, …) target of each window.
    """

    codes: np.ndarray
    tokenizer: Any
    target: torch.Tensor

    def batch(self, positions: np.ndarray) -> Batch:
        """Return tokens and targets."""
        rows = np.asarray(positions)
        return _looked_up(self.tokenizer, self.codes[rows].astype(np.int64)), self.target[torch.from_numpy(rows)]


@torch.no_grad()
def _looked_up(tokenizer: Any, codes: np.ndarray) -> Tokens:
    """Return the tokens of codes, on the device of the tokenizer."""
    own = torch.from_numpy(codes).to(next(tokenizer.buffers()).device)
    return Tokens(tokenizer.lookup(own), own, torch.ones(own.shape[:3], dtype=torch.bool, device=own.device))


def require_storable(codebook_size: int) -> None:
    """Refuse codebooks with more codewords than 16 bits can name.

    Raises:
        SpecMismatch: Says how many there are.
    """
    if codebook_size > np.iinfo(np.int16).max:
        raise SpecMismatch(f"Codes are stored in 16 bits; {codebook_size} codewords are too many.")


def store_tokens(encoder: Any, data: PretrainingWindows, path: Path, batch_size: int) -> StoredTokens:
    """Tokenise every window once; what a killed run has finished is used again.

    Args:
        encoder: Has `tokenize` and the frozen `tokenizer`.
        data: Windows of equal length, so that all have as many tokens.
        path: Of the memory map; written beside and renamed.
        batch_size: Windows at a time.

    Raises:
        SpecMismatch: More codewords than 16 bits can name.
        StorageError: The disk is full.
    """
    require_storable(encoder.tokenizer.codebook_size)
    if not path.is_file():
        fill_atomically(path, partial(_write, encoder, data, batch_size))
    return StoredTokens(path, encoder.tokenizer)


def _write(encoder: Any, data: PretrainingWindows, batch_size: int, path: Path) -> None:
    parts = data.one_size_at_a_time(np.arange(len(data.table)), batch_size)
    first = encoder.tokenize(data.signal(parts[0])).codes
    shape = (len(data.table), *first.shape[1:])
    stored = np.lib.format.open_memmap(path, mode="w+", dtype=np.int16, shape=shape)
    for rows in track(parts, "Tokenising", len(parts)):
        stored[rows] = encoder.tokenize(data.signal(rows)).codes.numpy()
    stored.flush()
