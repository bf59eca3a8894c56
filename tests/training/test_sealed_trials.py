"""Training code cannot read what it is scored on, whoever writes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import LeakageError
from brain_decode.datasets.sealed import SealedTest
from brain_decode.datasets.splits import ContiguousKFold
from brain_decode.encoders.base import Encoder
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.training.crossvalidation import Protocol, cross_validate, fit_final
from brain_decode.training.fitting import FitSettings
from brain_decode.training.recipes import Plan, Recipe
from brain_decode.training.sealed_trials import SealedTrials
from brain_decode.training.trials import Trials

SENSORS = Sensors(("a", "b", "c"), ("eeg",) * 3)
RATE_HZ, N_TRIALS = 100.0, 40
PARTS = {
    "encoder": {"_target_": "brain_decode.encoders.time_means.TimeMeans"},
    "head": {"_target_": "brain_decode.heads.shrinkage_lda.ShrinkageLDA"},
}
PROTOCOL = Protocol(ContiguousKFold(n_folds=4), FitSettings(), "exact_image", zero_shot=False, hashes=())


def trials_of(folder: Path, task: Any = "classification", **changes: Any) -> Trials:
    """Forty windows of one recording, two classes in turn, each window of its own picture."""
    rng = np.random.default_rng(0)
    onsets = np.arange(N_TRIALS) * 2.0
    labels = np.where(np.arange(N_TRIALS) % 2, "left", "right")
    events = pd.DataFrame({"onset_s": onsets, "duration_s": 0.0, "trial_type": labels})
    recording = Recording(Entities("01"), SENSORS, RATE_HZ, events, ArraySource(rng.standard_normal((3, 9000))))
    table = pd.DataFrame({"recording": 0, "event": np.arange(N_TRIALS), "onset_s": onsets, "start_s": onsets})
    table = table.assign(stop_s=onsets + 0.5, dataset="d", subject="01", session="", task="", run="", rejected="")
    table = table.assign(partition="", label=labels, stimulus=[f"s{k}" for k in range(N_TRIALS)], concept="thing")
    features = {"features": np.eye(N_TRIALS), "feature_ids": tuple(table["stimulus"])} if task == "retrieval" else {}
    return Trials([recording], table.assign(**changes), task, folder / "stores", **features)


@pytest.fixture
def shut(tmp_path: Path) -> SealedTrials:
    """The last ten windows are sealed."""
    return SealedTrials(trials_of(tmp_path), SealedTest("last", np.arange(30, 40)))


@pytest.mark.parametrize("rows", [np.array([3, 35]), np.array([-1]), slice(25, 31), np.arange(40) == 30])
def test_targets_and_windows_of_sealed_rows_are_refused_however_they_are_asked_for(
    shut: SealedTrials, rows: Any
) -> None:
    for read in (shut.targets, lambda asked: shut.windows(Preprocessing(), asked)):
        with pytest.raises(LeakageError, match="sealed test part of fold 'last'"):
            read(rows)


def test_open_rows_are_those_of_the_whole(shut: SealedTrials, tmp_path: Path) -> None:
    whole, rows = trials_of(tmp_path), np.array([5, 0, 29])
    np.testing.assert_array_equal(shut.targets(rows), whole.targets(rows))
    np.testing.assert_array_equal(shut.windows(Preprocessing(), rows).data, whole.windows(Preprocessing(), rows).data)
    assert shut.table.iloc[:30].astype(str).equals(whole.table.iloc[:30].astype(str))
    assert shut.classes == whole.classes == ("left", "right")


@pytest.mark.parametrize("column", ["label", "stimulus", "concept"])
@pytest.mark.parametrize("use", [str, hash, float, lambda value: value == "left", lambda value: {value}])
def test_a_sealed_value_cannot_be_used(shut: SealedTrials, column: str, use: Callable[[Any], Any]) -> None:
    with pytest.raises(LeakageError, match="stimulus or concept of the sealed test part of fold 'last' was read"):
        use(shut.table[column].iloc[30])


def test_sealed_values_to_regress_are_not_there(tmp_path: Path) -> None:
    whole = trials_of(tmp_path, "regression", label=np.arange(40.0))
    labels = SealedTrials(whole, SealedTest("last", np.arange(30, 40))).table["label"]
    assert labels.iloc[30:].isna().all() and labels.iloc[:30].tolist() == list(range(30))


def test_the_features_of_a_sealed_picture_are_not_looked_up_for_training(tmp_path: Path) -> None:
    shut = SealedTrials(trials_of(tmp_path, "retrieval"), SealedTest("last", np.arange(30, 40)))
    assert shut.feature_rows(["s3"]).tolist() == [3]
    with pytest.raises(LeakageError, match="Row 31"):
        shut.feature_rows(["s3", "s31"])


def test_the_store_the_signal_and_the_events_behind_the_windows_are_shut(shut: SealedTrials) -> None:
    for read in (lambda: shut.store(Preprocessing()), shut.recordings[0].read, lambda: shut._class_indices):
        with pytest.raises(LeakageError):
            read()
    assert set(shut.recordings[0].events["trial_type"]) == {""}


def test_views_share_one_store(tmp_path: Path) -> None:
    whole = trials_of(tmp_path)
    for rows in (np.arange(10), np.arange(30, 40)):
        SealedTrials(whole, SealedTest("a", rows)).windows(Preprocessing(), np.array([20]))
    assert len(whole._stores) == 1


@dataclass(frozen=True)
class Prying(Recipe):
    """A recipe that looks for the trials of whoever builds it, and tries to read what it is scored on."""

    read: Callable[[Trials], Any] = field(default=len)

    def build_encoder(self, signal_spec: SignalSpec) -> Encoder:
        self.read(sys._getframe(1).f_locals["trials"])
        return super().build_encoder(signal_spec)

    def build_head(self, encoder: Encoder, target_spec: TargetSpec) -> Any:
        self.read(sys._getframe(1).f_locals["trials"])
        return super().build_head(encoder, target_spec)


PRYING = {
    "targets": lambda trials: trials.targets(np.arange(N_TRIALS)),
    "windows": lambda trials: trials.windows(Preprocessing(), np.arange(N_TRIALS)),
    "labels": lambda trials: trials.table["label"].astype(str),
    "classes of all rows": lambda trials: trials._class_indices,
    "store": lambda trials: trials.store(Preprocessing()).read(trials.table),
    "recording": lambda trials: trials.recordings[0].read(),
}


@pytest.mark.parametrize("what", PRYING)
def test_a_recipe_that_reads_its_test_part_while_it_is_fitted_is_stopped(tmp_path: Path, what: str) -> None:
    recipe = Prying("prying", {}, PARTS["encoder"], PARTS["head"], read=PRYING[what])
    with pytest.raises(LeakageError):
        cross_validate(Plan("prying", (recipe,), ()), trials_of(tmp_path), PROTOCOL)


@pytest.mark.parametrize("n_candidates", [1, 2])
def test_sealing_changes_no_score(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_candidates: int) -> None:
    recipes = tuple(Recipe(f"lda{k}", {}, PARTS["encoder"], PARTS["head"]) for k in range(n_candidates))
    plan = Plan("nested_selection" if n_candidates > 1 else "lda0", recipes, ())
    sealed = cross_validate(plan, trials_of(tmp_path), PROTOCOL)
    monkeypatch.setattr("brain_decode.training.crossvalidation.SealedTrials", lambda whole, _: whole)
    plain = cross_validate(plan, trials_of(tmp_path), PROTOCOL)
    pd.testing.assert_frame_equal(sealed.predictions, plain.predictions)
    assert sealed.folds == plain.folds


def test_the_final_fit_sees_every_window_of_its_split(tmp_path: Path) -> None:
    recipe = Recipe("lda", {}, PARTS["encoder"], PARTS["head"])
    fitted, name = fit_final(Plan("lda", (recipe,), ()), trials_of(tmp_path), PROTOCOL)
    assert name == "lda" and fitted.n_left_out == 0
