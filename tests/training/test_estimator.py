"""The decoder as a scikit-learn classifier."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.training.estimator import BrainDecoderClassifier


def labelled_windows(n: int = 80, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows in which "strong" has three times the amplitude on the last channel."""
    rng = np.random.default_rng(seed)
    labels = np.array(["quiet", "strong"])[np.arange(n) % 2]
    windows = rng.standard_normal((n, 3, 100)) * 1e-5
    windows[labels == "strong", 2] *= 3
    return windows, labels


def test_it_learns_and_names_the_classes() -> None:
    classifier = BrainDecoderClassifier(rate_hz=100.0).fit(*labelled_windows())
    windows, labels = labelled_windows(seed=1)
    assert classifier.classes_.tolist() == ["quiet", "strong"]
    assert classifier.score(windows, labels) > 0.95


def test_probabilities_follow_the_order_of_the_classes() -> None:
    classifier = BrainDecoderClassifier(rate_hz=100.0).fit(*labelled_windows())
    windows, labels = labelled_windows(seed=1)
    probabilities = classifier.predict_proba(windows)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert probabilities[labels == "strong", 1].mean() > 0.9


def test_it_works_inside_scikit_learn() -> None:
    scores = cross_val_score(BrainDecoderClassifier(rate_hz=100.0), *labelled_windows(), cv=3)
    assert scores.mean() > 0.9


def test_a_clone_has_the_settings_and_is_not_fitted() -> None:
    classifier = BrainDecoderClassifier(rate_hz=100.0, encoder="csp").fit(*labelled_windows())
    copy = clone(classifier)
    assert copy.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(labelled_windows()[0])


def test_whole_numbers_are_labels_too() -> None:
    windows, labels = labelled_windows()
    classifier = BrainDecoderClassifier(rate_hz=100.0).fit(windows, (labels == "strong") + 5)
    assert set(classifier.predict(windows)) == {5, 6}


def test_window_steps_are_fitted_with_the_classifier() -> None:
    steps = [{"step": "zscore"}]
    classifier = BrainDecoderClassifier(rate_hz=100.0, window_steps=steps).fit(*labelled_windows())
    assert classifier.score(*labelled_windows(seed=1)) > 0.9


def test_an_unknown_encoder_names_the_closest() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'tangent_space'"):
        BrainDecoderClassifier(encoder="tangent_spac").fit(*labelled_windows())


def test_samples_that_are_not_finite_are_refused() -> None:
    windows, labels = labelled_windows()
    windows[0, 0, 0] = np.inf
    with pytest.raises(DataError, match="NaN or infinite"):
        BrainDecoderClassifier().fit(windows, labels)


def test_flat_arrays_are_refused_with_the_shape() -> None:
    with pytest.raises(DataError, match=r"got shape \(80, 300\)"):
        BrainDecoderClassifier().fit(labelled_windows()[0].reshape(80, 300), labelled_windows()[1])
