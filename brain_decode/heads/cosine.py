"""Retrieval with embeddings that already live in the space of the stimulus features."""

from __future__ import annotations

import numpy as np
import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.heads.base import ClosedFormHead
from brain_decode.signals.spec import TargetSpec

__all__ = ["Cosine"]


class Cosine(ClosedFormHead):
    """The embedding scaled to unit length, to be compared with a gallery by cosine similarity; nothing is fitted.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Features per stimulus, as many as the embedding has values.

    Raises:
        SpecMismatch: The two sizes differ.
    """

    architecture = "cosine"
    tasks = ("retrieval",)

    def __init__(self, embedding_dim: int, target_spec: TargetSpec) -> None:
        super().__init__(embedding_dim, target_spec)
        if embedding_dim != target_spec.n_outputs:
            raise SpecMismatch(
                f"cosine compares embeddings with stimulus features of the same size; the embedding has "
                f"{embedding_dim} values, the features {target_spec.n_outputs}. Use head=ridge to map one to the other."
            )

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Do nothing: the embedding is in the target space already."""

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Return (n, dim) vectors of unit length; a vector of zeros stays as it is."""
        length = np.linalg.norm(embedding, axis=1, keepdims=True)
        return embedding / np.where(length > 0, length, 1.0)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return one minus the mean cosine similarity."""
        vectors = self.target_vectors(target).to(output.dtype)
        return 1 - torch.nn.functional.cosine_similarity(output, vectors, dim=-1).mean()

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the vectors unchanged."""
        return output
