"""Random changes of tokens while a network is trained: each call draws one of several, for all windows alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import unknown_option

__all__ = ["AUGMENTATIONS", "TokenAugmentation"]

_CHANCE = 0.5  # of a flip or a shuffle, once it was drawn
_SHARE = 0.1  # of features or frequencies that are hidden, and of values that are dropped
_JITTER = 0.1  # standard deviation of the noise


def _flip(tokens: torch.Tensor) -> torch.Tensor:
    """Return the features in reverse order, or as they were."""
    return tokens.flip(-1) if torch.rand(()) < _CHANCE else tokens


def _shuffle(tokens: torch.Tensor) -> torch.Tensor:
    """Return the tokens in another order, or as they were."""
    if torch.rand(()) >= _CHANCE:
        return tokens
    return tokens[:, torch.randperm(tokens.shape[1], device=tokens.device)]


def _frequency(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens without some frequencies along their features, others for every token."""
    spectrum = torch.fft.rfft(tokens.float(), dim=-1)
    kept = torch.rand(spectrum.shape, device=tokens.device) > _SHARE
    return torch.fft.irfft(spectrum * kept, n=tokens.shape[-1], dim=-1).to(tokens.dtype)


def _jitter(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens with noise."""
    return tokens + _JITTER * torch.randn_like(tokens)


def _mask(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens with some features at zero, the same for all of them."""
    n_features = tokens.shape[-1]
    kept = torch.ones(n_features, dtype=tokens.dtype, device=tokens.device)
    kept[torch.randperm(n_features, device=tokens.device)[: int(_SHARE * n_features)]] = 0.0
    return tokens * kept


def _drop(tokens: torch.Tensor) -> torch.Tensor:
    """Return tokens with single values dropped."""
    return functional.dropout(tokens, _SHARE)


AUGMENTATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "flip": _flip,
    "shuffle": _shuffle,
    "frequency": _frequency,
    "jitter": _jitter,
    "mask": _mask,
    "drop": _drop,
}


class TokenAugmentation(nn.Module):
    """One of several augmentations in training, drawn at each call from torch's generator; nothing in evaluation.

    Args:
        names: Among "flip" (features in reverse order), "shuffle" (tokens in another order), "frequency" (some
            frequencies along the features hidden), "jitter" (noise), "mask" (some features hidden) and "drop" (dropout
            of 0.1). None at all where empty.

    Raises:
        ConfigError: Another name.

    Source: Wang et al. 2024 (Medformer), with the strengths of the authors' code. Differs: everything is drawn from
    torch's generator, so that one seed decides; there, the choice comes from another one.
    """

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        for name in names:
            if name not in AUGMENTATIONS:
                raise unknown_option("augmentation", name, AUGMENTATIONS)
        self.names = tuple(names)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return (batch, token, feature) tokens, changed in training."""
        if not self.training or not self.names:
            return tokens
        return AUGMENTATIONS[self.names[int(torch.randint(len(self.names), ()))]](tokens)
