"""The predictions table: one row per decoder and scored window, from which every number can be computed again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, StorageError
from brain_decode.evaluation.retrieval import GalleryKind

__all__ = [
    "classification_predictions",
    "dimension_columns",
    "probability_columns",
    "read_predictions",
    "regression_predictions",
    "require_predictions",
    "retrieval_predictions",
    "write_predictions",
]


def probability_columns(classes: Sequence[str]) -> list[str]:
    """Return the names of the probability columns, in the order of the classes."""
    return [f"probability_{name}" for name in classes]


def dimension_columns(frame: pd.DataFrame, name: str) -> list[str]:
    """Return `[name]`, or `name_0`, `name_1`, … where a regression has several values."""
    if name in frame and f"{name}_0" not in frame:
        return [name]
    columns = [f"{name}_{index}" for index in range(sum(str(c).startswith(f"{name}_") for c in frame))]
    return [column for column in columns if column in frame]


def classification_predictions(
    table: pd.DataFrame, probabilities: np.ndarray, classes: Sequence[str], *, decoder: str, fold: str, split: str
) -> pd.DataFrame:
    """Return prediction rows of one decoder for these windows.

    Args:
        table: The scored rows of the window table.
        probabilities: (n, n_classes).
        classes: Labels in column order.
        decoder: Its name in the report.
        fold: Name of the fold.
        split: Name of the split rule.

    Raises:
        DataError: Shapes that disagree, or probabilities that are missing.
    """
    probabilities = np.asarray(probabilities, dtype=float)
    if probabilities.shape != (len(table), len(classes)):
        raise DataError(
            f"Decoder '{decoder}' gave probabilities {probabilities.shape} for {len(table)} windows of "
            f"{len(classes)} classes."
        )
    frame = _described(table, decoder, fold, split)
    frame["truth"] = frame["label"].astype(str)
    frame["predicted"] = np.asarray(list(classes), dtype=object)[probabilities.argmax(axis=1)]
    frame[probability_columns(classes)] = probabilities
    require_predictions(frame, probability_columns(classes))
    return frame


def regression_predictions(
    table: pd.DataFrame, truth: np.ndarray, predicted: np.ndarray, *, decoder: str, fold: str, split: str
) -> pd.DataFrame:
    """Return prediction rows of one decoder; truth and predicted are (n,) or (n, dim)."""
    frame = _described(table, decoder, fold, split)
    for name, values in (("truth", truth), ("predicted", predicted)):
        values = np.asarray(values, dtype=float).reshape(len(table), -1)
        names = [name] if values.shape[1] == 1 else [f"{name}_{index}" for index in range(values.shape[1])]
        frame[names] = values
    require_predictions(frame, [*dimension_columns(frame, "truth"), *dimension_columns(frame, "predicted")])
    return frame


def retrieval_predictions(
    table: pd.DataFrame,
    ranks: np.ndarray,
    similarity: np.ndarray,
    *,
    gallery_kind: GalleryKind,
    gallery_size: int,
    decoder: str,
    fold: str,
    split: str,
    n_repetitions: np.ndarray | int = 1,
    predicted: Sequence[str] = (),
) -> pd.DataFrame:
    """Return prediction rows of one decoder.

    Args:
        table: The scored rows of the window table.
        ranks: (n,) 0 = best.
        similarity: (n,) similarity with the true candidate.
        gallery_kind: Of the gallery.
        gallery_size: Candidates.
        decoder: Its name in the report.
        fold: Name of the fold.
        split: Name of the split rule.
        n_repetitions: Windows averaged into each row.
        predicted: Best candidate of each row.
    """
    frame = _described(table, decoder, fold, split)
    frame["truth"] = frame["concept" if gallery_kind == "concept_centre" else "stimulus"].astype(str)
    frame["predicted"] = list(predicted) if len(predicted) else ""
    frame["rank"], frame["similarity"] = np.asarray(ranks, dtype=float), np.asarray(similarity, dtype=float)
    frame["gallery"], frame["gallery_size"], frame["n_repetitions"] = gallery_kind, int(gallery_size), n_repetitions
    require_predictions(frame, ["rank", "similarity"])
    return frame


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


def write_predictions(frame: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet; an interrupted write leaves the earlier file as it was.

    Raises:
        StorageError: The folder cannot be written.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_parquet(beside, index=False)
        beside.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise StorageError(
            f"Predictions cannot be written to {path}: {error}. Free space or choose out=DIR."
        ) from error


def read_predictions(path: Path) -> pd.DataFrame:
    """Return the table `write_predictions` wrote.

    Raises:
        StorageError: There is no such file, or it is not Parquet.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise StorageError(f"Predictions cannot be read from {path}: {error}. Run the evaluation again.") from error


def _described(table: pd.DataFrame, decoder: str, fold: str, split: str) -> pd.DataFrame:
    frame = table.reset_index(drop=True).copy()
    frame["decoder"], frame["fold"], frame["split"] = decoder, fold, split
    return frame
