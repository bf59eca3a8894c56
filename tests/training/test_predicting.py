"""Answers of retrieval: which repetitions are averaged, what they are compared with, and what is kept beside them."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from brain_decode.core.errors import DataError
from brain_decode.evaluation.intervals import Design
from brain_decode.evaluation.predictions import rows_of_all_trials, rows_of_kept_trials, unanswered_stimuli
from brain_decode.evaluation.retrieval_scores import score_retrieval
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows
from brain_decode.training.predicting import averaged_answers, predict_rows, selection_score
from brain_decode.training.replaying import compare_runs
from brain_decode.training.results import RunResult, write_results
from brain_decode.training.trials import Trials

N_STIMULI, N_REPETITIONS, DIM = 40, 8, 16


class ReadsTheSignal:
    """Stands for a decoder that answers what it is given: one number per channel."""

    preprocessing = Preprocessing()
    head = None

    def answer_windows(self, windows: Windows) -> np.ndarray:
        return windows.data[:, :, 0]

    answer_preprocessed = answer_windows


@dataclass
class HeldTrials(Trials):
    """Trials whose windows are in memory."""

    held: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def windows(self, preprocessing: Preprocessing, rows: np.ndarray) -> Windows:
        sensors = Sensors(tuple(f"E{i}" for i in range(DIM)), ("eeg",) * DIM)
        return Windows(self.held[rows][:, :, None], 100.0, 0.0, sensors, self.table.iloc[rows])


def trials_of_the_truth(rejected: np.ndarray, n_subjects: int = 1) -> HeldTrials:
    """Return trials that hold the features of what was shown, with an artefact where they were rejected."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((N_STIMULI, DIM))
    n = N_STIMULI * N_REPETITIONS * n_subjects
    shown = np.tile(np.arange(N_STIMULI), N_REPETITIONS * n_subjects)
    names = tuple(f"picture_{i:02d}" for i in range(N_STIMULI))
    table = pd.DataFrame(
        {
            "dataset": "made",
            "subject": np.repeat([f"{i + 1:02d}" for i in range(n_subjects)], N_STIMULI * N_REPETITIONS),
            "session": "1",
            "task": "see",
            "run": "1",
            "recording": 0,
            "event": np.arange(n),
            "stimulus": [names[i] for i in shown],
            "concept": [f"concept_{i // 2}" for i in shown],
            "rejected": np.where(rejected, "peak_to_peak", ""),
        }
    )
    held = features[shown] + 50 * rejected[:, None] * rng.standard_normal((n, DIM))
    return HeldTrials([], table, "retrieval", Path(), features, names, held=held)


def some_rejected(n_subjects: int = 1) -> np.ndarray:
    """Return 98 of 320 trials a person, at random; never all repetitions of a picture."""
    rng = np.random.default_rng(5)
    rejected = np.zeros((n_subjects, N_REPETITIONS * N_STIMULI), dtype=bool)
    for person in rejected:
        person[rng.choice(person.size, 98, replace=False)] = True
    assert not rejected.reshape(n_subjects, N_REPETITIONS, N_STIMULI).all(axis=1).any()
    return rejected.ravel()


def answers(trials: Trials) -> pd.DataFrame:
    rows = np.arange(len(trials.table))
    predictions = predict_rows(ReadsTheSignal(), trials, rows, "exact_image")  # type: ignore[arg-type]
    return predictions.assign(decoder="reads", fold="all", split="test")


def headline(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions["n_repetitions"] == N_REPETITIONS]


def top1(predictions: pd.DataFrame) -> float:
    return score_retrieval(headline(predictions))["top1"]["value"]


def test_kept_repetitions_alone_answer_every_stimulus() -> None:
    predictions = answers(trials_of_the_truth(some_rejected()))
    kept = rows_of_kept_trials(predictions)
    assert len(headline(kept)) == N_STIMULI
    assert top1(kept) == 1.0
    assert top1(rows_of_all_trials(predictions)) < 0.5


def test_an_average_says_how_many_kept_repetitions_are_in_it() -> None:
    rejected = some_rejected()
    kept = headline(rows_of_kept_trials(answers(trials_of_the_truth(rejected))))
    expected = (~rejected.reshape(N_REPETITIONS, N_STIMULI)).sum(axis=0)
    assert kept.sort_values("stimulus")["n_averaged"].tolist() == expected.tolist()


def test_the_second_set_is_written_only_where_a_trial_was_rejected() -> None:
    none = np.zeros(N_STIMULI * N_REPETITIONS, dtype=bool)
    predictions = answers(trials_of_the_truth(none))
    assert set(predictions["trials_used"]) == {"kept"}
    assert rows_of_all_trials(predictions).equals(predictions)
    assert set(answers(trials_of_the_truth(some_rejected()))["trials_used"]) == {"kept", "all"}


def test_both_sets_and_every_point_of_the_curve_have_the_same_numbers_of_repetitions_and_one_gallery() -> None:
    predictions = answers(trials_of_the_truth(some_rejected()))
    counts = predictions.groupby("trials_used")["n_repetitions"].unique().map(sorted)
    assert counts["kept"] == counts["all"] == [1, 2, 5, 8]
    assert set(predictions["gallery_size"]) == {N_STIMULI}
    single = predictions[predictions["n_repetitions"] == 1]["trials_used"].value_counts()
    assert single["kept"] == 320 - 98 and single["all"] == 320


def test_a_stimulus_without_a_kept_trial_stays_a_candidate_and_is_named() -> None:
    rejected = np.tile(np.arange(N_STIMULI) == 3, N_REPETITIONS)
    predictions = answers(trials_of_the_truth(rejected))
    assert unanswered_stimuli(headline(predictions)) == ["picture_03"]
    kept = headline(rows_of_kept_trials(predictions))
    assert len(kept) == N_STIMULI - 1 and set(kept["gallery_size"]) == {N_STIMULI}
    both = answers(trials_of_the_truth(np.r_[rejected, np.zeros_like(rejected)], n_subjects=2))
    assert unanswered_stimuli(headline(both)) == ["sub-01 picture_03"]


def test_pictures_are_drawn_from_the_averages_that_are_scored() -> None:
    trials = trials_of_the_truth(some_rejected(2), n_subjects=2)
    table, vectors = averaged_answers(ReadsTheSignal(), trials, np.arange(len(trials.table)))  # type: ignore[arg-type]
    kept = headline(rows_of_kept_trials(answers(trials)))
    assert table["n_repetitions"].tolist() == kept["n_averaged"].tolist()
    assert table["stimulus"].tolist() == kept["stimulus"].tolist()
    assert vectors == pytest.approx(trials.features[trials.feature_rows(table["stimulus"].tolist())])  # type: ignore[index]


def test_nothing_is_drawn_where_every_trial_was_rejected() -> None:
    trials = trials_of_the_truth(np.ones(N_STIMULI * N_REPETITIONS, dtype=bool))
    with pytest.raises(DataError, match="all 320 of the test part were rejected.*preprocessing.rejection"):
        averaged_answers(ReadsTheSignal(), trials, np.arange(320))  # type: ignore[arg-type]


def test_candidates_are_selected_by_kept_trials() -> None:
    trials = trials_of_the_truth(some_rejected())
    assert selection_score(answers(trials), trials) == 0.0


def run_of(trials: Trials, **settings: Any) -> RunResult:
    given: dict[str, Any] = {
        "command": "train",
        "decoder": "reads",
        "protocol": "official",
        "task": "retrieval",
        "predictions": answers(trials),
        "folds": [],
        "curves": [],
        "datasets": [],
        "exclusions": [],
        "rejection": {"rule": "peak_to_peak", "n_rejected": 98, "n_total": 320, "per_run": []},
        "evoked": None,
        "receipt": {},
        "selected": "reads",
        "seed": 0,
        "classes": (),
    }
    return RunResult(**given | settings)


def test_metrics_of_a_run_stand_on_kept_trials_with_all_beside_them(tmp_path: Path) -> None:
    metrics = write_results(run_of(trials_of_the_truth(some_rejected())), OmegaConf.create({}), tmp_path)
    own, without = metrics["metrics"]["top1"], metrics["metrics_without_rejection"]["top1"]
    assert (own["value"], own["n"], without["n"]) == (1.0, 40, 40)
    assert without["value"] < 0.5
    assert own["p_permutation"] == own["p_smallest"] == 1 / 2000
    curve = json.loads((tmp_path / "report_data.json").read_text())["repetitions"]
    assert [(point["n"], point["top1"]) for point in curve] == [(1, 1.0), (2, 1.0), (5, 1.0), (8, 1.0)]


def test_stimuli_without_trials_are_told_in_the_log_and_the_evidence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("brain_decode"), "propagate", True)
    trials = trials_of_the_truth(np.tile(np.arange(N_STIMULI) < 2, N_REPETITIONS))
    write_results(run_of(trials), OmegaConf.create({}), tmp_path)
    data = json.loads((tmp_path / "report_data.json").read_text())
    assert data["rejection"]["stimuli_without_trials"] == ["picture_00", "picture_01"]
    assert "2 stimuli have no answer, because each of their trials was rejected: picture_00, picture_01" in caplog.text


def test_answers_written_twice_compare_as_equal_and_another_rank_is_seen(tmp_path: Path) -> None:
    run = run_of(trials_of_the_truth(some_rejected()))
    for name in ("first", "second", "third"):
        (tmp_path / name).mkdir()
        write_results(run, OmegaConf.create({}), tmp_path / name)
    assert compare_runs(tmp_path / "first", tmp_path / "second").differing == {}
    changed = pd.read_parquet(tmp_path / "third" / "predictions.parquet")
    row = int(np.flatnonzero(changed["shown_ranks"].notna())[0])
    changed.at[row, "shown_ranks"] = changed.at[row, "shown_ranks"][::-1]
    changed.to_parquet(tmp_path / "third" / "predictions.parquet")
    assert set(compare_runs(tmp_path / "first", tmp_path / "third").differing) == {"predictions.shown_ranks"}


@pytest.mark.parametrize("has_p", [False, True])
def test_p_is_given_over_several_folds_only_where_none_trained_on_the_test_of_another(
    tmp_path: Path, has_p: bool
) -> None:
    trials = trials_of_the_truth(some_rejected(2), n_subjects=2)
    predictions = answers(trials)
    design = Design("subject", 2, 1.0, needs_refit=not has_p)
    run = run_of(trials, design=design, predictions=predictions.assign(fold=predictions["subject"]))
    score = write_results(run, OmegaConf.create({}), tmp_path)["metrics"]["top1"]
    assert (score["p_permutation"] is not None) == has_p
    assert score.get("p_reason") == (None if has_p else "fixed decoders in cross-validation share training data")
