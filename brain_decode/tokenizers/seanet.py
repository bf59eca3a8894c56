"""The convolutional codec of BrainTokenizer: one channel of one window to latent steps, and back."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

__all__ = ["CodecDecoder", "CodecEncoder", "NormedWeight"]


class CodecEncoder(nn.Module):
    """A waveform to latent steps, `prod(ratios)` samples each.

    Args:
        n_filters: Filters at full rate; they double at each stage.
        ratios: Strides of the decoder's stages; the encoder takes them in reverse.
        kernel_size: Samples of the first filters.
        last_kernel_size: Latent steps of the last filters.
        dim: Values of a latent step.

    Source: SEANet as in EnCodec (Défossez et al. 2022), sizes of BrainOmni (arXiv 2505.18185).
    """

    def __init__(
        self, n_filters: int, ratios: Sequence[int], kernel_size: int, last_kernel_size: int, dim: int
    ) -> None:
        super().__init__()
        self.first = _Convolution(1, n_filters, kernel_size)
        stages, width = [], n_filters
        for ratio in reversed(ratios):
            stages.append(_DownStage(width, ratio))
            width *= 2
        self.stages = nn.ModuleList(stages)
        self.memory = _SkipLSTM(width)
        self.last = _Convolution(width, dim, last_kernel_size)

    def forward(self, waveform: torch.Tensor) -> torch.Tensor:
        """Return (row, dim, step) of (row, sample) waveforms."""
        hidden = self.first(waveform.unsqueeze(1))
        for stage in self.stages:
            hidden = stage(hidden)
        return self.last(functional.elu(self.memory(hidden), inplace=True))


class CodecDecoder(nn.Module):
    """Latent steps to a waveform; the mirror of `CodecEncoder`, with the same arguments."""

    def __init__(
        self, n_filters: int, ratios: Sequence[int], kernel_size: int, last_kernel_size: int, dim: int
    ) -> None:
        super().__init__()
        width = n_filters * 2 ** len(ratios)
        self.first = _Convolution(dim, width, kernel_size)
        self.memory = _SkipLSTM(width)
        stages = []
        for ratio in ratios:
            stages.append(_UpStage(width, ratio))
            width //= 2
        self.stages = nn.ModuleList(stages)
        self.last = _Convolution(width, 1, last_kernel_size)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        """Return (row, sample) waveforms of (row, dim, step) latents."""
        hidden = self.memory(self.first(latent))
        for stage in self.stages:
            hidden = stage(hidden)
        return self.last(functional.elu(hidden, inplace=True)).squeeze(1)


class _DownStage(nn.Module):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.residual = _ResidualUnit(width)
        self.resample = _Convolution(width, 2 * width, 2 * ratio, stride=ratio)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.resample(functional.elu(self.residual(hidden), inplace=True))


class _UpStage(nn.Module):
    def __init__(self, width: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.resample = NormedWeight((width, width // 2, 2 * ratio), transposed_stride=ratio)
        self.residual = _ResidualUnit(width // 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        weight, bias = self.resample()
        longer = functional.conv_transpose1d(functional.elu(hidden, inplace=True), weight, bias, stride=self.ratio)
        right = self.ratio // 2
        return self.residual(longer[..., self.ratio - right : longer.shape[-1] - right])


class _ResidualUnit(nn.Module):
    """Two convolutions beside a convolution of one sample."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shortcut = _Convolution(width, width, 1)
        self.narrow = _Convolution(width, width // 2, 3)
        self.widen = _Convolution(width // 2, width, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        inner = functional.elu(self.narrow(functional.elu(hidden)), inplace=True)
        return self.shortcut(hidden).add_(self.widen(inner))


class _SkipLSTM(nn.Module):
    """Two recurrent layers along time whose input is added to their output."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, num_layers=2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the same shape, (row, width, step)."""
        steps = hidden.permute(2, 0, 1)
        return (self.lstm(steps)[0] + steps).permute(1, 2, 0)


class _Convolution(nn.Module):
    """A weight-normalised convolution that sees the signal mirrored at its ends.

    The output has one step per `stride` samples. An odd padding puts the extra sample before the signal; a signal that
    is too short to be mirrored is continued with zeros first.
    """

    def __init__(self, inputs: int, outputs: int, kernel_size: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = NormedWeight((outputs, inputs, kernel_size))
        self.kernel_size, self.stride = kernel_size, stride

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        total = self.kernel_size - self.stride
        if total > 0:
            right = total // 2
            hidden = _mirrored(hidden, total - right, right + self._missing(hidden.shape[-1], total))
        weight, bias = self.conv()
        return functional.conv1d(hidden, weight, bias, stride=self.stride)

    def _missing(self, length: int, total: int) -> int:
        """Return the samples that the last step lacks."""
        steps = math.ceil((length - self.kernel_size + total) / self.stride)
        return steps * self.stride + self.kernel_size - total - length


class NormedWeight(nn.Module):
    """A kernel as direction and length, one length per slice of its first axis (Salimans and Kingma 2016).

    Torch's own parametrisation cannot be sent to spawned processes.

    Args:
        shape: Of the kernel: (out, in, size), or (in, out, size) of a transposed one.
        transposed_stride: Of a transposed convolution.
    """

    def __init__(self, shape: tuple[int, int, int], *, transposed_stride: int | None = None) -> None:
        super().__init__()
        first, second, size = shape
        transposed = transposed_stride is not None
        self.fan_in = first * (size // transposed_stride) if transposed_stride else second * size
        self.direction = nn.Parameter(torch.empty(shape))
        self.length = nn.Parameter(torch.empty(first, 1, 1))
        self.bias = nn.Parameter(torch.empty(second if transposed else first))
        bound = (second * size) ** -0.5  # torch's start, of transposed kernels too
        nn.init.uniform_(self.direction, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)
        self.set_length()

    @torch.no_grad()
    def set_length(self) -> None:
        """Let the kernel be its direction."""
        self.length.copy_(self._norm())

    def forward(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return kernel and bias."""
        return self.direction * (self.length / self._norm()), self.bias

    def _norm(self) -> torch.Tensor:
        return torch.linalg.vector_norm(self.direction, dim=(1, 2), keepdim=True)


def _mirrored(hidden: torch.Tensor, left: int, right: int) -> torch.Tensor:
    surplus = max(max(left, right) - hidden.shape[-1] + 1, 0)
    if surplus:
        hidden = functional.pad(hidden, (0, surplus))
    padded = functional.pad(hidden, (left, right), mode="reflect")
    return padded[..., : padded.shape[-1] - surplus] if surplus else padded
