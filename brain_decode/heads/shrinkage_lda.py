"""Linear discriminant analysis with a shrunk covariance."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.preprocessing import StandardScaler

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
        training_shares = np.bincount(targets, minlength=n_classes) / len(targets)
        shares = np.full(n_classes, 1 / n_classes) if self.priors == "equal" else training_shares
        weights, bias = _discriminant((embedding - mean) / scale, targets, shares)
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


def _discriminant(columns: np.ndarray, targets: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (dim, outputs) weights and (outputs,) bias; one output of log odds for two classes."""
    if columns.shape[1] > len(columns):
        wide = _wide_discriminant(columns, targets, shares)
        if wide is not None:
            return wide
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=shares)
    model.fit(columns, targets)
    return model.coef_.T, model.intercept_


def _wide_discriminant(
    columns: np.ndarray, targets: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what scikit-learn's would be, without the (dim, dim) covariance: it is a diagonal plus one of rank n.

    None where no class shrinks, so that the diagonal is zero and the covariance has no inverse.

    Source: Woodbury's identity; shrinkage per class on standardised columns as in scikit-learn.
    """
    means = np.stack([columns[targets == index].mean(axis=0) for index in range(len(shares))])
    diagonal, rows = np.zeros(columns.shape[1]), []
    for index, share in enumerate(shares):
        own = columns[targets == index]
        scaler = StandardScaler().fit(own)
        amount, mean_variance = _ledoit_wolf(scaler.transform(own))
        diagonal += share * amount * mean_variance * scaler.scale_**2
        rows.append(np.sqrt(share * (1 - amount) / len(own)) * (own - means[index]))
    if not (diagonal > 0).all():
        return None
    spread = np.concatenate(rows)
    whitened, scaled_means = spread / diagonal, means.T / diagonal[:, None]
    inner = np.eye(len(spread)) + whitened @ spread.T
    weights = scaled_means - whitened.T @ np.linalg.solve(inner, spread @ scaled_means)
    bias = np.log(shares) - 0.5 * np.einsum("kd,dk->k", means, weights)
    if len(shares) == 2:
        return weights[:, 1:] - weights[:, :1], bias[1:] - bias[:1]
    return weights, bias


def _ledoit_wolf(centred: np.ndarray) -> tuple[float, float]:
    """Return the amount of shrinkage and the mean variance of the columns, from (n, n) products alone."""
    n_rows, n_columns = centred.shape
    sizes = (centred**2).sum(axis=1)
    mean_variance = float(sizes.sum() / n_rows / n_columns)
    square = float(((centred @ centred.T) ** 2).sum() / n_rows**2)
    noise = (float((sizes**2).sum()) / n_rows - square) / (n_columns * n_rows)
    distance = square / n_columns - mean_variance**2
    return (min(noise, distance) / distance if noise > 0 and distance > 0 else 0.0), mean_variance
