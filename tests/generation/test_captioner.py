"""A captioner learns which words belong to a vector while its language model stays as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, StorageError
from brain_decode.generation.captioner import PrefixCaptioner

WORDS = ["<end>", "a", "cat", "dog", "red", "blue", "sits"]
VECTORS = np.eye(4, dtype=np.float32)[:2]
CAPTIONS = ["a red cat", "a blue dog sits"]


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of seven words with random weights."""
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("language") / "model"
    torch.manual_seed(0)
    model = GPT2LMHeadModel(
        GPT2Config(vocab_size=7, n_embd=32, n_layer=1, n_head=2, n_positions=32, initializer_range=0.3, eos_token_id=0)
    )
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<end>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained(language: Path) -> tuple[PrefixCaptioner, list[float]]:
    """A captioner of two captions, and the losses of its training."""
    torch.manual_seed(0)
    captioner = PrefixCaptioner(str(language), 4, n_tokens=3, max_words=6)
    return captioner, captioner.fit(VECTORS, CAPTIONS, epochs=150, lr=3e-2)


def test_it_learns_the_captions_and_says_the_same_in_any_batch(trained):
    captioner, losses = trained
    assert losses[-1] < 0.2 * losses[0]
    assert captioner.caption(VECTORS) == CAPTIONS
    assert captioner.caption(VECTORS, batch_size=1) == CAPTIONS
    assert captioner.caption(VECTORS[:0]) == []


def test_the_language_model_stays_as_it_is(trained, language: Path):
    captioner, _ = trained
    stored = load_file(language / "model.safetensors")
    own = captioner.language.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in stored.items())
    assert set(captioner.state_dict()) == {"prefix.weight", "prefix.bias"}


def test_the_loss_is_that_of_the_words_and_the_end_alone(trained):
    captioner, _ = trained
    vectors = torch.from_numpy(VECTORS)
    together = captioner.loss(vectors, CAPTIONS)
    alone = [captioner.loss(vectors[number, None], [CAPTIONS[number]]) for number in range(2)]
    lengths = [4, 5]  # words and the end
    expected = (alone[0] * lengths[0] + alone[1] * lengths[1]) / sum(lengths)
    torch.testing.assert_close(together, expected, atol=1e-5, rtol=1e-4)


def test_a_saved_captioner_says_the_same(trained, tmp_path: Path):
    captioner, _ = trained
    folder = captioner.save(tmp_path / "captioner")
    assert PrefixCaptioner.load(folder).caption(VECTORS) == CAPTIONS
    with pytest.raises(StorageError, match=r"is there already"):
        captioner.save(folder)
    (folder / "prefix.safetensors").write_bytes(b"half")
    with pytest.raises(DataError, match=r"prefix.safetensors' is damaged or missing"):
        PrefixCaptioner.load(folder)
    (folder / "captioner.json").write_text(json.dumps({"sauce": "x"}))
    with pytest.raises(DataError, match=r"does not describe a captioner: .*'sauce'"):
        PrefixCaptioner.load(folder)
    with pytest.raises(ConfigError, match=r"holds no captioner"):
        PrefixCaptioner.load(tmp_path)


def test_a_seed_gives_the_same_map(language: Path):
    maps = []
    for _ in range(2):
        torch.manual_seed(1)
        captioner = PrefixCaptioner(str(language), 4)
        captioner.fit(VECTORS, CAPTIONS, epochs=2, batch_size=1, seed=5)
        maps.append(captioner.prefix.weight.detach().clone())
    assert torch.equal(*maps)


def test_what_cannot_be_captioned_is_refused(trained, language: Path):
    captioner, _ = trained
    with pytest.raises(SpecMismatch, match=r"takes vectors \(n, 4\), got \(2, 3\)"):
        captioner.caption(VECTORS[:, :3])
    with pytest.raises(DataError, match=r"one caption per vector, got 2 and 1"):
        captioner.fit(VECTORS, CAPTIONS[:1])
    with pytest.raises(ConfigError, match=r"n_tokens=0"):
        PrefixCaptioner(str(language), 4, n_tokens=0)


def test_a_place_without_a_language_model_gives_one_sentence(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"There is no folder '/nowhere/model'"):
        PrefixCaptioner("/nowhere/model", 4)
    with pytest.raises(ConfigError, match=r"gives no causal language model with safetensors.*local folder\.$"):
        PrefixCaptioner(str(tmp_path), 4)
