"""The predictions table: what goes in, what is refused, and the way to disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, StorageError
from brain_decode.evaluation.predictions import (
    dimension_columns,
    read_predictions,
    require_predictions,
    write_predictions,
)


def make_predictions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "decoder": "lda",
            "subject": "01",
            "truth": ["face", "house", "face"],
            "predicted": ["face", "face", "house"],
            "probability_face": [0.9, 0.6, 0.2],
            "probability_house": [0.1, 0.4, 0.8],
        }
    )


def test_a_missing_probability_names_decoder_and_column() -> None:
    frame = make_predictions()
    frame.loc[1, "probability_house"] = np.nan
    with pytest.raises(DataError, match=r"Decoder 'lda' gave 1 of 3 values in 'probability_house' that are not finite"):
        require_predictions(frame, ["probability_house"])


def test_no_predictions_is_an_error() -> None:
    with pytest.raises(DataError, match="no predictions to score"):
        require_predictions(pd.DataFrame({"decoder": []}), [])


def test_a_missing_column_is_named() -> None:
    with pytest.raises(DataError, match="'lda' lack the column 'rank'"):
        require_predictions(pd.DataFrame({"decoder": ["lda"]}), ["rank"])


def test_a_regression_has_one_or_several_values() -> None:
    assert dimension_columns(pd.DataFrame({"truth": [1.0]}), "truth") == ["truth"]
    several = pd.DataFrame(np.ones((1, 11)), columns=[f"predicted_{index}" for index in range(11)])
    assert dimension_columns(several, "predicted") == [f"predicted_{index}" for index in range(11)]


def test_a_written_table_is_read_back_and_leaves_no_part_behind(tmp_path: Path) -> None:
    frame = make_predictions()
    write_predictions(frame, tmp_path / "run" / "predictions.parquet")
    pd.testing.assert_frame_equal(read_predictions(tmp_path / "run" / "predictions.parquet"), frame, check_dtype=False)
    assert [file.name for file in (tmp_path / "run").iterdir()] == ["predictions.parquet"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StorageError, match="a file has this name"):
        write_predictions(pd.DataFrame({"a": [1]}), tmp_path / "run" / "predictions.parquet")


def test_a_missing_or_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_text("not parquet")
    for name in ("absent.parquet", "broken.parquet"):
        with pytest.raises(StorageError, match="cannot be read from"):
            read_predictions(tmp_path / name)
