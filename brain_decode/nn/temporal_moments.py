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
        rows = functional.pad(signal.to(precise), same_padding(length)).flatten(0, 1)
        weights = filters.to(precise)
        count = rows.shape[0] * n_times
        lag_means = rows.sum(0).unfold(0, n_times, 1).sum(1) / count
        blocks = [
            _lag_products(rows, start, min(_BLOCK, n_times - start), length) for start in range(0, n_times, _BLOCK)
        ]
        covariance = torch.stack(blocks).sum(0) / count - torch.outer(lag_means, lag_means)
        variance = ((weights @ covariance) * weights).sum(1)
        return (weights @ lag_means).to(filters.dtype), variance.to(filters.dtype)


def _lag_products(rows: torch.Tensor, start: int, n_outputs: int, length: int) -> torch.Tensor:
    """Return the (lag, lag) sums of products over all rows and `n_outputs` output samples from `start` on."""
    size = n_outputs + length - 1
    block = rows[:, start : start + size]
    gram = (block.T @ block).contiguous()
    return gram.as_strided((n_outputs, length, length), (size + 1, size, 1)).sum(0)
