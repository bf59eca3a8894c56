"""Which THINGS picture each condition of an experiment showed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, listed
from brain_decode.datasets.numpy_pickle import read_pickled_mapping

__all__ = [
    "PARTITIONS",
    "Pictures",
    "concept_of_folder",
    "condition_events",
    "picture_events",
    "pictures_of_paths",
    "read_pictures",
    "require_same_pictures",
]

PARTITIONS = ("train", "test")
_METADATA = "image_metadata.npy"
_FOLDERS = {"train": "training_images", "test": "test_images"}
_KEYS = {"train": ("train_img_concepts", "train_img_files"), "test": ("test_img_concepts", "test_img_files")}
_SUFFIXES = (".jpg", ".jpeg", ".png")
# The number counts concepts within one partition, so that 00001 is another concept in each; only names are kept.
_NUMBERED = re.compile(r"^\d{5}_")


@dataclass(frozen=True)
class Pictures:
    """The pictures of a partition in the order of their condition numbers.

    Args:
        names: File name of each picture without its suffix; unique.
        concepts: THINGS concept of each picture.
        source: The file or folder they were read from, for messages.
    """

    names: tuple[str, ...]
    concepts: tuple[str, ...]
    source: Path

    def __len__(self) -> int:
        return len(self.names)


def concept_of_folder(folder: str) -> str:
    """Return the THINGS concept of a picture folder: `00001_aardvark` is "aardvark"."""
    return _NUMBERED.sub("", folder)


def read_pictures(folder: Path) -> dict[str, Pictures]:
    """Return the pictures of each partition; empty where the folder says nothing about them.

    They are read from `image_metadata.npy` and from the folders `training_images/` and `test_images/`, in `folder` or
    one level below. Where both are there, they must agree. The condition number follows the sorted order of folders
    and files.

    Raises:
        DataError: Metadata in another order, or that disagree with the folders (a picture is missing).
    """
    metadata = _one_level(folder, _METADATA)
    described = {} if metadata is None else _from_metadata(metadata)
    for partition, name in _FOLDERS.items():
        pictures = _one_level(folder, name)
        if pictures is None or not pictures.is_dir():
            continue
        found = _from_folder(pictures)
        if partition in described:
            require_same_pictures(found, described[partition])
        described.setdefault(partition, found)
    shared = sorted(set(described["train"].names) & set(described["test"].names)) if len(described) == 2 else []
    if shared:
        raise DataError(f"{described['test'].source}: test pictures {listed(shared)} are training pictures too.")
    return described


def pictures_of_paths(paths: Sequence[Any], source: Path) -> Pictures:
    """Return the pictures that paths such as `training_images/00001_aardvark/aardvark_01b.jpg` name, in their order.

    Raises:
        DataError: A path without a folder, or two of one picture.
    """
    places = [PurePosixPath(str(path).replace("\\", "/")) for path in paths]
    bare = [str(place) for place in places if not place.parent.name]
    if bare:
        raise DataError(f"{source}: the picture path '{bare[0]}' does not say the folder of its concept.")
    return _checked([place.name for place in places], [place.parent.name for place in places], source)


def require_same_pictures(found: Pictures, expected: Pictures) -> None:
    """Refuse pictures that are missing, unknown or in another order.

    Raises:
        DataError: Names the first condition that disagrees.
    """
    if found.names == expected.names:
        return
    missing = [name for name in expected.names if name not in set(found.names)]
    unknown = [name for name in found.names if name not in set(expected.names)]
    if missing or unknown:
        raise DataError(
            f"{found.source} lacks {len(missing)} of the {len(expected)} pictures of {expected.source} "
            f"({listed(missing) or 'none'}) and has {len(unknown)} others ({listed(unknown) or 'none'}). Complete the "
            "pictures, or remove what is not theirs."
        )
    row = next(row for row, names in enumerate(zip(found.names, expected.names, strict=True)) if names[0] != names[1])
    raise DataError(
        f"{found.source}: its conditions are in another order than those of {expected.source}: condition {row + 1} is "
        f"'{found.names[row]}', not '{expected.names[row]}'. Responses would be paired with wrong pictures. Use files "
        "of one source."
    )


def _one_level(folder: Path, name: str) -> Path | None:
    places = [folder / name, *sorted(folder.glob(f"*/{name}"))]
    return next((place for place in places if place.exists()), None)


def _from_metadata(path: Path) -> dict[str, Pictures]:
    content = read_pickled_mapping(path, tuple(key for keys in _KEYS.values() for key in keys))
    described = {}
    for partition, (concepts, files) in _KEYS.items():
        folders = [str(value) for value in np.ravel(np.asarray(content[concepts], dtype=object))]
        names = [str(value) for value in np.ravel(np.asarray(content[files], dtype=object))]
        if len(folders) != len(names) or not names:
            raise DataError(f"{path}: '{files}' has {len(names)} pictures, '{concepts}' {len(folders)}. Replace it.")
        places = list(zip(folders, names, strict=True))
        if places != sorted(places):
            row = next(row for row in range(1, len(places)) if places[row] < places[row - 1])
            raise DataError(
                f"{path}: '{files}' is not in the order of condition numbers, which is sorted: {names[row]} follows "
                f"{names[row - 1]}. Take the file from its source."
            )
        described[partition] = _checked(names, folders, path)
    return described


def _from_folder(folder: Path) -> Pictures:
    files = sorted(
        (concept.name, picture.name)
        for concept in folder.iterdir()
        if concept.is_dir()
        for picture in concept.iterdir()
        if picture.suffix.lower() in _SUFFIXES and not picture.name.startswith(".")
    )
    if not files:
        raise DataError(f"{folder} has no pictures (<number>_<concept>/<picture>.jpg). Unpack them, or remove it.")
    return _checked([name for _, name in files], [concept for concept, _ in files], folder)


def _checked(files: Sequence[str], folders: Sequence[str], source: Path) -> Pictures:
    names = tuple(PurePosixPath(file).stem for file in files)
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise DataError(f"{source}: the pictures {listed(repeated)} occur twice. Take the file from its source.")
    return Pictures(names, tuple(concept_of_folder(folder) for folder in folders), source)


def picture_events(
    pictures: Pictures,
    rows: np.ndarray,
    repetition: np.ndarray,
    partition: str,
    *,
    shown_s: float,
    onsets_s: np.ndarray | float = np.nan,
) -> pd.DataFrame:
    """Return the event table of pictures that were shown.

    Args:
        pictures: Names and concepts.
        rows: (event,) which of them each event shows.
        repetition: (event,) from 1.
        partition: "train" or "test".
        shown_s: How long a picture stays.
        onsets_s: (event,) seconds; NaN for cut trials.
    """
    return pd.DataFrame(
        {
            "onset_s": onsets_s,
            "duration_s": shown_s,
            "trial_type": "picture",
            "stimulus": np.asarray(pictures.names, dtype=object)[rows],
            "concept": np.asarray(pictures.concepts, dtype=object)[rows],
            "partition": partition,
            "repetition": repetition,
        }
    )


def condition_events(pictures: Pictures, n_repetitions: int, partition: str, *, shown_s: float) -> pd.DataFrame:
    """Return the event table of cut trials in the order of pictures, the repetitions of each one after the other."""
    rows = np.repeat(np.arange(len(pictures)), n_repetitions)
    repetition = np.tile(np.arange(1, n_repetitions + 1), len(pictures))
    return picture_events(pictures, rows, repetition, partition, shown_s=shown_s)
