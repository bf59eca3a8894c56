"""Ridge regression from embeddings to values or to stimulus features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.heads.base import ClosedFormHead
from brain_decode.nn.standardise import column_scale
from brain_decode.signals.spec import TargetSpec

__all__ = ["Ridge"]

PENALTIES = tuple(10.0**power for power in range(-3, 7))


class Ridge(ClosedFormHead):
    """Linear map from standardised embeddings to target vectors; the penalty is chosen by leave-one-out.

    Serves regression (the values) and retrieval (the feature vector of the stimulus, compared with a gallery).
    Leave-one-out is over windows: where stimuli repeat, their other repetitions stay in, which favours a somewhat
    smaller penalty.

    Args:
        embedding_dim: Values per embedding.
        target_spec: Size of the target vectors.
        alphas: Penalties to choose from, on embeddings of unit variance.

    Raises:
        ConfigError: No penalty, or one that is not positive.
    """

    architecture = "ridge"
    tasks = ("regression", "retrieval")
    fitted_names = ("mean", "scale", "weights", "bias", "alpha")

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, alphas: Sequence[float] = PENALTIES) -> None:
        super().__init__(embedding_dim, target_spec)
        self.alphas = [float(alpha) for alpha in alphas]
        if not self.alphas or min(self.alphas) <= 0:
            raise ConfigError(f"ridge needs positive penalties, got alphas={self.alphas}.")

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, dim) embeddings and (n, values) targets; (n,) is one value each.

        Raises:
            DataError: Targets of another size, or not finite.
        """
        values = np.asarray(target, dtype=np.float64).reshape(len(embedding), -1)
        if values.shape[1] != self.target_spec.dim or not np.isfinite(values).all():
            raise DataError(
                f"ridge was built for finite targets of {self.target_spec.dim} values, got shape {values.shape}."
            )
        mean, scale = column_scale(embedding)
        model = RidgeCV(alphas=self.alphas).fit((embedding - mean) / scale, values)
        weights, bias = np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)
        self.store_fitted(mean=mean, scale=scale, weights=weights, bias=bias, alpha=float(model.alpha_))

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Return (n, values)."""
        standardised = (embedding - self.fitted("mean")) / self.fitted("scale")
        return standardised @ self.fitted("weights") + self.fitted("bias")

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error."""
        if target.ndim == 3:
            target = self.target_vectors(target)
        return torch.nn.functional.mse_loss(output, target.reshape(output.shape).to(output.dtype))

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return the values unchanged."""
        return output
