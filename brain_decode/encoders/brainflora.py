"""BrainFLORA's encoder of one modality: a Medformer over EEG, MEG or voxels, then the convolutions of NICE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.encoders.medformer import Medformer, token_counts
from brain_decode.encoders.token_augmentations import AUGMENTATIONS
from brain_decode.nn.projector import Projector, projector_from_official
from brain_decode.nn.temporal_spatial_stem import TemporalSpatialStem, stem_from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.voxels import Voxels

__all__ = ["BrainFLORA", "from_official", "is_of_voxels", "settings_from_official", "sizes_from_official"]

N_HEADS = 4  # of the authors' weights, whose shapes do not tell


class BrainFLORA(Encoder):
    """Encoder of BrainFLORA for windows of one montage, or for one volume per window.

    Args:
        signal_spec: Sizes of the windows; 63 electrodes x 250 samples at 250 Hz, 271 coils x 201 samples at 200 Hz, or
            voxels in the paper. The samples of a window of voxels are averaged.
        dim: Values per token, and samples that the convolutions run along.
        n_heads: Heads of each attention.
        ff_dim: Hidden width of the feed-forward networks.
        n_layers: Medformer layers.
        patch_samples: Lengths of the patches.
        dropout: Share dropped in the Medformer.
        augmentations: What is done to tokens in training, see `TokenAugmentation`.
        n_filters: Temporal filters, spatial filters and values per token of the convolutions.
        temporal_samples: Length of a temporal filter, along the values of a token.
        pool_samples: Length of the mean filter.
        pool_step: Values from one output token to the next.
        stem_dropout: Share of values dropped after the spatial filters.
        voxel_channels: Channels that voxels are turned into by one linear layer.
        voxel_samples: Samples of each; that layer holds voxels x channels x samples weights, 57 million for 7000.
        projected_dim: Values per vector behind the authors' projector; None ends before it and leaves it to the head.

    Raises:
        SpecMismatch: `dim` is shorter than one token of the convolutions.
        ConfigError: Patch lengths, heads or augmentations that cannot be used.

    Source: Li et al. 2025 (BrainFLORA), `model/*_MedformerTS.py`. Differs: without the classification layer and the
    per-subject layers that no result depends on; in the order of the arithmetic (see `Medformer`, `StemLayers`);
    as many voxels as there are, where the authors fill up to 7000 with zeros.
    """

    architecture = "brainflora"

    def __init__(
        self,
        signal_spec: SignalSpec,
        dim: int = 250,
        n_heads: int = N_HEADS,
        ff_dim: int = 256,
        n_layers: int = 1,
        patch_samples: Sequence[int] = (2, 4, 8),
        dropout: float = 0.25,
        augmentations: Sequence[str] = tuple(AUGMENTATIONS),
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = 51,
        pool_step: int = 5,
        stem_dropout: float = 0.5,
        voxel_channels: int = 8,
        voxel_samples: int = 1024,
        projected_dim: int | None = None,
    ) -> None:
        super().__init__(signal_spec)
        n_channels, n_times = signal_spec.n_channels, signal_spec.n_times
        self.voxels = None
        if isinstance(signal_spec.sensors, Voxels):
            self.voxels = nn.Linear(n_channels, voxel_channels * voxel_samples)
            n_channels, n_times = voxel_channels, voxel_samples
        self.medformer = Medformer(
            n_channels, n_times, dim, n_heads, ff_dim, n_layers, patch_samples, dropout, augmentations
        )
        _require_length(dim, temporal_samples + pool_samples - 1)
        self.stem = TemporalSpatialStem(
            self.medformer.n_tokens,
            dim,
            model="BrainFLORA",
            n_filters=n_filters,
            temporal_samples=temporal_samples,
            pool_samples=pool_samples,
            pool_step=pool_step,
            dropout=stem_dropout,
        )
        self._sizes = (n_channels, n_times)
        self.projector = None if projected_dim is None else Projector(self.stem.output_dim, projected_dim)
        self.embedding_dim = self.stem.output_dim if projected_dim is None else projected_dim

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened or projected tokens of the convolutions, and these tokens (batch, token, filter)."""
        self.require_spec(batch)
        tokens = self.stem(self.medformer(self._channels(batch.signal)))
        flat = tokens.flatten(1)
        return BrainEmbedding(flat if self.projector is None else self.projector(flat), tokens)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters that an embedding depends on, from input to output."""
        first = [*(self.voxels.parameters() if self.voxels else ()), *self.medformer.patches.parameters()]
        middle = [list(layer.parameters()) for layer in self.medformer.layers]
        last = [] if self.projector is None else [list(self.projector.parameters())]
        return [first, *middle, [*self.medformer.norm.parameters(), *self.stem.parameters()], *last]

    def _channels(self, signal: torch.Tensor) -> torch.Tensor:
        """Return (batch, channel, sample): the windows themselves, or what is made of their mean volume."""
        signal = signal.to(self.medformer.norm.weight.dtype)
        return signal if self.voxels is None else self.voxels(signal.mean(-1)).unflatten(1, self._sizes)


def _require_length(dim: int, shortest: int) -> None:
    if dim < shortest:
        raise SpecMismatch(
            f"BrainFLORA's convolutions run along the {dim} values of a token and need at least {shortest}. Raise dim, "
            "or lower temporal_samples and pool_samples."
        )


def from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the authors' encoder as the state dict of the `BrainFLORA` that `settings_from_official` describes.

    Layers they never use are left out.

    Args:
        state_dict: Their weights of one modality; any float type.

    Returns:
        Weights in float32; the projector's are there where theirs are.

    Raises:
        DataError: A weight is missing.
    """
    try:
        n_lengths, n_layers = _count(state_dict, _PATCHES), _count(state_dict, _LAYERS)
        own = {f"stem.{name}": value for name, value in stem_from_official(state_dict, "enc_eeg.0.").items()}
        own |= _patches_from_official(state_dict, n_lengths)
        for number in range(n_layers):
            own |= _layer_from_official(state_dict, number, n_lengths)
        own |= {f"medformer.norm.{part}": state_dict[f"encoder.encoder.norm.{part}"] for part in _PARTS}
    except (KeyError, IndexError) as error:
        raise DataError(
            f"These are not BrainFLORA weights: {error} is missing. Give the file of one encoder."
        ) from error
    own |= {f"projector.{name}": value for name, value in projector_from_official(state_dict, "proj_eeg.").items()}
    own |= {f"voxels.{part}": state_dict[f"proj_fmri.{part}"] for part in _PARTS if f"proj_fmri.{part}" in state_dict}
    return {name: value.float() if value.is_floating_point() else value for name, value in own.items()}


def is_of_voxels(state_dict: Mapping[str, torch.Tensor]) -> bool:
    """Return whether the authors' weights are those of the encoder for voxels."""
    return "proj_fmri.weight" in state_dict


def sizes_from_official(state_dict: Mapping[str, torch.Tensor]) -> tuple[int, int]:
    """Return how many channels (or voxels) and samples the authors' weights are for; the fewest samples that fit.

    Raises:
        DataError: A weight is missing, or its shapes do not belong together.
    """
    settings = settings_from_official(state_dict)
    if is_of_voxels(state_dict):
        return int(state_dict["proj_fmri.weight"].shape[1]), 1
    n_tokens = state_dict["enc_eeg.0.tsconv.4.weight"].shape[2]
    return int(state_dict[_PATCHES.format(0)].shape[2]), _samples_of(n_tokens, settings["patch_samples"])


def settings_from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """Return the settings of `BrainFLORA` that the shapes of the authors' weights tell.

    Raises:
        DataError: A weight is missing, or its shapes do not belong together.
    """
    try:
        patches = [state_dict[_PATCHES.format(number)] for number in range(_count(state_dict, _PATCHES))]
        lengths = [int(weight.shape[3]) for weight in patches]
        settings: dict[str, Any] = {
            "dim": int(patches[0].shape[0]),
            "ff_dim": int(state_dict[_LAYERS.format(0)].shape[0]),
            "n_layers": _count(state_dict, _LAYERS),
            "patch_samples": lengths,
            "n_filters": int(state_dict["enc_eeg.0.tsconv.0.weight"].shape[0]),
            "temporal_samples": int(state_dict["enc_eeg.0.tsconv.0.weight"].shape[3]),
        }
        n_tokens = int(state_dict["enc_eeg.0.tsconv.4.weight"].shape[2])
    except (KeyError, IndexError) as error:
        raise DataError(
            f"These are not BrainFLORA weights: {error} is missing. Give the file of one encoder."
        ) from error
    if "proj_eeg.0.bias" in state_dict:
        settings["projected_dim"] = len(state_dict["proj_eeg.0.bias"])
    if is_of_voxels(state_dict):
        samples = _samples_of(n_tokens, lengths)
        settings |= {"voxel_channels": int(patches[0].shape[2]), "voxel_samples": samples}
    return settings


def _samples_of(n_tokens: int, patch_samples: Sequence[int]) -> int:
    """Return the fewest samples that make so many tokens."""
    shortest = min(patch_samples)
    for n_times in range(n_tokens * shortest + 1):
        if sum(token_counts(n_times, patch_samples)) == n_tokens:
            return n_times
    raise DataError(
        f"No length of windows makes {n_tokens} tokens of patches of {list(patch_samples)} samples, so these weights "
        "do not belong together. Get the file again."
    )


def _count(state_dict: Mapping[str, torch.Tensor], pattern: str) -> int:
    """Return how many weights are numbered from zero on; one at least, so that an absent one is named."""
    number = 0
    while pattern.format(number) in state_dict:
        number += 1
    if not number:
        raise KeyError(pattern.format(0))
    return number


def _patches_from_official(state_dict: Mapping[str, torch.Tensor], n_lengths: int) -> dict[str, torch.Tensor]:
    """Return the patch layers, time before channel, and the vectors of the lengths."""
    own = {
        f"medformer.patches.patches.{number}.weight": state_dict[_PATCHES.format(number)][:, 0]
        .transpose(1, 2)
        .flatten(1)
        for number in range(n_lengths)
    }
    names = [f"encoder.enc_embedding.learnable_embeddings.{number}" for number in range(n_lengths)]
    return own | {"medformer.patches.lengths": torch.cat([state_dict[name] for name in names])}


def _layer_from_official(
    state_dict: Mapping[str, torch.Tensor], number: int, n_lengths: int
) -> dict[str, torch.Tensor]:
    theirs, own = f"encoder.encoder.attn_layers.{number}", f"medformer.layers.{number}"
    attentions = {f"within.{i}": f"intra_attentions.{i}" for i in range(n_lengths)}
    attentions |= {"between": "inter_attention"} if n_lengths > 1 else {}
    found = {}
    for name, official in attentions.items():
        place = f"{theirs}.attention.{official}"
        for part in _PARTS:
            inputs = [state_dict[f"{place}.{kind}_projection.{part}"] for kind in ("query", "key", "value")]
            found[f"{own}.attention.{name}.inputs.{part}"] = torch.cat(inputs)
            found[f"{own}.attention.{name}.outputs.{part}"] = state_dict[f"{place}.out_projection.{part}"]
    layers = {"attention_norm": "norm1", "feed_forward.0": "conv1", "feed_forward.3": "conv2"}
    for name, official in (layers | {"feed_forward_norm": "norm2"}).items():
        for part in _PARTS:
            value = state_dict[f"{theirs}.{official}.{part}"]
            found[f"{own}.{name}.{part}"] = value.squeeze(-1) if value.ndim == 3 else value
    return found


_PARTS = ("weight", "bias")
_PATCHES = "encoder.enc_embedding.value_embeddings.{}.tokenConv.weight"
_LAYERS = "encoder.encoder.attn_layers.{}.conv1.weight"
