"""Naive Bayes on counts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.naive_bayes import NaiveBayes
from brain_decode.signals.spec import TargetSpec

SPEC = TargetSpec("classification", classes=("a", "b"))


def fitted(counts: list[list[float]], target: list[int]) -> NaiveBayes:
    head = NaiveBayes(len(counts[0]), SPEC)
    head.fit(BrainEmbedding(torch.tensor(counts)), np.array(target))
    return head


def test_shares_are_counts_plus_one_over_their_sum():
    head = fitted([[3, 0], [1, 0], [0, 2]], [0, 0, 1])
    assert np.exp(head.fitted("log_shares")) == pytest.approx(np.array([[5 / 6, 1 / 6], [1 / 4, 3 / 4]]))


def test_the_answer_is_bayes_rule_with_classes_equally_likely_beforehand():
    head = fitted([[3, 0], [1, 0], [0, 2]], [0, 0, 1])
    answer = head.answer(head(BrainEmbedding(torch.tensor([[1.0, 1.0]]))))
    first, second = 5 / 6 * 1 / 6, 1 / 4 * 3 / 4
    assert answer[0, 0].item() == pytest.approx(first / (first + second))


def test_evidence_is_the_log_ratio_of_a_class_to_the_others():
    head = fitted([[3, 0], [1, 0], [0, 2]], [0, 0, 1])
    assert head.evidence() == pytest.approx(np.log([[20 / 6, 4 / 18], [6 / 20, 18 / 4]]))


def test_values_that_are_no_counts_are_refused():
    with pytest.raises(SpecMismatch, match="needs counts.*code_ngrams"):
        fitted([[1.0, -1.0], [2.0, 1.0]], [0, 1])


def test_a_smoothing_of_zero_is_refused():
    with pytest.raises(ConfigError, match="smoothing of naive_bayes is a positive number, got 0"):
        NaiveBayes(3, SPEC, smoothing=0)
