"""The entries of the Alljoined data sets against miniature trees, through the command line and the signal store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from edfio import Edf, EdfSignal

from brain_decode.cli import app
from brain_decode.core.errors import ConfigError
from brain_decode.datasets.entries import build_dataset

RANGES = {"physical_range": (-32768, 32767), "digital_range": (-32768, 32767)}


def entry(repository: Path, name: str, data: Path) -> dict[str, Any]:
    text = (repository / "datasets" / f"{name}.yaml").read_text().replace("${paths.data}", str(data))
    return yaml.safe_load(text) | {"accept_licence": name}


@pytest.mark.parametrize("name", ["alljoined_1_6m", "alljoined_1_6m_flat", "alljoined1"])
def test_nothing_is_read_before_the_licence_is_accepted(repository: Path, tmp_path: Path, name: str) -> None:
    described = entry(repository, name, tmp_path)
    with pytest.raises(ConfigError, match=f"add accept_licence={name}, or set BRAIN_DECODE_ACCEPT_LICENCES={name}"):
        build_dataset({**described, "accept_licence": None})
    assert build_dataset(described).name == name


def write_alljoined1(root: Path) -> None:
    """Write a session as NEMAR publishes it: BIDS, a byte order mark in the events, pictures named image/N."""
    folder = root / "sub-01" / "ses-01" / "eeg"
    folder.mkdir(parents=True)
    names = [f"{column}{row}" for column in "AB" for row in range(1, 33)]
    rng = np.random.default_rng(0)
    signals = [
        EdfSignal(rng.integers(-50, 50, 512 * 4).astype(float), 512, label=name, physical_dimension="uV", **RANGES)
        for name in names
    ]
    Edf(signals).write(folder / "sub-01_ses-01_task-images_eeg.edf")
    events = "onset\tduration\ttrial_type\tvalue\tsample\n1.0\t0.3\timage/7\t7\t512\n1.6\t0.3\timage/960\t960\t819\n"
    (folder / "sub-01_ses-01_task-images_events.tsv").write_text("\ufeff" + events, encoding="utf-8")


def test_alljoined1_is_read_as_bids(repository: Path, tmp_path: Path) -> None:
    write_alljoined1(tmp_path / "alljoined1")
    described = entry(repository, "alljoined1", tmp_path)
    described["loader"]["montage"] = None  # this miniature's channels are named by their connectors
    dataset = build_dataset(described)
    recordings = dataset.recordings()
    dataset.check_facts(recordings)
    assert [recording.label for recording in recordings] == ["sub-01_ses-01_task-images"]
    assert recordings[0].events["trial_type"].tolist() == ["image/7", "image/960"]
    assert recordings[0].events["onset_s"].tolist() == [1.0, 1.6]


def test_the_command_line_wants_the_word(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["prepare", "datasets=alljoined_1_6m", f"paths.data={tmp_path}"]
    assert app.main(words) == 2
    assert "Dataset 'alljoined_1_6m' has terms to be accepted first: Non-commercial use only" in capsys.readouterr().err
    assert app.main([*words, "accept_licence=alljoined_1_6m"]) == 1
    assert "alljoined_1_6m does not exist" in capsys.readouterr().err
