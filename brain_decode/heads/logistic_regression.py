"""Regularised multinomial logistic regression, fitted in closed form by scikit-learn."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression as SklearnLogisticRegression

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.heads.linear_classifier import ClosedFormLinearClassifier
from brain_decode.signals.spec import TargetSpec

__all__ = ["LogisticRegression"]


class LogisticRegression(ClosedFormLinearClassifier):
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

    def fit_weights(self, columns: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights and bias of scikit-learn's model."""
        strength = self.c / np.sqrt(columns.shape[1])
        model = SklearnLogisticRegression(C=strength, class_weight=self.class_weight, max_iter=2000, tol=1e-6)
        model.fit(columns, targets)
        return model.coef_.T, model.intercept_
