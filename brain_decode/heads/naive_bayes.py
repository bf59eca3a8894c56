"""Multinomial naive Bayes on counts, fitted by scikit-learn."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.naive_bayes import MultinomialNB

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.heads.base import ClosedFormHead
from brain_decode.nn.standardise import class_targets
from brain_decode.signals.spec import TargetSpec

__all__ = ["NaiveBayes"]


class NaiveBayes(ClosedFormHead):
    """Class probabilities from how often words occur, every class beforehand as likely as the others.

    It counts each word as if it said something of its own, so that probabilities are further from even than they
    should be; their order is what it is good for.

    Args:
        embedding_dim: Words.
        target_spec: Classes in the order of the output columns.
        smoothing: Times each word is taken to have occurred beforehand (Laplace).

    Raises:
        ConfigError: A smoothing that is not positive.
    """

    architecture = "naive_bayes"
    tasks = ("classification",)
    fitted_names = ("log_shares",)

    def __init__(self, embedding_dim: int, target_spec: TargetSpec, smoothing: float = 1.0) -> None:
        super().__init__(embedding_dim, target_spec)
        if smoothing <= 0:
            raise ConfigError(f"smoothing of naive_bayes is a positive number, got {smoothing:g}.")
        self.smoothing = smoothing

    def fit_arrays(self, embedding: np.ndarray, target: np.ndarray) -> None:
        """Fit on (n, words) counts and (n,) class indices.

        Raises:
            DataError: A class without training windows.
            SpecMismatch: Negative values, which cannot be counts.
        """
        targets = class_targets(target, self.target_spec.classes)
        if embedding.min(initial=0) < 0:
            raise SpecMismatch("naive_bayes needs counts, got negative values. Use it with encoder=code_ngrams.")
        model = MultinomialNB(alpha=self.smoothing, fit_prior=False).fit(embedding, targets)
        self.store_fitted(log_shares=model.feature_log_prob_)

    def scores(self, embedding: np.ndarray) -> np.ndarray:
        """Return (n, classes) log-likelihoods."""
        return embedding @ self.fitted("log_shares").T

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean cross-entropy."""
        return torch.nn.functional.cross_entropy(output, target)

    def answer(self, output: torch.Tensor) -> torch.Tensor:
        """Return (n, classes) probabilities."""
        return output.softmax(dim=-1)

    def evidence(self) -> np.ndarray:
        """Return (classes, words): the log of how much likelier a word is in a class than in the others together."""
        log_shares = self.fitted("log_shares")
        shares = np.exp(log_shares)
        others = (shares.sum(0) - shares) / (len(shares) - 1)
        return log_shares - np.log(others)
