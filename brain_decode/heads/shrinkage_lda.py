"""Linear discriminant analysis with a shrunk covariance."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brain_decode.core.errors import unknown_option
from brain_decode.heads.base import ClosedFormHead
from brain_decode.nn.standardise import class_logits, class_targets, column_scale
from brain_decode.signals.spec import TargetSpec

__all__ = ["ShrinkageLDA"]


class ShrinkageLDA(ClosedFormHead):
    """Linear discriminant analysis whose covariance is shrunk by Ledoit and Wolf's rule.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Classes in the order of the output columns.
        priors: "equal" (probabilities are those of equally frequent classes) or "training" (their training shares).

    Raises:
        ConfigError: Unknown priors.

    Source: Blankertz et al. 2011; scikit-learn.
    """

    architecture = "shrinkage_lda"
    tasks = ("classification",)
    fitted_names = ("mean", "scale", "weights", "bias")

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, priors: str = "equal") -> None:
        super().__init__(embedding_dim, target_spec)
        if priors not in ("equal", "training"):
            raise unknown_option("priors", priors, ("equal", "training"))
        self.priors = priors

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, dim) embeddings and (n,) class indices.

        Raises:
            DataError: A class without training windows.
        """
        targets = class_targets(target, self.target_spec.classes)
        mean, scale = column_scale(embedding)
        n_classes = len(self.target_spec.classes)
        shares = np.full(n_classes, 1 / n_classes) if self.priors == "equal" else None
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=shares)
        model.fit((embedding - mean) / scale, targets)
        self.store_fitted(mean=mean, scale=scale, weights=model.coef_.T, bias=model.intercept_)

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
