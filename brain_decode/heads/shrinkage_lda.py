"""Linear discriminant analysis with a shrunk covariance."""

from __future__ import annotations

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brain_decode.core.errors import unknown_option
from brain_decode.heads.linear_classifier import ClosedFormLinearClassifier
from brain_decode.signals.spec import TargetSpec

__all__ = ["ShrinkageLDA"]


class ShrinkageLDA(ClosedFormLinearClassifier):
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

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, priors: str = "equal") -> None:
        super().__init__(embedding_dim, target_spec)
        if priors not in ("equal", "training"):
            raise unknown_option("priors", priors, ("equal", "training"))
        self.priors = priors

    def fitted_model(self, embedding: np.ndarray, targets: np.ndarray) -> LinearDiscriminantAnalysis:
        """Return the fitted model of scikit-learn."""
        n_classes = len(self.target_spec.classes)
        shares = np.full(n_classes, 1 / n_classes) if self.priors == "equal" else None
        return LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=shares).fit(embedding, targets)
