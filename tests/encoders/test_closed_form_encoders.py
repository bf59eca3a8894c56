"""What every closed-form encoder promises: exact restoring, SI units, rank-deficient data, clear refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.encoders.band_power import BandPower
from brain_decode.encoders.csp import CSP
from brain_decode.encoders.filterbank_tangent import FilterbankTangent
from brain_decode.encoders.flatten import Flatten
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.encoders.time_means import TimeMeans
from brain_decode.encoders.xdawn_tangent import XdawnTangent
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

ENCODERS = [BandPower, CSP, FilterbankTangent, Flatten, TangentSpace, TimeMeans, XdawnTangent]
NAMES = ("Fz", "C3", "Cz", "C4", "Pz")
SENSORS = Sensors(NAMES, ("eeg",) * len(NAMES))
SPEC = SignalSpec(SENSORS, n_times=100, rate_hz=100.0, start_s=-0.2)


def _batch(windows: np.ndarray) -> SignalBatch:
    return SignalBatch.from_array(windows.astype(np.float32), SENSORS, 100.0, start_s=-0.2)


def _microvolts(n_windows: int = 30, n_classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(n_windows) % n_classes
    windows = rng.normal(size=(n_windows, 5, 100))
    windows[np.arange(n_windows), labels] *= 3.0
    return windows * 1e-5, labels


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_a_saved_file_restores_the_embedding_exactly(encoder_class, tmp_path):
    windows, labels = _microvolts()
    fitted = encoder_class(SPEC)
    fitted.fit(_batch(windows), labels)
    save_file(fitted.state_dict(), tmp_path / "model.safetensors")
    restored = encoder_class(SPEC, **fitted.config)
    restored.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert restored.is_fitted
    assert restored.embedding_dim == fitted.embedding_dim
    expected = fitted(_batch(windows)).pooled
    assert expected.shape == (30, fitted.embedding_dim)
    assert torch.equal(restored(_batch(windows)).pooled, expected)


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_a_window_alone_gives_the_embedding_it_has_in_a_batch(encoder_class):
    windows, labels = _microvolts()
    encoder = encoder_class(SPEC)
    encoder.fit(_batch(windows), labels)
    alone = encoder(_batch(windows[3:4])).pooled[0]
    torch.testing.assert_close(alone, encoder(_batch(windows)).pooled[3], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_average_referenced_windows_give_finite_embeddings(encoder_class):
    windows, labels = _microvolts()
    referenced = windows - windows.mean(axis=1, keepdims=True)
    encoder = encoder_class(SPEC)
    encoder.fit(_batch(referenced), labels)
    embedding = encoder(_batch(referenced)).pooled
    assert torch.isfinite(embedding).all()
    assert embedding.shape[1] == encoder.embedding_dim


@pytest.mark.parametrize("encoder_class", [TangentSpace, FilterbankTangent, XdawnTangent, TimeMeans])
def test_embedding_does_not_depend_on_the_unit(encoder_class):
    windows, labels = _microvolts()
    in_volts, in_microvolts = encoder_class(SPEC), encoder_class(SPEC)
    in_volts.fit_arrays(windows, labels)
    in_microvolts.fit_arrays(windows * 1e6, labels)
    np.testing.assert_allclose(
        in_volts.transform(windows), in_microvolts.transform(windows * 1e6), rtol=1e-6, atol=1e-8
    )


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_three_classes_are_supported(encoder_class):
    windows, labels = _microvolts(n_classes=3)
    encoder = encoder_class(SPEC)
    encoder.fit(_batch(windows), labels)
    assert encoder(_batch(windows)).pooled.shape == (30, encoder.embedding_dim)


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_a_flat_channel_is_named(encoder_class):
    windows, labels = _microvolts()
    windows[:, 2] = 0.0
    with pytest.raises(DataError, match="flat in all 30 training windows: Cz"):
        encoder_class(SPEC).fit(_batch(windows), labels)


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_nan_is_refused_when_fitting_and_when_answering(encoder_class):
    windows, labels = _microvolts()
    broken = windows.copy()
    broken[1, 3, 50] = np.nan
    with pytest.raises(DataError, match="1 of 30 windows hold NaN or infinity in C4"):
        encoder_class(SPEC).fit(_batch(broken), labels)
    encoder = encoder_class(SPEC)
    encoder.fit(_batch(windows), labels)
    with pytest.raises(DataError, match="1 of 30 windows hold NaN or infinity in C4"):
        encoder(_batch(broken))


@pytest.mark.parametrize("encoder_class", ENCODERS)
def test_windows_of_another_length_are_refused(encoder_class):
    windows, labels = _microvolts()
    encoder = encoder_class(SPEC)
    encoder.fit(_batch(windows), labels)
    with pytest.raises(SpecMismatch, match="built for 5 channels x 100 samples"):
        encoder(_batch(windows[:, :, :50]))
