"""`brain-decode doctor checkpoint= input=` prints a passport and fails when the recording is refused."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.encoders.flatten import Flatten
from brain_decode.heads.logistic_regression import LogisticRegression
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec

NAMES = ("Cz", "Pz", "T7")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    sensors = Sensors(NAMES, ("eeg",) * 3)
    spec = SignalSpec(sensors, 10, 100.0)
    target = TargetSpec("classification", ("a", "b"))
    batch = SignalBatch.from_array(np.random.default_rng(0).standard_normal((20, 3, 10)) * 1e-5, sensors, 100.0)
    encoder = Flatten(spec)
    head = LogisticRegression(encoder.embedding_dim, target)
    encoder.fit(batch, np.arange(20) % 2)
    head.fit(encoder(batch), np.arange(20) % 2)
    decoder = BrainDecoder(Preprocessing(), encoder, head, spec, target, InputSpec(sensors, 100.0, 0.0, 0.1))
    return decoder.save_pretrained(tmp_path / "checkpoint")


def recording(path: Path, names: tuple[str, ...], scale: float = 1e-5) -> Path:
    samples = np.random.default_rng(1).standard_normal((3, 1000)) * scale
    raw = mne.io.RawArray(samples, mne.create_info(list(names), 100.0, "eeg"), verbose="ERROR")
    raw.save(path, verbose="ERROR")
    return path


def test_an_accepted_recording_gets_a_passport(checkpoint: Path, tmp_path: Path, capsys) -> None:
    file = recording(tmp_path / "new_raw.fif", ("Cz", "Pz", "T3"))
    assert main(["doctor", f"checkpoint={checkpoint}", f"input={file}"]) == 0
    printed = capsys.readouterr().out
    assert "renamed: T3 is T7" in printed
    assert "Passport of 'new_raw.fif'" in printed


def test_a_refused_recording_fails_and_says_why(checkpoint: Path, tmp_path: Path, capsys) -> None:
    file = recording(tmp_path / "new_raw.fif", NAMES, scale=10.0)
    words = ["doctor", f"checkpoint={checkpoint}", f"input={file}"]
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "REFUSED  unit" in captured.out
    assert captured.err.startswith("SpecMismatch: The decoder refuses 'new_raw.fif'. unit:")
    assert main([*words, "input_unit=uV"]) == 0


def test_a_recording_without_a_decoder_is_wrong_usage(tmp_path: Path, capsys) -> None:
    assert main(["doctor", f"input={tmp_path / 'x.fif'}"]) == 2
    assert "give checkpoint= too" in capsys.readouterr().err
