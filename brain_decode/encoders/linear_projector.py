"""A window through one wide linear layer and one residual block: nearly linear, and strong within a person."""

from __future__ import annotations

import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.projector import Projector
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["LinearProjector"]


class LinearProjector(Encoder):
    """All samples of all channels to one vector: linear layer, residual block, layer normalisation.

    Give it the channels that see the stimulus (`preprocessing=nice_posterior` for pictures). With `dim` equal to the
    number of stimulus features, `head.projector=none` compares its vectors directly.

    Args:
        signal_spec: Sizes of the windows; 17 posterior channels x 250 samples at 250 Hz in the papers.
        dim: Values per vector.
        dropout: Share of values dropped in the residual block.
        smoothing_share: Share of training windows that are replaced by their running mean, which keeps the layer from
            relying on single samples; 0 for none.
        smoothing_samples: Length of that running mean at most; each window draws its own.

    Raises:
        ConfigError: A share outside [0, 1], or a length below 1.

    Source: the EEG projector of Wu et al. 2025 (UBP), which later work kept. Differs: smoothing is off by default and
    draws its length for each window.
    """

    architecture = "linear_projector"

    def __init__(
        self,
        signal_spec: SignalSpec,
        dim: int = 1024,
        dropout: float = 0.3,
        smoothing_share: float = 0.0,
        smoothing_samples: int = 15,
    ) -> None:
        super().__init__(signal_spec)
        if not 0 <= smoothing_share <= 1:
            raise ConfigError(f"smoothing_share is a share of the windows from 0 to 1, got {smoothing_share}.")
        if smoothing_samples < 1:
            raise ConfigError(f"smoothing_samples is a whole number of samples from 1 up, got {smoothing_samples}.")
        self.smoothing_share, self.smoothing_samples = smoothing_share, smoothing_samples
        self.projector = Projector(signal_spec.n_channels * signal_spec.n_times, dim, dropout)
        self.embedding_dim = dim

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return (batch, dim) vectors."""
        self.require_spec(batch)
        signal = batch.signal.to(self.projector.linear.weight.dtype)
        if self.training and self.smoothing_share:
            signal = _smoothed(signal, self.smoothing_share, self.smoothing_samples)
        return BrainEmbedding(self.projector(signal.flatten(1)))


def _smoothed(signal: torch.Tensor, share: float, longest: int) -> torch.Tensor:
    """Return windows of which a share is replaced by running means of random odd or even length, edges kept."""
    n_windows, device = len(signal), signal.device
    lengths = torch.randint(1, longest + 1, (n_windows,), device=device)
    lengths = torch.where(torch.rand(n_windows, device=device) < share, lengths, 1)
    # A running mean is a difference of two running sums; where a window begins or ends, fewer samples are averaged.
    sums = functional.pad(signal.double().cumsum(-1), (1, 0))
    places = torch.arange(signal.shape[-1], device=device)
    start = (places - (lengths[:, None] - 1) // 2).clamp(min=0)
    stop = (places + lengths[:, None] // 2 + 1).clamp(max=signal.shape[-1])
    taken = [sums.gather(-1, edge[:, None].expand(-1, signal.shape[1], -1)) for edge in (start, stop)]
    means = ((taken[1] - taken[0]) / (stop - start)[:, None]).to(signal.dtype)
    return torch.where(lengths[:, None, None] > 1, means, signal)
