"""Damaged and odd files: one clear error each, or they simply work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import mne
import numpy as np
import pandas as pd
import pytest
import scipy.io

from brain_decode.core.errors import DataError, MissingExtra, SpecMismatch
from brain_decode.datasets.base import EventTarget, recording_notes
from brain_decode.datasets.bids import BidsDataset
from brain_decode.datasets.files import FilesDataset
from brain_decode.datasets.formats import open_raw, open_recording
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import Entities
from brain_decode.signals.sensors import Sensors
from brain_decode.training.trials import Trials

RATE_HZ, N_TIMES = 100.0, 1000


def raw_array(names: list[str] | None = None) -> mne.io.RawArray:
    names = names or ["Fz", "Cz", "Pz"]
    data = np.random.default_rng(0).standard_normal((len(names), N_TIMES)) * 2e-5
    raw = mne.io.RawArray(data, mne.create_info(names, RATE_HZ, "eeg"), verbose="ERROR")
    return raw.set_annotations(mne.Annotations([1.0, 5.0, 9.0], 0.0, ["a", "b", "a"]))


def write(path: Path, raw: mne.io.RawArray | None = None) -> Path:
    (raw or raw_array()).export(path, verbose="ERROR")
    return path


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:n_bytes])


def test_an_edf_file_that_is_cut_off_says_what_is_expected_and_what_is_there(tmp_path: Path) -> None:
    path = write(tmp_path / "run.edf")
    whole = path.stat().st_size
    cut(path, whole - 1500)
    with pytest.raises(DataError, match=rf"run.edf is cut off.*promises {whole} bytes.*the file has {whole - 1500}"):
        open_raw(path)


def test_an_edf_header_that_lies_about_its_length_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.edf")
    content = bytearray(path.read_bytes())
    content[236:244] = b"9999    "
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"cut off, or its header lies about its length: .* in 9999 records"):
        open_raw(path)


def test_an_edf_file_cut_within_its_header_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.edf")
    cut(path, 300)
    with pytest.raises(DataError, match=r"run.edf"):
        open_raw(path)


def test_a_brainvision_signal_that_ends_within_a_sample_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.vhdr")
    cut(path.with_suffix(".eeg"), path.with_suffix(".eeg").stat().st_size - 5)
    with pytest.raises(DataError, match=r"run.eeg is cut off: .* no whole number of samples of 3 channels"):
        open_raw(path)


def test_events_after_the_end_of_a_cut_off_signal_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "run.vhdr")
    signal = path.with_suffix(".eeg")
    cut(signal, signal.stat().st_size * 6 // 10)
    recording = FilesDataset(tmp_path, name="d", files="*.vhdr").recordings()[0]
    assert len(recording.events) == 2
    note = "run.vhdr: Omitted 1 annotation(s) that were outside data range. Was the signal file cut off?"
    assert recording.notes == open_recording(path, Entities("01")).notes == (note,)
    assert note in caplog.text


def test_a_brainvision_signal_shorter_than_its_header_says_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.vhdr")
    header = path.read_text(encoding="utf-8")
    path.write_text(header.replace("[Common Infos]", "[Common Infos]\nDataPoints=5000"), encoding="utf-8")
    with pytest.raises(DataError, match=r"run.vhdr promises 5000 samples, the file has 1000"):
        open_raw(path)


def test_events_of_bids_after_the_end_are_listed_as_exclusions(tmp_path: Path) -> None:
    path = bids_run(tmp_path)
    table = pd.DataFrame({"onset": [1.0, 9.9, 20.0], "duration": 0.0, "trial_type": ["a", "b", "a"]})
    table.to_csv(path.parent / "sub-01_task-x_run-1_events.tsv", sep="\t", index=False)
    recordings = BidsDataset(tmp_path).recordings()
    windows = build_window_table(recordings, dataset="d", target=EventTarget(), start_s=0.0, stop_s=0.5)
    assert len(windows.table) == 1
    assert len(windows.exclusions) == 2


def test_a_fif_file_that_is_cut_off_is_named_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "run_raw.fif"
    raw_array().save(path, verbose="ERROR")
    cut(path, 5000)
    with pytest.raises(DataError, match=r"can no longer be read .* damaged, cut off, or its drive is gone"):
        open_recording(path, Entities("01")).read()


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.edf").touch()
    with pytest.raises(DataError, match=r"run.edf is empty \(0 bytes\)"):
        open_raw(tmp_path / "run.edf")


def test_a_recording_of_no_seconds_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.vhdr")
    path.with_suffix(".eeg").write_bytes(b"")
    with pytest.raises(DataError, match=r"run"):
        open_raw(path)


@pytest.mark.parametrize("content", [b"not an EDF file at all" * 100, bytes(5000)])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.edf").write_bytes(content)
    with pytest.raises(DataError, match=r"run.edf"):
        open_raw(tmp_path / "run.edf")


def test_duplicate_channel_names_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "run.edf")
    content = bytearray(path.read_bytes())
    content[256 : 256 + 32] = b"Cz              Cz              "
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"run.edf: .*Give each channel a name of its own"):
        open_raw(path)


def test_names_that_are_not_ascii_work(tmp_path: Path) -> None:
    path = write(tmp_path / "größe é 脳.vhdr", raw_array(["Fpß", "Cé", "脳1"]))
    recording = open_recording(path, Entities("é"))
    assert recording.space.names == ("Fpß", "Cé", "脳1")
    assert recording.read().shape == (3, N_TIMES)


def test_averages_become_one_trial_for_each_condition(tmp_path: Path) -> None:
    info = mne.create_info(["Fz", "Cz"], RATE_HZ, "eeg")
    averages = [
        mne.EvokedArray(np.full((2, 50), value), info, -0.1, name) for value, name in ((1e-6, "a"), (2e-6, "b"))
    ]
    mne.write_evokeds(tmp_path / "x-ave.fif", averages, verbose="ERROR")
    recording = open_recording(tmp_path / "x-ave.fif", Entities("01"))
    assert not recording.continuous
    assert recording.events["trial_type"].tolist() == ["a", "b"]
    np.testing.assert_allclose(recording.read_trials([1]), 2e-6, rtol=1e-6)


def test_microvolts_that_are_labelled_volts_are_told_and_volts_are_not(tmp_path: Path) -> None:
    for name, factor in (("right", 1.0), ("wrong", 1e6)):
        raw = raw_array()
        raw.apply_function(lambda samples, by=factor: samples * by, verbose="ERROR")
        raw.save(tmp_path / f"{name}_raw.fif", verbose="ERROR")
    dataset = FilesDataset(tmp_path, name="d", files="*.fif")
    (warning,) = dataset.check_facts(dataset.recordings())
    assert warning.startswith("sub-01_run-02 (wrong_raw.fif): its samples are of a size that becomes believable times")
    assert "times 1e-06; their unit is probably labelled wrongly" in warning


def test_equal_notes_of_recordings_are_told_once(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        write(tmp_path / f"{name}.vhdr")
    dataset = FilesDataset(tmp_path, name="d", files="*.vhdr", montage="standard_1005")
    (note,) = recording_notes(dataset.recordings())
    assert note.startswith("sub-01_run-01 and 2 more: positions of 3 of 3 EEG channels")


def test_runs_of_different_rates_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.vhdr")
    write(tmp_path / "b.vhdr", raw_array().resample(50.0, verbose="ERROR"))
    recordings = FilesDataset(tmp_path, name="d", files="*.vhdr").recordings()
    windows = build_window_table(recordings, dataset="d", target=EventTarget(), start_s=0.0, stop_s=0.5)
    store = prepare_store(recordings, [], tmp_path / "store")
    for read in (store.batch, store.read):
        with pytest.raises(SpecMismatch, match=r"run-01'? has .*100(.0)? Hz.*run-02'? has .*50(.0)?.*resample"):
            read(windows.table)
    trials = Trials(recordings, windows.table, "classification", tmp_path / "store")
    with pytest.raises(SpecMismatch, match=r"'sub-01_run-01' has 100 Hz, 'sub-01_run-02' has 50 Hz. Add a resample"):
        trials.store(Preprocessing())


def test_listed_files_of_cut_trials_become_trials(tmp_path: Path) -> None:
    info = mne.create_info(["Fz", "Cz"], RATE_HZ, "eeg")
    epochs = mne.EpochsArray(np.full((4, 2, 50), 1e-6), info, tmin=-0.1, verbose="ERROR")
    epochs.save(tmp_path / "x-epo.fif", verbose="ERROR")
    recording = FilesDataset(tmp_path, name="d", files="*.fif", montage="standard_1005").recordings()[0]
    assert recording.read_trials([3]).shape == (1, 2, 50)
    assert recording.notes == ("positions of 2 of 2 EEG channels are those of montage standard_1005, not measured",)


def test_an_eeglab_set_of_several_trials_becomes_trials(tmp_path: Path) -> None:
    labels = np.array([("Fz",), ("Cz",)], dtype=[("labels", object)])
    events = np.array([(1.0, "go", 1), (51.0, "stop", 2)], dtype=[("latency", float), ("type", object), ("epoch", int)])
    trials = np.array([("go", 0.0), ("stop", 0.0)], dtype=[("eventtype", object), ("eventlatency", object)])
    saved = {
        "trials": 2.0, "nbchan": 2.0, "pnts": 50.0, "srate": RATE_HZ, "xmin": 0.0, "xmax": 0.49, "chanlocs": labels,
        "data": np.full((2, 50, 2), 20.0), "event": events, "epoch": trials, "icawinv": [], "icaweights": [],
        "icasphere": [], "ref": "common", "setname": "", "icaact": [], "urevent": [], "chaninfo": {"nosedir": "+X"},
    }  # fmt: skip
    scipy.io.savemat(tmp_path / "x.set", {"EEG": saved})
    recording = FilesDataset(tmp_path, name="d", files="*.set").recordings()[0]
    assert recording.events["trial_type"].tolist() == ["go", "stop"]
    np.testing.assert_allclose(recording.read_trials([0, 1]), 20e-6, rtol=1e-6)


def test_a_reader_that_is_not_installed_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run.xdf").write_bytes(b"XDF:")
    monkeypatch.setitem(sys.modules, "pyxdf", None)
    with pytest.raises(MissingExtra, match=r"run.xdf needs pyxdf: install brain_decode\[formats\]"):
        open_raw(tmp_path / "run.xdf")
    (tmp_path / "run.cnt").write_bytes(b"RIFF" + bytes(100))
    monkeypatch.setitem(sys.modules, "antio", None)
    with pytest.raises(MissingExtra, match=r"run.cnt.*brain_decode\[formats\]"):
        open_raw(tmp_path / "run.cnt")


def test_ten_thousand_channels_are_no_trouble() -> None:
    names = tuple(f"E{number}" for number in range(10_000))
    sensors = Sensors(names, ("eeg",) * 10_000)
    assert len(sensors.pick(sensors.decoded_indices())) == 10_000
    with pytest.raises(DataError, match=r"must be unique; repeated: \['E1'\]"):
        Sensors((*names[:-1], "E1"), ("eeg",) * 10_000)


def bids_run(root: Path, **sidecar: object) -> Path:
    folder = root / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    path = write(folder / "sub-01_task-x_run-1_eeg.vhdr")
    if sidecar:
        path.with_suffix(".json").write_text(json.dumps(sidecar))
    return path


def test_a_bids_folder_without_sidecars_opens(tmp_path: Path) -> None:
    bids_run(tmp_path)
    recording = BidsDataset(tmp_path).recordings()[0]
    assert recording.space.names == ("Fz", "Cz", "Pz") and len(recording.events) == 3


def test_a_recording_shorter_than_its_sidecar_says_is_refused(tmp_path: Path) -> None:
    bids_run(tmp_path, RecordingDuration=60.0)
    with pytest.raises(DataError, match=r"the sidecar states RecordingDuration 60 s, the recording has 10.0 s"):
        BidsDataset(tmp_path).recordings()


def test_measured_electrode_positions_are_read_in_metres(tmp_path: Path) -> None:
    path = bids_run(tmp_path)
    table = pd.DataFrame({"name": ["Fz", "Cz", "Oz"], "x": [0, "n/a", 3], "y": [80, 0, 3], "z": [40, 100, 3]})
    table.to_csv(path.parent / "sub-01_electrodes.tsv", sep="\t", index=False)
    system = {"EEGCoordinateSystem": "CapTrak", "EEGCoordinateUnits": "mm"}
    (path.parent / "sub-01_coordsystem.json").write_text(json.dumps(system))
    positions = BidsDataset(tmp_path).recordings()[0].space.positions_m
    np.testing.assert_allclose(positions[0], [0.0, 0.08, 0.04], atol=1e-9)
    assert not np.isfinite(positions[1:]).all(axis=1).any()


def test_positions_of_a_standard_montage_are_filled_only_when_asked_and_noted(tmp_path: Path) -> None:
    bids_run(tmp_path)
    plain, filled = (BidsDataset(tmp_path, montage=montage).recordings()[0] for montage in (None, "standard_1005"))
    assert plain.notes == () and not np.isfinite(plain.space.positions_m).any()
    assert filled.notes == ("positions of 3 of 3 EEG channels are those of montage standard_1005, not measured",)
    assert np.isfinite(filled.space.positions_m).all()


def test_a_folder_of_two_kinds_asks_which(tmp_path: Path) -> None:
    path = bids_run(tmp_path)
    meg = tmp_path / "sub-01" / "meg"
    meg.mkdir()
    raw_array().save(meg / "sub-01_task-x_run-1_meg.fif", verbose="ERROR")
    with pytest.raises(DataError, match=r"holds recordings of the kinds eeg, meg; .* datasets.loader.datatype"):
        BidsDataset(tmp_path).recordings()
    assert BidsDataset(tmp_path, datatype="eeg").recordings()[0].files[0] == path
