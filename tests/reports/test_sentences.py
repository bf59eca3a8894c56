"""Headlines and methods: what may be said, and what may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from brain_decode.core.errors import DataError
from brain_decode.reports.methods import method_sentences, quantity
from brain_decode.reports.sentences import headline, headline_metric, metric_name


def metrics_of(
    value: float, low: float | None, high: float | None, p: float | None = 0.001, task: str = "classification"
) -> Any:
    key = {"classification": "auc", "regression": "pearson", "retrieval": "top1"}[task]
    chance = {"classification": 0.5, "regression": 0.0, "retrieval": 0.005}[task]
    entry = {"value": value, "ci95": [low, high], "ci95_about": "these subjects", "chance": chance, "n": 10}
    entry |= {"p_permutation": p, "p_method": "labels exchanged", "n_permutations": 1999, "p_smallest": 0.0005}
    return {"task": task, "decoder": "lda", "metrics": {key: entry}}


def test_a_clear_effect_is_stated() -> None:
    text = headline(metrics_of(0.65, 0.62, 0.68), ["face", "house"], 1, 6)
    assert text == (
        "The decoder tells face and house apart: AUC 0.650 [0.620, 0.680]; guessing gives 0.500; p = 0.001; "
        "6 recordings of 1 person."
    )


def test_an_effect_needs_both_interval_and_permutation_test() -> None:
    text = headline(metrics_of(0.55, 0.51, 0.6, 0.2), ["a", "b"], 2, 1)
    assert text.startswith("These recordings do not show that the decoder tells a and b apart: AUC 0.550")
    assert text.endswith("1 recording of 2 people.")


def test_an_effect_without_a_clear_interval_is_one_of_these_recordings_only() -> None:
    text = headline(metrics_of(0.55, 0.48, 0.6, 0.001), ["a", "b"], 2, 1)
    assert text.startswith(
        "The decoder tells a and b apart in these recordings; that it will in more of them is not shown: AUC 0.550"
    )


def test_worse_than_guessing_is_said() -> None:
    assert headline(metrics_of(0.41, 0.37, 0.45, 1.0), [], 1, 1).startswith("The decoder is worse than guessing when")


@pytest.mark.parametrize(
    ("task", "start"),
    [
        ("retrieval", "The decoder finds the picture that was seen: top-1"),
        ("regression", "The decoder follows the value: Pearson r"),
    ],
)
def test_each_task_has_its_words(task: str, start: str) -> None:
    assert headline(metrics_of(0.6, 0.5, 0.7, task=task), [], 1, 1).startswith(start)


def test_more_than_two_classes_are_summarised_by_balanced_accuracy() -> None:
    scores = {"auc": {}, "balanced_accuracy": {"chance": 0.125}}
    assert headline_metric({"task": "classification", "metrics": scores}) == "balanced_accuracy"


def test_no_scores_are_refused() -> None:
    with pytest.raises(DataError, match="holds no scores"):
        headline_metric({"task": "classification", "metrics": {}})


@pytest.mark.parametrize(
    ("low", "high", "p", "start"),
    [
        (0.52, 0.6, 0.01, "The decoder tells a and b apart:"),
        (0.52, 0.6, None, "The decoder tells a and b apart:"),
        (None, None, 0.01, "The decoder tells a and b apart:"),
        (0.48, 0.6, 0.01, "The decoder tells a and b apart in these recordings; that it will in more of them is not"),
        (0.52, 0.6, 0.06, "These recordings do not show that"),
        (0.48, 0.6, None, "These recordings do not show that"),
        (None, None, 0.06, "These recordings do not show that"),
        (None, None, None, "It is not tested whether the decoder tells a and b apart:"),
    ],
)
def test_the_verdict_rests_on_what_is_given(low: float | None, high: float | None, p: float | None, start: str) -> None:
    assert headline(metrics_of(0.56, low, high, p), ["a", "b"], 1, 6).startswith(start)


def test_a_design_that_cannot_tell_labels_from_what_goes_with_them_carries_no_verdict() -> None:
    metrics = metrics_of(0.99, 0.96, 0.999, None)
    reason = "the design allows only 2 labellings (whole sessions within subjects); it takes 20 for p = 0.05"
    metrics["metrics"]["auc"] |= {"p_reason": reason, "confounded": True}
    assert headline(metrics, ["drug", "placebo"], 1, 12) == (
        "Whether the decoder tells drug and placebo apart, or what goes with them in this design, cannot be told: AUC "
        "0.990 [0.960, 0.999]; guessing gives 0.500; no p-value; 12 recordings of 1 person. No p: "
        f"{reason}."
    )


def test_what_is_not_tested_is_said_with_the_reasons() -> None:
    metrics = metrics_of(0.7, None, None, None)
    metrics["metrics"]["auc"] |= {
        "ci95_reason": "these subjects: 2 folds; it takes 3; new subjects: 1 subject was scored",
        "p_reason": "a network is not fitted again",
    }
    assert headline(metrics, ["a", "b"], 1, 2) == (
        "It is not tested whether the decoder tells a and b apart: AUC 0.700; guessing gives 0.500; no p-value; "
        "2 recordings of 1 person. No interval about these subjects: 2 folds; it takes 3; no interval about new "
        "subjects: 1 subject was scored; no p: a network is not fitted again."
    )


def test_a_p_beyond_what_the_design_allows_does_not_carry_a_verdict() -> None:
    metrics = metrics_of(0.56, None, None, 0.04)
    metrics["metrics"]["auc"]["p_smallest"] = 0.0625
    assert headline(metrics, ["a", "b"], 1, 6).startswith("These recordings do not show that")


def test_metric_keys_are_readable() -> None:
    assert (metric_name("10_way"), metric_name("top1"), metric_name("word_error")) == ("10-way", "top-1", "word error")


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("low_hz", 1.0, "low 1 Hz"),
        ("peak_to_peak_v", 1e-4, "peak to peak 100 µV"),
        ("flat_v", {"eeg": 5e-7}, "flat 500 nV (eeg)"),
        ("onset_s", 12.5, "onset 12.5 s"),
        ("to", "average", "to average"),
        ("whiten", True, "whiten True"),
        ("s", 3, "s 3"),
    ],
)
def test_settings_carry_their_units(key: str, value: Any, text: str) -> None:
    assert quantity(key, value) == text


def paragraph(config: Mapping[str, Any], **changes: Any) -> dict[str, str]:
    metrics = metrics_of(0.6, 0.5, 0.7) | {"dataset": "faces", "protocol": "leave_run_out", **changes}
    return dict(method_sentences(config, metrics, {}))


def test_a_saved_decoder_brings_its_own_preprocessing() -> None:
    told = paragraph({"checkpoint": "runs/train/x/checkpoint"})
    assert told["Preprocessing"] == "That of the decoder, which its checkpoint lists."


def test_windows_are_named_with_their_lag() -> None:
    window = {"start_s": 0.0, "stop_s": 22.5, "lag_s": 5.0}
    assert paragraph({"datasets": {"window": window}})["Windows"] == "From 5 s to 27.5 s around each event."


def test_methods_name_steps_folds_and_what_was_resampled() -> None:
    steps = {"signal_steps": [{"step": "bandpass", "settings": {"low_hz": 1.0, "high_hz": 30.0}}], "window_steps": None}
    told = paragraph({"preprocessing": steps}, folds=[{}, {}])
    assert told["Preprocessing"] == "Bandpass (low 1 Hz, high 30 Hz)."
    assert told["Protocol"].startswith("Leave run out, 2 folds: each run was scored by decoders fitted on the other")
    assert "leaves out one of the folds (these subjects) at a time" in told["Statistics"]
    assert "widened for the training windows that folds share" in told["Statistics"]


def test_methods_name_how_p_was_made() -> None:
    told = paragraph({}, folds=[{}, {}])["Statistics"]
    assert "AUC compares windows of one fold with each other." in told
    assert told.endswith("p: labels exchanged; 1999 permutations; smallest possible p 0.0005.")


def test_one_test_set_is_not_widened() -> None:
    told = paragraph({}, folds=[{}])["Statistics"]
    assert "one of the runs, blocks of equal labels or windows (these subjects)" in told
    assert "widened" not in told


def test_both_statements_name_their_units() -> None:
    metrics = metrics_of(0.6, 0.5, 0.7)["metrics"]
    metrics["auc"]["ci95_new_subjects"] = [0.4, 0.8]
    told = paragraph({}, metrics=metrics, folds=[{}, {}])["Statistics"]
    assert "one of the folds (these subjects) or people (new subjects) at a time" in told


def test_methods_say_why_there_is_neither_interval_nor_p() -> None:
    entry = {"value": 0.6, "ci95": [None, None], "chance": 0.5, "p_permutation": None, "p_reason": "one label only"}
    told = paragraph({}, metrics={"auc": entry | {"pooling": "over folds"}}, folds=[{}, {}])["Statistics"]
    assert told == (
        "No interval is given. AUC compares windows of different folds, because a class shares no fold with another. "
        "No p: one label only."
    )


def test_nested_selection_names_its_candidates() -> None:
    config = {"candidates": {"csp": {}, "xdawn": {}}}
    told = paragraph(config, decoder="nested_selection", baselines={"csp": {}, "xdawn": {}, "lda": {}})
    assert told["Decoder"].startswith("Chosen among csp and xdawn by validation inside the training part")
    assert told["Decoder"].endswith("Compared on the same folds with lda.")
