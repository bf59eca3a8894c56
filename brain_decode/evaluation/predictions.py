"""The predictions table: one row per decoder and scored window, from which every number can be computed again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, StorageError
from brain_decode.core.files import make_folder, place_beside, storage_error

__all__ = [
    "dimension_columns",
    "read_predictions",
    "require_predictions",
    "rows_of_all_trials",
    "rows_of_kept_trials",
    "unanswered_stimuli",
    "write_predictions",
]

_UNITS = ["dataset", "subject", "stimulus"]


def dimension_columns(frame: pd.DataFrame, name: str) -> list[str]:
    """Return `[name]`, or `name_0`, `name_1`, … where a regression has several values."""
    if name in frame and f"{name}_0" not in frame:
        return [name]
    columns = [f"{name}_{index}" for index in range(sum(str(c).startswith(f"{name}_") for c in frame))]
    return [column for column in columns if column in frame]


def require_predictions(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Pass in silence when there are rows and these columns hold finite numbers.

    Raises:
        DataError: Naming the decoder and the column.
    """
    if not len(frame):
        raise DataError("There are no predictions to score. Check that the test part of the split has windows.")
    decoders = frame["decoder"].astype(str) if "decoder" in frame else pd.Series(["?"] * len(frame))
    for column in columns:
        if column not in frame:
            raise DataError(f"Predictions of '{decoders.iloc[0]}' lack the column '{column}'; they have {list(frame)}.")
        wrong = ~np.isfinite(pd.to_numeric(frame[column], errors="coerce").to_numpy(dtype=float))
        if wrong.any():
            name = decoders.iloc[int(np.flatnonzero(wrong)[0])]
            raise DataError(
                f"Decoder '{name}' gave {int(wrong.sum())} of {len(frame)} values in '{column}' that are not finite. "
                "Check its input for missing samples, or its training for a diverging loss."
            )


def rows_of_kept_trials(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that carry the headline: those of kept windows, or averages of kept repetitions alone."""
    if "trials_used" in predictions:
        return predictions[predictions["trials_used"] == "kept"]
    return predictions[predictions["rejected"] == ""]


def rows_of_all_trials(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the answers that a run without a rejection rule would have given.

    An average has a row of its own for all trials only where one of the fold's trials was rejected.
    """
    if "trials_used" not in predictions:
        return predictions
    is_of_all = predictions["trials_used"] == "all"
    has_both = is_of_all.groupby([predictions[name] for name in ("decoder", "fold")]).transform("any")
    return predictions[is_of_all | ~has_both]


def unanswered_stimuli(predictions: pd.DataFrame) -> list[str]:
    """Return the stimuli whose every repetition was rejected, so that nothing is left to average, sorted.

    Named by the person too where there are several.
    """
    if "trials_used" not in predictions:
        return []
    kept, every = (
        set(part[_UNITS].astype(str).itertuples(index=False, name=None))
        for part in (rows_of_kept_trials(predictions), rows_of_all_trials(predictions))
    )
    several = predictions["subject"].nunique() > 1
    return sorted(f"sub-{subject} {name}" if several else name for _, subject, name in every - kept)


def write_predictions(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet; an interrupted write leaves the earlier file as it was.

    Raises:
        StorageError: The folder cannot be written.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        with place_beside(path) as beside:
            frame.to_parquet(beside, index=False)
            beside.replace(path)
    except OSError as error:
        raise storage_error(path, error) from error


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the table `write_predictions` wrote.

    Raises:
        StorageError: There is no such file, or it is not Parquet.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"Predictions cannot be read from {path}: {error}. Run the evaluation again.") from error
