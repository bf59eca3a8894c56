"""Retrieval with embeddings that are already in the feature space."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import SpecMismatch
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.cosine import Cosine
from brain_decode.signals.spec import TargetSpec


def test_vectors_have_unit_length_and_keep_their_direction():
    head = Cosine(2, TargetSpec("retrieval", dim=2))
    np.testing.assert_allclose(head.scores(np.array([[3.0, 4.0], [0.0, 0.0]])), [[0.6, 0.8], [0.0, 0.0]])


def test_loss_of_the_same_direction_is_zero():
    head = Cosine(2, TargetSpec("retrieval", dim=2))
    output = head(BrainEmbedding(torch.tensor([[3.0, 4.0]], dtype=torch.float64)))
    assert head.loss(output, torch.tensor([[6.0, 8.0]])).item() == pytest.approx(0.0, abs=1e-12)


def test_it_needs_no_fitting():
    assert Cosine(2, TargetSpec("retrieval", dim=2)).is_fitted


def test_features_of_another_size_are_refused():
    with pytest.raises(SpecMismatch, match="has 4 values, the features 2. Use head=ridge"):
        Cosine(4, TargetSpec("retrieval", dim=2))
