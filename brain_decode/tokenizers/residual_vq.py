"""Residual vector quantisation with moving-average codebooks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from brain_decode.tokenizers.processes import of_first_process, summed_over_processes

__all__ = ["Quantized", "ResidualVQ"]

_COMMITMENT = 0.25
_DECAY = 0.99
_SMOOTHING = 1e-6
_LEAST_COUNT = 2.0  # a codeword whose moving count is lower is renewed
_KMEANS_ROWS = 4096
_KMEANS_STEPS = 10


@dataclass(frozen=True)
class Quantized:
    """What quantisation returns.

    Args:
        features: (row, dim) sum of the codewords over levels.
        codes: (row, level) int64.
        commitment: Scalar; mean over levels of a quarter of the squared distance to the codewords.
    """

    features: torch.Tensor
    codes: torch.Tensor
    commitment: torch.Tensor


class ResidualVQ(nn.Module):
    """Levels of codebooks, each quantising what the levels before left over; rows are brought to unit length first.

    Args:
        dim: Values per row.
        codebook_dim: Values per codeword; rows are projected where it differs.
        codebook_size: Codewords per level.
        n_levels: Levels.
        rotation_trick: Gradients pass through the rotation that takes a row to its codeword (Fifty et al. 2024);
            straight through where False.
        renew: Codewords that are hardly used are replaced by rows of the batch, their moving averages too.

    Source: arXiv 2505.18185 and the authors' quantiser. Differs: the authors' renewal has no effect, because the moving
    average overwrites it within the same step (`renew=False` is the same arithmetic); codebooks that k-means started
    keep codewords and counts that agree.
    """

    def __init__(
        self,
        dim: int,
        codebook_dim: int,
        codebook_size: int,
        n_levels: int,
        *,
        rotation_trick: bool = True,
        renew: bool = True,
    ) -> None:
        super().__init__()
        self.levels = nn.ModuleList(
            _Level(dim, codebook_dim, codebook_size, rotation_trick, renew) for _ in range(n_levels)
        )

    def forward(self, rows: torch.Tensor) -> Quantized:
        """Quantise the directions of (row, dim); in training mode the codebooks move."""
        return self.quantize(functional.normalize(rows, dim=-1))

    def quantize(self, residual: torch.Tensor) -> Quantized:
        """Quantise (row, dim) of unit length."""
        features, codes, losses = torch.zeros_like(residual), [], []
        for level in self.levels:
            quantized, code, loss = level(residual)
            residual, features = residual - quantized.detach(), features + quantized
            codes.append(code)
            losses.append(loss)
        return Quantized(features, torch.stack(codes, dim=-1), torch.stack(losses).mean())

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the features of codes: (..., level) to (..., dim)."""
        parts = [cast(_Level, level).lookup(codes[..., number]) for number, level in enumerate(self.levels)]
        return torch.stack(parts).sum(0)


class _Level(nn.Module):
    project_in: nn.Module
    project_out: nn.Module
    initialised: torch.Tensor
    counts: torch.Tensor
    sums: torch.Tensor
    codewords: torch.Tensor

    def __init__(self, dim: int, codebook_dim: int, size: int, rotation_trick: bool, renew: bool) -> None:
        super().__init__()
        self.rotation_trick, self.renew = rotation_trick, renew
        same = dim == codebook_dim
        self.project_in = nn.Identity() if same else nn.Linear(dim, codebook_dim)
        self.project_out = nn.Identity() if same else nn.Linear(codebook_dim, dim)
        self.register_buffer("initialised", torch.zeros(1))
        self.register_buffer("counts", torch.zeros(size))
        start = torch.empty(size, codebook_dim)
        nn.init.kaiming_uniform_(start)
        self.register_buffer("sums", start.clone())
        self.register_buffer("codewords", start)

    def forward(self, residual: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        rows = self.project_in(residual)
        if self.training and not self.initialised:
            self._start(rows.detach())
        codes = _nearest(rows, self.codewords)
        codewords = functional.embedding(codes, self.codewords).to(rows.dtype)
        loss = _COMMITMENT * functional.mse_loss(rows, codewords)
        if self.training:
            self._move(rows.detach().float(), codes)
            codewords = _rotated(rows, codewords) if self.rotation_trick else rows + (codewords - rows).detach()
        return self.project_out(codewords), codes, loss

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        return self.project_out(functional.embedding(codes, self.codewords))

    @torch.no_grad()
    def _start(self, rows: torch.Tensor) -> None:
        """Place the codewords by k-means on rows of the first batch."""
        rows = rows.float()
        chosen = rows[torch.randperm(len(rows), device=rows.device)[:_KMEANS_ROWS]]
        codewords, counts = _k_means(chosen, len(self.codewords))
        self.codewords.copy_(of_first_process(codewords))
        self.counts.copy_(of_first_process(counts))
        self.sums.copy_(self.codewords * self.counts[:, None])
        self.initialised.fill_(1)

    @torch.no_grad()
    def _move(self, rows: torch.Tensor, codes: torch.Tensor) -> None:
        """Let codewords follow the moving average of the rows that chose them."""
        counts, sums = summed_over_processes(*_assigned(rows, codes, len(self.codewords)))
        self.counts.lerp_(counts, 1 - _DECAY)
        self.sums.lerp_(sums, 1 - _DECAY)
        if self.renew:
            self._renew(rows)
        total = self.counts.sum()
        smoothed = (self.counts + _SMOOTHING) / (total + _SMOOTHING * len(self.counts)) * total
        self.codewords.copy_(self.sums / smoothed[:, None])

    def _renew(self, rows: torch.Tensor) -> None:
        rare = self.counts < _LEAST_COUNT
        drawn = rows[torch.randint(len(rows), (len(self.counts),), device=rows.device)]
        replacement = of_first_process(drawn) * _LEAST_COUNT
        self.sums.copy_(torch.where(rare[:, None], replacement, self.sums))
        self.counts.copy_(torch.where(rare, _LEAST_COUNT, self.counts))


def _nearest(rows: torch.Tensor, codewords: torch.Tensor) -> torch.Tensor:
    """Return the index of the nearest codeword by Euclidean distance, in float32."""
    with torch.autocast(rows.device.type, enabled=False):
        codewords = codewords.float()
        half_squares = codewords.square().sum(1) / 2
        return torch.addmm(half_squares, rows.detach().float(), codewords.T, beta=-1).argmax(1)


def _assigned(rows: torch.Tensor, codes: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return how many rows each codeword has, and their sum."""
    counts = torch.zeros(size, device=rows.device).index_add_(0, codes, torch.ones(len(rows), device=rows.device))
    sums = torch.zeros(size, rows.shape[1], device=rows.device).index_add_(0, codes, rows)
    return counts, sums


def _k_means(rows: torch.Tensor, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return centres and counts after Lloyd's algorithm; centres that lose all rows stay where they were."""
    centres = rows[torch.randperm(len(rows), device=rows.device)[:size]]
    if len(centres) < size:
        noise = torch.randn(size - len(centres), rows.shape[1], device=rows.device)
        centres = torch.cat([centres, noise])
    counts = torch.zeros(size, device=rows.device)
    for _ in range(_KMEANS_STEPS):
        counts, sums = _assigned(rows, _nearest(rows, centres), size)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp(min=1)[:, None], centres)
    return centres, counts


def _rotated(rows: torch.Tensor, codewords: torch.Tensor) -> torch.Tensor:
    """Return the codewords, with the gradient of the rotation and scaling that takes each row to its codeword."""
    from_direction = functional.normalize(rows, dim=-1, eps=1e-6).detach()
    to_direction = functional.normalize(codewords, dim=-1, eps=1e-6).detach()
    middle = functional.normalize(from_direction + to_direction, dim=-1, eps=1e-6)
    length = rows.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    scale = (codewords.norm(dim=-1, keepdim=True) / length).detach()
    along_middle = (rows * middle).sum(-1, keepdim=True)
    along_row = (rows * from_direction).sum(-1, keepdim=True)
    return scale * (rows - 2 * along_middle * middle + 2 * along_row * to_direction)
