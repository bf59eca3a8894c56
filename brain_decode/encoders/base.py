"""The interface of every encoder: a batch of windows in, vectors out."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from brain_decode.core.errors import SpecMismatch
from brain_decode.nn.architectures import resolve_architecture
from brain_decode.nn.closed_form import FittedBuffers
from brain_decode.nn.recorded_config import record_config
from brain_decode.nn.weights_folder import PretrainedPart, build_pretrained, read_part
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.spec import SignalSpec

__all__ = ["BrainEmbedding", "ClosedFormEncoder", "Encoder"]


@dataclass(frozen=True)
class BrainEmbedding:
    """What an encoder returns.

    Args:
        pooled: (batch, dim), one vector per window.
        sequence: (batch, token, dim) where the encoder keeps tokens, else None.
    """

    pooled: torch.Tensor
    sequence: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.pooled)

    def to(self, device: torch.device | str) -> BrainEmbedding:
        """Return the vectors on another device."""
        return BrainEmbedding(self.pooled.to(device), None if self.sequence is None else self.sequence.to(device))


class Encoder(nn.Module, ABC):
    """Windows to vectors.

    A subclass lives in a module named after its `architecture` (`encoders/nice.py`, `architecture = "nice"`), takes
    `signal_spec` first and only JSON-able arguments after it, and sets `embedding_dim`. Its constructor arguments are
    recorded in `config`, from which a saved decoder rebuilds it.
    """

    architecture: ClassVar[str]
    needs_one_montage: ClassVar[bool] = True  # False for encoders that accept mixed montages in a batch
    embeds_tokens: ClassVar[bool] = False  # True where `forward` takes what its frozen tokenizer made, too
    low_rank_layers: ClassVar[tuple[str, ...]] = ()  # last parts of the names of the layers that LoRA adapts
    embedding_dim: int
    config: dict[str, Any]
    layer_decay: float | None = None  # in fine-tuning, the rate of a layer over that of the next one

    def __init__(self, signal_spec: SignalSpec) -> None:
        super().__init__()
        self.signal_spec = signal_spec

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls) or cls.__name__.startswith(("_", "ClosedForm")):
            return
        if not isinstance(getattr(cls, "architecture", None), str):
            raise TypeError(f"{cls.__name__} is an encoder and must define `architecture`.")
        record_config(cls)

    @classmethod
    def from_pretrained(cls, source: str | Path, signal_spec: SignalSpec) -> Self:
        """Return a pretrained encoder, ready for evaluation.

        Args:
            source: Folder, run folder, or Hub id.
            signal_spec: Of the windows it is to embed.

        Raises:
            ConfigError: Nothing there, or not an encoder of this class.
            DataError: Damaged files, or weights that do not fit.
        """
        return cls.from_part(read_part(source, kind="encoder"), signal_spec)

    @classmethod
    def from_part(cls, part: PretrainedPart, signal_spec: SignalSpec) -> Self:
        """Return the encoder that a pretrained part holds; errors as in `from_pretrained`."""
        found = resolve_architecture("encoder", "encoders", part.architecture, Encoder)
        return build_pretrained(cls, found, part, signal_spec)

    @property
    def learns_by_gradient(self) -> bool:
        """True when training has anything to change: neither fitted in closed form nor frozen."""
        return any(parameter.requires_grad for parameter in self.parameters())

    @abstractmethod
    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        """Return the embedding of each window."""

    def require_spec(self, batch: SignalBatch) -> None:
        """Refuse a batch of other sizes than the encoder was built for.

        Raises:
            SpecMismatch: Channel count, length or rate differ.
        """
        expected = (self.signal_spec.n_channels, self.signal_spec.n_times)
        received = (batch.signal.shape[1], batch.signal.shape[2])
        if expected != received or abs(batch.rate_hz - self.signal_spec.rate_hz) > 1e-6:
            raise SpecMismatch(
                f"{type(self).__name__} was built for {expected[0]} channels x {expected[1]} samples at "
                f"{self.signal_spec.rate_hz:g} Hz; the batch has {received[0]} x {received[1]} at {batch.rate_hz:g} "
                "Hz. Use the preprocessing saved with the decoder."
            )


class ClosedFormEncoder(FittedBuffers, Encoder):
    """An encoder fitted in closed form; works in float64 numpy, its arrays are buffers.

    Attributes:
        sees_labels: False where `fit` makes nothing of labels, so that a permutation test need not fit it again.
    """

    sees_labels: ClassVar[bool] = True

    def __init__(self, signal_spec: SignalSpec) -> None:
        super().__init__(signal_spec)
        self.register_fitted()

    @abstractmethod
    def fit_arrays(self, windows: np.ndarray, labels: np.ndarray | None) -> None:
        """Fit on (window, channel, time) float64 training windows and (window,) labels (None for regression)."""

    @abstractmethod
    def transform(self, windows: np.ndarray) -> np.ndarray:
        """Return (window, embedding_dim) float64."""

    def prepare(self, windows: np.ndarray) -> Any:
        """Return what `fit_prepared` needs of training windows: all that does not depend on their labels."""
        return windows

    def fit_prepared(self, prepared: Any, labels: np.ndarray | None) -> np.ndarray:
        """Fit, and return what `transform` makes of the training windows."""
        self.fit_arrays(prepared, labels)
        return self.transform(prepared)

    def fit(self, batch: SignalBatch, labels: np.ndarray | None) -> BrainEmbedding:
        """Fit on a training batch, and return its embedding."""
        return BrainEmbedding(torch.from_numpy(self.fit_prepared(self.prepare(self.samples(batch)), labels)))

    def samples(self, batch: SignalBatch) -> np.ndarray:
        """Return the windows of a batch as float64; refuses other sizes than the encoder was built for."""
        self.require_spec(batch)
        return batch.signal.detach().cpu().double().numpy()

    def forward(self, batch: SignalBatch) -> BrainEmbedding:
        return BrainEmbedding(torch.from_numpy(self.transform(self.samples(batch))))
