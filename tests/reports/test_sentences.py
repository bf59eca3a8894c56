"""Headlines and methods: what may be said, and what may not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from brain_decode.core.errors import DataError
from brain_decode.reports.methods import method_sentences, quantity
from brain_decode.reports.sentences import headline, headline_metric, metric_name, p_value


def metrics_of(value: float, low: float, high: float, p: float | None = 0.001, task: str = "classification") -> Any:
    key = {"classification": "auc", "regression": "pearson", "retrieval": "top1"}[task]
    chance = {"classification": 0.5, "regression": 0.0, "retrieval": 0.005}[task]
    entry = {"value": value, "ci95": [low, high], "chance": chance, "p_permutation": p, "n": 10}
    return {"task": task, "decoder": "lda", "metrics": {key: entry}}


def test_a_clear_effect_is_stated() -> None:
    text = headline(metrics_of(0.65, 0.62, 0.68), ["face", "house"], 1, 6)
    assert text == (
        "The decoder tells face and house apart: AUC 0.650 [0.620, 0.680]; guessing gives 0.500; p = 0.001; "
        "6 recordings of 1 person."
    )


@pytest.mark.parametrize(("low", "p"), [(0.48, 0.001), (0.51, 0.2)])
def test_an_effect_needs_both_interval_and_permutation_test(low: float, p: float) -> None:
    text = headline(metrics_of(0.55, low, 0.6, p), ["a", "b"], 2, 1)
    assert text.startswith("These recordings do not show that the decoder tells a and b apart: AUC 0.550")
    assert text.endswith("1 recording of 2 people.")


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


def test_p_values_never_read_zero() -> None:
    assert (p_value(0.0005), p_value(0.0124), p_value(None)) == ("p < 0.001", "p = 0.012", "no permutation test")


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
    metrics = metrics_of(0.6, 0.5, 0.7) | {"dataset": "faces", "protocol": "leave_run_out", "cluster": "run", **changes}
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
    assert "resample whole runs" in told["Statistics"]
    assert "single windows" in paragraph({}, cluster="trial")["Statistics"]


def test_nested_selection_names_its_candidates() -> None:
    config = {"candidates": {"csp": {}, "xdawn": {}}}
    told = paragraph(config, decoder="nested_selection", baselines={"csp": {}, "xdawn": {}, "lda": {}})
    assert told["Decoder"].startswith("Chosen among csp and xdawn by validation inside the training part")
    assert told["Decoder"].endswith("Compared on the same folds with lda.")
