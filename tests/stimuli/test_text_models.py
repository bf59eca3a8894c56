"""Vectors of concepts."""

from __future__ import annotations

import pytest
import torch

from brain_decode.core.errors import ConfigError
from brain_decode.stimuli.text_models import TextModel, concept_words

CONCEPTS = ["00001_aircraft_carrier", "cat"]


def test_the_words_of_a_concept_lose_index_and_underscores():
    assert [concept_words(name) for name in CONCEPTS] == ["aircraft carrier", "cat"]


@torch.no_grad()
def test_clip_puts_the_concept_into_a_sentence(saved_model):
    from transformers import CLIPModel

    folder = saved_model("clip")
    model = CLIPModel.from_pretrained(folder).eval()
    found = TextModel(folder).embed(CONCEPTS)
    for row, ids in enumerate(([1, 3, 4, 5, 10, 11, 2], [1, 3, 4, 5, 7, 2])):  # this picture is ...
        wanted = model.text_projection(model.text_model(torch.tensor([ids])).pooler_output)
        torch.testing.assert_close(found[row : row + 1], wanted)


@torch.no_grad()
def test_siglip_sees_its_full_length(saved_model):
    from transformers import SiglipModel

    folder = saved_model("siglip")
    model = SiglipModel.from_pretrained(folder).eval()
    ids = torch.tensor([[1, 3, 4, 5, 7, *[2] * 11]])
    torch.testing.assert_close(TextModel(folder).embed(["cat"]), model.text_model(ids).pooler_output)


@torch.no_grad()
def test_any_encoder_is_averaged_over_its_words(saved_model):
    from transformers import BertModel

    folder = saved_model("bert")
    model = BertModel.from_pretrained(folder).eval()
    found = TextModel(folder, template="a {concept}", pooling="mean").embed(CONCEPTS)
    wanted = model(torch.tensor([[1, 6, 7, 2]])).last_hidden_state.mean(dim=1)
    torch.testing.assert_close(found[1:], wanted)


def test_another_sentence_describes_itself_otherwise(saved_model):
    folder = saved_model("clip")
    assert TextModel(folder).describe() != TextModel(folder, template="a {concept}").describe()


def test_what_cannot_be_used_is_refused(saved_model):
    folder = saved_model("clip")
    with pytest.raises(ConfigError, match="has {concept} in it; got 'a picture'"):
        TextModel(folder, template="a picture")
    with pytest.raises(ConfigError, match="Unknown pooling of texts 'max'"):
        TextModel(folder, pooling="max")
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ConfigError, match="has no tokenizer"):
        TextModel(folder)
