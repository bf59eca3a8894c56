"""What linear classifiers share: standardised embeddings in, class probabilities out."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
import torch

from brain_decode.heads.base import ClosedFormHead
from brain_decode.nn.standardise import class_logits, class_targets, column_scale

__all__ = ["ClosedFormLinearClassifier"]


class ClosedFormLinearClassifier(ClosedFormHead):
    """A classifier whose logits are linear in standardised embeddings; a subclass fits weights and bias."""

    tasks = ("classification",)
    fitted_names = ("mean", "scale", "weights", "bias")

    @abstractmethod
    def fit_weights(self, columns: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return (dim, outputs) weights and (outputs,) bias; two classes may have one output of log odds.

        Args:
            columns: (n, dim) standardised embeddings.
            targets: (n,) class indices.
        """

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, dim) embeddings and (n,) class indices.

        Raises:
            DataError: A class without training windows.
        """
        targets = class_targets(target, self.target_spec.classes)
        mean, scale = column_scale(embedding)
        weights, bias = self.fit_weights((embedding - mean) / scale, targets)
        self.store_fitted(mean=mean, scale=scale, weights=weights, bias=bias)

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Return (n, classes) logits."""
        standardised = (embedding - self.fitted("mean")) / self.fitted("scale")
        return class_logits(standardised @ self.fitted("weights") + self.fitted("bias"))

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy."""
        return torch.nn.functional.cross_entropy(output, target)

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return (n, classes) probabilities."""
        return output.softmax(dim=-1)
