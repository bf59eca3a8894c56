"""BrainTokenizer: EEG and MEG of any montage to codes of a fixed number of sources, and back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, unknown_option
from brain_decode.signals.batch import SignalBatch
from brain_decode.tokenizers.base import Reconstruction, Tokenizer, Tokens
from brain_decode.tokenizers.reconstruction_loss import reconstruction_terms
from brain_decode.tokenizers.residual_vq import Quantized, ResidualVQ
from brain_decode.tokenizers.seanet import CodecDecoder, CodecEncoder, NormedWeight
from brain_decode.tokenizers.sensor_embedding import SensorEmbedding, SensorGeometry, sensor_geometry

__all__ = ["BrainTokenizer", "from_official", "settings_from_official", "window_starts"]

RATE_HZ = 256.0
_HIDDEN_SHARE = 0.25  # of the sensors in each training step
_NOISE = 0.1  # deviation of what is added to the others
_ELU_GAIN = 1.5  # about the variance that ELU takes from a standard normal signal
_ROWS_AT_ONCE = 224  # channels of model windows that pass the codec together
_COMPAT = ("official",)


class BrainTokenizer(Tokenizer):
    """Windows of any EEG or MEG montage as residual codes of latent sources.

    Windows come in at 256 Hz, scaled by the step `sensor_type_scale`. Each channel of each model window of
    `window_samples` passes a convolutional codec; at every latent step the sources attend to the sensors, whose
    position, orientation and type are embedded; residual codebooks quantise the sources; sensors attend to the sources
    on the way back. Any sensor with a position can be asked for, also one that was not given.

    Args:
        window_samples: Length of a model window; a multiple of the product of `ratios`.
        n_filters: Filters of the codec at full rate.
        ratios: Strides of the codec.
        kernel_size: First filters of the codec.
        last_kernel_size: Last filters of the codec.
        dim: Values per source and latent step.
        n_sources: Latent sources.
        n_heads: Heads of the attention between sensors and sources.
        dropout: Share of values dropped in attention, in training only.
        codebook_dim: Values per codeword.
        codebook_size: Codewords per level.
        n_levels: Levels of the residual quantiser.
        rotation_trick: How gradients pass the quantiser; see `ResidualVQ`.
        compat: "official" restores what the authors' code does and is not meant to do: phases compared without
            wrapping, input noise also in evaluation, rare codewords never renewed; and the start of its weights.

    Raises:
        ConfigError: Sizes that do not fit each other.

    Source: arXiv 2505.18185 and the authors' code. Differs: sensors are hidden per recording, not per batch; padded
    channels and samples are masked; the noise and the renewal as under `compat`.
    """

    architecture = "braintokenizer"
    rate_hz = RATE_HZ

    def __init__(
        self,
        window_samples: int = 512,
        n_filters: int = 32,
        ratios: Sequence[int] = (8, 4, 2),
        kernel_size: int = 5,
        last_kernel_size: int = 5,
        dim: int = 256,
        n_sources: int = 16,
        n_heads: int = 4,
        dropout: float = 0.0,
        codebook_dim: int = 256,
        codebook_size: int = 512,
        n_levels: int = 4,
        rotation_trick: bool = True,
        compat: str | None = None,
    ) -> None:
        super().__init__()
        if compat is not None and compat not in _COMPAT:
            raise unknown_option("compat", compat, _COMPAT)
        _require_sizes(window_samples, ratios, dim, n_heads)
        self.window_samples, self.hop = window_samples, math.prod(ratios)
        self.dim, self.n_sources, self.n_levels, self.codebook_size = dim, n_sources, n_levels, codebook_size
        self.official = compat == "official"
        self.sensors = SensorEmbedding(dim)
        self.codec_encoder = CodecEncoder(n_filters, ratios, kernel_size, last_kernel_size, dim)
        self.codec_decoder = CodecDecoder(n_filters, ratios, kernel_size, last_kernel_size, dim)
        self.to_sources = _SensorsToSources(dim, n_sources, n_heads, dropout)
        self.to_sensors = _SourcesToSensors(dim, n_heads, dropout)
        self.quantizer = ResidualVQ(
            dim, codebook_dim, codebook_size, n_levels, rotation_trick=rotation_trick, renew=not self.official
        )
        self.apply(_initialise)
        if not self.official:
            for part in (self.codec_encoder, self.codec_decoder, self.to_sources, self.to_sensors):
                part.apply(_keep_variance)

    @property
    def steps_per_window(self) -> int:
        """Latent steps of a model window."""
        return self.window_samples // self.hop

    @property
    def sources(self) -> torch.Tensor:
        """(source, dim) learned queries."""
        return self.to_sources.sources

    @torch.no_grad()
    def tokenize(self, batch: SignalBatch, overlap: float = 0.0) -> Tokens:
        """Return the codes of a batch.

        Args:
            batch: At 256 Hz, scaled; any length.
            overlap: Share of a model window that the next one repeats, below 1. Without overlap an incomplete last
                window is left out; with overlap it is continued with zeros, as is a batch shorter than one window.

        Raises:
            SpecMismatch: Another rate, or sensors that are neither EEG nor MEG.
            DataError: Sensors without geometry, NaN in the signal, one sensor of a kind.
        """
        geometry = self._geometry(batch)
        windows = self._windows(batch, overlap)
        was_training = self.training
        self.eval()
        try:
            # Always in float32: under autocast a share of the codes would be others.
            with torch.autocast(windows.device.type, enabled=False):
                features, codes = self._quantized(windows, geometry)
        finally:
            self.train(was_training)
        steps = self._valid_steps(batch, overlap)
        mask = steps[:, None, :].expand(-1, self.n_sources, -1)
        if not bool(mask.all()):
            features, codes = features * mask[..., None], codes * mask[..., None]
        return Tokens(features, codes, mask)

    def _quantized(self, windows: torch.Tensor, geometry: SensorGeometry) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features (batch, source, step, dim) and codes (batch, source, step, level), some windows at a time.

        That bounds the memory of long recordings, and keeps what the codec works on in the processor's cache.
        """
        embedding = self.sensors(geometry)
        at_once = max(_ROWS_AT_ONCE // (windows.shape[0] * windows.shape[1]), 1)
        features, codes = [], []
        for part in windows.split(at_once, dim=2):
            latent = self._latent(part, embedding, geometry.mask)
            quantized = self.quantizer(latent.flatten(0, -2))
            features.append(quantized.features.view(latent.shape).flatten(2, 3))
            codes.append(quantized.codes.view(*latent.shape[:-1], -1).flatten(2, 3))
        return torch.cat(features, dim=2), torch.cat(codes, dim=2)

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the features of codes: (..., level) to (..., dim)."""
        return self.quantizer.lookup(codes)

    @torch.no_grad()
    def reconstruct(self, batch: SignalBatch, hidden: torch.Tensor | None = None) -> Reconstruction:
        """Return the signal, and what its codes say of it, of every sensor.

        Args:
            batch: At 256 Hz, scaled. An incomplete last window is left out.
            hidden: (batch, channel) bool; True for sensors whose signal is not looked at, only their geometry.

        Raises:
            SpecMismatch: Another rate, or sensors that are neither EEG nor MEG.
            DataError: Sensors without geometry, NaN in the signal, nothing visible.
        """
        geometry, windows = self._geometry(batch), self._windows(batch, 0.0)
        visible = geometry.mask if hidden is None else geometry.mask & ~hidden
        was_training = self.training
        self.eval()
        try:
            embedding = self.sensors(geometry)
            latent = self._latent(windows, embedding, _something_visible(visible))
            features = self.quantizer(latent.flatten(0, -2)).features.view_as(latent)
            estimate = self._decoded(features, embedding, geometry.mask)
        finally:
            self.train(was_training)
        covered = self._valid_steps(batch, 0.0).repeat_interleave(self.hop, dim=1)
        mask = geometry.mask[..., None] & covered[:, None, :]
        return Reconstruction(_standardised(windows).flatten(2), estimate.flatten(2), mask)

    def pretraining_terms(self, batch: SignalBatch) -> dict[str, torch.Tensor]:
        """Return the loss of reconstructing all sensors from three quarters of them, and its parts.

        Raises:
            SpecMismatch: Another rate, or sensors that are neither EEG nor MEG.
            DataError: Sensors without geometry, NaN in the signal, or fewer than two sensors.
        """
        geometry, windows = self._geometry(batch), self._windows(batch, 0.0)
        hidden = _drawn_to_hide(geometry.mask)
        noise = torch.randn_like(windows) if self.training or self.official else None
        covered = self._valid_steps(batch, 0.0)[:, :: self.steps_per_window]
        terms, _ = self._stage_one(windows, geometry, hidden, noise, covered)
        return terms

    def _stage_one(
        self,
        windows: torch.Tensor,
        geometry: SensorGeometry,
        hidden: torch.Tensor,
        noise: torch.Tensor | None,
        covered: torch.Tensor,
    ) -> tuple[dict[str, torch.Tensor], Quantized]:
        """Return loss and parts; `covered` is (batch, window), False for windows of padding."""
        embedding = self.sensors(geometry)
        seen = windows if noise is None else windows + _NOISE * noise
        latent = self._latent(seen, embedding, _something_visible(geometry.mask & ~hidden))
        whole = bool(covered.all())
        chosen = covered[:, None, :, None].expand(latent.shape[:-1])
        quantized = self.quantizer(latent.flatten(0, -2) if whole else latent[chosen])
        features = quantized.features.view_as(latent) if whole else _scattered(quantized.features, chosen)
        estimate = self._decoded(features, embedding, geometry.mask)
        rows = geometry.mask[..., None] & covered[:, None, :]
        target = _standardised(windows)
        compared = reconstruction_terms(estimate[rows], target[rows], wrap_phase=not self.official)
        loss = compared.loss + quantized.commitment
        parts = compared.parts() | {"commitment": quantized.commitment.detach()}
        return {"loss": loss} | parts | self._use(quantized.codes), quantized

    @torch.no_grad()
    def _use(self, codes: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the entropy of each level's codes over that of even use."""
        level = torch.arange(self.n_levels, device=codes.device) * self.codebook_size
        counts = torch.bincount((codes + level).flatten(), minlength=self.n_levels * self.codebook_size)
        share = counts.view(self.n_levels, -1) / len(codes)
        entropy = torch.special.entr(share).sum(1) / math.log(self.codebook_size)
        return {f"use_{number}": value for number, value in enumerate(entropy)}

    def _geometry(self, batch: SignalBatch) -> SensorGeometry:
        self.require_rate(batch.rate_hz)
        if not bool(batch.signal.isfinite().all()):
            raise DataError("Windows with NaN or infinite samples cannot be tokenised. Repair or reject them before.")
        return sensor_geometry(batch)

    def _windows(self, batch: SignalBatch, overlap: float) -> torch.Tensor:
        """Return (batch, channel, window, sample) model windows."""
        length, stride, count = self._cut(batch.signal.shape[-1], overlap)
        needed = (count - 1) * stride + length
        signal = batch.signal.to(self.sources.dtype)[..., :needed]
        return functional.pad(signal, (0, needed - signal.shape[-1])).unfold(-1, length, stride)

    def _cut(self, n_times: int, overlap: float) -> tuple[int, int, int]:
        return self.window_samples, *window_starts(n_times, self.window_samples, overlap)

    def _valid_steps(self, batch: SignalBatch, overlap: float) -> torch.Tensor:
        """Return (batch, latent step) bool: the steps that a recording of the batch would have alone."""
        times = batch.time_mask.sum(1)
        longest = self._cut(batch.signal.shape[-1], overlap)[2]
        _, stride, _ = self._cut(batch.signal.shape[-1], overlap)
        extra = torch.clamp(times - self.window_samples, min=0)
        rest = (stride - 1) if overlap > 0 else 0
        count = (extra + rest) // stride + 1
        windows = torch.arange(longest, device=times.device)[None] < count[:, None]
        return windows.repeat_interleave(self.steps_per_window, dim=1)

    def _latent(self, windows: torch.Tensor, embedding: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        """Return (batch, source, window, step, dim) latents of the visible sensors."""
        everything = bool(visible.all())
        rows = windows.flatten(0, 2) if everything else windows[visible].flatten(0, 1)
        encoded = self.codec_encoder(rows)
        if everything:
            maps = encoded.view(*windows.shape[:3], *encoded.shape[1:])
        else:
            maps = _scattered(encoded.view(-1, windows.shape[2], *encoded.shape[1:]), visible)
        return self.to_sources(maps.transpose(-1, -2), embedding, None if everything else visible)

    def _decoded(self, features: torch.Tensor, embedding: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Return (batch, channel, window, sample) of every sensor of the mask; zeros elsewhere."""
        maps = self.to_sensors(features, embedding).transpose(-1, -2)
        if bool(mask.all()):
            return self.codec_decoder(maps.flatten(0, 2)).view(*maps.shape[:3], -1)
        decoded = self.codec_decoder(maps[mask].flatten(0, 1)).view(-1, maps.shape[2], self.window_samples)
        return _scattered(decoded, mask)


class _SensorsToSources(nn.Module):
    """At each latent step the learned sources attend to the sensors (the authors' backward solution)."""

    def __init__(self, dim: int, n_sources: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.sources = nn.Parameter(torch.randn(n_sources, dim))
        self.key, self.value, self.out = nn.Linear(dim, dim), nn.Linear(dim, dim), nn.Linear(dim, dim)

    def forward(self, maps: torch.Tensor, embedding: torch.Tensor, visible: torch.Tensor | None) -> torch.Tensor:
        """Return (batch, source, window, step, dim) of (batch, channel, window, step, dim)."""
        batch, channels, windows, steps, _ = maps.shape
        key = self.key(maps + embedding[:, :, None, None, :])
        keys, values = _by_step(key, self.n_heads), _by_step(self.value(maps), self.n_heads)
        query = self.sources.unflatten(-1, (self.n_heads, -1)).transpose(0, 1).expand(len(keys), -1, -1, -1)
        mask = None
        if visible is not None:
            mask = visible[:, None, :].expand(-1, windows * steps, -1).reshape(-1, 1, 1, channels)
        dropout = self.dropout if self.training else 0.0
        # Under autocast the products are bfloat16 and the learned sources are not.
        attended = functional.scaled_dot_product_attention(
            query.to(keys.dtype), keys, values, attn_mask=mask, dropout_p=dropout
        )
        joined = attended.transpose(1, 2).flatten(2).view(batch, windows, steps, -1, maps.shape[-1])
        return self.out(joined).permute(0, 3, 1, 2, 4)


class _SourcesToSensors(nn.Module):
    """At each latent step every sensor attends to the sources (the authors' forward solution)."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout = n_heads, dropout
        self.key_and_value, self.out = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim)

    def forward(self, features: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return (batch, channel, window, step, dim) of (batch, source, window, step, dim)."""
        batch, _, windows, steps, dim = features.shape
        key, value = self.key_and_value(features).chunk(2, dim=-1)
        query = embedding.unflatten(-1, (self.n_heads, -1)).transpose(1, 2)
        queries = query[:, None].expand(-1, windows * steps, -1, -1, -1).flatten(0, 1)
        attended = functional.scaled_dot_product_attention(
            queries.to(key.dtype),
            _by_step(key, self.n_heads),
            _by_step(value, self.n_heads),
            dropout_p=self.dropout if self.training else 0.0,
        )
        joined = attended.transpose(1, 2).flatten(2).view(batch, windows, steps, -1, dim)
        return self.out(joined).permute(0, 3, 1, 2, 4)


def window_starts(n_times: int, window_samples: int, overlap: float) -> tuple[int, int]:
    """Return the samples from one model window to the next, and how many windows there are.

    Raises:
        ConfigError: An overlap outside [0, 1).
    """
    if not 0 <= overlap < 1:
        raise ConfigError(f"overlap is a share of a window in [0, 1), got {overlap:g}.")
    stride = int(window_samples * (1 - overlap))
    extra = max(n_times - window_samples, 0)
    return stride, (math.ceil(extra / stride) if overlap > 0 else extra // stride) + 1


def _require_sizes(window_samples: int, ratios: Sequence[int], dim: int, n_heads: int) -> None:
    hop = math.prod(ratios)
    if window_samples < hop or window_samples % hop:
        raise ConfigError(
            f"window_samples is a multiple of the product of ratios ({hop}), got {window_samples}. Try {4 * hop}."
        )
    if dim % n_heads:
        raise ConfigError(f"dim is a multiple of n_heads, got {dim} and {n_heads}.")


def _by_step(maps: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Return (batch x window x step, head, space, dim per head) of (batch, space, window, step, dim)."""
    return maps.permute(0, 2, 3, 1, 4).flatten(0, 2).unflatten(-1, (n_heads, -1)).transpose(1, 2)


def _scattered(rows: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return rows at their places, zeros elsewhere: the reverse of `whole[where]`."""
    whole = rows.new_zeros(*where.shape, *rows.shape[1:])
    whole[where] = rows
    return whole


def _standardised(windows: torch.Tensor) -> torch.Tensor:
    windows = windows.float()
    return (windows - windows.mean(-1, keepdim=True)) / (windows.std(-1, keepdim=True) + 1e-6)


def _something_visible(visible: torch.Tensor) -> torch.Tensor:
    if not bool(visible.any(1).all()):
        raise SpecMismatch("A recording has no visible sensor left; BrainTokenizer needs at least two sensors.")
    return visible


def _drawn_to_hide(mask: torch.Tensor) -> torch.Tensor:
    """Return (batch, channel) bool: a random quarter of each recording's sensors, at least one."""
    count = (mask.sum(1) * _HIDDEN_SHARE).long().clamp(min=1)
    order = torch.rand(mask.shape, device=mask.device).masked_fill(~mask, 2.0).argsort(1).argsort(1)
    return (order < count[:, None]) & mask


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def _keep_variance(module: nn.Module) -> None:
    """Start so that signals neither fade nor drown in biases on their way through the layers.

    With the authors' start, the latents of all windows are nearly one direction at first; a small model on little data
    then learns to ignore them (reconstruction stayed at correlation 0 where it reaches 0.5 with this one).
    """
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=module.in_features**-0.5)
    elif isinstance(module, NormedWeight):
        nn.init.normal_(module.direction, std=math.sqrt(_ELU_GAIN / module.fan_in))
        module.set_length()
        nn.init.zeros_(module.bias)


_SETTINGS = {
    "window_length": "window_samples",
    "n_filters": "n_filters",
    "ratios": "ratios",
    "kernel_size": "kernel_size",
    "last_kernel_size": "last_kernel_size",
    "n_dim": "dim",
    "n_neuro": "n_sources",
    "n_head": "n_heads",
    "dropout": "dropout",
    "codebook_dim": "codebook_dim",
    "codebook_size": "codebook_size",
    "num_quantizers": "n_levels",
    "rotation_trick": "rotation_trick",
}


def settings_from_official(constructor: Mapping[str, Any]) -> dict[str, Any]:
    """Return our arguments for the authors' constructor keywords (their `model_cfg.json`).

    Raises:
        ConfigError: A keyword is missing, or the quantiser is another one than the released models'.
    """
    missing = sorted(_SETTINGS.keys() - constructor.keys())
    if missing:
        raise ConfigError(f"The model's configuration lacks {missing}. Use the model_cfg.json of its weights.")
    method = constructor.get("quantize_optimize_method", "ema")
    if method != "ema":
        raise ConfigError(f"Codebooks that are optimised by 'ema' can be converted, not by '{method}'.")
    return {own: constructor[theirs] for theirs, own in _SETTINGS.items()}


def from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Map the authors' weights to a state dict of `BrainTokenizer`.

    Args:
        state_dict: Their tokenizer, keys without the prefix `tokenizer.`.

    Returns:
        Own keys; a key that is not known keeps its name, so that strict loading reports it.
    """
    depth = _codec_depth(state_dict)
    return {_own_key(key, depth): tensor.float() for key, tensor in state_dict.items()}


def _codec_depth(state_dict: Mapping[str, torch.Tensor]) -> int:
    """Return the number of stages, from the position of the codec's last convolution."""
    places = [int(key.split(".")[3]) for key in state_dict if key.startswith("encoder.seanet_encoder.model.")]
    return (max(places) - 3) // 3 if places else 0


_PLAIN = {
    "sensor_embed.sensor_embedding_layer.": "sensors.kind.",
    "sensor_embed.pos_embedding_layer.0.": "sensors.position_in.",
    "sensor_embed.pos_embedding_layer.2.": "sensors.position_out.",
    "sensor_embed.aggregate_mlp.layer.0.": "sensors.widen.",
    "sensor_embed.aggregate_mlp.layer.2.": "sensors.narrow.",
    "sensor_embed.norm.": "sensors.norm.",
    "encoder.neuros": "to_sources.sources",
    "encoder.k_proj.": "to_sources.key.",
    "encoder.backwardsolution.v.": "to_sources.value.",
    "encoder.backwardsolution.proj.": "to_sources.out.",
    "decoder.forwardsolution.kv.": "to_sensors.key_and_value.",
    "decoder.forwardsolution.proj.": "to_sensors.out.",
}
_CODEBOOK = {"inited": "initialised", "cluster_size": "counts", "embed": "codewords", "embed_avg": "sums"}
_NORM = {"weight_g": "length", "weight_v": "direction"}
_UNIT = {"block.1.conv": "narrow", "block.3.conv": "widen", "shortcut.conv": "shortcut"}


def _own_key(key: str, depth: int) -> str:
    for theirs, own in _PLAIN.items():
        if key.startswith(theirs):
            return own + key.removeprefix(theirs)
    if key.startswith("quantizer.rvq.layers."):
        level, rest = key.removeprefix("quantizer.rvq.layers.").split(".", 1)
        rest = _CODEBOOK.get(rest.removeprefix("_codebook."), rest)
        return f"quantizer.levels.{level}.{rest}"
    for theirs, own in (("encoder.seanet_encoder.model.", "encoder"), ("decoder.seanet_decoder.model.", "decoder")):
        if key.startswith(theirs):
            place, rest = key.removeprefix(theirs).split(".", 1)
            return f"codec_{own}." + _codec_key(own, int(place), rest, depth)
    return key


def _codec_key(part: str, place: int, rest: str, depth: int) -> str:
    head, _, name = rest.rpartition(".")
    name = _NORM.get(name, name)
    if place == 0:
        return f"first.conv.{name}"
    if head == "lstm":
        return f"memory.lstm.{name}"
    if place == 3 * depth + 3:
        return f"last.conv.{name}"
    stage = (place - 1) // 3 if part == "encoder" else (place - 2) // 3
    if head == "conv.conv":
        return f"stages.{stage}.resample.conv.{name}"
    if head == "convtr.convtr":
        return f"stages.{stage}.resample.{name}"
    stage = (place - 1) // 3 if part == "encoder" else (place - 4) // 3
    return f"stages.{stage}.residual.{_UNIT.get(head.removesuffix('.conv'), head)}.conv.{name}"
