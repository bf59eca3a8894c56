"""How often each run of codes of a frozen tokenizer occurs: windows as bags of words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.frozen_codes import FrozenCodesEncoder
from brain_decode.signals.spec import SignalSpec

__all__ = ["CodeNgrams"]

_NONE = np.iinfo(np.int64).max  # fills up a vocabulary that is not full


class CodeNgrams(FrozenCodesEncoder):
    """Counts of 1 to `longest` codes in a row, for each channel (or latent source) on its own.

    The vocabulary holds the n-grams that are most frequent in the training windows; labels play no part in it.

    Args:
        signal_spec: Of the windows.
        tokenizer: `architecture` and arguments of the frozen tokenizer.
        longest: Codes of the longest n-gram.
        n_ngrams: Words of the vocabulary, at most.
        level: Level of a residual quantiser that is read.

    Raises:
        ConfigError: Numbers below one, a level that is not there, or n-grams too long to be numbered.

    Source: the reading of codes in EEGFormer (arXiv 2401.10278), which counts n-grams per channel and clip.
    """

    architecture = "code_ngrams"
    fitted_names = ("ngrams",)
    sees_labels = False

    def __init__(
        self,
        signal_spec: SignalSpec,
        tokenizer: Mapping[str, Any],
        longest: int = 2,
        n_ngrams: int = 2048,
        level: int = 0,
    ) -> None:
        super().__init__(signal_spec, tokenizer)
        if longest < 1 or n_ngrams < 1 or not 0 <= level < self.tokenizer.n_levels:
            raise ConfigError(
                "code_ngrams needs longest and n_ngrams from 1 up and a level from 0 to "
                f"{self.tokenizer.n_levels - 1}; got {longest}, {n_ngrams} and {level}."
            )
        self.longest, self.level = longest, level
        self._base = self.tokenizer.codebook_size
        if self._base**longest * longest * 2**16 > _NONE:
            raise ConfigError(f"n-grams of {longest} codes out of {self._base} are too many to be numbered.")
        self.embedding_dim = n_ngrams

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Choose the vocabulary; labels are not used."""
        keys = self._keys(self.codes(windows, self.level))
        found, counts = np.unique(keys[keys >= 0], return_counts=True)
        most = np.argsort(-counts, kind="stable")[: self.embedding_dim]
        vocabulary = np.full(self.embedding_dim, _NONE)
        vocabulary[: len(most)] = np.sort(found[most])
        self.store_fitted(ngrams=vocabulary)

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, n-gram) counts."""
        places = self.occurrences(windows).reshape(len(windows), -1)
        rows = np.repeat(np.arange(len(windows)), places.shape[1])
        known = places.ravel() >= 0
        cells = rows[known] * self.embedding_dim + places.ravel()[known]
        counts = np.bincount(cells, minlength=len(windows) * self.embedding_dim)
        return counts.reshape(len(windows), -1).astype(float)

    def occurrences(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, length, space, time), which word begins there; -1 where none of the vocabulary does."""
        keys, vocabulary = self._keys(self.codes(windows, self.level)), self.fitted("ngrams")
        places = np.searchsorted(vocabulary, keys).clip(max=len(vocabulary) - 1)
        return np.where((keys >= 0) & (vocabulary[places] == keys), places, -1)

    def words(self) -> list[dict[str, Any] | None]:
        """Return, for each column, `space` (its index) and `codes`; None for columns that are not used."""
        return [None if key == _NONE else self._word(int(key)) for key in self.fitted("ngrams")]

    def _word(self, key: int) -> dict[str, Any]:
        key, number = divmod(key, self._base**self.longest)
        space, length = divmod(key, self.longest)
        codes = [number // self._base**place % self._base for place in range(length + 1)]
        return {"space": space, "codes": codes}

    def _keys(self, codes: np.ndarray) -> np.ndarray:
        """Return (window, length, space, time) numbers of n-grams by where they begin; -1 where none is."""
        n_windows, n_spaces, n_steps = codes.shape
        keys = np.full((n_windows, self.longest, n_spaces, n_steps), -1, dtype=np.int64)
        spaces = np.arange(n_spaces)[:, None] * self.longest
        for length in range(1, min(self.longest, n_steps) + 1):
            runs = sliding_window_view(codes, length, axis=2)
            number = (runs * self._base ** np.arange(length)).sum(-1)
            whole = (runs >= 0).all(-1)
            own = (spaces + length - 1) * self._base**self.longest + number
            keys[:, length - 1, :, : n_steps - length + 1] = np.where(whole, own, -1)
        return keys
