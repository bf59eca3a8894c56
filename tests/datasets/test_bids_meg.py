"""Forms in which BIDS keeps MEG: split FIF files, 4D and KIT folders, EEG in the same file."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import mne
import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.datasets.bids import BidsDataset
from brain_decode.datasets.store import prepare_store

KINDS = ["mag", "mag", "grad", "eeg", "eeg"]


def meg_folder(root: Path) -> Path:
    folder = root / "sub-01" / "meg"
    folder.mkdir(parents=True)
    return folder


def meg_and_eeg(n_times: int) -> mne.io.RawArray:
    info = mne.create_info([f"C{number}" for number in range(5)], 1000.0, KINDS)
    info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.eye(4))
    data = np.random.default_rng(0).standard_normal((5, n_times)) * [[1e-12], [1e-12], [1e-11], [2e-5], [2e-5]]
    return mne.io.RawArray(data, info, verbose="ERROR")


def test_a_split_recording_is_one_recording_with_its_eeg(tmp_path: Path) -> None:
    raw = meg_and_eeg(150_000)
    path = meg_folder(tmp_path) / "sub-01_task-x_meg.fif"
    raw.save(path, split_size="2MB", split_naming="bids", verbose="ERROR")
    assert len(list(path.parent.glob("*_split-0?_meg.fif"))) > 1
    (recording,) = BidsDataset(tmp_path).recordings()
    assert Counter(recording.space.types) == Counter(KINDS)
    assert recording.n_times == raw.n_times
    assert {path.name for path in recording.files} == {path.name for path in tmp_path.rglob("*split-*")}
    np.testing.assert_allclose(recording.read(149_990, 150_000), raw.get_data()[:, -10:], rtol=1e-6)
    assert prepare_store([recording], [], tmp_path / "store").entries[0].n_times == raw.n_times


def test_a_folder_without_a_recording_says_what_it_holds(tmp_path: Path) -> None:
    folder = meg_folder(tmp_path) / "sub-01_task-x_meg"
    folder.mkdir()
    (folder / "config").write_bytes(b"x")
    with pytest.raises(DataError, match=r"sub-01_task-x_meg should hold one 4D .* it holds \['config'\]"):
        BidsDataset(tmp_path).recordings()


@pytest.mark.real_data
def test_a_4d_folder_opens(real_data_folder: Path, tmp_path: Path) -> None:
    folder = meg_folder(tmp_path) / "sub-01_task-x_meg"
    folder.mkdir()
    for source, name in (("pdf", "c,rfDC"), ("config", "config"), ("hs", "hs_file")):
        shutil.copy(real_data_folder / "format_zoo" / "bti" / f"test_{source}_linux", folder / name)
    (recording,) = BidsDataset(tmp_path, datatype="meg").recordings()
    assert (len(recording.space.decoded_indices()), recording.entities.task) == (248, "x")
    assert np.isfinite(recording.space.positions_m[recording.space.decoded_indices()]).all()
    assert len(prepare_store([recording], [], tmp_path / "store").entries) == 1


@pytest.mark.real_data
@pytest.mark.parametrize("form", ["sub-01_task-x_meg/sub-01_task-x_meg.sqd", "sub-01_task-x_meg.sqd"])
def test_a_kit_recording_opens_with_and_without_its_folder(real_data_folder: Path, tmp_path: Path, form: str) -> None:
    target = meg_folder(tmp_path) / form
    target.parent.mkdir(exist_ok=True)
    shutil.copy(real_data_folder / "format_zoo" / "kit" / "test.sqd", target)
    shutil.copy(real_data_folder / "format_zoo" / "kit" / "test_mrk.sqd", target.parent / "sub-01_task-x_markers.sqd")
    (recording,) = BidsDataset(tmp_path).recordings()
    assert (len(recording.space.decoded_indices()), recording.rate_hz) == (157, 1000.0)
