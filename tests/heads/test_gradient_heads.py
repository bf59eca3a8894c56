"""Heads trained by gradient descent: exact losses, temperatures and refusals."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.classification import Classification
from brain_decode.heads.regression import Regression
from brain_decode.heads.retrieval import Retrieval
from brain_decode.signals.spec import TargetSpec

CLASSES = TargetSpec("classification", classes=("a", "b"))
FEATURES = TargetSpec("retrieval", dim=3)


def test_class_weights_scale_the_loss_of_their_class():
    head = Classification(4, CLASSES, class_weights=[1.0, 3.0])
    output, target = torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])
    expected = (1 * math.log(2) + 3 * math.log(1 + math.exp(2))) / 4
    assert float(head.loss(output, target)) == pytest.approx(expected)


def test_balanced_weights_make_every_class_count_the_same():
    head = Classification(4, CLASSES, class_weights="balanced")
    target = torch.tensor([0] * 9 + [1] * 3)
    head.learn_targets(target)
    output = torch.tensor([[1.0, -1.0]]).repeat(12, 1)
    single = functional.cross_entropy(output, target, reduction="none")
    torch.testing.assert_close(head.loss(output, target), (single[:9].mean() + single[9:].mean()) / 2)


def test_balanced_weights_need_every_class():
    with pytest.raises(DataError, match=r"No training window of class \['b'\]"):
        Classification(4, CLASSES, class_weights="balanced").learn_targets(torch.zeros(3))


def test_weights_of_an_unknown_name_are_refused():
    with pytest.raises(ConfigError, match=r"Unknown class weights 'balance'. Did you mean 'balanced'"):
        Classification(4, CLASSES, class_weights="balance")


def test_temperature_undoes_overconfidence_and_keeps_the_answer():
    head = Classification(4, CLASSES)
    target = (torch.arange(100) % 4 > 0).long()  # class b three times of four
    logits = 5.0 * torch.tensor([[0.0, math.log(3)]]).expand(100, 2)
    head.calibrate(logits, target)
    assert float(head.temperature) == pytest.approx(5.0, rel=1e-4)
    torch.testing.assert_close(head.answer(logits)[0], torch.tensor([0.25, 0.75]), rtol=1e-4, atol=0)


def test_temperature_stays_within_its_limits_where_every_answer_is_right():
    head = Classification(4, CLASSES)
    head.calibrate(torch.tensor([[3.0, 0.0], [0.0, 3.0]]), torch.tensor([0, 1]))
    assert 0.05 - 1e-6 <= float(head.temperature) < 1


@pytest.mark.parametrize("weights", [[1.0], [1.0, -1.0]])
def test_class_weights_that_do_not_fit_are_refused(weights: list[float]):
    with pytest.raises(ConfigError, match=r"one non-negative weight for each of 2 classes \(a, b\)"):
        Classification(4, CLASSES, class_weights=weights)


def test_smoothing_of_everything_is_refused():
    with pytest.raises(ConfigError, match=r"label_smoothing is a share in \[0, 1\), got 1.0"):
        Classification(4, CLASSES, label_smoothing=1.0)


@pytest.mark.parametrize(("loss", "expected"), [("mse", (1 + 9) / 2), ("huber", (0.5 + 2.5) / 2)])
def test_regression_losses_are_those_of_their_names(loss: str, expected: float):
    head = Regression(4, TargetSpec("regression", dim=1), loss=loss)
    assert float(head.loss(torch.tensor([[1.0], [3.0]]), torch.zeros(2))) == pytest.approx(expected)


def test_regression_learns_in_standard_deviations_and_answers_in_the_unit_of_the_targets():
    head = Regression(4, TargetSpec("regression", dim=2))
    target = torch.tensor([[1.0, 100.0], [3.0, 300.0]])
    head.learn_targets(target)
    assert float(head.loss(torch.zeros(2, 2), target)) == pytest.approx(1.0)
    torch.testing.assert_close(head.answer(torch.tensor([[-1.0, -1.0], [1.0, 1.0]])), target)


def test_a_constant_target_keeps_its_scale():
    head = Regression(4, TargetSpec("regression", dim=1))
    head.learn_targets(torch.full((5,), 7.0))
    assert float(head.answer(torch.zeros(1, 1))) == 7.0


def test_an_unknown_loss_is_refused_with_the_closest_one():
    with pytest.raises(ConfigError, match=r"Unknown regression loss 'hubert'. Did you mean 'huber'"):
        Regression(4, TargetSpec("regression", dim=1), loss="hubert")


def test_contrastive_loss_is_the_mean_of_both_directions():
    head = Retrieval(4, FEATURES)
    brain, stimulus = torch.randn(5, 3), torch.randn(5, 3)
    logits = functional.normalize(brain, dim=1) @ functional.normalize(stimulus, dim=1).T / 0.07
    both = (-logits.log_softmax(1).diagonal().mean() - logits.log_softmax(0).diagonal().mean()) / 2
    torch.testing.assert_close(head.loss(brain, stimulus), both, rtol=1e-5, atol=0)


def test_windows_of_one_stimulus_are_not_each_others_distractors():
    head = Retrieval(4, FEATURES)
    target = torch.eye(3)[[0, 0, 1, 1]]
    # Both windows of a stimulus are right answers: what remains is the choice between two equal ones.
    assert float(head.loss(target, target)) == pytest.approx(math.log(2), abs=1e-4)


def test_only_a_learned_temperature_is_trained():
    fixed, learned = Retrieval(4, FEATURES), Retrieval(4, FEATURES, learn_temperature=True)
    assert "log_scale" not in dict(fixed.named_parameters())
    assert "log_scale" in dict(learned.named_parameters())
    assert float(learned.log_scale.detach().exp()) == pytest.approx(1 / 0.07, rel=1e-5)


def test_brain_vectors_count_by_their_length_only_where_they_are_not_normalised():
    brain, stimulus = torch.randn(5, 3), torch.randn(5, 3)
    for normalise in (True, False):
        head = Retrieval(4, FEATURES, normalise_brain=normalise)
        same = torch.allclose(head.loss(brain, stimulus), head.loss(3 * brain, stimulus))
        assert same is normalise


def test_the_projector_gives_vectors_of_unit_variance():
    output = Retrieval(4, TargetSpec("retrieval", dim=64)).eval()(BrainEmbedding(torch.randn(5, 4)))
    torch.testing.assert_close(output.var(1, unbiased=False), torch.ones(5), rtol=1e-3, atol=0)


def test_stimulus_vectors_count_by_their_length_only_where_they_are_not_normalised():
    brain, stimulus = torch.randn(5, 3), torch.randn(5, 3)
    for normalise in (True, False):
        head = Retrieval(4, FEATURES, normalise_stimulus=normalise)
        same = torch.allclose(head.loss(brain, stimulus), head.loss(brain, 3 * stimulus))
        assert same is normalise


def test_the_scale_follows_from_the_learned_number_in_the_way_that_was_asked_for():
    brain, stimulus, number = torch.eye(3), torch.eye(3), math.log(1 / 0.07)
    for scale, expected in (("exp", 1 / 0.07), ("linear", number), ("softplus", math.log(1 + 1 / 0.07))):
        similarities = Retrieval(4, FEATURES, scale=scale).similarities(brain, stimulus)
        torch.testing.assert_close(similarities, expected * torch.eye(3))
    with pytest.raises(ConfigError, match="Unknown scale 'expo'. Did you mean 'exp'"):
        Retrieval(4, FEATURES, scale="expo")


def test_the_loss_is_shared_between_regression_and_contrast():
    brain, stimulus = torch.randn(5, 3), torch.randn(5, 3)
    contrast = Retrieval(4, FEATURES).loss(brain, stimulus)
    error = (brain - stimulus).square().mean()
    for share, factor in ((0.0, 1.0), (0.9, 10.0), (1.0, 1.0)):
        head = Retrieval(4, FEATURES, regression_share=share, loss_factor=factor)
        torch.testing.assert_close(head.loss(brain, stimulus), factor * (share * error + (1 - share) * contrast))
    with pytest.raises(ConfigError, match="share of the loss from 0 to 1, got 10"):
        Retrieval(4, FEATURES, regression_share=10)


def test_embeddings_in_the_space_of_the_features_need_no_projector():
    head = Retrieval(3, FEATURES, projector="none")
    assert torch.equal(head(BrainEmbedding(torch.eye(3))), torch.eye(3))
    assert not list(head.parameters())
    with pytest.raises(SpecMismatch, match="the embedding has 4 values, the features 3"):
        Retrieval(4, FEATURES, projector="none")
