"""Embeddings of recordings by pretrained encoders, before any head is fitted."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest
import torch
import yaml

from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, DataError
from brain_decode.decoder.pretrained import save_encoder
from brain_decode.decoder.pretrained_embedding import embed_by_pretrained
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.mne_conversion import recording_from_epochs, recording_from_raw
from brain_decode.signals.recording import Entities
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.windows import Windows

TOKENIZER = {"window_samples": 64, "n_filters": 4, "ratios": [4, 2, 2], "dim": 16, "n_sources": 3, "n_heads": 2,
             "codebook_dim": 16, "codebook_size": 32, "n_levels": 2}  # fmt: skip
STEPS = {"signal_steps": [{"step": "resample", "settings": {"rate_hz": 256.0}}],
         "window_steps": [{"step": "sensor_type_scale"}], "rejection": None}  # fmt: skip
CHANNELS = ("Fz", "Cz", "Pz", "Oz", "EOG")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    other = Sensors(("a", "b"), ("eeg", "eeg"))
    encoder = BrainOmni(SignalSpec(other, 64, 256.0), TOKENIZER, dim=16, n_heads=4, depth=2)
    save_encoder(encoder, tmp_path / "weights", {"name": "small", "licence": "CC0", "preprocessing": STEPS})
    return tmp_path / "weights"


@pytest.fixture
def raw() -> mne.io.RawArray:
    rng = np.random.default_rng(1)
    info = mne.create_info(list(CHANNELS), 128.0, ["eeg"] * 4 + ["eog"])
    recording = mne.io.RawArray(1e-5 * rng.standard_normal((5, 128 * 9)), info, verbose="error")
    places = dict(zip(CHANNELS, rng.normal(0.0, 0.06, (4, 3)), strict=False))
    recording.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    recording.set_annotations(mne.Annotations([1.0], [0.0], ["tap"]))
    return recording


def test_windows_follow_each_other_whatever_the_sensors_and_events_are(weights: Path, raw: mne.io.RawArray):
    recording = recording_from_raw(raw, entities=Entities("01"))
    found, onset_s = embed_by_pretrained(weights, recording, window_s=2.0)
    assert onset_s.tolist() == [0.0, 2.0, 4.0, 6.0]
    steps = Preprocessing.from_json(STEPS)
    signal = raw.copy().pick("eeg").resample(256.0, verbose="error").get_data()
    sensors = recording.space.pick(range(4))
    cut = np.stack([signal[:, start : start + 512] for start in range(0, 2048, 512)]).astype(np.float32)
    batch = SignalBatch.from_windows(steps.apply_windows(Windows(cut, 256.0, 0.0, sensors)))
    encoder = BrainOmni.from_pretrained(weights, SignalSpec(sensors, 512, 256.0))
    with torch.no_grad():
        expected = encoder(batch).pooled.numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_sensors_marked_bad_are_left_out(weights: Path, raw: mne.io.RawArray):
    marked, without = raw.copy(), raw.copy().drop_channels(["Cz"])
    marked.info["bads"] = ["Cz"]
    first, second = (
        embed_by_pretrained(weights, recording_from_raw(given, entities=Entities("01")), window_s=2.0)[0]
        for given in (marked, without)
    )
    np.testing.assert_array_equal(first, second)


def test_cut_trials_are_embedded_as_they_are(weights: Path, raw: mne.io.RawArray):
    raw = raw.copy().resample(256.0, verbose="error")
    events = np.array([[300, 0, 1], [900, 0, 1], [1500, 0, 1]])
    epochs = mne.Epochs(raw, events, tmin=-0.2, tmax=0.8, baseline=None, preload=True, verbose="error")
    recording = recording_from_epochs(epochs, entities=Entities("01"))
    steps = {**STEPS, "signal_steps": []}
    encoder = BrainOmni.from_pretrained(weights, SignalSpec(recording.space, 257, 256.0))
    save_encoder(encoder, weights, {"name": "small", "licence": "CC0", "preprocessing": steps})
    found, onset_s = embed_by_pretrained(weights, recording, window_s=10.0)
    assert found.shape == (3, 48) and len(onset_s) == 3
    assert np.linalg.norm(found[0] - found[1]) > 1e-4


def test_the_command_writes_embeddings_and_refuses_what_it_cannot_use(
    weights: Path, raw: mne.io.RawArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    raw.save(tmp_path / "rest_raw.fif", verbose="error")
    words = ["embed", f"checkpoint={weights}", f"input={tmp_path / 'rest_raw.fif'}"]
    assert main([*words, "window_s=3", f"out={tmp_path / 'out'}"]) == 0
    with np.load(tmp_path / "out" / "embeddings.npz") as stored:
        assert stored["embedding"].shape == (3, 48) and stored["onset_s"].tolist() == [0.0, 3.0, 6.0]
    assert capsys.readouterr().err == ""
    for extra, message in (
        ("window_s=60", "The recording is shorter than one window"),
        ("window_s=0", "window_s is a length in seconds above 0, got 0"),
        ("events=some.tsv", "leave out events="),
    ):
        assert main([*words, extra, f"out={tmp_path / 'refused'}"]) in (1, 2)
        assert message in capsys.readouterr().err
        assert not (tmp_path / "refused").exists()


def test_channels_of_a_file_are_named_typed_and_placed_as_the_person_says(
    weights: Path, raw: mne.io.RawArray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    bare = raw.copy().set_montage(None, verbose="error").rename_channels({"Fz": "FZ.", "EOG": "Extra"})
    bare.set_channel_types({"Extra": "eeg"}, verbose="error")
    bare.save(tmp_path / "bare_raw.fif", verbose="error")
    words = ["embed", f"checkpoint={weights}", f"input={tmp_path / 'bare_raw.fif'}", "window_s=3"]
    assert main([*words, f"out={tmp_path / 'refused'}"]) == 1
    assert "channels.montage=standard_1005 of a file" in capsys.readouterr().err
    told = ["channels.montage=standard_1005", "channels.channel_names=clean", "channels.channel_types={Extra: misc}"]
    assert main([*words, *told, f"out={tmp_path / 'out'}"]) == 0
    with np.load(tmp_path / "out" / "embeddings.npz") as stored:
        assert stored["embedding"].shape == (3, 48)


def test_encoders_that_do_not_say_their_preprocessing_and_recordings_without_brain_sensors_are_refused(
    weights: Path, raw: mne.io.RawArray
):
    eyes = recording_from_raw(raw.copy().pick(["EOG"]), entities=Entities("01"))
    with pytest.raises(DataError, match=r"has no good brain sensors among \['eog'\]"):
        embed_by_pretrained(weights, eyes, window_s=2.0)
    encoder = BrainOmni.from_pretrained(weights, SignalSpec(eyes.space, 512, 256.0))
    save_encoder(encoder, weights, {"name": "small", "licence": "CC0"})
    with pytest.raises(ConfigError, match="does not say how recordings are preprocessed"):
        embed_by_pretrained(weights, eyes, window_s=2.0)


def test_the_official_steps_differ_from_the_corrected_ones_in_the_scale_alone(repository: Path):
    folder = repository / "conf" / "preprocessing"
    corrected, official = (
        yaml.safe_load((folder / f"{name}.yaml").read_text()) for name in ("brainomni", "brainomni_official")
    )
    assert official.pop("window_steps") == [{"step": "sensor_type_scale", "settings": {"compat": "official"}}]
    assert corrected.pop("window_steps") == [{"step": "sensor_type_scale"}] and official == corrected
