"""NICE: temporal filters, a mean filter, one spatial filter bank and a projection (Song et al. 2024)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from brain_decode.core.errors import DataError
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.projector import projector_from_official
from brain_decode.nn.temporal_spatial_stem import StemLayers, initialise_stem, stem_from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["NICE", "from_official"]


class NICE(StemLayers, Encoder):
    """Encoder of NICE, for windows of one montage.

    Args:
        signal_spec: Sizes of the windows; 63 channels x 250 samples at 250 Hz in the paper.
        n_filters: Temporal filters, spatial filters and values per token.
        temporal_samples: Length of a temporal filter.
        pool_samples: Length of the mean filter.
        pool_step: Samples from one token to the next.
        dropout: Share of values dropped after the spatial filters.

    Raises:
        SpecMismatch: Windows shorter than one token.

    Source: Song et al. 2024 and the authors' `nice_stand.py`. Differs: in the order of the arithmetic, not in the
    result, see `StemLayers`.
    """

    architecture = "nice"

    def __init__(
        self,
        signal_spec: SignalSpec,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = 51,
        pool_step: int = 5,
        dropout: float = 0.5,
    ) -> None:
        Encoder.__init__(self, signal_spec)
        self.add_stem(
            signal_spec.n_channels,
            signal_spec.n_times,
            model="NICE",
            n_filters=n_filters,
            temporal_samples=temporal_samples,
            pool_samples=pool_samples,
            pool_step=pool_step,
            dropout=dropout,
        )
        self.embedding_dim = self.n_tokens * n_filters
        self.apply(initialise_stem)

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened tokens, time before filters, and the tokens (batch, token, filter)."""
        self.require_spec(batch)
        tokens = self.stem_tokens(batch.signal)
        return BrainEmbedding(tokens.flatten(1), tokens)


def from_official(state_dict: Mapping[str, torch.Tensor]) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Map the authors' weights to state dicts of `NICE` and of the projector of the retrieval head.

    Args:
        state_dict: Their encoder and projector, keys prefixed `Enc_eeg.` and `Proj_eeg.`; any float type.

    Returns:
        Encoder and projector weights in float32; the projector is empty where none was given.

    Raises:
        DataError: An encoder weight is missing.
    """
    try:
        encoder = stem_from_official(state_dict, "Enc_eeg.0.")
    except KeyError as error:
        raise DataError(
            f"These are not NICE weights: {error} is missing. Prefix the encoder's keys with Enc_eeg."
        ) from error
    return encoder, projector_from_official(state_dict, "Proj_eeg.")
