"""What every closed-form head promises, and the classifiers together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.cosine import Cosine
from brain_decode.heads.logistic_regression import LogisticRegression
from brain_decode.heads.ridge import Ridge
from brain_decode.heads.shrinkage_lda import ShrinkageLDA
from brain_decode.signals.spec import TargetSpec

CLASSIFIERS = [LogisticRegression, ShrinkageLDA]


def _classes(n_classes: int, n: int = 90) -> tuple[BrainEmbedding, np.ndarray, TargetSpec]:
    rng = np.random.default_rng(0)
    labels = np.arange(n) % n_classes
    vectors = rng.normal(size=(n, 6)) + 4 * np.eye(6)[labels]
    spec = TargetSpec("classification", tuple("abc"[:n_classes]))
    return BrainEmbedding(torch.from_numpy(vectors * 1e-6)), labels, spec


def _fitted(head_class: type) -> tuple[torch.nn.Module, BrainEmbedding, TargetSpec]:
    embedding, labels, spec = _classes(3)
    target = labels if head_class in CLASSIFIERS else embedding.pooled.numpy()
    target_spec = spec if head_class in CLASSIFIERS else TargetSpec("retrieval", dim=6)
    head = head_class(6, target_spec)
    head.fit(embedding, target)
    return head, embedding, target_spec


@pytest.mark.parametrize("head_class", [Cosine, LogisticRegression, Ridge, ShrinkageLDA])
def test_a_saved_file_restores_the_answer_exactly(head_class, tmp_path):
    head, embedding, target_spec = _fitted(head_class)
    save_file(head.state_dict(), tmp_path / "model.safetensors")
    restored = head_class(6, target_spec, **head.config)
    restored.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert torch.equal(restored.answer(restored(embedding)), head.answer(head(embedding)))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("head_class", CLASSIFIERS)
def test_separable_classes_are_recovered_with_probabilities(head_class, n_classes):
    embedding, labels, spec = _classes(n_classes)
    head = head_class(6, spec)
    head.fit(embedding, labels)
    probabilities = head.answer(head(embedding))
    assert probabilities.shape == (90, n_classes)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(90, dtype=torch.float64))
    assert (probabilities.argmax(dim=1).numpy() == labels).mean() > 0.95


@pytest.mark.parametrize("head_class", CLASSIFIERS)
def test_rare_classes_count_as_much_as_frequent_ones(head_class):
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 10 == 0).astype(int)
    vectors = rng.normal(size=(400, 1)) + 2 * labels[:, None]
    head = head_class(1, TargetSpec("classification", ("common", "rare")))
    head.fit(BrainEmbedding(torch.from_numpy(vectors)), labels)
    middle = head.answer(head(BrainEmbedding(torch.tensor([[1.0]], dtype=torch.float64))))
    assert middle[0, 1] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("head_class", CLASSIFIERS)
def test_shuffled_labels_give_chance_on_new_windows(head_class):
    rng = np.random.default_rng(0)
    head = head_class(10, TargetSpec("classification", ("a", "b")))
    head.fit(BrainEmbedding(torch.from_numpy(rng.normal(size=(200, 10)))), rng.permutation(np.arange(200) % 2))
    answers = head.answer(head(BrainEmbedding(torch.from_numpy(rng.normal(size=(2000, 10)))))).argmax(dim=1)
    assert (answers.numpy() == np.arange(2000) % 2).mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("head_class", CLASSIFIERS)
def test_a_class_without_windows_is_named(head_class):
    embedding, labels, spec = _classes(3)
    with pytest.raises(DataError, match="none for c among 90"):
        head_class(6, spec).fit(embedding, np.where(labels == 2, 0, labels))


@pytest.mark.parametrize("head_class", CLASSIFIERS)
def test_a_head_that_was_not_fitted_says_so(head_class):
    embedding, _, spec = _classes(2)
    with pytest.raises(ConfigError, match="is not fitted yet"):
        head_class(6, spec)(embedding)


def test_two_class_logits_agree_with_scikit_learn():
    from sklearn.linear_model import LogisticRegression as Reference

    embedding, labels, spec = _classes(2)
    head = LogisticRegression(6, spec, c=0.5, class_weight=None)
    head.fit(embedding, labels)
    vectors = embedding.pooled.numpy()
    standardised = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    reference = Reference(C=0.5 / np.sqrt(6), tol=1e-6, max_iter=2000).fit(standardised, labels)
    np.testing.assert_allclose(head.answer(head(embedding)).numpy(), reference.predict_proba(standardised), atol=1e-8)


def test_unknown_class_weight_is_refused():
    with pytest.raises(ConfigError, match="Unknown class weight 'balance'. Did you mean 'balanced'?"):
        LogisticRegression(6, TargetSpec("classification", ("a", "b")), class_weight="balance")


def test_penalty_that_is_not_positive_is_refused():
    with pytest.raises(ConfigError, match="must be positive, got 0"):
        LogisticRegression(6, TargetSpec("classification", ("a", "b")), c=0)


def test_unknown_priors_are_refused():
    with pytest.raises(ConfigError, match="Unknown priors 'even'"):
        ShrinkageLDA(6, TargetSpec("classification", ("a", "b")), priors="even")
