"""Linear discriminants of embeddings with more values than windows equal those with the whole covariance."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brain_decode.heads import shrinkage_lda
from brain_decode.heads.shrinkage_lda import ShrinkageLDA
from brain_decode.signals.spec import TargetSpec


def problem(n_classes: int, n: int = 40, dim: int = 90) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    target = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    embedding = rng.standard_normal((n, dim)) @ rng.standard_normal((dim, dim))
    return embedding + 2 * target[:, None], target


@pytest.mark.parametrize("priors", ["equal", "training"])
@pytest.mark.parametrize("n_classes", [2, 3, 8])
def test_a_wide_embedding_gives_what_scikit_learn_gives(n_classes: int, priors: str) -> None:
    embedding, target = problem(n_classes)
    head = ShrinkageLDA(90, TargetSpec("classification", tuple(map(str, range(n_classes)))), priors)
    head.fit_arrays(embedding, target)
    columns = (embedding - embedding.mean(axis=0)) / embedding.std(axis=0)
    shares = np.full(n_classes, 1 / n_classes) if priors == "equal" else None
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=shares).fit(columns, target)
    np.testing.assert_allclose(head.fitted("weights"), model.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(head.fitted("bias"), model.intercept_, rtol=1e-6, atol=1e-9)


def test_a_constant_column_and_a_class_of_one_window_change_nothing() -> None:
    embedding, target = problem(3)
    target[target == 2] = 0
    target[5] = 2
    embedding[:, 7] = 4.0
    columns = (embedding - embedding.mean(axis=0)) / np.where(embedding.std(axis=0) > 0, embedding.std(axis=0), 1)
    shares = np.full(3, 1 / 3)
    model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto", priors=shares).fit(columns, target)
    weights, bias = shrinkage_lda._discriminant(columns, target, shares)
    np.testing.assert_allclose(weights, model.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(bias, model.intercept_, rtol=1e-6, atol=1e-9)


def test_a_volume_of_voxels_needs_no_covariance_of_voxels() -> None:
    embedding = np.random.default_rng(0).standard_normal((20, 20_000))
    head = ShrinkageLDA(20_000, TargetSpec("classification", ("a", "b")))
    tracemalloc.start()
    head.fit_arrays(embedding, np.arange(20) % 2)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12 * embedding.nbytes  # the covariance alone would be 1000 times the embedding
