"""Parts of a split FIF are one recording."""

from __future__ import annotations

from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.datasets.bids import BidsDataset
from brain_decode.datasets.files import FilesDataset
from brain_decode.datasets.split_files import first_parts


def write_split(path: Path, naming: str = "neuromag") -> list[Path]:
    """Write a recording of 60 s in three parts, and return their paths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(0).standard_normal((20, 60000)) * 1e-5
    info = mne.create_info([f"E{number}" for number in range(20)], 1000.0, "eeg")
    mne.io.RawArray(samples, info, verbose="ERROR").save(path, split_size="2MB", split_naming=naming, verbose="ERROR")
    return sorted(path.parent.glob("*.fif"))


def write_plain(path: Path) -> Path:
    info = mne.create_info(["Cz"], 100.0, "eeg")
    mne.io.RawArray(np.zeros((1, 100)), info, verbose="ERROR").save(path, verbose="ERROR")
    return path


def test_the_parts_of_a_split_recording_are_one_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = write_split(tmp_path / "x_raw.fif")
    with caplog.at_level("INFO", logger="brain_decode"):
        [recording] = FilesDataset(tmp_path, name="split", files="*.fif").recordings()
    assert recording.duration_s == 60.0
    assert set(recording.files) == set(paths)
    assert f"{len(paths) - 1} continuation files are read through their first part" in caplog.text
    assert "x_raw-1.fif" in caplog.text


def test_bids_parts_are_one_recording(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    paths = write_split(tmp_path / "sub-01" / "meg" / "sub-01_task-a_meg.fif", "bids")
    with caplog.at_level("INFO", logger="brain_decode"):
        [recording] = BidsDataset(tmp_path, datatype="meg").recordings()
    assert recording.duration_s == 60.0
    assert f"{len(paths) - 1} continuation files" in caplog.text


def test_numbered_files_that_do_not_lead_to_each_other_are_recordings_of_their_own(tmp_path: Path) -> None:
    paths = [write_plain(tmp_path / f"x_raw{number}.fif") for number in ("", "-1", "-2")]
    assert first_parts(paths) == paths


def test_runs_that_are_split_each_keep_their_first_part(tmp_path: Path) -> None:
    for name in ("run-1", "run-2"):
        write_split(tmp_path / f"{name}.fif")
    found = first_parts(sorted(tmp_path.glob("*.fif")))
    assert [path.name for path in found] == ["run-1.fif", "run-2.fif"]


def test_a_later_part_without_its_first_is_refused(tmp_path: Path) -> None:
    paths = write_split(tmp_path / "x_raw.fif")
    later = [path for path in paths if path.name == "x_raw-2.fif"]
    with pytest.raises(DataError, match=r"x_raw-2\.fif continues x_raw\.fif, which is beside it .* Widen the pattern"):
        first_parts(later)


def test_later_parts_of_epochs_are_no_recordings(tmp_path: Path) -> None:
    info = mne.create_info([f"E{number}" for number in range(20)], 1000.0, "eeg")
    epochs = mne.EpochsArray(np.zeros((60, 20, 1000)), info, verbose="ERROR")
    epochs.save(tmp_path / "x-epo.fif", split_size="2MB", verbose="ERROR")
    paths = sorted(tmp_path.glob("*epo*.fif"))
    assert len(paths) > 1
    assert first_parts(paths) == [tmp_path / "x-epo.fif"]


def test_other_formats_are_left_alone(tmp_path: Path) -> None:
    paths = [tmp_path / "a-1.edf", tmp_path / "a.edf"]
    assert first_parts(paths) == paths
