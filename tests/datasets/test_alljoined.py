"""Alljoined-1.6M from trees written as its authors publish it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from edfio import Edf, EdfAnnotation, EdfSignal

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.alljoined import AlljoinedRaw
from brain_decode.datasets.alljoined_flat import AlljoinedFlat
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.window_table import build_window_table

ELECTRODES = [
    *("Cz", "Fp1", "F7", "F3", "CP5", "CP1", "P1", "P3", "P5", "P7", "PO9", "PO7", "PO3", "O1", "O9", "Pz"),
    *("POz", "Oz", "O10", "O2", "PO4", "PO8", "PO10", "P8", "P6", "P4", "P2", "CP2", "CP6", "F4", "F8", "Fp2"),
]
JUNK = ["TimestampS", "Counter", "Interpolated", "RawCq", "Battery", "MarkerHardware", "CQ_Cz", "EQ_Cz"]
RATE_HZ, SECONDS = 256, 12
FIRST_S, STEP_S = 1.0, 0.2
# Pictures of each block of each session: one block of test pictures, two of training pictures.
BLOCKS = {1: [16540, 16541, 16542, 16541], 2: [0, 10, 11, 500], 3: [11, 10, 0, 7]}
PARTITION = {1: "stim_test", 2: "stim_train", 3: "stim_train"}


def microvolts(channel: int) -> np.ndarray:
    return ((channel * 31 + np.arange(RATE_HZ * SECONDS) * 7) % 1000 - 500).astype(float)


def write_edf(path: Path, markers: Sequence[str], electrodes: Sequence[str] = ELECTRODES) -> None:
    """Write a block as the headset's software does: electrodes among its own channels, markers as annotations."""
    ranges = {"physical_range": (-32768, 32767), "digital_range": (-32768, 32767)}
    junk = [EdfSignal(np.ones(RATE_HZ * SECONDS), RATE_HZ, label=name, **ranges) for name in JUNK]
    motion = EdfSignal(np.ones(32 * SECONDS), 32, label="MOT.Q0", **ranges)
    signals = [
        EdfSignal(microvolts(number), RATE_HZ, label=name, physical_dimension="uV", **ranges)
        for number, name in enumerate(electrodes)
    ]
    annotations = [EdfAnnotation(FIRST_S + STEP_S * n, None, text) for n, text in enumerate(markers)]
    path.parent.mkdir(parents=True, exist_ok=True)
    Edf([*junk, *signals, motion], annotations=annotations).write(path)


def order_of(subject: int, sessions: Sequence[int] = (1, 2)) -> pd.DataFrame:
    """Return the intended order: after every second picture comes an oddball."""
    rows = []
    for session in sessions:
        for block, pictures in BLOCKS.items():
            shown = [(picture, PARTITION[block]) for picture in pictures]
            shown.insert(2, (16740, "oddball"))
            for position, (picture, partition) in enumerate(shown):
                rows.append(
                    {
                        "subject": subject,
                        "session": session,
                        "block_id": block,
                        "sequence_id": 0,
                        "sequence_image_id": position,
                        "image_path": f"/anywhere/images/{picture:05d}.jpg",
                        "partition": partition,
                        "dataset": "Alljoined-1.6M",
                    }
                )
    return pd.DataFrame(rows)


def markers_of(order: pd.DataFrame, session: int, block: int) -> list[str]:
    chosen = order[(order["session"] == session) & (order["block_id"] == block)]
    # The oddball's marker carries a placeholder, as in some sessions.
    shown = [
        f"{row.partition},{0 if row.partition == 'oddball' else int(row.image_path[-9:-4])},-1,{number}"
        for number, row in enumerate(chosen.itertuples(), start=1)
    ]
    return [*shown, f"behav,3,-1,{len(shown) + 1}"]


def write_raw(root: Path, subject: int = 1, drop: Sequence[tuple[int, int, int]] = ()) -> pd.DataFrame:
    """Write the raw blocks of a participant; `drop` names markers (session, block, position) that are lost."""
    order = order_of(subject)
    for session in (1, 2):
        for block in BLOCKS:
            markers = markers_of(order, session, block)
            kept = [m for n, m in enumerate(markers) if (session, block, n) not in drop]
            folder = root / "raw_eeg" / f"sub-{subject:02d}" / f"session_{session:02d}" / f"block_{block:02d}"
            write_edf(folder / f"Session {session} (block {block})_FLEX2.md.edf", kept)
    write_table(root, order, subject)
    return order


def write_table(root: Path, table: pd.DataFrame, subject: int = 1, name: str = "stim_order.parquet") -> Path:
    path = root / "preprocessed_eeg" / f"sub-{subject:02d}" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path)
    return path


def raw_dataset(root: Path, **settings: Any) -> AlljoinedRaw:
    return AlljoinedRaw(root, **({"blocks": 3} | settings))


@pytest.fixture(scope="module")
def whole_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alljoined")
    write_raw(root, 1)
    write_raw(root, 2, drop=[(1, 2, 0), (2, 3, 4)])
    categories = order_of(1).assign(category_name=lambda t: "concept" + t["image_path"].str[-9:-5])
    write_table(root, categories, 1, "experiment_metadata_categories.parquet")
    return root


def test_each_block_is_a_run_with_its_electrodes_and_samples(whole_tree: Path) -> None:
    recordings = raw_dataset(whole_tree).recordings()
    assert [r.label for r in recordings][:2] == ["sub-01_ses-01_task-images_run-01", "sub-01_ses-01_task-images_run-02"]
    assert len(recordings) == 12
    first = recordings[0]
    assert list(first.space.names) == ELECTRODES and set(first.space.types) == {"eeg"}
    assert first.rate_hz == 256.0 and np.isfinite(first.space.positions_m).all()
    samples = first.read(0, 500)
    for channel in (0, 14, 31):
        np.testing.assert_allclose(samples[channel], microvolts(channel)[:500] * 1e-6, atol=1e-12)


def test_events_say_picture_partition_concept_and_repetition(whole_tree: Path) -> None:
    recordings = {r.label: r for r in raw_dataset(whole_tree, subjects=["01"]).recordings()}
    events = recordings["sub-01_ses-02_task-images_run-01"].events
    shown = events[events["partition"] != ""]
    assert shown["stimulus"].tolist() == ["16540", "16541", "16542", "16541"]
    assert shown["repetition"].tolist() == [2, 3, 2, 4]
    assert shown["concept"].tolist() == ["concept1654"] * 4
    assert shown["onset_s"].tolist() == pytest.approx([1.0, 1.2, 1.6, 1.8])
    assert shown["duration_s"].tolist() == [0.1] * 4
    assert events["trial_type"].tolist() == ["stim_test", "stim_test", "oddball", "stim_test", "stim_test", "behav"]
    assert events["stimulus"].iloc[2] == "" and events["order_row"].iloc[[2, 5]].tolist() == [-1, -1]
    training = recordings["sub-01_ses-01_task-images_run-03"].events
    assert set(training["partition"]) == {"train", ""}
    assert training["order_row"].tolist() == [10, 11, -1, 13, 14, -1]


def test_trials_without_a_trigger_are_found_and_noted(whole_tree: Path) -> None:
    recordings = raw_dataset(whole_tree, subjects=["02"]).recordings()
    assert recordings[1].events["stimulus"].tolist() == ["00010", "", "00011", "00500", ""]
    assert recordings[1].events["order_row"].tolist() == [6, -1, 8, 9, -1]
    assert recordings[5].events["repetition"].tolist() == [4, 4, 0, 4, 0]
    noted = "1 intended trials of the session left no trigger (rows 5 of stim_order.parquet)"
    assert noted in recordings[0].notes and noted not in recordings[3].notes


def test_windows_of_the_official_split_come_out(whole_tree: Path) -> None:
    recordings = raw_dataset(whole_tree, subjects=["01"]).recordings()
    target = EventTarget(column="stimulus", task="retrieval", stimulus_column="stimulus", partition_column="partition")
    table = build_window_table(recordings, dataset="a", target=target, start_s=-0.2, stop_s=1.0).table
    assert table.groupby("partition").size().to_dict() == {"test": 8, "train": 16}
    assert set(table.loc[table["partition"] == "test", "stimulus"]) == {"16540", "16541", "16542"}


def test_participants_sessions_and_blocks_are_chosen(whole_tree: Path) -> None:
    chosen = raw_dataset(whole_tree, subjects=[2], sessions=["02"], runs=["03"]).recordings()
    assert [r.label for r in chosen] == ["sub-02_ses-02_task-images_run-03"]
    assert chosen[0].events["order_row"].tolist()[:2] == [25, 26]
    with pytest.raises(ConfigError, match="Unknown subject label '09'"):
        raw_dataset(whole_tree, subjects=["09"]).recordings()


def test_the_headset_s_spelling_of_afz_is_corrected(tmp_path: Path) -> None:
    order = write_raw(tmp_path)
    block = next((tmp_path / "raw_eeg/sub-01/session_01/block_01").glob("*.edf"))
    write_edf(block, markers_of(order, 1, 1), ["Afz", *ELECTRODES[1:]])
    assert raw_dataset(tmp_path).recordings()[0].space.names[0] == "AFz"


def test_a_missing_block_is_refused_unless_it_is_noted(tmp_path: Path) -> None:
    write_raw(tmp_path)
    block = tmp_path / "raw_eeg/sub-01/session_02/block_02"
    for path in block.iterdir():
        path.rename(tmp_path / "elsewhere.edf")
    with pytest.raises(DataError, match="block_02 should hold one EDF file; it holds none"):
        raw_dataset(tmp_path).recordings()
    block.rmdir()
    with pytest.raises(DataError, match="sub-01 session_02 lacks block_02 of 3 blocks.*missing_blocks=note"):
        raw_dataset(tmp_path).recordings()
    recordings = raw_dataset(tmp_path, missing_blocks="note").recordings()
    assert len(recordings) == 5
    assert "sub-01 session_02 lacks block_02" in recordings[3].notes
    assert recordings[4].events["order_row"].tolist()[:2] == [25, 26]
    with pytest.raises(ConfigError, match="Unknown missing_blocks 'ignore'"):
        raw_dataset(tmp_path, missing_blocks="ignore")


def swapped(root: Path) -> None:
    """Write a tree in which the table has rows 6 and 7 the other way round than they were shown."""
    order = write_raw(root)
    rows = list(range(len(order)))
    rows[5], rows[6] = rows[6], rows[5]
    write_table(root, order.iloc[rows].reset_index(drop=True))


def test_swapped_triggers_are_one_error_that_names_row_and_repair(tmp_path: Path) -> None:
    swapped(tmp_path)
    with pytest.raises(DataError) as raised:
        raw_dataset(tmp_path).recordings()
    said = str(raised.value)
    assert said.startswith("sub-01 session_01: the triggers do not follow ")
    assert "picture 00000 (block_02, 1.000 s) came where row 5 has 00010; the table has it in row 6." in said
    assert 'datasets.loader.repairs=[{subject: "01", row: 6, to: 5}]' in said


def test_a_stated_repair_is_applied_where_it_is_needed_and_noted(tmp_path: Path) -> None:
    swapped(tmp_path)
    recordings = raw_dataset(tmp_path, repairs=[{"subject": "01", "row": 6, "to": 5}]).recordings()
    assert recordings[1].events["stimulus"].tolist()[:2] == ["00000", "00010"]
    assert recordings[1].events["order_row"].tolist()[:2] == [6, 5]
    noted = "row 6 of stim_order.parquet was moved to 5, as loader.repairs says"
    assert noted in recordings[1].notes and noted not in recordings[4].notes


def test_a_repair_that_is_not_needed_changes_nothing(whole_tree: Path) -> None:
    repaired = raw_dataset(whole_tree, subjects=["01"], repairs=[{"subject": "01", "row": 6, "to": 5}]).recordings()
    assert repaired[1].events["order_row"].tolist()[:2] == [5, 6]
    assert not any("moved" in note for note in repaired[1].notes)


def test_repairs_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="A line of loader.repairs reads"):
        raw_dataset(tmp_path, repairs=[{"subject": "01"}])
    swapped(tmp_path)
    with pytest.raises(ConfigError, match="moves row 99 to 5, and .* has 30 rows"):
        raw_dataset(tmp_path, repairs=[{"subject": "01", "row": 99, "to": 5}]).recordings()


def test_a_block_of_another_participant_is_found_out(tmp_path: Path) -> None:
    order = write_raw(tmp_path)
    block = next((tmp_path / "raw_eeg/sub-01/session_01/block_02").glob("*.edf"))
    write_edf(block, ["stim_train,9999,-1,1", *markers_of(order, 1, 2)[1:]])
    with pytest.raises(DataError, match=r"picture 09999 \(block_02, 1.000 s\).*nowhere near in the table"):
        raw_dataset(tmp_path).recordings()


@pytest.mark.parametrize("column", ["session", "image_path", "partition"])
def test_a_table_without_a_column_is_refused(tmp_path: Path, column: str) -> None:
    order = write_raw(tmp_path)
    write_table(tmp_path, order.drop(columns=column))
    with pytest.raises(DataError, match=rf"stim_order.parquet lacks the columns \['{column}'\]"):
        raw_dataset(tmp_path).recordings()


def test_tables_that_say_nothing_are_refused(tmp_path: Path) -> None:
    order = write_raw(tmp_path)
    write_table(tmp_path, order.assign(image_path="images/aardvark.jpg"))
    with pytest.raises(DataError, match="image_path in row 0 should end in five digits"):
        raw_dataset(tmp_path).recordings()
    path = write_table(tmp_path, order.assign(session="first"))
    with pytest.raises(DataError, match="session should hold numbers"):
        raw_dataset(tmp_path).recordings()
    path.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(DataError, match="could not be read as Parquet"):
        raw_dataset(tmp_path).recordings()
    path.unlink()
    with pytest.raises(DataError, match="sub-01 has no stim_order.parquet or .*fetch it with brain-decode download"):
        raw_dataset(tmp_path).recordings()


def test_a_block_without_electrodes_or_with_a_broken_marker_is_refused(tmp_path: Path) -> None:
    order = write_raw(tmp_path)
    block = next((tmp_path / "raw_eeg/sub-01/session_01/block_01").glob("*.edf"))
    write_edf(block, ["stim_test,first,-1,1"])
    with pytest.raises(DataError, match="the marker 'stim_test,first,-1,1' at 1.000 s should read"):
        raw_dataset(tmp_path).recordings()
    write_edf(block, markers_of(order, 1, 1), ["A1x"])
    with pytest.raises(DataError, match="has no electrode of the 10-05 system"):
        raw_dataset(tmp_path).recordings()


# The authors' cut trials.


def write_flat(root: Path, subject: int = 1, dropped: Sequence[int] = (5, 13), **changes: Any) -> pd.DataFrame:
    """Write flat arrays and metadata; sample values say partition and trial."""
    metadata = order_of(subject)
    metadata["dropped"] = metadata["partition"] == "oddball"
    metadata.loc[list(dropped), "dropped"] = True
    folder = root / "preprocessed_eeg" / f"sub-{subject:02d}"
    folder.mkdir(parents=True, exist_ok=True)
    for part, name in (("stim_train", "training"), ("stim_test", "test")):
        n = int(((metadata["partition"] == part) & ~metadata["dropped"]).sum())
        trials = np.arange(n, dtype=float)[:, None, None] + np.linspace(0, 0.5, 32 * 250).reshape(32, 250)
        content = {
            "preprocessed_eeg_data": trials,
            "configs": {"baseline": (None, 0), "tmin": -0.2, "sfreq": 250, "mvnn_dim": "epochs", "reject": None},
            "ch_names": list(ELECTRODES),
            "times": np.arange(50, 300) / 250 - 0.2,
        } | changes
        (folder / f"preprocessed_eeg_{name}_flat.npy").write_bytes(pickle.dumps(content, protocol=5))
    write_table(root, metadata, subject, "experiment_metadata.parquet")
    return metadata


def test_flat_trials_are_one_recording_per_session_and_part(tmp_path: Path) -> None:
    write_flat(tmp_path)
    recordings = AlljoinedFlat(tmp_path).recordings()
    assert [(r.label, r.source.n_trials) for r in recordings] == [
        ("sub-01_ses-01_task-images_run-test", 4),
        ("sub-01_ses-01_task-images_run-train", 6),
        ("sub-01_ses-02_task-images_run-test", 4),
        ("sub-01_ses-02_task-images_run-train", 8),
    ]
    last = recordings[3]
    assert last.rate_hz == 250.0 and last.start_s == 0.0 and last.n_times == 250
    assert list(last.space.names) == ELECTRODES and set(last.space.types) == {"feature"}
    assert np.isfinite(last.space.positions_m).all()
    assert last.read_trials([2])[0, 0, 0] == 8.0 and last.read_trials([2])[0, 31, 249] == 8.5


def test_flat_events_leave_out_what_was_dropped(tmp_path: Path) -> None:
    write_flat(tmp_path)
    train = AlljoinedFlat(tmp_path, sessions=["01"], runs=["train"]).recordings()[0]
    assert train.events["stimulus"].tolist() == ["00010", "00011", "00500", "00011", "00010", "00007"]
    assert train.events["order_row"].tolist() == [6, 8, 9, 10, 11, 14]
    assert train.events["repetition"].tolist() == [1, 1, 1, 2, 2, 1]
    assert set(train.events["partition"]) == {"train"} and set(train.events["concept"]) == {""}


def test_flat_arrays_stay_on_the_disk(tmp_path: Path) -> None:
    large = np.zeros((14, 32, 2500))
    write_flat(tmp_path, preprocessed_eeg_data=large, times=np.arange(2500) / 250)
    (tmp_path / "preprocessed_eeg" / "sub-01" / "preprocessed_eeg_test_flat.npy").unlink()
    recording = AlljoinedFlat(tmp_path).recordings()[0]
    assert isinstance(recording.source.trials, np.memmap)


def test_concepts_come_from_the_metadata_with_categories(tmp_path: Path) -> None:
    metadata = write_flat(tmp_path)
    named = metadata.assign(category_name="animal")
    write_table(tmp_path, named, 1, "experiment_metadata_categories.parquet")
    (tmp_path / "preprocessed_eeg" / "sub-01" / "experiment_metadata.parquet").unlink()
    assert set(AlljoinedFlat(tmp_path).recordings()[0].events["concept"]) == {"animal"}


def test_flat_files_that_disagree_with_their_metadata_are_refused(tmp_path: Path) -> None:
    metadata = write_flat(tmp_path)
    write_table(tmp_path, metadata.assign(dropped=False), 1, "experiment_metadata.parquet")
    with pytest.raises(DataError, match="holds 14 trials, .* says that 16 of partition 'train' were recorded"):
        AlljoinedFlat(tmp_path, runs=["train"]).recordings()
    write_table(tmp_path, metadata.drop(columns="dropped"), 1, "experiment_metadata.parquet")
    with pytest.raises(DataError, match=r"experiment_metadata.parquet lacks the columns \['dropped'\]"):
        AlljoinedFlat(tmp_path).recordings()
    (tmp_path / "preprocessed_eeg" / "sub-01" / "experiment_metadata.parquet").unlink()
    write_table(tmp_path, metadata.drop(columns="dropped"))
    with pytest.raises(DataError, match="sub-01 has no experiment_metadata.parquet or experiment_metadata_categories"):
        AlljoinedFlat(tmp_path).recordings()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"times": np.arange(300) / 250}, "for 32 ch_names and 300 times; its shape is"),
        ({"ch_names": ["Cz"]}, "for 1 ch_names and 250 times"),
        ({"times": np.r_[np.arange(249) / 250, 7.0]}, "`times` should rise evenly"),
        ({"preprocessed_eeg_data": np.array(["a"])}, "should hold numbers of"),
    ],
)
def test_flat_files_whose_parts_disagree_are_refused(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write_flat(tmp_path, **changes)
    with pytest.raises(DataError, match=said):
        AlljoinedFlat(tmp_path).recordings()


class _Hostile:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch hostile",)


def test_a_hostile_pickle_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_flat(tmp_path, configs=_Hostile())
    with pytest.raises(DataError, match="asks for 'posix.system'.*nothing was run"):
        AlljoinedFlat(tmp_path).recordings()
    assert not (tmp_path / "hostile").exists()


def test_a_folder_without_recordings_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file raw_eeg/sub-\\*/session_\\*/block_\\* in"):
        raw_dataset(tmp_path).recordings()
    with pytest.raises(DataError, match="no file preprocessed_eeg/sub-"):
        AlljoinedFlat(tmp_path).recordings()
