"""Each catalogue entry against the real recordings it describes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.features import FeatureFile
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table

pytestmark = pytest.mark.real_data

ENTRIES = (
    "eeg_muse_n170",
    "eeg_muse_p300_catsdogs",
    "eeg_muse_leftright_vep",
    "eeg_muse_ssvep",
    "eeg_muse_cueing_pretrain",
    "eeg_mi_eegmmidb_s001",
    "eeg_fingertap_bci2iv",
    "eeg_n400_words",
    "eeg_eeglab_attention",
    "things_eeg2_clip",
)


def entry(repository: Path, data: Path, name: str) -> dict:
    if not (data / name).is_dir():
        pytest.skip(f"no {name} among the real recordings")
    return yaml.safe_load((repository / "datasets" / f"{name}.yaml").read_text().replace("${paths.data}", str(data)))


@pytest.mark.parametrize("name", ENTRIES)
def test_entry_loads_and_its_facts_hold(repository: Path, real_data_folder: Path, name: str, tmp_path: Path) -> None:
    described = entry(repository, real_data_folder, name)
    dataset = build_dataset(described)
    recordings = dataset.recordings()
    dataset.check_facts(recordings)
    target = EventTarget.from_config(described["target"])
    made = build_window_table(recordings, dataset=name, target=target, **described["window"])
    store = prepare_store(recordings, [], tmp_path)
    windows = store.read(made.table.iloc[:: max(1, len(made) // 50)])
    assert np.isfinite(windows.data).all()
    assert len(set(store.content_hashes)) == len(recordings)


@pytest.mark.parametrize("name", [name for name in ENTRIES if name.startswith("eeg_m")])
def test_window_counts_are_those_of_the_events_files(repository: Path, real_data_folder: Path, name: str) -> None:
    described = entry(repository, real_data_folder, name)
    recordings = build_dataset(described).recordings()
    target = EventTarget.from_config(described["target"])
    made = build_window_table(recordings, dataset=name, target=target, **described["window"])
    task = (described["tasks"] or [""])[0]
    files = (real_data_folder / name).glob(f"sub-*/**/*task-{task}*events.tsv")
    shown = pd.concat([pd.read_csv(file, sep="\t") for file in files])["trial_type"]
    assert len(made) + len(made.exclusions) == shown.isin(list(target.class_of_value())).sum()


def test_the_dataset_folder_itself_works_as_data_path(repository: Path, real_data_folder: Path) -> None:
    data = real_data_folder / "eeg_muse_ssvep"
    if not data.is_dir():
        pytest.skip("no eeg_muse_ssvep among the real recordings")
    text = (repository / "datasets" / "eeg_muse_ssvep.yaml").read_text().replace("${paths.data}", str(data))
    assert build_dataset(yaml.safe_load(text)).recordings()


def test_attention_has_forty_squares_at_each_position(repository: Path, real_data_folder: Path) -> None:
    described = entry(repository, real_data_folder, "eeg_eeglab_attention")
    recordings = build_dataset(described).recordings()
    target = EventTarget.from_config(described["target"])
    made = build_window_table(recordings, dataset="a", target=target, **described["window"])
    assert made.table["label"].value_counts().to_dict() == {"position1": 40, "position2": 40}


def test_things_embeddings_find_their_pictures(repository: Path, real_data_folder: Path, tmp_path: Path) -> None:
    described = entry(repository, real_data_folder, "things_eeg2_clip")
    dataset = build_dataset(described)
    recordings = dataset.recordings()
    target = EventTarget.from_config(described["target"])
    table = build_window_table(recordings, dataset="t", target=target, **described["window"]).table
    embeddings = prepare_store(recordings, [], tmp_path).read(table).data[:, :, 0]
    features = FeatureFile.from_config(described["features"]).load(dataset.root)
    gallery = features.vectors / np.linalg.norm(features.vectors, axis=1, keepdims=True)
    similarity = embeddings @ gallery.T
    true = similarity[np.arange(len(table)), features.rows(table["stimulus"].tolist())]
    ranks = (similarity > true[:, None]).sum(axis=1)
    assert (ranks < 1).mean() == pytest.approx(0.34) and (ranks < 5).mean() == pytest.approx(0.72)
