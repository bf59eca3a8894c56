"""The predictions table: what goes in, what is refused, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, StorageError
from brain_decode.evaluation.predictions import (
    classification_predictions,
    dimension_columns,
    read_predictions,
    regression_predictions,
    require_predictions,
    retrieval_predictions,
    write_predictions,
)

NAMES = {"decoder": "lda", "fold": "run-1", "split": "leave_run_out"}


def make_table() -> pd.DataFrame:
    return pd.DataFrame(
        {"subject": "01", "run": "1", "label": ["face", "house", "face"], "stimulus": ["f1", "h1", "f2"]},
        index=[7, 8, 9],
    ).assign(concept=["f", "h", "f"])


def test_classification_rows_hold_truth_answer_and_probabilities() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    frame = classification_predictions(make_table(), probabilities, ["face", "house"], **NAMES)
    assert frame["truth"].tolist() == ["face", "house", "face"]
    assert frame["predicted"].tolist() == ["face", "face", "house"]
    assert frame["probability_house"].tolist() == [0.1, 0.4, 0.8]
    assert frame["decoder"].tolist() == ["lda"] * 3 and frame["subject"].tolist() == ["01"] * 3


def test_a_missing_probability_names_decoder_and_column() -> None:
    probabilities = np.array([[0.9, 0.1], [0.6, np.nan], [0.2, 0.8]])
    with pytest.raises(DataError, match=r"Decoder 'lda' gave 1 of 3 values in 'probability_house' that are not finite"):
        classification_predictions(make_table(), probabilities, ["face", "house"], **NAMES)


def test_probabilities_of_another_shape_are_refused() -> None:
    with pytest.raises(DataError, match=r"'lda' gave probabilities \(3, 2\) for 3 windows of 3 classes"):
        classification_predictions(make_table(), np.full((3, 2), 0.5), ["a", "b", "c"], **NAMES)


def test_no_predictions_is_an_error() -> None:
    with pytest.raises(DataError, match="no predictions to score"):
        require_predictions(pd.DataFrame({"decoder": []}), [])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="'lda' lack the column 'rank'"):
        require_predictions(pd.DataFrame({"decoder": ["lda"]}), ["rank"])


def test_regression_rows_hold_one_or_several_values() -> None:
    one = regression_predictions(make_table(), np.arange(3), np.ones(3), **NAMES)
    assert dimension_columns(one, "truth") == ["truth"]
    several = regression_predictions(make_table(), np.zeros((3, 11)), np.ones((3, 11)), **NAMES)
    assert dimension_columns(several, "predicted") == [f"predicted_{index}" for index in range(11)]


def test_retrieval_rows_state_their_gallery() -> None:
    frame = retrieval_predictions(
        make_table(), np.array([0, 3, 1]), np.ones(3), gallery_kind="concept_centre", gallery_size=9, **NAMES
    )
    assert frame["truth"].tolist() == ["f", "h", "f"]
    assert set(frame["gallery"]) == {"concept_centre"} and set(frame["gallery_size"]) == {9}
    assert set(frame["n_repetitions"]) == {1}


def test_a_written_table_is_read_back_and_leaves_no_part_behind(tmp_path: Path) -> None:
    frame = classification_predictions(make_table(), np.full((3, 2), 0.5), ["face", "house"], **NAMES)
    write_predictions(frame, tmp_path / "run" / "predictions.parquet")
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "run" / "predictions.parquet"), frame, check_dtype=False)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["predictions.parquet"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match=r"cannot be written to .*choose out=DIR"):
        write_predictions(pd.DataFrame({"a": [1]}), tmp_path / "run" / "predictions.parquet")


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_text("not parquet")
    for name in ("absent.parquet", "broken.parquet"):
        with pytest.raises(StorageError, match="cannot be read from"):
            read_predictions(tmp_path / name)
