"""Tokens of a signal that arrives a little at a time."""

from __future__ import annotations

from dataclasses import replace

import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.signals.batch import SignalBatch
from brain_decode.tokenizers.base import Tokens
from brain_decode.tokenizers.braintokenizer import BrainTokenizer, window_starts

__all__ = ["TokenStream"]


class TokenStream:
    """Turns samples into tokens as soon as a model window is complete; keeps less than one window of samples.

    Model windows are tokenised on their own, so the tokens are those of the whole recording, whatever the size of the
    pieces. (An incomplete last window, which `tokenize` continues with zeros where windows overlap, stays in the
    stream.)

    Args:
        tokenizer: In any mode; it is used as in evaluation.
        overlap: Share of a model window that the next one repeats.

    Raises:
        ConfigError: An overlap outside [0, 1).
    """

    def __init__(self, tokenizer: BrainTokenizer, overlap: float = 0.0) -> None:
        self.tokenizer, self.overlap = tokenizer, overlap
        self.stride, _ = window_starts(tokenizer.window_samples, tokenizer.window_samples, overlap)
        self._kept: torch.Tensor | None = None

    def push(self, piece: SignalBatch) -> Tokens | None:
        """Return the tokens that became complete, or None.

        Args:
            piece: (batch, channel, time) of the same recordings and sensors as the pieces before, any length, whole
                (no padded samples).

        Raises:
            SpecMismatch: Another number of recordings or sensors than before.
        """
        signal = self._joined(piece.signal)
        length = self.tokenizer.window_samples
        count = (signal.shape[-1] - length) // self.stride + 1 if signal.shape[-1] >= length else 0
        used = (count - 1) * self.stride + length
        self._kept = signal[..., count * self.stride :]
        if count == 0:
            return None
        ready = signal[..., :used]
        mask = torch.ones(len(piece), used, dtype=torch.bool, device=ready.device)
        return self.tokenizer.tokenize(replace(piece, signal=ready, time_mask=mask), self.overlap)

    def _joined(self, signal: torch.Tensor) -> torch.Tensor:
        if self._kept is None:
            return signal
        if self._kept.shape[:2] != signal.shape[:2]:
            raise SpecMismatch(
                f"A stream keeps its recordings and sensors: it had {tuple(self._kept.shape[:2])}, the piece has "
                f"{tuple(signal.shape[:2])}. Open another stream."
            )
        return torch.cat([self._kept, signal], dim=-1)
