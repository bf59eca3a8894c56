"""The interface of every tokenizer: windows in, discrete codes out, and back."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from brain_decode.core.errors import SpecMismatch
from brain_decode.nn.architectures import resolve_architecture
from brain_decode.nn.recorded_config import record_config
from brain_decode.nn.weights_folder import PretrainedPart, build_pretrained, read_part
from brain_decode.signals.batch import SignalBatch

__all__ = ["Reconstruction", "Tokenizer", "Tokens"]


@dataclass(frozen=True)
class Tokens:
    """What a tokenizer makes of a batch of windows.

    Args:
        features: (batch, space, time, dim) float, the sum of the codewords; zero where masked.
        codes: (batch, space, time, level) int64 in [0, codebook_size); 0 where masked.
        mask: (batch, space, time) bool; False where a recording of the batch is shorter or has fewer channels.
    """

    features: torch.Tensor
    codes: torch.Tensor
    mask: torch.Tensor

    def __len__(self) -> int:
        return int(self.codes.shape[0])

    def to(self, device: torch.device | str) -> Tokens:
        """Return the tokens on another device."""
        return Tokens(self.features.to(device), self.codes.to(device), self.mask.to(device))


@dataclass(frozen=True)
class Reconstruction:
    """A signal beside what its codes say it was.

    Args:
        target: (batch, channel, time) in the scale the tokenizer reconstructs (each channel of each of its windows at
            zero mean and unit deviation, unless the tokenizer says otherwise).
        estimate: Same shape and scale.
        mask: (batch, channel, time) bool; False where padded or not covered by a whole window.
        frequencies_hz: (time,) of a tokenizer that reconstructs amplitudes: the frequency of each value; None for
            samples.
    """

    target: torch.Tensor
    estimate: torch.Tensor
    mask: torch.Tensor
    frequencies_hz: torch.Tensor | None = None


class Tokenizer(nn.Module, ABC):
    """Signal to codes and back, for any montage it knows the sensor types of.

    A subclass lives in a module named after its `architecture` and takes JSON-able arguments only; they are recorded
    in `config`, from which a saved tokenizer is rebuilt.

    Class attributes:
        architecture: Name of the module.
        rate_hz: Samples per second it was made for.
    """

    architecture: ClassVar[str]
    reconstructs: ClassVar[str] = "signal"  # or "amplitudes"
    per_channel: ClassVar[bool] = False  # True where the space of a token is a channel
    rate_hz: float
    dim: int  # of a token's features
    n_levels: int  # codes per token
    codebook_size: int  # codewords per level
    config: dict[str, Any]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls) or cls.__name__.startswith("_"):
            return
        if not isinstance(getattr(cls, "architecture", None), str):
            raise TypeError(f"{cls.__name__} is a tokenizer and must define `architecture`.")
        record_config(cls)

    @classmethod
    def from_pretrained(cls, source: str | Path) -> Self:
        """Return a pretrained tokenizer, ready for evaluation.

        Args:
            source: Folder, run folder, or Hub id.

        Raises:
            ConfigError: Nothing there, or not a tokenizer of this class.
            DataError: Damaged files, or weights that do not fit.
        """
        return cls.from_part(read_part(source, kind="tokenizer"))

    @classmethod
    def from_part(cls, part: PretrainedPart) -> Self:
        """Return the tokenizer that a pretrained part holds; errors as in `from_pretrained`."""
        found = resolve_architecture("tokenizer", "tokenizers", part.architecture, Tokenizer)
        return build_pretrained(cls, found, part)

    @abstractmethod
    def tokenize(self, batch: SignalBatch) -> Tokens:
        """Return the codes of a batch: deterministic, without gradients, whatever mode the module is in."""

    @abstractmethod
    def reconstruct(self, batch: SignalBatch) -> Reconstruction:
        """Return what the codes of a batch say of its signal: deterministic, without gradients."""

    @abstractmethod
    def pretraining_terms(self, batch: SignalBatch) -> dict[str, torch.Tensor]:
        """Return scalars of self-supervised training: `loss`, which has the gradient, and its parts, detached."""

    def require_rate(self, rate_hz: float) -> None:
        """Refuse windows of another rate.

        Raises:
            SpecMismatch: Another rate than `rate_hz`.
        """
        if abs(rate_hz - self.rate_hz) > 1e-6:
            raise SpecMismatch(
                f"{type(self).__name__} needs {self.rate_hz:g} Hz, the windows have {rate_hz:g} Hz. Add a resample "
                "step: preprocessing=brainomni has one."
            )
