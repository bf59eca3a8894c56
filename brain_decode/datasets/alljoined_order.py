"""The tables of Alljoined-1.6M: which picture was intended when, which trials were recorded, what pictures show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError

__all__ = [
    "PARTITIONS",
    "SHOWN_S",
    "TASK",
    "OrderRepair",
    "apply_repair",
    "picture_name",
    "read_order",
    "with_concepts",
]

TASK = "images"
SHOWN_S = 0.1  # each picture; a blank of the same length follows
PARTITIONS = {"stim_train": "train", "stim_test": "test"}
_ORDER = "stim_order.parquet"
_WITH_DROPPED = ("experiment_metadata.parquet", "experiment_metadata_categories.parquet")
_COLUMNS = ("session", "image_path", "partition")
_CONCEPT = "category_name"
_REMEDY = "Fetch it again with brain-decode download."


@dataclass(frozen=True)
class OrderRepair:
    """A row of the order of stimuli that stands in the wrong place.

    Args:
        subject: Label of the participant whose table it is.
        row: Where it stands, counted from 0.
        to: Where it belongs.
    """

    subject: str
    row: int
    to: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> OrderRepair:
        """Build from a line of `loader.repairs`.

        Raises:
            ConfigError: Other keys than subject, row and to.
        """
        if set(config) != {"subject", "row", "to"}:
            raise ConfigError(
                f"A line of loader.repairs reads {{subject: '06', row: 73762, to: 73760}}; got {dict(config)}."
            )
        return cls(str(config["subject"]), int(config["row"]), int(config["to"]))


def read_order(folder: Path, subject: str, *, with_dropped: bool = False) -> tuple[pd.DataFrame, Path]:
    """Return the intended order of pictures of a participant, and the file it was read from.

    The table gets the columns `picture` (number in the file name), `part` ("train", "test" or "" for others) and
    `repetition` (which showing of its picture to this participant an intended trial is, from 1).

    Args:
        folder: The dataset's folder.
        subject: Label of the participant.
        with_dropped: Whether the column `dropped` is needed, which only the experiment's metadata have.

    Raises:
        DataError: No such table, an unreadable one, or one without a needed column; a picture without its number.
    """
    names = _WITH_DROPPED if with_dropped else (_ORDER, *_WITH_DROPPED)
    path = _table_path(folder, subject, names)
    table = _read_table(path)
    _require_columns(table, (*_COLUMNS, *(("dropped",) if with_dropped else ())), path)
    numbers = table["image_path"].astype(str).str.extract(r"(\d{5})\.\w+$")[0]
    if numbers.isna().any():
        row = int(np.flatnonzero(numbers.isna())[0])
        raise DataError(
            f"{path}: image_path in row {row} should end in five digits and a suffix, as images/00042.jpg; it is "
            f"'{table['image_path'].iloc[row]}'. {_REMEDY}"
        )
    sessions = pd.to_numeric(table["session"], errors="coerce")
    if sessions.isna().any() or (with_dropped and table["dropped"].dtype != bool):
        raise DataError(f"{path}: session should hold numbers, and dropped true or false in every row. {_REMEDY}")
    table = table.reset_index(drop=True)
    table = table.assign(picture=numbers.to_numpy(dtype=int), session=sessions.to_numpy(dtype=int))
    table["part"] = table["partition"].map(PARTITIONS).fillna("")
    in_time = table.sort_values("session", kind="stable")
    table["repetition"] = in_time.groupby(["part", "picture"]).cumcount().reindex(table.index) + 1
    return table, path


def _table_path(folder: Path, subject: str, names: Sequence[str]) -> Path:
    places = [folder / kind / f"sub-{subject}" / name for name in names for kind in ("preprocessed_eeg", "raw_eeg")]
    for place in places:
        if place.is_file():
            return place
    raise DataError(
        f"sub-{subject} has no {' or '.join(names)} in {folder / 'preprocessed_eeg' / f'sub-{subject}'}. It says which "
        "trial is which; fetch it with brain-decode download."
    )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError, TypeError) as error:
        said = str(error).strip().split("\n")[0].rstrip(".")
        raise DataError(f"{path} could not be read as Parquet: {said}. {_REMEDY}") from error


def _require_columns(table: pd.DataFrame, needed: Sequence[str], path: Path) -> None:
    lacking = [column for column in needed if column not in table]
    if lacking:
        raise DataError(f"{path} lacks the columns {lacking}; it has {list(map(str, table.columns))}. {_REMEDY}")


def with_concepts(table: pd.DataFrame, folder: Path, subject: str) -> pd.DataFrame:
    """Return the table with the column `concept`: what each picture shows, "" where the dataset's folder does not say.

    Raises:
        DataError: The table that says it cannot be read.
    """
    concepts = _concepts(folder, subject)
    return table.assign(concept=[concepts.get(number, "") for number in table["picture"].tolist()])


def _concepts(folder: Path, subject: str) -> dict[int, str]:
    name = _WITH_DROPPED[1]
    for path in (folder / "preprocessed_eeg" / f"sub-{subject}" / name, folder / "preprocessed_eeg" / name):
        if path.is_file():
            table = _read_table(path)
            _require_columns(table, ("image_path", _CONCEPT), path)
            known = table.drop_duplicates("image_path").dropna(subset=[_CONCEPT])
            numbers = known["image_path"].astype(str).str.extract(r"(\d{5})\.\w+$")[0]
            named = zip(numbers, known[_CONCEPT].astype(str), strict=True)
            return {int(number): concept for number, concept in named if isinstance(number, str)}
    return {}


def picture_name(number: int) -> str:
    """Return the name of a picture's file without its suffix."""
    return f"{number:05d}"


def apply_repair(table: pd.DataFrame, repair: OrderRepair, path: Path) -> pd.DataFrame:
    """Return the table with one row in another place; the index still says where each row stood.

    Raises:
        ConfigError: A row that the table does not have.
    """
    if not (0 <= repair.row < len(table) and 0 <= repair.to < len(table)):
        raise ConfigError(
            f"loader.repairs moves row {repair.row} to {repair.to}, and {path} has {len(table)} rows. Correct it."
        )
    rows = [row for row in range(len(table)) if row != repair.row]
    rows.insert(repair.to, repair.row)
    return table.iloc[rows]
