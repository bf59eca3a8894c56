"""Embeddings of a stream equal those of the same samples cut out and encoded whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.encoders.embedding_stream import EmbeddingStream
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

RATE_HZ, WINDOW, STRIDE = 256.0, 128, 96
TOKENIZER = {"window_samples": WINDOW, "n_filters": 4, "dim": 16, "n_sources": 3, "n_heads": 2, "codebook_dim": 16}
SENSORS = Sensors(tuple("abcd"), ("eeg",) * 4, np.random.default_rng(0).normal(0, 0.06, (4, 12)))
SIGNAL = np.random.default_rng(1).standard_normal((2, 4, 1000)).astype(np.float32)


@pytest.fixture
def encoder() -> BrainOmni:
    torch.manual_seed(0)
    return BrainOmni(SignalSpec(SENSORS, 1000, RATE_HZ), TOKENIZER, dim=16, n_heads=4, depth=2).eval()


def piece(start: int, stop: int) -> SignalBatch:
    return SignalBatch.from_array(SIGNAL[:, :, start:stop], SENSORS, RATE_HZ)


@pytest.mark.parametrize("step", [40, 97, 300])
def test_each_embedding_is_that_of_the_last_windows_encoded_whole(encoder: BrainOmni, step: int):
    stream, n_complete = EmbeddingStream(encoder, n_windows=3), 0
    for stop in range(step, SIGNAL.shape[2] + 1, step):
        found = stream.push(piece(stop - step, stop))
        now = max((stop - WINDOW) // STRIDE + 1, 0)
        assert (found is None) == (now == n_complete)
        n_complete = now
        if found is not None:
            first = max(now - 3, 0) * STRIDE
            whole = encoder(piece(first, (now - 1) * STRIDE + WINDOW))
            torch.testing.assert_close(found.pooled, whole.pooled, rtol=1e-5, atol=1e-6)
            torch.testing.assert_close(found.sequence, whole.sequence, rtol=1e-5, atol=1e-6)
    assert n_complete >= 5


def test_a_stream_keeps_its_sensors_and_looks_back_at_something(encoder: BrainOmni):
    stream = EmbeddingStream(encoder)
    stream.push(piece(0, 50))
    with pytest.raises(SpecMismatch, match="A stream keeps its recordings and sensors"):
        stream.push(SignalBatch.from_array(SIGNAL[:, :3], SENSORS.pick([0, 1, 2]), RATE_HZ))
    with pytest.raises(ConfigError, match="got n_windows=0"):
        EmbeddingStream(encoder, n_windows=0)
