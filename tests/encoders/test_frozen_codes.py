"""Encoders that read the codes of a frozen tokenizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.decoder.frozen_codes import encoder_of_codes
from brain_decode.decoder.pretrained import save_encoder, save_tokenizer
from brain_decode.encoders.code_anomaly import CodeAnomaly
from brain_decode.encoders.code_ngrams import CodeNgrams
from brain_decode.encoders.eegformer import EEGFormer
from brain_decode.encoders.eegnet import EEGNet
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ

SMALL = {"patch_samples": 16, "max_patches": 4, "dim": 16, "n_heads": 2, "n_layers": 1, "codebook_size": 8}
TOKENIZER = {"architecture": "eegformer_vq", **SMALL}
SPEC = SignalSpec(Sensors(("Cz", "Pz"), ("eeg", "eeg"), np.zeros((2, 12))), 64, 256.0)
CODES = np.array([[[1, 2, 1, 2], [3, 3, 3, -1]], [[1, 1, 1, 1], [3, 2, 1, 0]]])


class _Given(CodeNgrams):
    """Counts codes that were written down."""

    architecture = "code_ngrams"

    def codes(self, windows: np.ndarray, level: int) -> np.ndarray:
        return CODES[: len(windows)]


def reader(**settings: int) -> CodeNgrams:
    encoder = _Given(SPEC, TOKENIZER, **settings)
    encoder.fit_arrays(np.zeros((2, 2, 64)), None)
    return encoder


def test_words_are_counted_per_channel_and_masked_steps_are_in_none():
    encoder = reader(longest=2, n_ngrams=50)
    counts = encoder.transform(np.zeros((2, 2, 64)))
    by_word = {
        (word["space"], *word["codes"]): counts[:, column].tolist()
        for column, word in enumerate(encoder.words())
        if word is not None
    }
    assert by_word == {
        (0, 1): [2, 4], (0, 2): [2, 0], (0, 1, 2): [2, 0], (0, 2, 1): [1, 0], (0, 1, 1): [0, 3],
        (1, 3): [3, 1], (1, 3, 3): [2, 0], (1, 2): [0, 1], (1, 1): [0, 1], (1, 0): [0, 1],
        (1, 3, 2): [0, 1], (1, 2, 1): [0, 1], (1, 1, 0): [0, 1],
    }  # fmt: skip


def test_the_vocabulary_keeps_the_most_frequent_words():
    words = reader(longest=1, n_ngrams=2).words()
    assert words == [{"space": 0, "codes": [1]}, {"space": 1, "codes": [3]}]


def test_occurrences_say_where_a_word_begins():
    encoder = reader(longest=2, n_ngrams=50)
    places = encoder.occurrences(np.zeros((2, 2, 64)))
    column = encoder.words().index({"space": 0, "codes": [1, 2]})
    assert np.argwhere(places == column).tolist() == [[0, 1, 0, 0], [0, 1, 0, 2]]


@pytest.mark.parametrize("wrong", [{"longest": 0}, {"n_ngrams": 0}, {"level": 1}, {"longest": 40}])
def test_numbers_that_make_no_words_are_refused(wrong: dict[str, int]):
    with pytest.raises(ConfigError, match="code_ngrams needs|too many to be numbered"):
        CodeNgrams(SPEC, TOKENIZER, **wrong)


def test_a_tokenizer_without_a_name_is_refused():
    with pytest.raises(ConfigError, match="tokenizer needs its architecture"):
        CodeNgrams(SPEC, SMALL)


def signals(n_windows: int = 20) -> np.ndarray:
    times = np.arange(64) / 256
    rng = np.random.default_rng(0)
    return np.sin(2 * np.pi * 16 * times) + 0.1 * rng.standard_normal((n_windows, 2, 64))


def test_windows_unlike_those_of_training_have_higher_anomaly_scores():
    torch.manual_seed(0)
    encoder = CodeAnomaly(SPEC, TOKENIZER)
    encoder.fit_arrays(signals(), None)
    assert encoder.transform(signals()).mean(0) == pytest.approx(0, abs=1e-6)
    unlike = 5 * np.random.default_rng(1).standard_normal((10, 2, 64))
    assert encoder.score(unlike).min() > encoder.score(signals()).max()


def test_codes_are_read_from_a_tokenizer_and_from_an_encoder_that_has_one(tmp_path: Path):
    torch.manual_seed(0)
    whole = EEGFormer(SPEC, tokenizer=dict(SMALL))
    save_encoder(whole, tmp_path / "encoder", {"name": "small"})
    save_tokenizer(whole.tokenizer, tmp_path / "tokenizer", {"name": "small"})
    found = [encoder_of_codes(SPEC, tmp_path / kind, "code_ngrams") for kind in ("encoder", "tokenizer")]
    codes = [encoder.codes(signals(), 0) for encoder in found]
    assert np.array_equal(codes[0], codes[1])
    rebuilt = CodeNgrams(SPEC, **found[0].config)
    assert rebuilt.tokenizer.config == whole.tokenizer.config
    other = encoder_of_codes(SPEC, tmp_path / "tokenizer", "code_ngrams", weights="random")
    assert not np.array_equal(other.codes(signals(), 0), codes[0])


def test_sources_and_readings_that_do_not_exist_are_refused(tmp_path: Path):
    save_encoder(EEGNet(SPEC), tmp_path / "eegnet", {"name": "small"})
    with pytest.raises(ConfigError, match="without a tokenizer"):
        encoder_of_codes(SPEC, tmp_path / "eegnet", "code_ngrams")
    folder = save_tokenizer(EEGFormerVQ(**SMALL), tmp_path / "tokenizer", {"name": "small"})
    with pytest.raises(ConfigError, match="does not read codes"):
        encoder_of_codes(SPEC, folder, "eegnet")
    with pytest.raises(ConfigError, match="Did you mean 'random'"):
        encoder_of_codes(SPEC, folder, "code_ngrams", weights="randm")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match="damaged"):
        encoder_of_codes(SPEC, folder, "code_ngrams")
