from __future__ import annotations

import json
from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.bids import BidsDataset

NAMES = ("Fc5.", "Cz..", "X1")
EVENTS = "onset\tduration\ttrial_type\tvalue\n1.0\tn/a\tface\t1\n2.0\t0.2\tn/a\t2\n"


def write_run(
    root: Path, subject: str = "01", run: str = "01", names: tuple[str, ...] = ("Fc5.", "Cz..", "X1")
) -> Path:
    folder = root / f"sub-{subject}" / "eeg"
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"sub-{subject}_task-look_run-{run}"
    data = np.random.default_rng(int(run)).normal(size=(len(names), 500)) * 1e-5
    raw = mne.io.RawArray(data, mne.create_info(list(names), 100.0, "eeg", verbose="ERROR"), verbose="ERROR")
    raw.save(folder / f"{stem}_eeg.fif", overwrite=True, verbose="ERROR")
    rows = "\n".join(f"{name}\t{'MISC' if name == 'X1' else 'EEG'}\tbad" for name in names)
    (folder / f"{stem}_channels.tsv").write_text(f"name\ttype\tstatus\n{rows}\n")
    (folder / f"{stem}_events.tsv").write_text(
        "onset\tduration\ttrial_type\tvalue\n1.0\tn/a\tface\t1\n2.0\t0.2\tn/a\t2\n"
    )
    (root / "task-look_eeg.json").write_text(json.dumps({"PowerLineFrequency": 50, "EEGReference": "Cz"}))
    return folder / stem


def test_sidecars_give_types_bads_events_reference_and_mains(tmp_path: Path) -> None:
    write_run(tmp_path)
    recording = BidsDataset(tmp_path).recordings()[0]
    assert recording.label == "sub-01_task-look_run-01"
    assert recording.space.types == ("eeg", "eeg", "misc")
    assert recording.header["bads"] == ["Fc5.", "Cz..", "X1"]
    assert recording.events["trial_type"].tolist() == ["face", ""] and recording.events["value"].tolist() == ["1", "2"]
    assert recording.line_frequency_hz == 50.0 and recording.reference == "Cz"
    assert np.isnan(recording.space.positions_m).all() or (recording.space.positions_m == 0).all()


def test_names_and_positions_change_only_where_asked(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert BidsDataset(tmp_path).recordings()[0].space.names == ("Fc5.", "Cz..", "X1")
    placed = BidsDataset(tmp_path, channel_names="clean", montage="standard_1005").recordings()[0].space
    assert placed.names == ("FC5", "Cz", "X1") and np.isfinite(placed.positions_m[:2]).all()
    with pytest.raises(DataError, match="none of the channels"):
        BidsDataset(tmp_path, montage="standard_1005").recordings()


def test_participants_are_chosen_by_label(tmp_path: Path) -> None:
    for subject in ("01", "02"):
        write_run(tmp_path, subject)
    assert [r.entities.subject for r in BidsDataset(tmp_path, subjects=["02"]).recordings()] == ["02"]
    assert [r.entities.subject for r in BidsDataset(tmp_path, subjects=[1]).recordings()] == ["01"]
    with pytest.raises(ConfigError, match="Unknown subject label '03'.*Allowed: 01, 02"):
        BidsDataset(tmp_path, subjects=["03"]).recordings()
    with pytest.raises(ConfigError, match="Unknown task label 'lok'.*Did you mean 'look'"):
        BidsDataset(tmp_path, tasks=["lok"]).recordings()


def test_without_sidecars_the_recording_speaks_for_itself(tmp_path: Path) -> None:
    stem = write_run(tmp_path)
    for suffix in ("channels", "events"):
        stem.with_name(f"{stem.name}_{suffix}.tsv").unlink()
    recording = BidsDataset(tmp_path).recordings()[0]
    assert recording.space.types == ("eeg", "eeg", "eeg") and recording.events.empty


def test_an_absent_or_empty_folder_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        BidsDataset(tmp_path / "nowhere").recordings()
    with pytest.raises(DataError, match="no file sub-"):
        BidsDataset(tmp_path).recordings()


def test_the_data_path_may_be_the_dataset_itself(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert len(BidsDataset(tmp_path / "eeg_name", name="eeg_name").recordings()) == 1


def test_broken_files_are_named(tmp_path: Path) -> None:
    stem = write_run(tmp_path)
    events = stem.with_name(f"{stem.name}_events.tsv")
    events.write_text("onset\tduration\nsoon\t1\n")
    with pytest.raises(DataError, match="onset in row 1 must be seconds, got 'soon'"):
        BidsDataset(tmp_path).recordings()
    events.write_text("time\n1\n")
    with pytest.raises(DataError, match="needs a column 'onset'"):
        BidsDataset(tmp_path).recordings()
    stem.with_name(f"{stem.name}_channels.tsv").write_text("name\ttype\nCz..\tEEG\nCz..\tEEG\n")
    with pytest.raises(DataError, match="repeated: \\['Cz..'\\]"):
        BidsDataset(tmp_path).recordings()
    (tmp_path / "task-look_eeg.json").write_text(json.dumps({"SamplingFrequency": 250}))
    with pytest.raises(DataError, match="SamplingFrequency 250 Hz, the recording has 100.0 Hz"):
        BidsDataset(tmp_path).recordings()
    stem.with_name(f"{stem.name}_eeg.fif").write_bytes(b"no recording")
    with pytest.raises(DataError, match="could not be read as .fif"):
        BidsDataset(tmp_path).recordings()
