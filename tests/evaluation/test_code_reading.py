"""Which words mark which class."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.evaluation.code_reading import code_reading

WORDS = [{"space": 0, "codes": [7]}, {"space": 1, "codes": [4, 5]}, None]
EVIDENCE = np.array([[2.0, -1.0, 0.0], [-2.0, 1.0, 0.0]])


def reading() -> dict:
    occurrences = np.full((6, 2, 2, 3), -1)
    occurrences[:, 0, 0, 1] = 0
    occurrences[3:, 1, 1, 0] = 1
    signals = np.zeros((6, 2, 12))
    signals[:, 0, 4:8] = np.arange(4)
    return code_reading(
        WORDS, EVIDENCE, occurrences, np.array([0, 0, 0, 1, 1, 1]), classes=["left", "right"], spaces=["Cz", "Pz"],
        waveforms=signals,
    )  # fmt: skip


def test_the_words_of_a_class_are_named_counted_and_rare_ones_left_out():
    markers = reading()["markers"]
    assert [marker["name"] for marker in markers[0]] == ["Cz: 7"]
    assert (markers[0][0]["n"], markers[0][0]["evidence"]) == (6, 2.0)
    assert markers[1] == []  # its word occurs three times


def test_the_heat_is_the_evidence_where_words_begin_averaged_over_windows_of_the_class():
    left, right = np.array(reading()["heat"])
    assert left == pytest.approx(np.array([[0, 2, 0], [0, 0, 0]]))
    assert right == pytest.approx(np.array([[0, -2, 0], [1, 0, 0]]))


def test_the_waveform_is_the_mean_signal_where_the_word_occurs():
    assert reading()["markers"][0][0]["waveform"] == pytest.approx([0, 1, 2, 3])
