"""p-values of a cross-validation come from decoders that are fitted again to permuted labels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.datasets.splits import ContiguousKFold, LeaveRunOut, LeaveSubjectOut, OfficialSplit
from brain_decode.evaluation.permutation import PermutationValue
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.training.crossvalidation import Protocol, cross_validate
from brain_decode.training.fitting import FitSettings
from brain_decode.training.permuting import RefitScores, design_of, fitted_folds, permutation_p_values
from brain_decode.training.recipes import NESTED_SELECTION, Plan, Recipe
from brain_decode.training.refit import refit_of
from brain_decode.training.trials import Trials

N_RUNS, N_TRIALS, RATE_HZ = 4, 20, 50.0
SENSORS = Sensors(("a", "b", "c"), ("eeg",) * 3)
ENCODERS = "brain_decode.encoders."
PARTS = {
    "time_means": ("time_means.TimeMeans", "shrinkage_lda.ShrinkageLDA"),
    "tangent_space": ("tangent_space.TangentSpace", "logistic_regression.LogisticRegression"),
    "xdawn_tangent": ("xdawn_tangent.XdawnTangent", "logistic_regression.LogisticRegression"),
    "csp": ("csp.CSP", "shrinkage_lda.ShrinkageLDA"),
}


def recipe_of(name: str, steps: dict[str, Any] | None = None) -> Recipe:
    encoder, head = PARTS[name]
    return Recipe(name, steps or {}, {"_target_": ENCODERS + encoder}, {"_target_": f"brain_decode.heads.{head}"})


def trials_of(folder: Path, effect: float, task: Any = "classification", seed: int = 0) -> Trials:
    """Four runs of twenty trials; the second class has a deflection of so many deviations on channel b."""
    rng = np.random.default_rng(seed)
    recordings, tables = [], []
    for run in range(N_RUNS):
        labels, onsets = rng.permutation(np.arange(N_TRIALS) % 2), 1.0 + np.arange(N_TRIALS)
        signal = rng.standard_normal((3, int((N_TRIALS + 3) * RATE_HZ)))
        for onset, label in zip(onsets, labels, strict=True):
            first = int(onset * RATE_HZ)
            signal[1, first + 5 : first + 15] += effect * label
        events = pd.DataFrame({"onset_s": onsets, "duration_s": 0.0, "trial_type": labels.astype(str)})
        entities = Entities("01", run=str(run))
        recordings.append(Recording(entities, SENSORS, RATE_HZ, events, ArraySource(signal)))
        shown: Any = labels.astype(float) + 0.1 * rng.normal(size=N_TRIALS) if task == "regression" else labels
        table = pd.DataFrame({"recording": run, "event": np.arange(N_TRIALS), "onset_s": onsets, "start_s": onsets})
        table = table.assign(stop_s=onsets + 0.5, dataset="d", subject="01", session="", task="", run=str(run))
        table = table.assign(rejected="", partition="", stimulus="", concept="", is_cut=False)
        tables.append(table.assign(label=shown if task == "regression" else np.array(["left", "right"])[labels]))
    return Trials(recordings, pd.concat(tables, ignore_index=True), task, folder / "stores")


def p_values(trials: Trials, *recipes: Recipe, n: int = 59, **changes: Any) -> dict[str, Any]:
    plan = Plan(changes.pop("name", recipes[0].name), recipes, ())
    return permutation_p_values(plan, trials, LeaveRunOut().folds(trials.table), FitSettings(), n_permutations=n)


@pytest.mark.parametrize("name", PARTS)
def test_refitting_to_the_true_labels_gives_the_answers_of_the_cross_validation(tmp_path: Path, name: str) -> None:
    trials, recipe = trials_of(tmp_path, 1.0), recipe_of(name)
    protocol = Protocol(LeaveRunOut(), FitSettings(), "exact_image", zero_shot=False, hashes=())
    predictions = cross_validate(Plan(name, (recipe,), ()), trials, protocol).predictions
    labels = trials.targets(np.arange(len(trials.table)))
    for fold in fitted_folds(trials, LeaveRunOut().folds(trials.table)):
        answers = refit_of(recipe, trials, fold.train, fold.test, FitSettings())(labels)
        expected = predictions[predictions["window"].isin(fold.test)]["probability_right"]
        assert answers[:, 1] == pytest.approx(expected.to_numpy())


def test_a_step_that_sees_labels_is_fitted_again_too(tmp_path: Path) -> None:
    steps = {"window_steps": [{"step": "noise_normalisation", "settings": {"variant": "alljoined"}}]}
    trials = trials_of(tmp_path, 1.0)
    fold = fitted_folds(trials, LeaveRunOut().folds(trials.table))[0]
    labels = trials.targets(np.arange(len(trials.table)))
    whitened = refit_of(recipe_of("time_means", steps), trials, fold.train, fold.test, FitSettings())
    turned = whitened(1 - labels)
    assert np.allclose(turned[:, ::-1], whitened(labels)) and np.ptp(turned) > 0.1


def test_windows_that_do_not_fit_into_memory_are_read_again_and_answered_alike(tmp_path: Path) -> None:
    trials, recipe = trials_of(tmp_path, 1.0), recipe_of("xdawn_tangent")
    fold = fitted_folds(trials, LeaveRunOut().folds(trials.table))[0]
    labels = trials.targets(np.arange(len(trials.table)))
    # Room for 40 of 60 training windows is room for the 20 of the test; for 15 it is not.
    settings = [FitSettings(memory_gib=n * 3 * 25 * 8 * 4 / 2**30) for n in (15.5, 40.5)]
    few, many = (type(refit_of(recipe, trials, fold.train, fold.test, one)).__name__ for one in settings)
    assert (few, many) == ("_WholeRefit", "_EncoderRefit")
    assert refit_of(recipe, trials, fold.train, fold.test, settings[0])(labels).shape == (20, 2)


def test_an_effect_gets_the_smallest_p_and_says_how_it_was_made(tmp_path: Path) -> None:
    found = p_values(trials_of(tmp_path, 1.5), recipe_of("time_means"))["time_means"]["auc"]
    assert found == PermutationValue(
        1 / 60, "labels exchanged (trials within runs) before fitting, decoder fitted again", 59, 1 / 60
    )


def test_a_decoder_at_chance_is_settled_by_few_permutations(tmp_path: Path) -> None:
    found = p_values(trials_of(tmp_path, 0.0, seed=3), recipe_of("time_means"), n=199)["time_means"]["auc"]
    assert found.p > 0.05 and found.n_permutations < 199


def test_p_does_not_depend_on_the_number_of_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trials, found = trials_of(tmp_path, 0.3), []
    for threads in (1, 3):
        monkeypatch.setattr("torch.get_num_threads", lambda threads=threads: threads)
        found.append(p_values(trials, recipe_of("xdawn_tangent"), n=39))
    assert found[0] == found[1]


def test_nested_selection_is_tested_by_the_best_of_its_candidates(tmp_path: Path) -> None:
    recipes = (recipe_of("time_means"), recipe_of("tangent_space"))
    found = p_values(trials_of(tmp_path, 1.5), *recipes, name=NESTED_SELECTION)
    assert set(found) == {NESTED_SELECTION, "time_means", "tangent_space"}
    assert found[NESTED_SELECTION]["auc"].p == 1 / 60
    assert "best of the candidates fitted again" in found[NESTED_SELECTION]["auc"].method
    assert isinstance(found["tangent_space"]["auc"], PermutationValue)


def test_a_network_has_no_p_and_the_reason_stands_in_its_place(tmp_path: Path) -> None:
    network = Recipe("eegnet", {}, {"_target_": ENCODERS + "eegnet.EEGNet"})
    found = p_values(trials_of(tmp_path, 0.0), recipe_of("time_means"), network, name=NESTED_SELECTION)
    for name in ("eegnet", NESTED_SELECTION):
        assert isinstance(found[name]["auc"], Unavailable) and "a network is not fitted" in found[name]["auc"].reason
    assert isinstance(found["time_means"]["auc"], PermutationValue)


def test_labels_in_two_blocks_have_no_p(tmp_path: Path) -> None:
    trials = trials_of(tmp_path, 0.0)
    trials.table["label"] = np.tile(np.repeat(["left", "right"], N_TRIALS // 2), N_RUNS)
    found = p_values(trials, recipe_of("time_means"))["time_means"]["auc"]
    assert isinstance(found, Unavailable) and "only 16 labellings" in found.reason


def test_labels_that_may_go_with_unnamed_stimuli_have_no_p(tmp_path: Path) -> None:
    trials = trials_of(tmp_path, 0.0)
    trials.unnamed_stimuli = "event column 'stim' seems to name what was shown"
    found = p_values(trials, recipe_of("time_means"))["time_means"]["auc"]
    assert found == Unavailable(trials.unnamed_stimuli, is_confounded=True)


def test_no_permutations_leave_a_reason(tmp_path: Path) -> None:
    found = p_values(trials_of(tmp_path, 0.0), recipe_of("time_means"), n=0)["time_means"]["auc"]
    assert found == Unavailable("none was asked for (permutations=0)")


def test_values_are_permuted_before_fitting_as_well(tmp_path: Path) -> None:
    ridge = Recipe(
        "ridge", {}, {"_target_": ENCODERS + PARTS["time_means"][0]}, {"_target_": "brain_decode.heads.ridge.Ridge"}
    )
    found = p_values(trials_of(tmp_path, 1.5, "regression"), ridge)["ridge"]
    assert found["pearson"].p == found["r2"].p == 1 / 60


def test_rejected_windows_are_neither_fitted_nor_answered(tmp_path: Path) -> None:
    trials = trials_of(tmp_path, 0.0)
    trials.table.loc[[0, 25, 26], "rejected"] = "peak_to_peak"
    folds = fitted_folds(trials, LeaveRunOut().folds(trials.table))
    seen = np.concatenate([np.concatenate([fold.train, fold.test]) for fold in folds])
    assert not np.isin([0, 25, 26], seen).any()
    scores = RefitScores(recipe_of("time_means"), trials, folds, FitSettings(), ThreadPoolExecutor(1))
    assert len(scores.scored) == N_RUNS * N_TRIALS - 3


def test_the_design_says_how_much_decoders_share(tmp_path: Path) -> None:
    table = trials_of(tmp_path, 0.0).table
    design = design_of(LeaveRunOut(), LeaveRunOut().folds(table))
    assert (design.left_out, design.n_folds, design.needs_refit) == ("run", 4, True)
    assert design.test_to_train == pytest.approx(1 / 3)
    blocks = ContiguousKFold(4, gap_s=0.0)
    assert design_of(blocks, blocks.folds(table)).left_out == "block"
    people = table.assign(subject=np.repeat(["01", "02"], 40))
    assert design_of(LeaveSubjectOut(), LeaveSubjectOut().folds(people)).left_out == "subject"
    parts = table.assign(partition=np.where(table["run"] == "3", "test", "train"))
    one = design_of(OfficialSplit(), OfficialSplit().folds(parts))
    assert not one.is_crossvalidated and not one.needs_refit and one.inflation == 1.0
