"""ATM-S: attention among channels with a token for the person, then the convolutions of NICE (Li et al. 2024)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, unknown_option
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.nn.dropout import Dropout
from brain_decode.nn.projector import Projector, projector_from_official
from brain_decode.nn.temporal_spatial_stem import POOL_SAMPLES, POOL_STEP, TemporalSpatialStem, stem_from_official
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["ATM", "from_official", "settings_from_official"]

_COMPAT = ("2024", "2026")
_POSITION_BASE = 10000.0


class ATM(Encoder):
    """Encoder of ATM-S, for windows of one montage; each channel is a token.

    Args:
        signal_spec: Sizes of the windows, 63 channels x 250 samples at 250 Hz in the paper, and the training subjects.
        n_heads: Heads of the attention; a head is n_times // n_heads wide.
        n_layers: Attention layers.
        feed_forward: Width inside a feed-forward block.
        dropout: Share of values dropped in embedding, attention and feed-forward.
        n_filters: Filters of the convolutions, and values per token behind them.
        temporal_samples: Length of a temporal filter.
        pool_samples: Length of the mean filter.
        pool_step: Samples from one token to the next.
        filter_dropout: Share of values dropped after the spatial filters.
        subjects: Labels of the subjects that have a token of their own; the training subjects where None. All others
            get the shared token.
        joint_train: Give each of these subjects a linear embedding of time of their own, too.
        hidden_share: Share of training windows that get the shared token instead of their subject's, so that it is
            trained and fits subjects that were never seen; 0 with `compat`.
        projected_dim: Values per vector behind the authors' projector; None ends before it and leaves it to the head.
        compat: "2024" or "2026" restores what the authors' code of that year does: a subject without a token gives the
            whole batch the shared one. The code of 2024 adds no positions, and keeps the subject's token in place of
            the last channel.

    Raises:
        ConfigError: Sizes or options that do not fit each other.
        SpecMismatch: Windows shorter than one token.

    Source: Li et al. 2024 and the authors' code. Differs: in what `compat` names, in the shared token being trained, in
    parts they allocate and never use, and in the order of the arithmetic, see `StemLayers`.
    """

    architecture = "atm"
    low_rank_layers = ("query_key_value", "out", "widen", "narrow")
    subject_rows: torch.Tensor
    positions: torch.Tensor

    def __init__(
        self,
        signal_spec: SignalSpec,
        n_heads: int = 4,
        n_layers: int = 1,
        feed_forward: int = 256,
        dropout: float = 0.25,
        n_filters: int = 40,
        temporal_samples: int = 25,
        pool_samples: int = POOL_SAMPLES,
        pool_step: int = POOL_STEP,
        filter_dropout: float = 0.5,
        subjects: Sequence[str] | None = None,
        joint_train: bool = False,
        hidden_share: float = 0.1,
        projected_dim: int | None = None,
        compat: str | int | None = None,
    ) -> None:
        super().__init__(signal_spec)
        compat = None if compat is None else str(compat)  # a year on the command line is a number
        labels = tuple(signal_spec.subjects if subjects is None else subjects)
        dim = signal_spec.n_times
        _require_options(dim, n_heads, hidden_share, compat, joint_train=joint_train, n_subjects=len(labels))
        self.compat, self.n_subjects = compat, len(labels)
        self.hidden_share = 0.0 if compat else hidden_share
        self.embed_time: nn.Module = _PersonalLinear(self.n_subjects, dim) if joint_train else nn.Linear(dim, dim)
        self.subject_tokens = nn.Parameter(torch.randn(self.n_subjects + 1, dim))  # the last one is shared
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(_Block(dim, n_heads, feed_forward, dropout) for _ in range(n_layers))
        self.normalise = nn.LayerNorm(dim)
        self.stem = TemporalSpatialStem(
            signal_spec.n_channels,
            dim,
            model="ATM",
            n_filters=n_filters,
            temporal_samples=temporal_samples,
            pool_samples=pool_samples,
            pool_step=pool_step,
            dropout=filter_dropout,
        )
        self.projector = None if projected_dim is None else Projector(self.stem.output_dim, projected_dim)
        self.embedding_dim = self.stem.output_dim if projected_dim is None else projected_dim
        self.register_buffer("subject_rows", _subject_rows(signal_spec.subjects, labels), persistent=False)
        self.register_buffer("positions", _sinusoids(signal_spec.n_channels, dim), persistent=False)

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the flattened or projected tokens of the convolutions, and these tokens (batch, token, filter).

        Raises:
            SpecMismatch: With `joint_train`, a window of a subject who was not in training.
        """
        self.require_spec(batch)
        tokens = self.stem(self.channel_tokens(batch))
        flat = tokens.flatten(1)
        return BrainEmbedding(flat if self.projector is None else self.projector(flat), tokens)

    def channel_tokens(self, batch: SignalBatch) -> torch.Tensor:
        """Return what attention makes of the channels, (batch, channel, time)."""
        tokens = self.attended(self.embedded(batch))
        # The authors' slice of 2024 keeps the first tokens, of which the subject's is one.
        return tokens[:, :-1] if self.compat == "2024" else tokens[:, 1:]

    def embedded(self, batch: SignalBatch) -> torch.Tensor:
        """Return the token of the subject, then those of the channels, (batch, 1 + channel, time)."""
        rows = self._rows(batch.subjects)
        signal = batch.signal.to(self.subject_tokens.dtype)
        joint = isinstance(self.embed_time, _PersonalLinear)
        channels = self.embed_time(signal, rows) if joint else self.embed_time(signal)
        if self.compat != "2024":
            channels = channels + self.positions.to(channels.dtype)
        person = self.subject_tokens[self._token_rows(rows)][:, None].to(channels.dtype)
        return self.dropout(torch.cat([person, channels], dim=1))

    def attended(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the tokens behind the attention layers."""
        for block in self.blocks:
            tokens = block(tokens)
        return self.normalise(tokens)

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters that an embedding depends on, from input to output."""
        first = [*self.embed_time.parameters(), self.subject_tokens]
        last = [] if self.projector is None else [list(self.projector.parameters())]
        middle = [list(block.parameters()) for block in self.blocks]
        return [first, *middle, [*self.normalise.parameters(), *self.stem.parameters()], *last]

    def _rows(self, subjects: torch.Tensor) -> torch.Tensor:
        """Return the rows of subjects given by their index in `signal_spec.subjects`, `n_subjects` for unknown ones."""
        n_known = len(self.subject_rows) - 1
        is_known = (subjects >= 0) & (subjects < n_known)
        return self.subject_rows[torch.where(is_known, subjects, n_known)]

    def _token_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return which token each window gets."""
        shared = torch.full_like(rows, self.n_subjects)
        if self.compat is not None:
            return torch.where((rows == self.n_subjects).any(), shared, rows)
        if self.training and self.hidden_share:
            return torch.where(torch.rand(len(rows), device=rows.device) < self.hidden_share, shared, rows)
        return rows


class _PersonalLinear(nn.Module):
    """One linear layer for each subject."""

    def __init__(self, n_subjects: int, dim: int) -> None:
        super().__init__()
        limit = dim**-0.5
        self.weight = nn.Parameter(torch.empty(n_subjects, dim, dim).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.empty(n_subjects, 1, dim).uniform_(-limit, limit))

    def forward(self, signal: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Map (batch, channel, time) by the layer of each window's subject (batch,)."""
        if bool((rows >= len(self.weight)).any()):
            raise SpecMismatch(
                f"ATM with joint_train has one time embedding for each of its {len(self.weight)} training subjects; "
                "this batch holds a window of someone else. Train with encoder.joint_train=false for new people."
            )
        return torch.baddbmm(self.bias[rows], signal, self.weight[rows].transpose(1, 2))


class _Block(nn.Module):
    """Attention and feed-forward, each added to its input and normalised afterwards."""

    def __init__(self, dim: int, n_heads: int, feed_forward: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        width = dim // n_heads * n_heads
        self.query_key_value = nn.Linear(dim, 3 * width)
        self.out = nn.Linear(width, dim)
        self.widen, self.narrow = nn.Linear(dim, feed_forward), nn.Linear(feed_forward, dim)
        self.after_attention, self.after_feed_forward = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map (batch, token, dim) to the same shape."""
        tokens = self.after_attention(tokens + self.dropout(self._attention(tokens)))
        wide = self.dropout(functional.gelu(self.widen(tokens)))
        return self.after_feed_forward(tokens + self.dropout(self.narrow(wide)))

    def _attention(self, tokens: torch.Tensor) -> torch.Tensor:
        parts = self.query_key_value(tokens).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = self._mixed(parts[0], parts[1], parts[2])
        return self.out(mixed.transpose(1, 2).flatten(2))

    def _mixed(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return values weighted by attention, (batch, head, token, width)."""
        if self.training and query.device.type == "cpu":
            # With dropout the fused kernel of processors is not available, and its mask is slow to draw.
            weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
            return self.dropout(weights) @ value
        dropped = self.dropout.p if self.training else 0.0
        return functional.scaled_dot_product_attention(query, key, value, dropout_p=dropped)


def _require_options(
    dim: int, n_heads: int, hidden_share: float, compat: str | None, *, joint_train: bool, n_subjects: int
) -> None:
    if compat is not None and compat not in _COMPAT:
        raise unknown_option("compat", compat, _COMPAT)
    if not 1 <= n_heads <= dim:
        raise ConfigError(f"n_heads is from 1 to the {dim} samples of a window, got {n_heads}.")
    if not 0 <= hidden_share <= 1:
        raise ConfigError(f"hidden_share is a share from 0 to 1, got {hidden_share}.")
    if joint_train and not n_subjects:
        raise ConfigError("joint_train gives each training subject a layer, and no training subject is named.")


def _subject_rows(known: Sequence[str], labels: Sequence[str]) -> torch.Tensor:
    """Return the row of each training subject among the labels that have one, and at the end that of all others."""
    row = {label: index for index, label in enumerate(labels)}
    return torch.tensor([*(row.get(subject, len(labels)) for subject in known), len(labels)], dtype=torch.long)


def _sinusoids(n_positions: int, dim: int) -> torch.Tensor:
    """Return the fixed positions of Transformers, sine and cosine in turn, (position, dim)."""
    rates = torch.exp(torch.arange(0, dim, 2) * (-math.log(_POSITION_BASE) / dim))
    angles = torch.arange(n_positions)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]


def settings_from_official(
    state_dict: Mapping[str, torch.Tensor], *, n_heads: int = 4, compat: str | None = None
) -> dict[str, Any]:
    """Return the arguments of `ATM` that fit the authors' weights.

    Args:
        state_dict: Their model; any float type.
        n_heads: Heads, which weights do not tell.
        compat: Year of the code that the weights were trained with. It decides who the subjects are: the code of 2024
            counts people from 1, so that row 0 is nobody's; that of 2026 (retrieval) from 0.

    Raises:
        DataError: A weight is missing.
    """
    first = 1 if compat == "2026" else 0
    with _named_errors():
        spatial, temporal = state_dict["enc_eeg.0.tsconv.4.weight"], state_dict["enc_eeg.0.tsconv.0.weight"]
        n_subjects = len(state_dict[f"{_EMBEDDING}.subject_embedding.subject_embedding.weight"])
        feed_forward = len(state_dict[f"{_LAYERS}.0.conv1.bias"])
    found = {
        "n_heads": n_heads,
        "n_layers": sum(key.startswith(f"{_LAYERS}.") and key.endswith(".norm1.bias") for key in state_dict),
        "feed_forward": feed_forward,
        "n_filters": len(spatial),
        "temporal_samples": temporal.shape[-1],
        "subjects": [f"{first + row:02d}" for row in range(n_subjects)],
        "joint_train": f"{_EMBEDDING}.value_embedding.0.weight" in state_dict,
        "compat": compat,
    }
    projected = state_dict.get("proj_eeg.0.bias")
    return found | ({} if projected is None else {"projected_dim": len(projected)})


def from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Map the authors' weights to the state dict of an `ATM` that `settings_from_official` describes.

    Layers that their forward pass does not use are left out.

    Args:
        state_dict: Their model; any float type.

    Returns:
        Weights in float32; the projector's are there where theirs are.

    Raises:
        DataError: A weight is missing.
    """
    with _named_errors():
        person = f"{_EMBEDDING}.subject_embedding"
        tokens = [state_dict[f"{person}.subject_embedding.weight"], state_dict[f"{person}.shared_embedding"]]
        own = {"subject_tokens": torch.cat(tokens).float(), **_time_embedding(state_dict)}
        for part in ("weight", "bias"):
            own[f"normalise.{part}"] = state_dict[f"encoder.encoder.norm.{part}"].float()
        for layer in range(sum(key.endswith(".norm1.bias") for key in state_dict)):
            own |= _block_from_official(state_dict, layer)
        own |= {f"stem.{name}": value for name, value in stem_from_official(state_dict, "enc_eeg.0.").items()}
    projector = projector_from_official(state_dict, "proj_eeg.")
    return own | {f"projector.{name}": value for name, value in projector.items()}


def _time_embedding(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the embedding of time: one layer, or the layers of the subjects stacked."""
    place = f"{_EMBEDDING}.value_embedding"
    if f"{place}.weight" in state_dict:
        return {f"embed_time.{part}": state_dict[f"{place}.{part}"].float() for part in ("weight", "bias")}
    n_subjects = len(state_dict[f"{_EMBEDDING}.subject_embedding.subject_embedding.weight"])
    layers = {part: [state_dict[f"{place}.{row}.{part}"] for row in range(n_subjects)] for part in ("weight", "bias")}
    weight, bias = torch.stack(layers["weight"]).float(), torch.stack(layers["bias"]).float()
    return {"embed_time.weight": weight, "embed_time.bias": bias[:, None]}


def _block_from_official(state_dict: Mapping[str, torch.Tensor], layer: int) -> dict[str, torch.Tensor]:
    theirs, own = f"{_LAYERS}.{layer}", f"blocks.{layer}"
    names = {"attention.out_projection": "out", "conv1": "widen", "conv2": "narrow"}
    names |= {"norm1": "after_attention", "norm2": "after_feed_forward"}
    found: dict[str, torch.Tensor] = {}
    for part in ("weight", "bias"):
        parts = [state_dict[f"{theirs}.attention.{name}_projection.{part}"] for name in ("query", "key", "value")]
        found[f"{own}.query_key_value.{part}"] = torch.cat(parts).float()
        for their_name, name in names.items():
            value = state_dict[f"{theirs}.{their_name}.{part}"].float()
            found[f"{own}.{name}.{part}"] = value.squeeze(-1) if value.ndim == 3 else value
    return found


@contextmanager
def _named_errors() -> Iterator[None]:
    """Turn a missing weight into a sentence."""
    try:
        yield
    except KeyError as error:
        raise DataError(f"These are not ATM-S weights: {error} is missing. Give the authors' whole model.") from error


_EMBEDDING = "encoder.enc_embedding"
_LAYERS = "encoder.encoder.attn_layers"
