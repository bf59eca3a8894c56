"""The interface of every head: an embedding in, an answer out."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from brain_decode.encoders.base import BrainEmbedding
from brain_decode.nn.closed_form import FittedBuffers
from brain_decode.nn.recorded_config import record_config
from brain_decode.signals.spec import TargetSpec, Task

__all__ = ["ClosedFormHead", "Head"]


class Head(nn.Module, ABC):
    """Embedding to answer.

    A subclass lives in a module named after its `architecture`, takes `embedding_dim` and `target_spec` first and only
    JSON-able arguments after them.

    `answer` is what evaluation reads: class probabilities (n, classes), values (n, dim), or the vectors (n, dim) that
    are compared with a gallery.
    """

    architecture: ClassVar[str]
    tasks: ClassVar[tuple[Task, ...]]
    config: dict[str, Any]
    needs_training_targets: bool = False  # True: training calls `learn_targets` once before it begins
    share_done: float = 0.0  # of the steps of training; training sets it before each, for losses that change on the way

    def __init__(self, embedding_dim: int, target_spec: TargetSpec) -> None:
        super().__init__()
        self.embedding_dim = embedding_dim
        self.target_spec = target_spec

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if inspect.isabstract(cls) or cls.__name__.startswith(("_", "ClosedForm")):
            return
        missing = [name for name in ("architecture", "tasks") if not hasattr(cls, name)]
        if missing:
            raise TypeError(f"{cls.__name__} is a head and must define {missing}.")
        record_config(cls)

    def learn_targets(self, target: torch.Tensor) -> None:
        """Take what the loss needs from all training targets (class counts, scale); does nothing by default."""

    @abstractmethod
    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return raw outputs: logits (batch, classes), values (batch, dim) or vectors (batch, dim)."""

    @abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the scalar training loss; `target` is class indices (batch,) or vectors (batch, dim)."""

    @abstractmethod
    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Turn raw outputs into probabilities, values or retrieval vectors."""


class ClosedFormHead(FittedBuffers, Head):
    """A head fitted in closed form; works in float64 numpy, its arrays are buffers."""

    def __init__(self, embedding_dim: int, target_spec: TargetSpec) -> None:
        super().__init__(embedding_dim, target_spec)
        self.register_fitted()

    @abstractmethod
    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, dim) float64 embeddings and class indices (n,) or target vectors (n, dim)."""

    @abstractmethod
    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Return logits, values or vectors for (n, dim) float64 embeddings."""

    def fit(self, embedding: BrainEmbedding, target: np.ndarray) -> None:
        """Fit on training embeddings."""
        self.fit_arrays(embedding.pooled.detach().cpu().double().numpy(), target)

    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        return torch.from_numpy(self.scores(embedding.pooled.detach().cpu().double().numpy()))
