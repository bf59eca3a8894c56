"""Mean and variance of a temporal filter's output, from the moments of its input."""

from __future__ import annotations

import torch
from torch.nn import functional

__all__ = ["filter_moments", "same_padding"]

_BLOCK = 512  # output samples per Gram matrix; bounds its size for long windows


def same_padding(n_samples: int) -> tuple[int, int]:
    """Return zeros before and after, so that a filter of this length keeps the number of samples."""
    return (n_samples - 1) // 2, n_samples // 2


def filter_moments(signal: torch.Tensor, filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and biased variance (filter,) of every filter's output over windows, channels and time.

    The output itself, `filters` times larger than the signal, is never formed: with lag moments R[k, l] =
    E[x(t+k) x(t+l)] of the zero-padded signal, the second moment of filter w is w'Rw. The lag moments are sums along
    the diagonals of Gram matrices of the signal, formed in float64, because filters with little output power cancel
    most of R.

    Args:
        signal: (window, channel, time).
        filters: (filter, sample), applied as a correlation with zero padding to the same length.
    """
    length, n_times = filters.shape[1], signal.shape[2]
    with torch.autocast(signal.device.type, enabled=False):
        precise = torch.float32 if signal.device.type == "mps" else torch.float64
        rows, weights = signal.to(precise).flatten(0, 1), filters.to(precise)
        count = rows.shape[0] * n_times
        padded_sum = functional.pad(rows.sum(0), same_padding(length))
        lag_means = padded_sum.unfold(0, n_times, 1).sum(1) / count
        blocks = [_lag_products(rows, start, length) for start in range(0, n_times, _BLOCK)]
        covariance = torch.stack(blocks).sum(0) / count - torch.outer(lag_means, lag_means)
        variance = ((weights @ covariance) * weights).sum(1)
        return (weights @ lag_means).to(filters.dtype), variance.to(filters.dtype)


def _lag_products(rows: torch.Tensor, start: int, length: int) -> torch.Tensor:
    """Return the (lag, lag) sums of products over all rows and one block of output samples from `start` on."""
    n_times, before = rows.shape[1], same_padding(length)[0]
    n_outputs = min(_BLOCK, n_times - start)
    size = n_outputs + length - 1
    first, last = start - before, start - before + size
    block = rows[:, max(first, 0) : min(last, n_times)]
    zeros = (max(-first, 0), max(last - n_times, 0))
    gram = functional.pad(block.T @ block, zeros + zeros)
    return gram.as_strided((n_outputs, length, length), (size + 1, size, 1)).sum(0)
