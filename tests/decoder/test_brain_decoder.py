"""A decoder answers recordings, is saved and loaded without loss, and refuses what it cannot decode."""

from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from brain_decode import BrainDecoder
from brain_decode.core.errors import ConfigError, DataError, SpecMismatch, StorageError
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.heads.logistic_regression import LogisticRegression
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.preprocessing.channels import KeepChannels
from brain_decode.preprocessing.scaling import ZScore
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.windows import Windows

RATE_HZ = 100.0
NAMES = ("Cz", "Pz", "Oz")


def two_class_windows(n_windows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Windows (volts) in which the second class has three times the amplitude at Oz."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n_windows) % 2
    windows = rng.standard_normal((n_windows, 3, 50)) * 1e-5
    windows[labels == 1, 2] *= 3
    return windows, labels


@pytest.fixture
def decoder() -> BrainDecoder:
    sensors = Sensors(NAMES, ("eeg",) * 3)
    spec = SignalSpec(sensors, 50, RATE_HZ, 0.0, ("01",))
    target = TargetSpec("classification", ("quiet", "strong"))
    windows, labels = two_class_windows(80)
    batch = SignalBatch.from_array(windows, sensors, RATE_HZ)
    encoder = TangentSpace(spec)
    encoder.fit(batch, labels)
    head = LogisticRegression(encoder.embedding_dim, target)
    head.fit(encoder(batch), labels)
    return BrainDecoder(Preprocessing(), encoder, head, spec, target, InputSpec(sensors, RATE_HZ, 0.0, 0.5))


def epochs_of(windows: np.ndarray, names: tuple[str, ...] = NAMES) -> mne.EpochsArray:
    info = mne.create_info(list(names), RATE_HZ, "eeg")
    return mne.EpochsArray(windows, info, tmin=0.0, verbose="ERROR")


def test_a_decoder_tells_the_classes_of_new_epochs_apart(decoder: BrainDecoder) -> None:
    windows, labels = two_class_windows(60, seed=1)
    predicted = decoder.predict(epochs_of(windows))
    assert (predicted == decoder.classes_[labels]).mean() > 0.9


def test_probabilities_sum_to_one_for_each_window(decoder: BrainDecoder) -> None:
    probabilities = decoder.predict_proba(epochs_of(two_class_windows(10)[0]))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-12)


def test_a_continuous_recording_is_cut_at_its_events(decoder: BrainDecoder) -> None:
    windows, labels = two_class_windows(20, seed=2)
    raw = mne.io.RawArray(
        np.concatenate(list(windows), axis=1), mne.create_info(list(NAMES), RATE_HZ, "eeg"), verbose="ERROR"
    )
    raw.set_annotations(mne.Annotations(np.arange(20) * 0.5, 0.1, ["event"] * 20))
    before = raw.get_data().copy()
    assert (decoder.predict(raw) == decoder.classes_[labels]).mean() > 0.9
    np.testing.assert_array_equal(raw.get_data(), before)


def test_channels_are_found_by_name_whatever_their_order(decoder: BrainDecoder) -> None:
    windows, _ = two_class_windows(12, seed=3)
    shuffled = epochs_of(windows[:, [2, 0, 1]], ("Oz", "Cz", "Pz"))
    np.testing.assert_allclose(decoder.predict_proba(shuffled), decoder.predict_proba(epochs_of(windows)))


def test_a_missing_channel_is_named(decoder: BrainDecoder) -> None:
    with pytest.raises(SpecMismatch, match="lacks \\['Oz'\\]"):
        decoder.predict(epochs_of(two_class_windows(4)[0][:, :2], ("Cz", "Pz")))


def test_something_that_is_no_recording_is_refused(decoder: BrainDecoder) -> None:
    with pytest.raises(DataError, match="got ndarray"):
        decoder.predict(np.zeros((2, 3, 50)))


def test_a_classifier_does_not_retrieve(decoder: BrainDecoder) -> None:
    with pytest.raises(ConfigError, match="retrieve needs a retrieval decoder"):
        decoder.retrieve(epochs_of(two_class_windows(4)[0]), np.zeros((9, 3)))


def test_trials_cut_before_a_needed_filter_are_refused_with_the_remedy(decoder: BrainDecoder) -> None:
    steps = {"signal_steps": [{"step": "bandpass", "settings": {"low_hz": 1.0, "high_hz": 30.0}}]}
    decoder.preprocessing = Preprocessing.from_json(steps)
    with pytest.raises(SpecMismatch, match="raw.filter\\(1.0, 30.0\\) before cutting"):
        decoder.predict(epochs_of(two_class_windows(4)[0]))


def test_saving_and_loading_gives_the_same_probabilities(decoder: BrainDecoder, tmp_path: Path) -> None:
    epochs = epochs_of(two_class_windows(15, seed=4)[0])
    loaded = BrainDecoder.from_pretrained(decoder.save_pretrained(tmp_path / "checkpoint"))
    np.testing.assert_array_equal(loaded.predict_proba(epochs), decoder.predict_proba(epochs))
    assert loaded.signal_spec == decoder.signal_spec


def test_the_artefact_holds_no_pickle(decoder: BrainDecoder, tmp_path: Path) -> None:
    folder = decoder.save_pretrained(tmp_path / "checkpoint")
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "preprocessing.json",
        "model.safetensors",
        "README.md",
        "receipt.json",
    }


def test_saving_again_replaces_the_older_artefact(decoder: BrainDecoder, tmp_path: Path) -> None:
    decoder.save_pretrained(tmp_path / "checkpoint")
    decoder.provenance["dataset"] = "second"
    folder = decoder.save_pretrained(tmp_path / "checkpoint")
    assert BrainDecoder.from_pretrained(folder).provenance["dataset"] == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_a_folder_with_other_files_is_never_overwritten(decoder: BrainDecoder, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="not a decoder"):
        decoder.save_pretrained(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_without_a_decoder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no config\.json"):
        BrainDecoder.from_pretrained(tmp_path)


def test_truncated_weights_are_one_clear_error(decoder: BrainDecoder, tmp_path: Path) -> None:
    folder = decoder.save_pretrained(tmp_path / "checkpoint")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-40])
    with pytest.raises(DataError, match="damaged"):
        BrainDecoder.from_pretrained(folder)


def test_weights_of_another_architecture_are_refused(decoder: BrainDecoder, tmp_path: Path) -> None:
    folder = decoder.save_pretrained(tmp_path / "checkpoint")
    save_file({"encoder.other": torch.zeros(3)}, str(folder / "model.safetensors"))
    with pytest.raises(DataError, match="do not fit the architecture"):
        BrainDecoder.from_pretrained(folder)


@pytest.mark.parametrize("name", ["os.system", "../../evil", "brain_decode.cli.app:main", "Nice"])
def test_a_file_cannot_name_code_to_run(decoder: BrainDecoder, tmp_path: Path, name: str) -> None:
    folder = decoder.save_pretrained(tmp_path / "checkpoint")
    config = json.loads((folder / "config.json").read_text())
    config["encoder"]["architecture"] = name
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError):
        BrainDecoder.from_pretrained(folder)


def test_the_card_says_what_it_answers_and_from_what(decoder: BrainDecoder, tmp_path: Path) -> None:
    card = (decoder.save_pretrained(tmp_path / "checkpoint") / "README.md").read_text()
    assert "which of quiet, strong" in card
    assert "Cz, Pz, Oz" in card


def test_channels_that_a_step_leaves_out_are_needed_until_that_step() -> None:
    sensors, target = Sensors(NAMES, ("eeg",) * 3), TargetSpec("classification", ("quiet", "strong"))
    windows, labels = two_class_windows(80)
    preprocessing = Preprocessing([], [ZScore(), KeepChannels(["Oz", "Pz"])])
    fitted = preprocessing.fit_windows(Windows(windows, RATE_HZ, 0.0, sensors))
    spec = SignalSpec(fitted.space, 50, RATE_HZ)
    encoder = TangentSpace(spec)
    encoder.fit(SignalBatch.from_windows(fitted), labels)
    head = LogisticRegression(encoder.embedding_dim, target)
    head.fit(encoder(SignalBatch.from_windows(fitted)), labels)
    decoder = BrainDecoder(preprocessing, encoder, head, spec, target, InputSpec(sensors, RATE_HZ, 0.0, 0.5))
    new, answers = two_class_windows(60, seed=1)
    reordered = epochs_of(new[:, [2, 0, 1]], ("Oz", "Cz", "Pz"))
    assert (decoder.predict(reordered) == decoder.classes_[answers]).mean() > 0.9
    np.testing.assert_array_equal(decoder.predict(reordered), decoder.predict(epochs_of(new)))
    with pytest.raises(SpecMismatch):
        decoder.predict(epochs_of(new[:, 1:], ("Pz", "Oz")))
