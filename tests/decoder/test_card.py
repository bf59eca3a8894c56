"""Cards of decoders and pretrained parts say what their scores promise, and what they do not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from brain_decode import BrainDecoder
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.decoder.card import model_card
from brain_decode.decoder.part_card import part_card
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.heads.logistic_regression import LogisticRegression
from brain_decode.nn.weights_folder import PretrainedPart
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

SCORE = {
    "value": 0.7,
    "ci95": [0.6, 0.8],
    "ci95_about": "these subjects",
    "chance": 0.5,
    "p_permutation": 0.005,
    "p_method": "labels exchanged before fitting",
    "p_smallest": 0.005,
}


@pytest.fixture
def decoder() -> BrainDecoder:
    sensors = Sensors(("Cz", "Pz"), ("eeg", "eeg"))
    spec, target = SignalSpec(sensors, 50, 100.0, 0.0, ("01",)), TargetSpec("classification", ("quiet", "strong"))
    encoder = TangentSpace(spec)
    head = LogisticRegression(encoder.embedding_dim, target)
    return BrainDecoder(Preprocessing(), encoder, head, spec, target, InputSpec(sensors, 100.0, 0.0, 0.5))


def card_of(decoder: BrainDecoder, **changes: Any) -> str:
    decoder.provenance = {"metrics": {"auc": {**SCORE, **changes}}, "protocol": "leave_run_out"}
    return model_card(decoder)


def test_a_score_names_what_its_interval_is_about_and_how_p_was_made(decoder: BrainDecoder) -> None:
    row = "| auc | 0.700 | 0.600 to 0.800 (these subjects) | 0.500 | 0.005 (labels exchanged before fitting) |"
    assert row in card_of(decoder)


def test_reasons_stand_in_the_place_of_what_is_not_given(decoder: BrainDecoder) -> None:
    none = {"ci95": [None, None], "ci95_about": None, "ci95_reason": "these subjects: 2 folds"}
    card = card_of(decoder, **none, p_permutation=None, p_reason="a network is not fitted again")
    assert "| auc | 0.700 | none: these subjects: 2 folds | 0.500 | none: a network is not fitted again |" in card


def test_the_card_claims_no_p_below_the_smallest_possible(decoder: BrainDecoder) -> None:
    assert "| 0.05 (labels exchanged" in card_of(decoder, p_permutation=0.01, p_smallest=0.05)


def test_a_part_names_what_its_intervals_are_about() -> None:
    metrics = {"pearson": SCORE, "bands": SCORE | {"ci95": [None, None], "ci95_about": None}}
    card = part_card(PretrainedPart("tokenizer", "braintokenizer", {}, {"w": torch.zeros(2)}, {"metrics": metrics}))
    assert "- pearson: 0.700 [0.600, 0.800, these subjects], people kept out" in card
    assert "- bands: 0.700, people kept out" in card
