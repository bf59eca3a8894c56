from __future__ import annotations

import mne
import numpy as np
import pandas as pd
import pytest
from mne.utils import object_diff

from brain_decode.core.errors import DataError
from brain_decode.signals.mne_conversion import (
    info_from_sensors,
    recording_from_epochs,
    recording_from_raw,
    recording_to_epochs,
    recording_to_raw,
    sensors_from_info,
)
from brain_decode.signals.recording import ArraySource, Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import Sensors


def eeg_raw(meas_date: int | None = 1000, first_samp: int = 50) -> mne.io.RawArray:
    info = mne.create_info(["Cz", "Pz", "EOG"], 100.0, ["eeg", "eeg", "eog"], verbose="ERROR")
    info.set_montage("biosemi64", on_missing="ignore", verbose="ERROR")
    data = np.random.default_rng(0).normal(size=(3, 400)) * 1e-5
    raw = mne.io.RawArray(data, info, first_samp=first_samp, verbose="ERROR")
    raw.info["bads"] = ["Pz"]
    raw.info["line_freq"] = 50.0
    raw.set_meas_date(meas_date)
    raw.set_annotations(mne.Annotations([0.5, 1.25], [0.0, 0.5], ["face", "house"]), verbose="ERROR")
    return raw


def meg_sensors() -> Sensors:
    locations = np.random.default_rng(1).normal(size=(4, 12))
    return Sensors(
        ("M1", "M2", "M3", "R1"), ("mag", "grad", "grad", "ref_meg"), locations, (3024, 3012, 3012, 5002), "meg"
    )


@pytest.mark.parametrize("meas_date", [None, 1000])
@pytest.mark.parametrize("in_memory", [False, True])
def test_raw_comes_back_as_it_was(meas_date: int | None, in_memory: bool) -> None:
    raw = eeg_raw(meas_date)
    before = raw.copy()
    recording = recording_from_raw(raw, Entities("01"))
    if in_memory:
        recording = Recording(**{**recording.__dict__, "source": ArraySource(recording.read())})
    back = recording_to_raw(recording)
    assert object_diff(back.info, before.info) == ""
    assert back.first_samp == before.first_samp
    assert np.array_equal(back.get_data(), before.get_data())
    assert np.allclose(back.annotations.onset, before.annotations.onset)
    assert list(back.annotations.description) == list(before.annotations.description)
    assert object_diff(raw.info, before.info) == "" and np.array_equal(raw.get_data(), before.get_data())


def test_annotations_become_events_counted_from_the_first_sample() -> None:
    recording = recording_from_raw(eeg_raw(first_samp=50), Entities("01"))
    assert recording.events["onset_s"].tolist() == [0.5, 1.25]
    assert recording.events["trial_type"].tolist() == ["face", "house"]
    assert recording.line_frequency_hz == 50.0


def test_events_become_annotations_where_there_were_none() -> None:
    events = pd.DataFrame({"onset_s": [0.5], "duration_s": [0.1], "trial_type": ["face"]})
    recording = Recording(Entities("01"), Sensors(("Cz",), ("eeg",)), 100.0, events, ArraySource(np.zeros((1, 300))))
    annotations = recording_to_raw(recording).annotations
    assert annotations.onset.tolist() == [0.5] and annotations.description.tolist() == ["face"]


def test_eeg_sensors_survive_the_way_through_an_info() -> None:
    sensors = sensors_from_info(eeg_raw().info)
    assert sensors_from_info(info_from_sensors(sensors, 100.0)) == sensors


def test_meg_sensors_keep_coils_locations_and_frame() -> None:
    sensors = meg_sensors()
    info = info_from_sensors(sensors, 1000.0)
    assert info.get_channel_types() == list(sensors.types)
    assert sensors_from_info(info) == sensors


def test_coils_move_to_the_head_frame_beside_electrodes() -> None:
    info = info_from_sensors(meg_sensors(), 1000.0)
    electrode = mne.create_info(["Cz"], 1000.0, "eeg", verbose="ERROR")
    electrode["chs"][0]["coord_frame"] = 4
    shift = np.eye(4)
    shift[2, 3] = 0.04
    both = mne.create_info([*info["ch_names"], "Cz"], 1000.0, [*info.get_channel_types(), "eeg"], verbose="ERROR")
    both["chs"][:4], both["chs"][4] = info["chs"], electrode["chs"][0]
    with pytest.raises(DataError, match="no transform from device to head"):
        sensors_from_info(both)
    with both._unlock():
        both["dev_head_t"] = mne.transforms.Transform("meg", "head", shift)
    moved = sensors_from_info(both)
    assert moved.coordinate_frame == "head"
    assert np.allclose(moved.positions_m[:4], meg_sensors().positions_m + [0, 0, 0.04])


def make_epochs() -> mne.EpochsArray:
    info = mne.create_info(["Cz", "Pz"], 100.0, "eeg", verbose="ERROR")
    events = np.array([[100, 0, 6], [300, 1, 7], [500, 0, 6]])
    data = np.random.default_rng(2).normal(size=(3, 2, 40))
    metadata = pd.DataFrame({"word": ["a", "b", "c"], "value": [0.1, 0.2, 0.3]})
    return mne.EpochsArray(
        data, info, events, tmin=-0.1, event_id={"related": 6, "unrelated": 7}, metadata=metadata, verbose="ERROR"
    )


@pytest.mark.parametrize("in_memory", [False, True])
def test_epochs_come_back_as_they_were(in_memory: bool) -> None:
    epochs = make_epochs()
    recording = recording_from_epochs(epochs)
    if in_memory:
        recording = Recording(**{**recording.__dict__, "source": TrialArraySource(recording.read_trials([0, 1, 2]))})
    back = recording_to_epochs(recording)
    assert np.array_equal(back.get_data(), epochs.get_data())
    assert np.array_equal(back.events, epochs.events) and back.event_id == epochs.event_id
    assert back.tmin == pytest.approx(-0.1)
    assert back.metadata["word"].tolist() == ["a", "b", "c"]


def test_epochs_become_cut_trials_with_names_codes_and_metadata() -> None:
    recording = recording_from_epochs(make_epochs(), Entities("04"))
    assert not recording.continuous and recording.start_s == pytest.approx(-0.1)
    assert recording.events["trial_type"].tolist() == ["related", "unrelated", "related"]
    assert recording.events["metadata_value"].tolist() == [0.1, 0.2, 0.3]
    assert recording.read_trials([2, 0]).shape == (2, 2, 40)


def test_the_wrong_kind_is_refused_with_the_right_function() -> None:
    with pytest.raises(DataError, match="Use recording_to_epochs"):
        recording_to_raw(recording_from_epochs(make_epochs()))
    with pytest.raises(DataError, match="Use recording_to_raw"):
        recording_to_epochs(recording_from_raw(eeg_raw(), Entities("01")))


def epochs_at(samples: list[int]) -> mne.EpochsArray:
    """Return trials of 50 samples at 100 Hz with these sample numbers."""
    events = np.column_stack([samples, np.zeros(len(samples)), np.ones(len(samples))]).astype(int)
    info = mne.create_info(["Fz"], 100.0, "eeg")
    return mne.EpochsArray(np.zeros((len(samples), 1, 50)), info, events=events, verbose="ERROR")


def test_trials_keep_the_times_of_their_events() -> None:
    assert recording_from_epochs(epochs_at([100, 130, 400])).events["onset_s"].tolist() == [1.0, 1.3, 4.0]


def test_trials_of_a_lower_rate_keep_the_times_of_the_signal_they_were_cut_from() -> None:
    raw = mne.io.RawArray(np.zeros((1, 1000)), mne.create_info(["Fz"], 100.0, "eeg"), verbose="ERROR")
    events = np.array([[100, 0, 1], [130, 0, 1], [400, 0, 1]])
    raw.filter(None, 10.0, verbose="ERROR")
    epochs = mne.Epochs(raw, events, tmin=0.0, tmax=0.5, baseline=None, preload=True, verbose="ERROR")
    assert recording_from_epochs(epochs.decimate(2)).events["onset_s"].tolist() == [1.0, 1.3, 4.0]


@pytest.mark.parametrize("samples", [[0, 1, 2], [7, 57, 107], [100, 400, 50]])
def test_sample_numbers_that_only_count_trials_are_no_times(samples: list[int]) -> None:
    assert recording_from_epochs(epochs_at(samples)).events["onset_s"].isna().all()


def test_counted_trials_stay_without_times_when_some_are_dropped() -> None:
    assert recording_from_epochs(epochs_at([0, 1, 2, 3])[[0, 2, 3]]).events["onset_s"].isna().all()
