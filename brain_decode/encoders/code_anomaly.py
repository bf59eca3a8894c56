"""How unusual a window is to a frozen tokenizer: an error of reconstruction and a rarity of codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from brain_decode.encoders.frozen_codes import FrozenCodesEncoder
from brain_decode.nn.standardise import column_scale
from brain_decode.signals.spec import SignalSpec

__all__ = ["CodeAnomaly"]


class CodeAnomaly(FrozenCodesEncoder):
    """Two values per window, in deviations from the training windows: reconstruction error and rarity of codes.

    The error is the logarithm of the mean squared difference of signal and reconstruction; the rarity is the mean of
    minus the logarithm of how often a code occurs in the training windows, one more than it did (Laplace). The anomaly
    score of a window is the mean of both: it needs no labels.

    Args:
        signal_spec: Of the windows.
        tokenizer: `architecture` and arguments of the frozen tokenizer.

    Source: none. The score is ours; EEGFormer (arXiv 2401.10278) calls heads fitted on labels by that name.
    """

    architecture = "code_anomaly"
    fitted_names = ("log_share", "mean", "scale")
    sees_labels = False

    def __init__(self, signal_spec: SignalSpec, tokenizer: Mapping[str, Any]) -> None:
        super().__init__(signal_spec, tokenizer)
        self.embedding_dim = 2

    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Learn how often codes occur and how the two values are spread; labels are not used."""
        codes = self.codes(windows, level=0)
        counts = np.bincount(codes[codes >= 0], minlength=self.tokenizer.codebook_size) + 1.0
        self.store_fitted(log_share=np.log(counts / counts.sum()))
        mean, scale = column_scale(self._raw(windows))
        self.store_fitted(mean=mean, scale=scale)

    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, 2)."""
        return (self._raw(windows) - self.fitted("mean")) / self.fitted("scale")

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return (window,) anomaly scores of (window, channel, time); 0 is usual, higher is more unusual."""
        return self.transform(windows).mean(1)

    @torch.no_grad()
    def _raw(self, windows: np.ndarray) -> np.ndarray:
        codes = self.codes(windows, level=0)
        rarity = np.where(codes >= 0, -self.fitted("log_share")[codes], 0).sum((1, 2)) / (codes >= 0).sum((1, 2))
        return np.stack([np.concatenate([self._errors(batch) for batch in self.batches(windows)]), rarity], axis=1)

    def _errors(self, batch: Any) -> np.ndarray:
        found = self.tokenizer.reconstruct(batch)
        squared = (found.target - found.estimate.float()).square() * found.mask
        return torch.log(squared.sum((1, 2)) / found.mask.sum((1, 2)).clamp(min=1) + 1e-12).cpu().double().numpy()
