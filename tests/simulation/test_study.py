"""A study on disk: BIDS that reads back, whole or absent, one folder per settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.features import FeatureFile
from brain_decode.datasets.simulated import SimulatedThings
from brain_decode.simulation import study
from brain_decode.simulation.oracle import _scores, oracle_scores
from brain_decode.simulation.settings import StudySettings
from brain_decode.simulation.study import make_study

Small = Callable[..., StudySettings]


def test_a_study_reads_back_as_a_dataset(tmp_path: Path, small: Small) -> None:
    settings = small(sensors="both", noise=0.5)
    datasets = {kind: SimulatedThings(tmp_path, study=settings.to_json(), datatype=kind) for kind in ("eeg", "meg")}
    for kind, n_channels in (("eeg", 16), ("meg", 20)):
        recordings = datasets[kind].recordings()
        assert [recording.entities.run for recording in recordings] == ["01", "02"]
        assert len(recordings[0].space) == n_channels
        assert recordings[0].rate_hz == 100.0
        assert set(recordings[1].events["partition"]) == {"test"}
        assert recordings[1].events["repetition"].astype(int).max() == 3
    channels = next((tmp_path / settings.hash).glob("sub-01/ses-01/eeg/*_channels.tsv")).read_text()
    assert channels.count("\tbad") == 1
    description = json.loads((tmp_path / settings.hash / "dataset_description.json").read_text())
    assert "simulation" in description["GeneratedBy"][0]["Name"]


def test_written_samples_are_the_simulated_ones(tmp_path: Path, small: Small) -> None:
    settings = small()
    recording = SimulatedThings(tmp_path, study=settings.to_json()).recordings()[0]
    pictures = study.draw_pictures(16, 2, 6)
    drive = study.area_drive(pictures, study.pixel_features(pictures.pixels))
    laboratory = study.build_laboratory(settings)
    participant = study.build_participant(laboratory, 0, drive)
    events = study.schedule(pictures, settings, 0, 0)[0]
    expected = study.simulate_run(laboratory, participant, events, subject=0, session=0, run=0).data["eeg"]
    np.testing.assert_allclose(recording.read(0, recording.n_times), expected, rtol=1e-5, atol=1e-11)
    np.testing.assert_allclose(recording.events["onset_s"], events["onset"], atol=1e-6)


def test_features_belong_to_the_shown_pictures(tmp_path: Path, small: Small) -> None:
    folder = make_study(tmp_path, small())
    features = FeatureFile("stimuli/features.npz", "features", "ids", "concept").load(folder)
    assert features.vectors.shape == (38, 8)
    assert features.vectors.dtype == np.float32
    assert all(name.startswith(f"{concept}_") for name, concept in zip(features.ids, features.concepts, strict=True))
    with np.load(folder / "stimuli" / "features.npz") as saved:
        train = saved["features"][saved["partition"] == "train"]
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-5)


def test_other_settings_get_another_folder_and_the_same_settings_the_same(tmp_path: Path, small: Small) -> None:
    first = make_study(tmp_path, small())
    stamp = (first / "simulation.json").stat().st_mtime_ns
    assert make_study(tmp_path, small()) == first
    assert (first / "simulation.json").stat().st_mtime_ns == stamp
    assert small(coupling=0.5).hash != first.name
    assert small(seed=1).hash != first.name


def test_a_study_that_is_interrupted_leaves_nothing(
    tmp_path: Path, small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(study, "_describe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_study(tmp_path, small())
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_the_study_is_never_read(tmp_path: Path, small: Small) -> None:
    (tmp_path / small().hash).mkdir()
    with pytest.raises(DataError, match=r"is not the simulated study it is named after"):
        make_study(tmp_path, small())


def test_the_oracle_finds_nothing_without_coupling_and_much_with_it(tmp_path: Path, small: Small) -> None:
    coupled = oracle_scores(make_study(tmp_path, small(noise=0.3, n_test_concepts=20)))["eeg"]
    assert coupled["n"] == 20
    assert coupled["top1"] > 0.8
    uncoupled = oracle_scores(make_study(tmp_path, small(coupling=0.0, n_test_concepts=20)))["eeg"]
    assert uncoupled["top1"] <= 0.25


def test_an_oracle_of_recorded_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"only simulated studies have an oracle"):
        oracle_scores(tmp_path)


def test_part_of_a_study_has_no_ceiling(tmp_path: Path, small: Small) -> None:
    whole = SimulatedThings(tmp_path, study=small().to_json())
    whole.recordings()
    assert set(whole.oracle() or {}) == {"top1", "top5"}
    assert SimulatedThings(tmp_path, study=small().to_json(), sessions=["01"]).oracle() is None


def test_unknown_settings_and_absent_sensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'coupling'"):
        StudySettings.from_config({"copling": 1.0})
    with pytest.raises(ConfigError, match=r"has eeg, not meg"):
        SimulatedThings(tmp_path, study={"sensors": "eeg"}, datatype="meg")


def test_equal_likelihoods_share_the_hit() -> None:
    scores = _scores([np.zeros((20, 20))])
    assert scores == {"top1": pytest.approx(1 / 20), "top5": pytest.approx(5 / 20), "n": 20}
    assert _scores([np.eye(20)])["top1"] == 1.0
