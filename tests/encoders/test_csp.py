"""Common spatial patterns."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.csp import CSP
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("C3", "Cz", "C4", "Pz"), ("eeg",) * 4), n_times=200, rate_hz=100.0)


def _powers(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % n_classes
    windows = rng.normal(size=(60, 4, 200))
    windows[np.arange(60), labels] *= 3.0
    return windows * 1e-6, labels


def test_filters_find_the_channels_whose_power_differs():
    windows, labels = _powers(2)
    encoder = CSP(SPEC, n_filters=2)
    encoder.fit_arrays(windows, labels)
    assert sorted(np.abs(encoder.fitted("filters")).argmax(axis=1).tolist()) == [0, 1]


def test_log_variance_differs_by_the_log_of_the_power_ratio():
    windows, labels = _powers(2)
    encoder = CSP(SPEC, n_filters=2)
    encoder.fit_arrays(windows, labels)
    features = encoder.transform(windows)
    difference = np.abs(features[labels == 0].mean(axis=0) - features[labels == 1].mean(axis=0))
    np.testing.assert_allclose(difference, np.log(9.0), atol=0.1)


def test_three_classes_are_separated():
    windows, labels = _powers(3)
    encoder = CSP(SPEC, n_filters=3)
    encoder.fit_arrays(windows, labels)
    features = encoder.transform(windows)
    centres = np.stack([features[labels == label].mean(axis=0) for label in range(3)])
    nearest = np.linalg.norm(features[:, None] - centres, axis=2).argmin(axis=1)
    assert (nearest == labels).mean() > 0.95


def test_one_class_is_refused():
    with pytest.raises(ConfigError, match="csp needs labels of at least two classes"):
        CSP(SPEC).fit_arrays(np.ones((3, 4, 200)), np.zeros(3))
