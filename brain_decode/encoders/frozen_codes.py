"""What encoders share that read the codes of a frozen tokenizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import ClosedFormEncoder
from brain_decode.nn.architectures import resolve_architecture
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.windows import Windows
from brain_decode.tokenizers.base import Tokenizer

__all__ = ["FrozenCodesEncoder"]

_AT_ONCE = 64  # windows that the tokenizer sees at once


class FrozenCodesEncoder(ClosedFormEncoder):
    """An encoder fitted in closed form on what a frozen tokenizer makes of windows.

    Args:
        signal_spec: Of the windows.
        tokenizer: `architecture` and the arguments of a tokenizer; its weights are part of the state dict.

    Raises:
        ConfigError: No architecture, or an unknown one.
    """

    def __init__(self, signal_spec: SignalSpec, tokenizer: Mapping[str, Any]) -> None:
        super().__init__(signal_spec)
        settings = dict(tokenizer)
        if "architecture" not in settings:
            raise ConfigError(f"tokenizer needs its architecture beside its settings, got only {sorted(settings)}.")
        built = resolve_architecture("tokenizer", "tokenizers", settings.pop("architecture"), Tokenizer)
        self.tokenizer: Tokenizer = built(**settings)
        self.tokenizer.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenCodesEncoder:
        """Set the mode of everything but the tokenizer, which stays as it is for evaluation."""
        super().train(mode)
        self.tokenizer.train(False)
        return self

    def batches(self, windows: np.ndarray) -> Iterator[SignalBatch]:
        """Yield (window, channel, time) windows a few at a time, as the tokenizer takes them."""
        spec = self.signal_spec
        device = next(self.tokenizer.parameters()).device
        for first in range(0, len(windows), _AT_ONCE):
            part = windows[first : first + _AT_ONCE].astype(np.float32)
            batch = SignalBatch.from_windows(Windows(part, spec.rate_hz, spec.start_s, spec.sensors))
            yield batch.to(device)

    @torch.no_grad()
    def codes(self, windows: np.ndarray, level: int) -> np.ndarray:
        """Return (window, space, time) codes of one level; -1 where nothing is."""
        parts = [self.tokenizer.tokenize(batch) for batch in self.batches(windows)]
        return np.concatenate([torch.where(p.mask, p.codes[..., level], -1).cpu().numpy() for p in parts])
