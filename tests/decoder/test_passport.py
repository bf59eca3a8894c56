"""A passport says what will be done to a recording; what it says is done, and what it refuses is not."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import mne
import numpy as np
import pytest

from brain_decode import BrainDecoder
from brain_decode.core.errors import ConfigError, SpecMismatch
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.decoder.input_windows import windows_of
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.heads.logistic_regression import LogisticRegression
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.preprocessing.channels import Rereference
from brain_decode.preprocessing.filters import BandPass, Notch
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.mne_conversion import recording_from_raw, sensors_from_info
from brain_decode.signals.recording import Entities
from brain_decode.signals.spec import SignalSpec, TargetSpec

NAMES = ("Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "T7", "T8", "Fz")
RATE_HZ = 128.0
SECONDS = 8


def raw_of(names: tuple[str, ...] = NAMES, rate_hz: float = RATE_HZ, scale: float = 1.0, kind: str = "eeg"):
    """Independent noise of 20 µV with one event a second; the same for every call but for names and scale."""
    rng = np.random.default_rng(3)
    signal = rng.standard_normal((len(NAMES), int(SECONDS * rate_hz))) * 20e-6 * scale
    raw = mne.io.RawArray(signal[: len(names)], mne.create_info(list(names), rate_hz, kind), verbose="ERROR")
    return raw.set_annotations(mne.Annotations(np.arange(1, SECONDS - 1), 0.0, "go"))


def placed(raw):
    return raw.set_montage("easycap-M1", on_missing="ignore", verbose="ERROR")


@pytest.fixture(scope="module")
def decoder() -> BrainDecoder:
    sensors = sensors_from_info(placed(raw_of()).info)
    spec = SignalSpec(sensors, 64, RATE_HZ, 0.0, ("01",))
    target = TargetSpec("classification", ("a", "b"))
    windows = np.random.default_rng(0).standard_normal((60, len(NAMES), 64)) * 20e-6
    labels = np.arange(60) % 2
    batch = SignalBatch.from_array(windows, sensors, RATE_HZ)
    encoder = TangentSpace(spec)
    encoder.fit(batch, labels)
    head = LogisticRegression(encoder.embedding_dim, target)
    head.fit(encoder(batch), labels)
    needed = InputSpec(sensors, RATE_HZ, 0.0, 0.5, reference="Cz", line_frequency_hz=50.0, amplitudes={"eeg": 20e-6})
    return BrainDecoder(Preprocessing([BandPass(1.0, 30.0)]), encoder, head, spec, target, needed)


def test_the_recording_it_was_trained_on_is_accepted_as_it_is(decoder: BrainDecoder) -> None:
    passport = decoder.passport(raw_of())
    assert passport.is_accepted
    assert not passport.changes
    assert str(passport).endswith("Accepted as it is.")


def test_renamed_channels_give_the_same_answers(decoder: BrainDecoder) -> None:
    raw = raw_of()
    other = (
        raw.copy()
        .rename_channels({"Fp1": "EEG FP1-REF", "T7": "T3", "C3": "C3.."})
        .reorder_channels(["EEG FP1-REF", "T8", "T3", "O2", "O1", "P4", "P3", "C4", "C3..", "F4", "F3", "Fp2", "Fz"])
    )
    passport = decoder.passport(other)
    assert passport.line("channels").state == "will be changed"
    assert {match.source for match in passport.matched("alias")} == {"EEG FP1-REF", "T3", "C3.."}
    np.testing.assert_array_equal(decoder.predict_proba(other), decoder.predict_proba(raw))


def test_microvolts_labelled_volts_are_refused_until_the_unit_is_said(decoder: BrainDecoder) -> None:
    wrong = raw_of(scale=1e6)
    assert "say input_unit=uV" in decoder.passport(wrong).line("unit").action
    with pytest.raises(SpecMismatch, match=r"unit: eeg .*say input_unit=uV"):
        decoder.predict(wrong)
    passport = decoder.passport(wrong, input_unit="uV")
    assert passport.is_accepted
    assert passport.unit_factor == 1e-6
    np.testing.assert_allclose(decoder.predict_proba(wrong, input_unit="uV"), decoder.predict_proba(raw_of()))


def test_a_unit_said_for_a_right_file_is_refused(decoder: BrainDecoder) -> None:
    assert "does not make the size believable" in decoder.passport(raw_of(), input_unit="uV").line("unit").action


def test_an_unknown_unit_is_an_error_with_the_closest_word(decoder: BrainDecoder) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'uV'"):
        decoder.passport(raw_of(), input_unit="uv")


def test_a_higher_rate_is_brought_to_the_decoders_and_said(decoder: BrainDecoder, caplog) -> None:
    fast = raw_of(rate_hz=256.0)
    assert decoder.passport(fast).resampled_to_hz == RATE_HZ
    with caplog.at_level(logging.WARNING, logger="brain_decode"):
        assert decoder.windows(fast).data.shape == (6, len(NAMES), 64)
    assert "sampling rate: 256 Hz; resampled to 128 Hz" in caplog.text


def test_a_rate_too_low_for_the_decoders_band_is_refused(decoder: BrainDecoder) -> None:
    line = decoder.passport(raw_of(rate_hz=50.0)).line("sampling rate")
    assert line.state == "refused"
    assert "frequencies up to 30 Hz" in line.action


def test_an_absent_electrode_is_estimated_from_its_neighbours(decoder: BrainDecoder) -> None:
    without = raw_of().drop_channels(["F3"])
    assert [match.name for match in decoder.passport(without).matched("interpolated")] == ["F3"]
    windows = decoder.windows(without)
    assert windows.space.names == NAMES
    assert np.isfinite(windows.data).all()


def test_a_recording_without_the_electrodes_is_refused_with_what_it_has(decoder: BrainDecoder) -> None:
    passport = decoder.passport(raw_of(("LA1", "LA2"), kind="seeg"))
    assert passport.line("channels").state == "refused"
    assert "another kind of recording" in passport.line("channels").action
    with pytest.raises(SpecMismatch, match=r"lacks \['Fp1', 'Fp2'.* has LA1, LA2"):
        decoder.predict(raw_of(("LA1", "LA2"), kind="seeg"))


def test_a_needed_channel_of_another_type_is_refused_with_the_call_that_mends_it(decoder: BrainDecoder) -> None:
    line = decoder.passport(raw_of().set_channel_types({"O1": "eog"}, verbose="ERROR")).line("sensor types")
    assert line.action == "Use raw.set_channel_types({'O1': 'eeg'})"


def test_a_recording_shorter_than_a_window_is_refused(decoder: BrainDecoder) -> None:
    assert decoder.passport(raw_of().crop(0, 0.3)).line("duration").state == "refused"


def test_reference_mains_and_bad_channels_that_differ_are_noted(decoder: BrainDecoder) -> None:
    raw = raw_of()
    raw.info["bads"] = ["O1"]
    recording = replace(
        recording_from_raw(raw, entities=Entities("07")), reference="linked ears", line_frequency_hz=60.0
    )
    notching = replace(decoder, preprocessing=Preprocessing([Notch(50.0)]))
    passport = notching.passport(recording)
    assert passport.is_accepted
    assert {line.what for line in passport.remarks} == {"reference", "line frequency", "bad channels"}


def test_a_channel_marked_as_bad_stays_so_under_the_decoders_name(decoder: BrainDecoder) -> None:
    raw = raw_of()
    raw.load_data()._data[NAMES.index("O1")] *= 1e4
    raw.info["bads"] = ["O1"]
    raw.rename_channels({name: name.upper() for name in NAMES})
    referenced = replace(decoder, preprocessing=Preprocessing([Rereference()]))
    windows = windows_of(raw, referenced.preprocessing, referenced.input_spec)
    clean = raw_of()
    clean.info["bads"] = ["O1"]
    expected = windows_of(clean, referenced.preprocessing, referenced.input_spec)
    good = [index for index, name in enumerate(NAMES) if name != "O1"]
    np.testing.assert_array_equal(windows.data[:, good], expected.data[:, good])


def test_a_passport_is_plain_data_and_its_text_fits_a_terminal(decoder: BrainDecoder) -> None:
    passport = decoder.passport(raw_of(("LA1", "LA2"), kind="seeg", scale=1e6))
    saved = json.loads(json.dumps(passport.to_json(), allow_nan=False))
    assert not saved["is_accepted"]
    assert saved["channels"][0] == {"name": "Fp1", "way": "missing", "source": "", "distance_m": None}
    assert max(len(line) for line in str(passport).splitlines()) <= 120


def test_an_input_spec_of_an_older_checkpoint_still_loads(decoder: BrainDecoder) -> None:
    saved = decoder.input_spec.to_json()
    older = {key: saved[key] for key in saved if key not in ("reference", "line_frequency_hz", "amplitudes")}
    assert InputSpec.from_json(older).amplitudes == {}
    assert InputSpec.from_json(saved).amplitudes == {"eeg": 20e-6}
