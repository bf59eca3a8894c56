"""THINGS-MEG: published epochs in several files, and the arrays of the zero-shot split."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.splits import OfficialSplit
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.things_meg import ThingsMEG
from brain_decode.datasets.window_table import build_window_table

# Pictures 1-3 show concept 1, 4-6 concept 2, 7-9 concept 3. Pictures 2 and 9 are shown repeatedly.
CONCEPTS = [1, 1, 1, 2, 2, 2, 3, 3, 3]
CODES = [4, 2, 5, 999999, 9, 1, 2, 9, 6, 999999, 2, 9, 7]
RATE_HZ = 200.0
TARGET = EventTarget(
    task="retrieval",
    column="stimulus",
    stimulus_column="stimulus",
    concept_column="concept",
    partition_column="partition",
)


def write_epochs(
    root: Path, codes: list[int], participant: int = 1, n_times: int = 60, split_size: str = "2GB"
) -> np.ndarray:
    rng = np.random.default_rng(participant)
    data = rng.standard_normal((len(codes), 5, n_times)) * 1e-13
    info = mne.create_info([f"MLC{number}-1609" for number in range(5)], RATE_HZ, "mag")
    events = np.column_stack([np.arange(len(codes)) * 300, np.zeros(len(codes), int), codes])
    epochs = mne.EpochsArray(data, info, events=events, tmin=-0.1, verbose="ERROR")
    folder = root / "derivatives" / "preprocessed"
    folder.mkdir(parents=True, exist_ok=True)
    epochs.save(folder / f"preprocessed_P{participant}-epo.fif", split_size=split_size, fmt="double", verbose="ERROR")
    return data


def write_concepts(root: Path, concepts: list[Any]) -> None:
    folder = root / "THINGS" / "Metadata" / "Concept-specific"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "image_concept_index.csv").write_text("\n".join(str(number) for number in concepts) + "\n")


def write_names(root: Path) -> None:
    words = {1: "ant", 2: "bee", 3: "cow"}
    rows = [
        {
            "trial_type": "catch" if code == 999999 else "test" if code in (2, 9) else "exp",
            "things_image_nr": np.nan if code == 999999 else code,
            "image_path": "catch.jpg"
            if code == 999999
            else f"images_meg/{words[CONCEPTS[code - 1]]}/{words[CONCEPTS[code - 1]]}_{code:02d}s.jpg",
        }
        for code in CODES
    ]
    (root / "sourcedata").mkdir()
    pd.DataFrame(rows).to_csv(root / "sourcedata" / "sample_attributes_P1.csv", index=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_concepts(tmp_path, CONCEPTS)
    return tmp_path


def test_epochs_are_read_to_exact_values(root: Path) -> None:
    data = write_epochs(root, CODES)
    [recording] = ThingsMEG(root).recordings()
    np.testing.assert_allclose(recording.read_trials([3, 0, 12]), data[[3, 0, 12]], rtol=1e-12)
    assert (recording.label, recording.rate_hz, recording.start_s) == ("sub-BIGMEG1", 200.0, -0.1)
    assert set(recording.space.types) == {"mag"} and not recording.continuous


def test_repeated_pictures_are_the_test_and_their_concepts_leave_training(root: Path) -> None:
    write_epochs(root, CODES)
    [recording] = ThingsMEG(root, test_repetitions=3, expected={"train": 3, "test": 2}).recordings()
    events = recording.events
    assert events.loc[events["partition"] == "test", "stimulus"].tolist() == ["2", "9", "2", "9", "2", "9"]
    assert events.loc[events["stimulus"] == "9", "repetition"].tolist() == [1, 2, 3]
    assert events.loc[events["partition"] == "train", "stimulus"].tolist() == ["4", "5", "6"]
    assert events.loc[events["stimulus"].isin(["1", "7"]), "partition"].tolist() == ["", ""]
    assert events.loc[events["value"] == 999999, "stimulus"].tolist() == ["", ""]
    assert recording.notes == (
        "2 catch trials (code 999999) show no picture and were left out",
        "2 trials show other pictures of test concepts and belong to no partition",
    )


def test_no_concept_is_in_both_parts_of_the_official_split(root: Path, tmp_path: Path) -> None:
    data = write_epochs(root, CODES)
    recordings = ThingsMEG(root).recordings()
    table = build_window_table(recordings, dataset="m", target=TARGET, start_s=0.0, stop_s=0.2).table
    [fold] = OfficialSplit(zero_shot=True, forbids=("concept",)).folds(table)
    train, test = table.iloc[fold.train], table.iloc[fold.test]
    assert not set(train["concept"]) & set(test["concept"])
    windows = prepare_store(recordings, [], tmp_path / "store").read(train)
    np.testing.assert_array_equal(windows.data, data[[0, 2, 8], :, 20:].astype(np.float32))


def test_pictures_have_names_where_the_participants_tables_say_them(root: Path) -> None:
    write_epochs(root, CODES)
    write_names(root)
    [recording] = ThingsMEG(root).recordings()
    assert recording.events.loc[[0, 1, 3], "stimulus"].tolist() == ["bee_04s", "ant_02s", ""]
    assert recording.events.loc[[0, 1, 3], "concept"].tolist() == ["bee", "ant", ""]


def write_split_epochs(root: Path) -> tuple[np.ndarray, list[Path]]:
    data = write_epochs(root, CODES, n_times=6000, split_size="2MB")
    return data, sorted((root / "derivatives" / "preprocessed").glob("*.fif"))


def test_epochs_in_several_files_are_one_recording_read_across_them(root: Path) -> None:
    data, parts = write_split_epochs(root)
    assert len(parts) == 4
    [recording] = ThingsMEG(root).recordings()
    np.testing.assert_allclose(recording.read_trials([12, 0]), data[[12, 0]], rtol=1e-12)
    assert recording.files == tuple(parts)


def test_a_missing_part_is_one_error_that_says_so(root: Path) -> None:
    _, parts = write_split_epochs(root)
    parts[0].unlink()
    with pytest.raises(DataError, match=r"Its parts \(preprocessed_P1-epo-1\.fif, \.\.\.\) must lie beside it"):
        ThingsMEG(root).recordings()


def test_a_test_picture_with_a_lost_trial_is_refused(root: Path) -> None:
    write_epochs(root, CODES[:-2])
    with pytest.raises(DataError, match="each test picture was shown 3 times, but picture 9 has 2 trials"):
        ThingsMEG(root, test_repetitions=3).recordings()


def test_epochs_without_a_repeated_picture_are_refused(root: Path) -> None:
    write_epochs(root, [1, 2, 3])
    with pytest.raises(DataError, match="no picture was shown repeatedly"):
        ThingsMEG(root).recordings()


def test_a_code_without_a_picture_is_refused(root: Path) -> None:
    write_epochs(root, [*CODES, 10])
    with pytest.raises(DataError, match=r"event code 10 has no picture; .*image_concept_index\.csv has 9"):
        ThingsMEG(root).recordings()


def test_a_number_of_pictures_that_is_not_expected_is_refused(root: Path) -> None:
    write_epochs(root, CODES)
    with pytest.raises(DataError, match="expected 200 pictures in partition 'test', received 2"):
        ThingsMEG(root, expected={"test": 200}).recordings()


def test_the_file_of_concepts_must_be_there_and_hold_numbers(tmp_path: Path) -> None:
    write_epochs(tmp_path, CODES)
    with pytest.raises(DataError, match=r"No image_concept_index\.csv"):
        ThingsMEG(tmp_path).recordings()
    write_concepts(tmp_path, ["one", 2])
    with pytest.raises(DataError, match="one concept number per line"):
        ThingsMEG(tmp_path).recordings()


def test_participants_are_chosen_and_absent_files_are_one_error(root: Path) -> None:
    write_epochs(root, CODES, participant=1)
    write_epochs(root, CODES, participant=3)
    [recording] = ThingsMEG(root, subjects=["BIGMEG3"]).recordings()
    assert recording.label == "sub-BIGMEG3"
    with pytest.raises(DataError, match=r"no file sub-\*/preprocessed_meg_training\.pkl"):
        ThingsMEG(root, layout="arrays").recordings()
    with pytest.raises(ConfigError, match="Unknown layout 'epoch'. Did you mean 'epochs'"):
        ThingsMEG(root, layout="epoch")


def write_arrays(things: Any, **changes: Any) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    folder = things.root / "preprocessed_MEG" / "sub-01"
    folder.mkdir(parents=True)
    written = {}
    for partition, file, shape in (("train", "training", (3, 2, 1)), ("test", "zs_test", (2, 1, 4))):
        written[partition] = rng.standard_normal((*shape, 5, 21))
        names = [f"MLC{number}" for number in range(5)]
        content = {"meg_data": written[partition], "ch_names": names, "times": np.arange(21) / 200} | changes
        (folder / f"preprocessed_meg_{file}.pkl").write_bytes(pickle.dumps(content, protocol=4))
    return written


def test_arrays_of_the_zero_shot_split_are_read_to_exact_values(things: Any) -> None:
    things.write_folders()
    written = write_arrays(things)
    recordings = {recording.entities.task: recording for recording in ThingsMEG(things.root).recordings()}
    for partition, responses in written.items():
        recording = recordings[partition]
        np.testing.assert_array_equal(recording.read_trials([5, 0]), responses.reshape(-1, 5, 21)[[5, 0]])
        assert (recording.rate_hz, recording.start_s, recording.label) == (
            200.0,
            0.0,
            f"sub-BIGMEG1_task-{partition}",
        )
    assert recordings["test"].events["stimulus"].tolist() == ["acorn_06s"] * 4 + ["zebra_06s"] * 4
    assert recordings["test"].events["repetition"].tolist() == [1, 2, 3, 4] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"meg_data": np.zeros((6, 5, 21))}, r"axes \(concept, picture, repetition, channel, time\); it has shape"),
        ({"ch_names": ["MLC0"]}, "has 5 channels, `ch_names` 1"),
        ({"times": np.arange(30) / 200}, "30 entries"),
        ({"meg_data": np.zeros((4, 2, 1, 5, 21))}, "responses to 8 pictures"),
    ],
)
def test_arrays_of_a_wrong_shape_are_refused(things: Any, changes: dict[str, Any], message: str) -> None:
    things.write_folders()
    write_arrays(things, **changes)
    with pytest.raises(DataError, match=message):
        ThingsMEG(things.root).recordings()


def test_arrays_without_names_of_pictures_are_refused(things: Any) -> None:
    write_arrays(things)
    with pytest.raises(DataError, match="numbers its pictures, but does not name them"):
        ThingsMEG(things.root).recordings()
