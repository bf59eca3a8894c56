"""What is said of intervals and p-values, and of those that are missing."""

from __future__ import annotations

from typing import Any

import pytest

from brain_decode.reports.certainty import (
    about,
    has_two_statements,
    interval,
    interval_notes,
    p_cell,
    p_notes,
    p_value,
    scored,
)

FEW = "1 subject was scored; a statement about new subjects takes 5"


def entry(**changes: Any) -> dict[str, Any]:
    given = {"value": 0.6, "ci95": [0.5, 0.7], "ci95_about": "these subjects", "ci95_new_subjects": [None, None]}
    p = {"p_permutation": 0.02, "p_method": "labels exchanged", "n_permutations": 199, "p_smallest": 0.005}
    return {**given, "ci95_reason": f"new subjects: {FEW}", **p, **changes}


NO_INTERVAL = {"ci95": [None, None], "ci95_about": None}


def test_an_interval_that_is_not_given_leaves_the_value_alone() -> None:
    assert scored(entry()) == "0.600 [0.500, 0.700]"
    assert scored(entry(**NO_INTERVAL)) == "0.600"
    assert (interval(entry()), interval(entry(**NO_INTERVAL))) == ("0.500 to 0.700", "")


def test_scores_name_what_their_intervals_are_about() -> None:
    new = entry(ci95_about="new subjects", ci95_new_subjects=[0.5, 0.7])
    assert about([entry(), entry(**NO_INTERVAL)]) == "these subjects"
    assert about([entry(), new]) == "these subjects or new subjects"
    assert about([entry(**NO_INTERVAL)]) == ""


def test_two_statements_are_told_from_one_that_stands_twice() -> None:
    assert has_two_statements(entry(ci95_new_subjects=[0.4, 0.8]))
    assert not has_two_statements(entry())
    assert not has_two_statements(entry(ci95_about="new subjects", ci95_new_subjects=[0.5, 0.7]))


def test_a_reason_that_all_share_stands_once_and_without_names() -> None:
    assert interval_notes({"a": entry(), "b": entry()}) == [
        "About these subjects: the 95 % interval says what to expect of more data of the people who were scored.",
        f"No interval about new subjects: {FEW}.",
    ]


def test_an_interval_over_shared_stimuli_says_what_it_is_not_about() -> None:
    notes = interval_notes({"a": entry(ci95_same_stimuli=True)})
    assert notes[1] == "It is about more showings of the same stimuli, not about other ones: the folds share them."


def test_each_missing_statement_has_its_reason_and_its_scores() -> None:
    reason = f"these subjects: 2 folds do not show it; it takes 3; new subjects: {FEW}"
    notes = interval_notes({"a": entry(), "b": entry(**NO_INTERVAL, ci95_reason=reason)})
    assert notes[1:] == [
        f"No interval about new subjects: {FEW}.",
        "No interval about these subjects (b): 2 folds do not show it; it takes 3.",
    ]


def test_a_comparison_without_units_gives_its_plain_reason() -> None:
    pair = {"difference": 0.1, **NO_INTERVAL, "p_value": None, "p_holm": None, "ci95_reason": FEW}
    assert interval_notes({"lda": pair}) == [f"No interval: {FEW}."]


@pytest.mark.parametrize(
    ("p", "smallest", "text", "cell"),
    [
        (0.0124, 0.0005, "p = 0.012", "0.012"),
        (0.0007, 0.0005, "p < 0.001", "<0.001"),
        (0.0005, 0.0005, "p = 0.0005 (the smallest possible)", "0.0005"),
        (0.005, 0.005, "p = 0.005 (the smallest possible)", "0.005"),
        (1 / 7, 1 / 7, "p = 0.15 (the smallest possible)", "0.15"),
        (0.01, 0.05, "p = 0.05 (the smallest possible)", "0.05"),
        (1.0, 1.0, "p = 1 (the smallest possible)", "1"),
        (0.0005, None, "p < 0.001", "<0.001"),
        (None, None, "no p-value", "–"),
    ],
)
def test_p_is_never_below_the_smallest_possible(p: float, smallest: float, text: str, cell: str) -> None:
    given = entry(p_permutation=p, p_smallest=smallest)
    assert (p_value(given), p_cell(given)) == (text, cell)


def test_p_is_told_with_method_number_and_smallest_value() -> None:
    assert p_notes({"a": entry(), "b": entry()}) == [
        "p: labels exchanged; 199 permutations; smallest possible p 0.005."
    ]


def test_tests_that_stopped_early_give_a_range() -> None:
    assert p_notes({"a": entry(), "b": entry(n_permutations=24, p_permutation=0.4)}) == [
        "p: labels exchanged; 24 to 199 permutations (it stops when it is clear that there is nothing); "
        "smallest possible p 0.005."
    ]


def test_decoders_that_were_tested_in_different_ways_are_named() -> None:
    notes = p_notes({"a": entry(p_method="best of both"), "b": entry()})
    assert [note.split(":")[0] for note in notes] == ["p of a", "p of b"]


def test_the_reason_stands_in_the_place_of_p() -> None:
    none = {"p_permutation": None, "p_reason": "a network is not fitted again"}
    assert p_notes({"a": entry(), "eegnet": none})[1:] == ["No p for eegnet: a network is not fitted again."]
    assert p_notes({"eegnet": none}) == ["No p: a network is not fitted again."]
    assert p_notes({"a": entry(), "ece": {"p_permutation": None}})[1:] == ["No p was made for ece."]
