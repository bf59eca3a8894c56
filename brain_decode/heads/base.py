"""The interface of every head: an embedding in, an answer out."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from brain_decode.encoders.base import BrainEmbedding
from brain_decode.nn.closed_form import FittedBuffers
from brain_decode.nn.recorded_config import record_config
from brain_decode.signals.spec import TargetSpec, Task

__all__ = ["ClosedFormHead", "Head"]

_GALLERY_BATCH = 1024  # stimuli passed through a head at once


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

    def target_vectors(self, target: torch.Tensor) -> torch.Tensor:
        """Return the vectors (stimulus, dim) that outputs of retrieval are compared with.

        Here they are the features as they are; of several levels, (stimulus, level, dim), the mean of unit vectors. A
        head that learns a mixture of levels, or adapts the features, does it here.
        """
        return target if target.ndim == 2 else functional.normalize(target, dim=-1).mean(dim=1)

    @torch.no_grad()
    def gallery_vectors(self, features: np.ndarray) -> np.ndarray:
        """Return what answers of retrieval are compared with, (stimulus, dim), as `target_vectors` makes it.

        Args:
            features: (stimulus, dim) or (stimulus, level, dim), as the head was trained with.
        """
        was_training = self.training
        self.eval()
        starts = range(0, len(features), _GALLERY_BATCH)
        parts = [
            self.target_vectors(torch.from_numpy(np.array(features[start : start + _GALLERY_BATCH])))
            for start in starts
        ]
        self.train(was_training)
        return torch.cat(parts).cpu().numpy() if parts else np.zeros((0, self.target_spec.dim))

    @abstractmethod
    def forward(self, embedding: BrainEmbedding) -> torch.Tensor:
        """Return raw outputs: logits (batch, classes), values (batch, dim) or vectors (batch, dim)."""

    @abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the scalar training loss; `target` is class indices (batch,), vectors (batch, dim) or, of several
        levels, (batch, level, dim)."""

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
