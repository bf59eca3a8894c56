"""Embeddings of a signal that arrives a little at a time."""

from __future__ import annotations

import torch

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.signals.batch import SignalBatch
from brain_decode.tokenizers.base import Tokens
from brain_decode.tokenizers.token_stream import TokenStream

__all__ = ["EmbeddingStream"]


class EmbeddingStream:
    """Embeds the last model windows of a signal whenever one more is complete; each is tokenised once.

    An embedding equals that of the samples of those windows cut out and given to the encoder whole, whatever the size
    of the pieces. Memory does not grow with the length of the signal.

    Args:
        encoder: For evaluation (`eval()`).
        n_windows: Model windows an embedding looks back at; fewer at the beginning. With overlapping windows that is
            `window_samples + (n_windows - 1) * stride` samples.

    Raises:
        ConfigError: No window to look back at.
    """

    def __init__(self, encoder: BrainOmni, n_windows: int = 5) -> None:
        if n_windows < 1:
            raise ConfigError(f"An embedding looks back at one model window or more, got n_windows={n_windows}.")
        self.encoder = encoder
        self._n_steps = n_windows * encoder.tokenizer.steps_per_window
        self._stream = TokenStream(encoder.tokenizer, encoder.overlap)
        self._kept: Tokens | None = None

    @torch.no_grad()
    def push(self, piece: SignalBatch) -> BrainEmbedding | None:
        """Return the embedding of the last windows, or None while none has become complete since the last one.

        Args:
            piece: As in `TokenStream.push`.

        Raises:
            SpecMismatch: Another number of recordings or sensors than before.
        """
        fresh = self._stream.push(piece)
        if fresh is None:
            return None
        self._kept = _last_steps(fresh if self._kept is None else _joined(self._kept, fresh), self._n_steps)
        return self.encoder(self._kept)


def _joined(first: Tokens, second: Tokens) -> Tokens:
    parts = zip(*((t.features, t.codes, t.mask) for t in (first, second)), strict=True)
    return Tokens(*(torch.cat(pair, dim=2) for pair in parts))


def _last_steps(tokens: Tokens, count: int) -> Tokens:
    return Tokens(tokens.features[:, :, -count:], tokens.codes[:, :, -count:], tokens.mask[:, :, -count:])
