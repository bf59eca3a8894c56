"""xDAWN filters and class averages in tangent space."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.encoders.xdawn_tangent import XdawnTangent
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

SPEC = SignalSpec(Sensors(("C3", "Cz", "C4", "Pz"), ("eeg",) * 4), n_times=80, rate_hz=100.0)


def _evoked_windows(n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % n_classes
    waves = np.sin(2 * np.pi * np.arange(1, n_classes + 1)[:, None] * np.arange(80) / 80)
    patterns = np.eye(4)[:n_classes]
    return (patterns[labels][:, :, None] * waves[labels][:, None] + rng.normal(size=(60, 4, 80))) * 1e-6, labels


@pytest.mark.parametrize("n_classes", [2, 3])
def test_size_follows_classes_and_filters(n_classes):
    windows, labels = _evoked_windows(n_classes)
    encoder = XdawnTangent(SPEC, n_filters=1)
    encoder.fit_arrays(windows, labels)
    size = 2 * n_classes
    assert encoder.embedding_dim == size * (size + 1) // 2
    assert encoder.transform(windows).shape == (60, encoder.embedding_dim)


def test_first_filter_of_a_class_finds_its_channel():
    windows, labels = _evoked_windows(2)
    encoder = XdawnTangent(SPEC, n_filters=1)
    encoder.fit_arrays(windows, labels)
    assert np.abs(encoder.fitted("filters")).argmax(axis=1).tolist() == [0, 1]


def test_missing_labels_are_refused():
    with pytest.raises(ConfigError, match="xdawn_tangent needs class labels"):
        XdawnTangent(SPEC).fit_arrays(np.ones((2, 4, 80)), None)


def test_zero_filters_are_refused():
    with pytest.raises(ConfigError, match="at least one filter per class, got n_filters=0"):
        XdawnTangent(SPEC, n_filters=0)
