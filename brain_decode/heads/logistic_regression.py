"""Regularised multinomial logistic regression, fitted in closed form by scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.heads.base import ClosedFormHead
from brain_decode.nn.standardise import class_logits, class_targets, column_scale
from brain_decode.signals.spec import TargetSpec

__all__ = ["LogisticRegression"]


class LogisticRegression(ClosedFormHead):
    """Logistic regression on standardised embeddings.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Classes in the order of the output columns.
        c: Inverse strength of the L2 penalty of scikit-learn, before division by the number of values, so that
            one setting suits short and long embeddings.
        class_weight: "balanced" (every class counts the same, whatever its share of the windows) or null. With
            "balanced", probabilities are those of equally frequent classes.

    Raises:
        ConfigError: A strength that is not positive or an unknown class weight.
    """

    architecture = "logistic_regression"
    tasks = ("classification",)
    fitted_names = ("mean", "scale", "weights", "bias")

    def __init__(
        self, embedding_dim: int, target_spec: TargetSpec, c: float = 1.0, class_weight: str | None = "balanced"
    ) -> None:
        super().__init__(embedding_dim, target_spec)
        if c <= 0:
            raise ConfigError(f"The inverse penalty c of logistic_regression must be positive, got {c}.")
        if class_weight not in ("balanced", None):
            raise unknown_option("class weight", class_weight, ("balanced", "null"))
        self.c = c
        self.class_weight = class_weight

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, dim) embeddings and (n,) class indices.

        Raises:
            DataError: A class without training windows.
        """
        targets = class_targets(target, self.target_spec.classes)
        mean, scale = column_scale(embedding)
        strength = self.c / np.sqrt(embedding.shape[1])
        model = SklearnLogisticRegression(C=strength, class_weight=self.class_weight, max_iter=2000, tol=1e-6)
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
