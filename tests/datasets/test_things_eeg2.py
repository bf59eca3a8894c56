"""THINGS-EEG2 in each layout in which it is passed on."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.splits import OfficialSplit
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.things_eeg2 import ThingsEEG2
from brain_decode.datasets.things_eeg2_files import CHANNELS, POSTERIOR_CHANNELS
from brain_decode.datasets.window_table import build_window_table
from brain_decode.signals.recording import Recording

TARGET = EventTarget(
    task="retrieval",
    column="stimulus",
    stimulus_column="stimulus",
    concept_column="concept",
    partition_column="partition",
)


def flat(responses: np.ndarray) -> np.ndarray:
    return responses.reshape(-1, *responses.shape[-2:])


def by_task(recordings: list[Recording]) -> dict[str, Recording]:
    return {recording.entities.task: recording for recording in recordings}


def test_there_are_63_channels_of_which_17_are_posterior() -> None:
    assert len(set(CHANNELS)) == 63 and "Fz" not in CHANNELS
    assert len(POSTERIOR_CHANNELS) == 17
    assert [name for name in CHANNELS if name[0] in "PO"] == list(POSTERIOR_CHANNELS)


def test_files_at_250_hz_are_read_to_exact_values(things: Any) -> None:
    things.write_metadata()
    written = things.write_250hz(below="Preprocessed_data_250Hz")
    found = by_task(ThingsEEG2(things.root, unit="1").recordings())
    for partition, responses in written.items():
        recording = found[partition]
        np.testing.assert_array_equal(recording.read_trials(range(len(recording.events))), flat(responses))
        assert not recording.continuous
        assert (recording.rate_hz, recording.start_s, recording.n_times) == (25.0, 0.0, 25)
        assert recording.space.names == CHANNELS
        assert set(recording.space.types) == {"feature"}


def test_each_repetition_is_an_event_that_names_its_picture(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    found = by_task(ThingsEEG2(things.root, unit="1").recordings())
    test = found["test"].events
    assert test["stimulus"].tolist() == ["acorn_06s"] * 6 + ["zebra_06s"] * 6
    assert test["concept"].tolist() == ["acorn"] * 6 + ["zebra"] * 6
    assert test["repetition"].tolist() == [1, 2, 3, 4, 5, 6] * 2
    assert set(test["partition"]) == {"test"}
    train = found["train"].events
    assert train.loc[4, ["stimulus", "concept", "repetition"]].tolist() == ["aardvark_02b", "aardvark", 1]


def test_times_before_the_picture_that_have_no_samples_are_left_out_with_a_note(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    for recording in ThingsEEG2(things.root).recordings():
        assert recording.notes == ("the first 5 of its 30 times, before the event, have no samples",)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (np.arange(-5, 24) / 25, "29 entries from -0.2 to 0.92 s, but the data have 25 samples; only the 5 entries"),
        (np.arange(-5, 19) / 25, "24 entries"),
        (np.arange(30) / 25, "only the 0 entries before the event may be too many"),
        (np.r_[np.arange(24), 40] / 25, "not at equal intervals"),
        ("none", "two or more numbers"),
    ],
)
def test_times_that_disagree_with_the_data_are_refused(things: Any, times: Any, message: str) -> None:
    things.write_metadata()
    things.write_250hz(times=times)
    with pytest.raises(DataError, match=message):
        ThingsEEG2(things.root).recordings()


def test_the_authors_files_keep_their_baseline_and_posterior_channels(things: Any) -> None:
    things.write_metadata()
    written = {}
    (things.root / "sub-01").mkdir()
    for partition, file in (("train", "training"), ("test", "test")):
        written[partition] = things.responses(partition, n_channels=17, n_times=20)
        content = {
            "preprocessed_eeg_data": written[partition],
            "ch_names": list(POSTERIOR_CHANNELS),
            "times": np.round(np.arange(-4, 16) / 20, 3),
        }
        np.save(things.root / "sub-01" / f"preprocessed_eeg_{file}.npy", content)
    for partition, recording in by_task(ThingsEEG2(things.root, unit="1").recordings()).items():
        np.testing.assert_array_equal(recording.read_trials([0, 5]), flat(written[partition])[[0, 5]])
        assert (recording.rate_hz, recording.start_s) == (20.0, -0.2)
        assert recording.notes == ()


@pytest.mark.parametrize("tensors", [True, False])
def test_archives_of_ubp_are_read_to_exact_values(things: Any, tensors: bool) -> None:
    written = {}
    (things.root / "sub-02").mkdir()
    for partition in ("train", "test"):
        written[partition] = things.responses(partition).astype(np.float16)
        eeg = torch.from_numpy(written[partition]) if tensors else written[partition]
        img = np.array(things.paths(partition))
        content = {"eeg": eeg, "img": img if tensors else np.repeat(img[:, None], written[partition].shape[1], 1)}
        torch.save(content, things.root / "sub-02" / f"{partition}.pt", pickle_protocol=5)
    found = by_task(ThingsEEG2(things.root, unit="1", rate_hz=25.0).recordings())
    for partition, recording in found.items():
        np.testing.assert_array_equal(recording.read_trials([1, 7]), flat(written[partition])[[1, 7]])
        assert recording.entities.subject == "02"
    assert found["train"].events["stimulus"].tolist()[::8] == ["aardvark_01b", "bat1_01b", "cat_01b"]
    assert found["train"].events["concept"].tolist()[::8] == ["aardvark", "bat1", "cat"]


def test_pictures_of_ubp_in_another_order_than_the_metadata_are_refused(things: Any) -> None:
    things.write_metadata()
    (things.root / "sub-02").mkdir()
    for partition in ("train", "test"):
        paths = things.paths(partition)
        shuffled = [*paths[:1], *paths[:0:-1]] if partition == "train" else paths
        torch.save(
            {"eeg": torch.from_numpy(things.responses(partition)), "img": shuffled},
            things.root / "sub-02" / f"{partition}.pt",
        )
    with pytest.raises(DataError, match="in another order than.*condition 2 is 'cat_02b', not 'aardvark_02b'"):
        ThingsEEG2(things.root, rate_hz=25.0).recordings()


def test_arrays_of_neurobridge_are_read_to_exact_values(things: Any) -> None:
    things.write_folders()
    written = {}
    (things.root / "sub-03").mkdir()
    for partition, n_concepts in (("train", 3), ("test", 2)):
        responses = things.responses(partition)
        written[partition] = responses
        np.save(things.root / "sub-03" / f"{partition}.npy", responses.reshape(n_concepts, -1, *responses.shape[1:]))
    info = {"ch_names": list(CHANNELS), "times": (np.arange(25) / 25).tolist()}
    (things.root / "sub-03" / "info.json").write_text(json.dumps(info))
    for partition, recording in by_task(ThingsEEG2(things.root, unit="1").recordings()).items():
        np.testing.assert_array_equal(recording.read_trials(range(len(recording.events))), flat(written[partition]))
        assert recording.rate_hz == 25.0
        assert recording.events["stimulus"].nunique() == len(written[partition])


def test_raw_sessions_are_continuous_and_targets_are_left_out(
    things: Any, write_raw: Callable[..., np.ndarray]
) -> None:
    things.write_metadata()
    written = write_raw("01", "training", [3, 99999, 1, 3])
    write_raw("01", "test", [2, 1, 2])
    found = by_task(ThingsEEG2(things.root, layout="raw", unit="uV").recordings())
    train = found["train"]
    assert train.continuous and train.label == "sub-01_ses-01_task-train"
    np.testing.assert_allclose(train.read(100, 150)[:63], written[:63, 100:150] * 1e-6, rtol=1e-12)
    assert [train.space.names[i] for i in train.space.decoded_indices()] == list(CHANNELS)
    assert train.events["stimulus"].tolist() == ["bat1_01b", "aardvark_01b", "bat1_01b"]
    assert train.events["repetition"].tolist() == [1, 1, 2]
    np.testing.assert_allclose(train.events["onset_s"], [0.4, 0.8, 1.0])
    assert train.notes == ("1 target trials (trigger 99999) were left out",)
    assert found["test"].events["concept"].tolist() == ["zebra", "acorn", "zebra"]


def test_raw_files_are_read_lazily_window_by_window(
    things: Any, write_raw: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    things.write_metadata()
    written = write_raw("01", "training", [1, 2, 3, 4, 5, 6])
    write_raw("01", "test", [1, 2])
    recordings = ThingsEEG2(things.root).recordings()
    table = build_window_table(recordings, dataset="t", target=TARGET, start_s=-0.2, stop_s=0.4).table
    [fold] = OfficialSplit(zero_shot=True).folds(table)
    assert (len(fold.train), len(fold.test)) == (6, 2)
    windows = prepare_store(recordings, [], tmp_path / "store").read(table.iloc[fold.train])
    np.testing.assert_array_equal(windows.data[2], written[:63, 600:1200].astype(np.float32))


def test_a_trigger_without_a_picture_is_refused(things: Any, write_raw: Callable[..., np.ndarray]) -> None:
    things.write_metadata()
    write_raw("01", "training", [1, 7])
    with pytest.raises(DataError, match="trigger 7 has no picture.*has 6 of partition 'train'"):
        ThingsEEG2(things.root, tasks=["train"]).recordings()


def test_raw_files_without_a_trigger_channel_are_refused(things: Any, write_raw: Callable[..., np.ndarray]) -> None:
    things.write_metadata()
    write_raw("01", "training", [1], ch_types=["eeg"] * 64)
    with pytest.raises(DataError, match="needs one channel of type stim"):
        ThingsEEG2(things.root, tasks=["train"]).recordings()
    write_raw("01", "training", [99999])
    with pytest.raises(DataError, match="shows no picture"):
        ThingsEEG2(things.root, tasks=["train"]).recordings()


def test_names_come_from_folders_where_there_are_no_metadata(things: Any) -> None:
    things.write_folders("images_set")
    things.write_250hz()
    found = by_task(ThingsEEG2(things.root).recordings())
    assert found["test"].events["stimulus"].unique().tolist() == ["acorn_06s", "zebra_06s"]


def test_without_names_of_pictures_the_remedy_is_told(things: Any) -> None:
    things.write_250hz()
    with pytest.raises(DataError, match=r"Put image_metadata\.npy, or the folders"):
        ThingsEEG2(things.root).recordings()


def test_channels_in_another_order_are_refused(things: Any) -> None:
    things.write_metadata()
    things.write_250hz(ch_names=[CHANNELS[1], CHANNELS[0], *CHANNELS[2:]])
    with pytest.raises(DataError, match="in another order: channel 1 is 'Fp2', not 'Fp1'"):
        ThingsEEG2(things.root).recordings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preprocessed_eeg_data": np.zeros((6, 63, 25))}, r"axes \(picture, repetition.*\(6, 63, 25\)"),
        ({"preprocessed_eeg_data": [1.0]}, "it has no array"),
        ({"ch_names": ["Cz"]}, "63 channels, `ch_names` names 1"),
        ({"preprocessed_eeg_data": np.zeros((5, 4, 63, 25))}, "responses to 5 pictures.*has 2 of partition 'test'"),
    ],
)
def test_a_wrong_shape_is_one_error(things: Any, changes: dict[str, Any], message: str) -> None:
    things.write_metadata()
    things.write_250hz(**changes)
    with pytest.raises(DataError, match=message):
        ThingsEEG2(things.root).recordings()


def test_numbers_the_entry_expects_are_held_against_the_files(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    assert ThingsEEG2(things.root, expected={"train": [6, 4], "test": [2, 6]}).recordings()
    with pytest.raises(DataError, match="expected 8 repetitions in partition 'test', received 6"):
        ThingsEEG2(things.root, expected={"test": [2, 8]}).recordings()
    with pytest.raises(DataError, match="expected 200 pictures in partition 'test', received 2"):
        ThingsEEG2(things.root, expected={"test": [200, 6]}).recordings()


def test_a_partition_without_the_other_is_refused_unless_asked_for(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    (things.root / "sub-01" / "preprocessed_eeg_test.npy").unlink()
    with pytest.raises(DataError, match=r"without the file of the 'test' pictures.*datasets\.tasks=\[train\]"):
        ThingsEEG2(things.root).recordings()
    [recording] = ThingsEEG2(things.root, tasks=["train"]).recordings()
    assert recording.entities.task == "train"


def test_several_layouts_are_told_apart_by_word(things: Any, write_raw: Callable[..., np.ndarray]) -> None:
    things.write_metadata()
    things.write_250hz()
    write_raw("01", "training", [1])
    write_raw("01", "test", [1])
    with pytest.raises(ConfigError, match=r"several sets of files.*State loader\.layout"):
        ThingsEEG2(things.root).recordings()
    assert all(recording.continuous for recording in ThingsEEG2(things.root, layout="raw").recordings())
    with pytest.raises(ConfigError, match="Unknown layout 'upb'. Did you mean 'ubp'"):
        ThingsEEG2(things.root, layout="upb").recordings()


def test_participants_are_chosen(things: Any) -> None:
    things.write_metadata()
    things.write_250hz("01")
    things.write_250hz("08")
    chosen = ThingsEEG2(things.root, subjects=["08"]).recordings()
    assert [recording.label for recording in chosen] == ["sub-08_task-test", "sub-08_task-train"]


def test_no_files_are_one_error_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ThingsEEG2(tmp_path / "nowhere" / "things_eeg2").recordings()
    (tmp_path / "sub-01").mkdir()
    with pytest.raises(DataError, match=r"no files of layout auto.*preprocessed_eeg_training\.npy"):
        ThingsEEG2(tmp_path).recordings()


def test_an_absent_folder_is_never_another_dataset_beside_it(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    with pytest.raises(DataError, match="other.* does not exist.*Set paths.data"):
        ThingsEEG2(things.root.parent / "other").recordings()
    assert len(ThingsEEG2(things.root / "other").recordings()) == 2


def test_a_hostile_file_is_one_error_that_names_it(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    hostile = things.root / "sub-01" / "preprocessed_eeg_test.npy"
    hostile.write_bytes(pickle.dumps({"times": eval}, protocol=4))
    with pytest.raises(DataError, match=r"preprocessed_eeg_test\.npy asks for 'builtins\.eval'"):
        ThingsEEG2(things.root).recordings()


def test_electrodes_get_positions_also_where_data_are_whitened(things: Any) -> None:
    things.write_metadata()
    things.write_250hz()
    recording = ThingsEEG2(things.root, unit="1", montage="standard_1005").recordings()[0]
    assert np.isfinite(recording.space.positions_m).all()
    assert set(recording.space.types) == {"feature"}
    assert any("not measured" in note for note in recording.notes)
