"""BrainOmni: a Transformer over the codes of BrainTokenizer, across sources and along time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, SpecMismatch, unknown_option
from brain_decode.encoders.base import BrainEmbedding, Encoder
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers import braintokenizer
from brain_decode.tokenizers.base import Tokens
from brain_decode.tokenizers.braintokenizer import BrainTokenizer, window_starts

__all__ = ["BrainOmni", "MaskDraws", "from_official", "settings_from_official"]

_COMPAT = ("official",)
_POOLS = ("mean", "steps")
_ROTARY_BASE = 10000.0
_CACHED_POSITIONS = 240  # beyond which the authors' code makes its table anew, and right
_UNCHANGED_SHARE = 0.2  # of the masked tokens: they get another token instead of the mask's
_EPSILON = 1e-6


class BrainOmni(Encoder):
    """Encoder of EEG and MEG of any montage and length on top of a frozen BrainTokenizer.

    The default sizes are those of the tiny model. Tokens of `n_sources` sources and time steps pass blocks in which one
    half of the values attends along time and the other across sources; the halves change places from block to block.

    Args:
        signal_spec: Of the windows; only the rate matters, montages and lengths may differ.
        tokenizer: Arguments of `BrainTokenizer`; its defaults where None.
        dim: Values per token.
        n_heads: Heads, shared evenly between time and sources.
        depth: Blocks.
        dropout: Share of values dropped in attention and feed-forward, in training only.
        overlap: Share of a tokenizer window that the next one repeats.
        mask_ratio: Share of the tokens that pretraining hides.
        n_levels_predicted: Levels of codes that pretraining predicts; all where None.
        pool: How tokens become the embedding of a window. "mean" (the paper's) averages over time and joins the
            sources: (batch, n_sources * dim), for windows of any length. "steps" joins the steps too, which keeps what
            is when: (batch, n_sources * n_steps * dim), for windows of the length in `signal_spec`.
        compat: "official" restores what the authors' code does with the released weights: the rotary table has lost its
            sines (up to 240 tokens), the last block is left out of embeddings, attention drops values in evaluation
            too; and the tokenizer's own quirks.

    Raises:
        ConfigError: Sizes that do not fit each other.

    Source: arXiv 2505.18185 and the authors' code. Differs: padded tokens are masked, the loss may take fewer levels
    than the tokenizer has, and what `compat` names.
    """

    architecture = "brainomni"
    needs_one_montage = False
    embeds_tokens = True
    pretrains_on: ClassVar[str] = "tokens"
    tokenizer_architecture: ClassVar[str] = "braintokenizer"
    low_rank_layers = ("query_key_value", "out", "widen", "narrow")

    def __init__(
        self,
        signal_spec: SignalSpec,
        tokenizer: Mapping[str, Any] | None = None,
        dim: int = 256,
        n_heads: int = 8,
        depth: int = 12,
        dropout: float = 0.1,
        overlap: float = 0.25,
        mask_ratio: float = 0.5,
        n_levels_predicted: int | None = None,
        pool: str = "mean",
        compat: str | None = None,
    ) -> None:
        super().__init__(signal_spec)
        _require_options(dim, n_heads, mask_ratio, compat)
        if pool not in _POOLS:
            raise unknown_option("pool", pool, _POOLS)
        self.official = compat == "official"
        self.tokenizer = BrainTokenizer(**{**(tokenizer or {}), "compat": compat})
        self.dim, self.overlap, self.mask_ratio = dim, overlap, mask_ratio
        self.n_levels = n_levels_predicted or self.tokenizer.n_levels
        if self.n_levels > self.tokenizer.n_levels:
            raise ConfigError(
                f"n_levels_predicted is at most the tokenizer's {self.tokenizer.n_levels} levels, got {self.n_levels}."
            )
        same = dim == self.tokenizer.dim
        self.projection: nn.Module = nn.Identity() if same else nn.Linear(self.tokenizer.dim, dim)
        self.blocks = nn.ModuleList(_Block(dim, n_heads, dropout, self.official) for _ in range(depth))
        self.mask_token = nn.Parameter(torch.randn(self.tokenizer.dim))
        self.predict = nn.Linear(dim, self.n_levels * self.tokenizer.codebook_size)
        for part in (self.projection, self.blocks, self.predict):
            part.apply(_initialise)
        self.tokenizer.requires_grad_(False)
        self.set_pretraining(False)
        self.pool = pool
        self.embedding_dim = self.tokenizer.n_sources * dim * (self._n_steps() if pool == "steps" else 1)

    def _n_steps(self) -> int:
        """Return the steps of a window of the length in `signal_spec`."""
        length = self.tokenizer.window_samples
        return window_starts(self.signal_spec.n_times, length, self.overlap)[1] * self.tokenizer.steps_per_window

    def set_pretraining(self, on: bool) -> None:
        """Give the parts that only pretraining uses (the mask's vector, the prediction of codes) a gradient or none."""
        self.mask_token.requires_grad_(on)
        self.predict.requires_grad_(on)

    def train(self, mode: bool = True) -> BrainOmni:
        """Set the mode of everything but the tokenizer, which stays as it is for evaluation."""
        super().train(mode)
        self.tokenizer.train(False)
        return self

    def layers(self) -> list[list[nn.Parameter]]:
        """Return the parameters that an embedding depends on, from input to output."""
        parts: list[nn.Module] = [self.projection, *self._used_blocks()]
        return [found for part in parts if (found := list(part.parameters()))]

    def tokenize(self, batch: SignalBatch) -> Tokens:
        """Return the tokens that embeddings and pretraining are made of."""
        return self.tokenizer.tokenize(batch, self.overlap)

    def forward(self, batch: SignalBatch | Tokens) -> BrainEmbedding:
        """Return the pooled tokens, and all of them, (batch, source * step, dim).

        Args:
            batch: Windows, or what `tokenize` made of them.

        Raises:
            SpecMismatch: With pool="steps", windows of another length.
        """
        tokens = batch if isinstance(batch, Tokens) else self.tokenize(batch)
        encoded = self.encode(tokens)
        weight = tokens.mask[..., None].to(encoded.dtype)
        if self.pool == "steps":
            self._require_steps(encoded.shape[2])
            return BrainEmbedding((encoded * weight).flatten(1), encoded.flatten(1, 2))
        pooled = (encoded * weight).sum(2) / weight.sum(2).clamp(min=1)
        return BrainEmbedding(pooled.flatten(1), encoded.flatten(1, 2))

    def _require_steps(self, n_steps: int) -> None:
        if n_steps != self._n_steps():
            raise SpecMismatch(
                f"BrainOmni with pool=steps was built for windows of {self._n_steps()} steps; these have {n_steps}. "
                "Give windows of one length, or choose pool=mean."
            )

    def encode(self, tokens: Tokens) -> torch.Tensor:
        """Return (batch, source, step, dim) of unit length."""
        hidden = self._through(self._projected(tokens.features), tokens.mask, self._used_blocks())
        return functional.normalize(hidden, dim=-1, eps=_EPSILON)

    def pretraining_terms(self, tokens: Tokens, draws: MaskDraws | None = None) -> dict[str, torch.Tensor]:
        """Return the loss of predicting the codes of hidden tokens, and how many were right.

        Args:
            tokens: Of the frozen tokenizer.
            draws: What is hidden; drawn where None.

        Returns:
            `loss` with its gradient; `accuracy` over all levels and `accuracy_0`, … of each; scalars.

        Raises:
            ConfigError: The model was built to hide nothing.
        """
        draws = draws or MaskDraws.draw(tokens.mask)
        hidden = (draws.select <= self.mask_ratio) & tokens.mask
        if not bool(hidden.any()):
            raise ConfigError(f"mask_ratio={self.mask_ratio:g} hides no token of the batch; pretraining needs some.")
        features = self._masked(tokens.features, hidden, draws)
        logits = self.predict(self._through(self._projected(features), tokens.mask, self.blocks)[hidden])
        logits = logits.float().unflatten(-1, (self.n_levels, -1))
        codes = tokens.codes[hidden][:, : self.n_levels]
        loss = functional.cross_entropy(logits.flatten(0, 1), codes.flatten())
        right = (logits.argmax(-1) == codes).float().mean(0)
        per_level = {f"accuracy_{number}": value for number, value in enumerate(right)}
        return {"loss": loss, "accuracy": right.mean()} | per_level

    def _masked(self, features: torch.Tensor, hidden: torch.Tensor, draws: MaskDraws) -> torch.Tensor:
        """Put the mask's vector, or for one in five another token, where a token is hidden."""
        others = features.flatten(0, 2)[draws.others].view_as(features)
        takes_other = hidden & (draws.replace > 1 - _UNCHANGED_SHARE)
        out = torch.where(takes_other[..., None], others, features)
        return torch.where((hidden & ~takes_other)[..., None], self.mask_token.to(features.dtype), out)

    def _projected(self, features: torch.Tensor) -> torch.Tensor:
        # Blocks add up in float32 under autocast too; bfloat16 sums would drift by a percent.
        return self.projection(features + self.tokenizer.sources.detach()[:, None, :]).float()

    def _used_blocks(self) -> list[nn.Module]:
        return list(self.blocks)[:-1] if self.official else list(self.blocks)

    def _through(self, hidden: torch.Tensor, mask: torch.Tensor, blocks: Iterable[nn.Module]) -> torch.Tensor:
        """Run blocks on (batch, source, step, dim)."""
        steps = hidden.shape[2]
        cosine_only = self.official and steps <= _CACHED_POSITIONS
        rotation = rotary_table(steps, self.dim // 2, hidden.device, cosine_only=cosine_only)
        keys = None if bool(mask.all()) else mask[:, 0]
        for block in blocks:
            hidden = block(hidden, rotation, keys)
        return hidden


@dataclass(frozen=True)
class MaskDraws:
    """The randomness of a pretraining step.

    Args:
        select: (batch, source, step) uniform in [0, 1); tokens at or below the mask ratio are hidden.
        replace: Same shape; hidden tokens above 0.8 become another token, the others the mask's vector.
        others: (batch * source * step,) which token that is.
    """

    select: torch.Tensor
    replace: torch.Tensor
    others: torch.Tensor

    @classmethod
    def draw(cls, mask: torch.Tensor) -> MaskDraws:
        """Draw for tokens of this mask; padding is never taken as another token."""
        valid = torch.nonzero(mask.flatten()).squeeze(1)
        if len(valid) == mask.numel():
            others = torch.randperm(mask.numel(), device=mask.device)
        else:
            others = valid[torch.randint(len(valid), (mask.numel(),), device=mask.device)]
        return cls(torch.rand(mask.shape, device=mask.device), torch.rand(mask.shape, device=mask.device), others)


class _Block(nn.Module):
    """Attention along time for one half of the values, across sources for the other, then a feed-forward part."""

    def __init__(self, dim: int, n_heads: int, dropout: float, official: bool) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(dim, eps=_EPSILON)
        self.along_time = _Attention(dim // 2, n_heads // 2, dropout, official)
        self.across_sources = _Attention(dim // 2, n_heads // 2, dropout, official)
        self.feed_norm = nn.RMSNorm(dim, eps=_EPSILON)
        self.widen, self.narrow = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, hidden: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], keys: torch.Tensor | None
    ) -> torch.Tensor:
        """Run on (batch, source, step, dim); `keys` is (batch, step), False for padding."""
        hidden = hidden + self.attend(self.attention_norm(hidden), rotation, keys)
        return hidden + self.dropout(self.narrow(functional.selu(self.widen(self.feed_norm(hidden)), inplace=True)))

    def attend(
        self, hidden: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor], keys: torch.Tensor | None
    ) -> torch.Tensor:
        """Return both attentions, the one across sources first."""
        for_time, for_sources = hidden.chunk(2, dim=-1)
        over_time = self.along_time(for_time, rotation, keys)
        over_sources = self.across_sources(for_sources.transpose(1, 2)).transpose(1, 2)
        return torch.cat([over_sources, over_time], dim=-1)


class _Attention(nn.Module):
    """Self-attention along the third axis of (batch, sequence, token, dim)."""

    def __init__(self, dim: int, n_heads: int, dropout: float, official: bool) -> None:
        super().__init__()
        self.n_heads, self.dropout, self.always_drops = n_heads, dropout, official
        self.query_key_value, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(
        self,
        hidden: torch.Tensor,
        rotation: tuple[torch.Tensor, torch.Tensor] | None = None,
        keys: torch.Tensor | None = None,
    ) -> torch.Tensor:
        query, key, value = self.query_key_value(hidden).chunk(3, dim=-1)
        if rotation is not None:
            query, key = _rotated(query, rotation), _rotated(key, rotation)
        # Four axes: fused attention takes no more.
        attended = functional.scaled_dot_product_attention(
            self._by_head(query),
            self._by_head(key),
            self._by_head(value),
            attn_mask=None if keys is None else keys.repeat_interleave(hidden.shape[1], dim=0)[:, None, None, :],
            dropout_p=self.dropout if self.training or self.always_drops else 0.0,
        )
        return self.out(attended.transpose(1, 2).flatten(-2).view(hidden.shape))

    def _by_head(self, values: torch.Tensor) -> torch.Tensor:
        return values.flatten(0, 1).unflatten(-1, (self.n_heads, -1)).transpose(1, 2)


def rotary_table(
    steps: int, width: int, device: torch.device, *, cosine_only: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return cosines and sines (step, width / 2) of rotary positions.

    The angles are spread over the whole width and dealt to the heads in order, so that the first head turns fastest.

    Args:
        steps: Positions.
        width: Values per position, even.
        device: Where to make it; always in float32, because coarser frequencies are wrong by radians at late positions.
        cosine_only: Sines of zero: what became of the released table when it was saved as real numbers.
    """
    pairs = torch.arange(0, width, 2, dtype=torch.float32, device=device)
    angles = torch.arange(steps, dtype=torch.float32, device=device)[:, None] / _ROTARY_BASE ** (pairs / width)
    return angles.cos(), torch.zeros_like(angles) if cosine_only else angles.sin()


def _rotated(values: torch.Tensor, rotation: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Turn neighbouring pairs of values by the angle of their position."""
    cosine, sine = rotation
    first, second = values.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = torch.stack([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
    return turned.flatten(-2).to(values.dtype)


def _require_options(dim: int, n_heads: int, mask_ratio: float, compat: str | None) -> None:
    if compat is not None and compat not in _COMPAT:
        raise unknown_option("compat", compat, _COMPAT)
    if n_heads % 2 or dim % (2 * n_heads):
        raise ConfigError(
            f"Half of the heads look along time and half across sources: n_heads is even and dim a multiple of twice "
            f"n_heads, got {n_heads} and {dim}."
        )
    if not 0 < mask_ratio < 1:
        raise ConfigError(f"mask_ratio is a share of the tokens in (0, 1), got {mask_ratio:g}.")


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        nn.init.zeros_(module.bias)


_SETTINGS = {
    "lm_dim": "dim",
    "lm_head": "n_heads",
    "lm_depth": "depth",
    "lm_dropout": "dropout",
    "overlap_ratio": "overlap",
    "mask_ratio": "mask_ratio",
    "num_quantizers_used": "n_levels_predicted",
}
_BLOCK_PARTS = {
    "pre_attn_norm": "attention_norm",
    "pre_ff_norm": "feed_norm",
    "time_attn.qkv": "along_time.query_key_value",
    "time_attn.proj": "along_time.out",
    "spatial_attn.qkv": "across_sources.query_key_value",
    "spatial_attn.proj": "across_sources.out",
    "ff.layer.0": "widen",
    "ff.layer.2": "narrow",
}


def settings_from_official(constructor: Mapping[str, Any]) -> dict[str, Any]:
    """Return our arguments for the authors' constructor keywords (their `model_cfg.json`).

    Raises:
        ConfigError: A keyword is missing.
    """
    missing = sorted(_SETTINGS.keys() - constructor.keys())
    if missing:
        raise ConfigError(f"The model's configuration lacks {missing}. Use the model_cfg.json of its weights.")
    own = {ours: constructor[theirs] for theirs, ours in _SETTINGS.items()}
    return own | {"tokenizer": braintokenizer.settings_from_official(constructor)}


def from_official(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Map the authors' weights to a state dict of `BrainOmni`; their rotary tables are left out, ours are computed.

    Args:
        state_dict: Their model, the tokenizer under `tokenizer.`.

    Returns:
        Own keys; a key that is not known keeps its name, so that strict loading reports it.
    """
    theirs = {key.removeprefix("tokenizer."): v for key, v in state_dict.items() if key.startswith("tokenizer.")}
    own = {f"tokenizer.{key}": tensor for key, tensor in braintokenizer.from_official(theirs).items()}
    for key, tensor in state_dict.items():
        if not key.startswith("tokenizer.") and ".rope_embedding_layer." not in key:
            own[_own_key(key)] = tensor.float()
    return own


def _own_key(key: str) -> str:
    if key.startswith("predict_head."):
        return key.replace("predict_head.", "predict.")
    if key.startswith("blocks."):
        _, number, rest = key.split(".", 2)
        part, _, name = rest.rpartition(".")
        return f"blocks.{number}.{_BLOCK_PARTS.get(part, part)}.{name}"
    return key
