"""EEGFormer's tokenizer: each channel's spectral patches to codes of one codebook, and back."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.signals.batch import SignalBatch
from brain_decode.tokenizers.base import Reconstruction, Tokenizer, Tokens
from brain_decode.tokenizers.processes import of_first_process, summed_over_processes

__all__ = ["EEGFormerVQ"]

RATE_HZ = 256.0
_RENEWED_AFTER = 0.05  # moving share of even use below which a codeword is renewed
_DECAY = 0.95
_SMALLEST_SCALE = 1e-2  # far below unit scale every patch falls on the same code


class EEGFormerVQ(Tokenizer):
    """Channel-independent vector-quantised autoencoder of spectral patches.

    Each channel is cut into patches; a patch is the amplitude of its Fourier transform. A Transformer looks along the
    patches of one channel (weights are shared by all channels), the nearest codeword replaces each patch, and a shallow
    Transformer gives the amplitudes back.

    Args:
        patch_samples: Samples of a patch; an incomplete last patch is left out.
        max_patches: Patches that have a position: the longest window.
        dim: Width of both Transformers and of the codewords.
        n_layers: Layers before the codebook: 6, 8, 12 in the small, base and large model.
        n_decoder_layers: Layers after it.
        n_heads: Attention heads.
        codebook_size: Codewords: 512, 1024, 2048 in the small, base and large model.
        dropout: Share of values dropped, in training only.
        beta: Weight of the commitment term.
        log_amplitude: Take log(1 + amplitude), which weighs weak frequencies more.

    Raises:
        ConfigError: Sizes that do not fit each other.

    Source: inspired by EEGFormer (arXiv 2401.10278); there is no official code. The card lists what was chosen where
    the paper is silent.
    """

    architecture = "eegformer_vq"
    reconstructs = "amplitudes"
    per_channel = True
    rate_hz = RATE_HZ
    n_levels = 1
    use: torch.Tensor

    def __init__(
        self,
        patch_samples: int = 48,
        max_patches: int = 64,
        dim: int = 128,
        n_layers: int = 6,
        n_decoder_layers: int = 3,
        n_heads: int = 8,
        codebook_size: int = 512,
        dropout: float = 0.0,
        beta: float = 0.25,
        log_amplitude: bool = False,
    ) -> None:
        super().__init__()
        if patch_samples < 4 or max_patches < 1 or dim % n_heads:
            raise ConfigError(
                "EEGFormerVQ needs patches of at least 4 samples, one patch, and a dim that is a multiple of n_heads; "
                f"got {patch_samples}, {max_patches}, {dim} and {n_heads}."
            )
        self.patch_samples, self.max_patches, self.dim = patch_samples, max_patches, dim
        self.codebook_size, self.beta, self.log_amplitude = codebook_size, beta, log_amplitude
        n_bins = patch_samples // 2 + 1
        self.embed = nn.Linear(n_bins, dim)
        self.positions = nn.Parameter(0.02 * torch.randn(max_patches, dim))
        self.encoder = _transformer(dim, n_heads, n_layers, dropout)
        self.codebook = nn.Embedding(codebook_size, dim)
        nn.init.uniform_(self.codebook.weight, -1 / math.sqrt(dim), 1 / math.sqrt(dim))
        self.register_buffer("use", torch.zeros(codebook_size))  # so that the first batch fills the codebook
        self.decoder = _transformer(dim, n_heads, n_decoder_layers, dropout)
        self.spectrum = nn.Linear(dim, n_bins)

    def contextual(self, batch: SignalBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the codebook sees, (batch, channel, patch, dim), and which patches are whole.

        Raises:
            SpecMismatch: Another rate, a window without a whole patch, or with more than have a position.
            DataError: NaN in the signal.
        """
        spectra, mask = self._spectra(batch)
        return self._encoded(spectra, mask), mask

    @torch.no_grad()
    def tokenize(self, batch: SignalBatch) -> Tokens:
        """Return one code per channel and patch."""
        was_training = self.training
        self.eval()
        try:
            hidden, mask = self.contextual(batch)
            codes = self._nearest(hidden)
        finally:
            self.train(was_training)
        features = functional.embedding(codes, self._codewords()) * mask[..., None]
        return Tokens(features, (codes * mask)[..., None], mask)

    @torch.no_grad()
    def reconstruct(self, batch: SignalBatch) -> Reconstruction:
        """Return amplitudes and what the codes say of them, (batch, channel, patch x frequency)."""
        tokens = self.tokenize(batch)
        was_training = self.training
        self.eval()
        try:
            spectra, mask = self._spectra(batch)
            estimate = self.spectrum(self._along_patches(self.decoder, tokens.features, mask))
        finally:
            self.train(was_training)
        frequencies = torch.arange(spectra.shape[-1]) * (self.rate_hz / self.patch_samples)
        covered = mask[..., None].expand(spectra.shape).flatten(2)
        return Reconstruction(
            spectra.flatten(2), estimate.flatten(2), covered, frequencies_hz=frequencies.repeat(spectra.shape[2])
        )

    def pretraining_terms(self, batch: SignalBatch) -> dict[str, torch.Tensor]:
        """Return the squared error of the amplitudes plus the terms of the codebook, and its parts."""
        spectra, mask = self._spectra(batch)
        hidden = self._encoded(spectra, mask)
        if self.training:
            self._renew(self._nearest(hidden)[mask], hidden[mask].detach())
        codes = self._nearest(hidden)
        quantized = functional.embedding(codes, self._codewords())
        passed = hidden + (quantized - hidden).detach()
        estimate = self.spectrum(self._along_patches(self.decoder, passed, mask))
        error = functional.mse_loss(estimate[mask], spectra[mask])
        codebook = functional.mse_loss(quantized[mask], hidden[mask].detach())
        commitment = functional.mse_loss(hidden[mask], quantized[mask].detach())
        share = torch.bincount(codes[mask], minlength=self.codebook_size) / mask.sum()
        parts = {"reconstruction": error, "codebook": codebook, "commitment": commitment}
        use = torch.special.entr(share).sum() / math.log(self.codebook_size)
        loss = error + codebook + self.beta * commitment
        return {"loss": loss, **{name: value.detach() for name, value in parts.items()}, "use_0": use}

    def _spectra(self, batch: SignalBatch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (batch, channel, patch, frequency) amplitudes and the mask of whole patches."""
        self.require_rate(batch.rate_hz)
        if not bool(batch.signal.isfinite().all()):
            raise DataError("Windows with NaN or infinite samples cannot be tokenised. Repair or reject them before.")
        n_patches = batch.signal.shape[-1] // self.patch_samples
        if not 1 <= n_patches <= self.max_patches:
            raise SpecMismatch(
                f"EEGFormerVQ takes windows of 1 to {self.max_patches} patches of {self.patch_samples} samples; these "
                f"have {batch.signal.shape[-1]} samples. Change window= or max_patches."
            )
        signal = batch.signal.to(self.positions.dtype)[..., : n_patches * self.patch_samples]
        scale = float(signal.detach().float().std(correction=0))
        if 0 < scale < _SMALLEST_SCALE:
            raise SpecMismatch(
                f"EEGFormerVQ reads amplitudes of windows of about unit scale; these have a standard deviation of "
                f"{scale:.2g}. Add a step that scales them: preprocessing=brainomni has one."
            )
        amplitude = torch.fft.rfft(signal.unflatten(-1, (n_patches, -1)), norm="ortho").abs()
        whole = batch.time_mask.sum(1) // self.patch_samples
        along = torch.arange(n_patches, device=whole.device)[None] < whole[:, None]
        mask = batch.channel_mask[:, :, None] & along[:, None, :]
        return torch.log1p(amplitude) if self.log_amplitude else amplitude, mask

    def _encoded(self, spectra: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        hidden = self._along_patches(self.encoder, self.embed(spectra) + self.positions[: spectra.shape[2]], mask)
        return functional.rms_norm(hidden, (self.dim,))

    def _codewords(self) -> torch.Tensor:
        """Return the codewords at unit root mean square, as what they stand for: otherwise both grow without end."""
        return functional.rms_norm(self.codebook.weight, (self.dim,))

    def _along_patches(self, layers: nn.Module, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Run layers on the patches of each channel."""
        if bool(mask.all()):
            return layers(hidden.flatten(0, 1)).view(hidden.shape)
        ignored = ~mask & mask.any(-1, keepdim=True)  # a channel of padding alone attends to itself: no NaN
        return layers(hidden.flatten(0, 1), src_key_padding_mask=ignored.flatten(0, 1)).view(hidden.shape)

    def _nearest(self, hidden: torch.Tensor) -> torch.Tensor:
        return (hidden.detach().float() @ self._codewords().detach().float().T).argmax(-1)

    @torch.no_grad()
    def _renew(self, codes: torch.Tensor, rows: torch.Tensor) -> None:
        """Put rows of the batch in the place of codewords that nothing has chosen for long."""
        (counts,) = summed_over_processes(torch.bincount(codes, minlength=self.codebook_size))
        self.use.lerp_(counts / counts.sum(), 1 - _DECAY)
        rare = self.use < _RENEWED_AFTER / self.codebook_size
        drawn = of_first_process(rows[torch.randint(len(rows), (self.codebook_size,), device=rows.device)])
        self.codebook.weight.copy_(
            torch.where(rare[:, None], drawn.to(self.codebook.weight.dtype), self.codebook.weight)
        )
        self.use.copy_(torch.where(rare, 1 / self.codebook_size, self.use))


def _transformer(dim: int, n_heads: int, n_layers: int, dropout: float) -> nn.Module:
    layer = nn.TransformerEncoderLayer(
        dim, n_heads, 4 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(layer, n_layers, enable_nested_tensor=False)
