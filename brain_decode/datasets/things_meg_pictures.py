"""From the event codes of THINGS-MEG to pictures, concepts and the zero-shot split."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError

__all__ = ["CATCH", "MegPictures", "picture_table", "read_meg_pictures"]

CATCH = 999999  # code of the artificial pictures that participants had to report
_CONCEPTS = "image_concept_index.csv"
_CONCEPT_PLACES = ("", "THINGS/Metadata/Concept-specific/", "Metadata/Concept-specific/", "sourcedata/", "*/")
_ATTRIBUTES = "sample_attributes_P*.csv"
_ATTRIBUTE_PLACES = ("", "sourcedata/", "*/")
_EXEMPLAR = re.compile(r"_\d+[a-z]*$")  # of `aardvark_01b`


@dataclass(frozen=True)
class MegPictures:
    """The list of THINGS pictures that event codes count.

    Args:
        concept_index: (picture,) number of the concept of each picture; code i is entry i - 1.
        names: Code to file name without suffix, where the participants' tables say it.
        source: File of the concepts.
    """

    concept_index: np.ndarray
    source: Path
    names: Mapping[int, str] = field(default_factory=dict)


def read_meg_pictures(folder: Path) -> MegPictures:
    """Return what the files in a folder say about the pictures.

    Args:
        folder: Holds `image_concept_index.csv` (one concept number per picture), and where they are there the
            participants' `sample_attributes_P*.csv`, from which pictures get names; both also where the published
            folders have them.

    Raises:
        DataError: No concepts, values that are no numbers, or two names of one picture.
    """
    found = (path for place in _CONCEPT_PLACES for path in sorted(folder.glob(place + _CONCEPTS)))
    path = next(found, None)
    if path is None:
        raise DataError(
            f"No {_CONCEPTS} in {folder}: it says the concept of each event code. Copy it from THINGS "
            "(Metadata/Concept-specific/) into the dataset's folder."
        )
    try:
        index = np.loadtxt(path, delimiter=",", ndmin=1)
    except ValueError as error:
        raise DataError(f"{path} should hold one concept number per line: {error}. Take it from its source.") from error
    if index.ndim != 1 or (index != np.round(index)).any() or (index < 1).any():
        raise DataError(f"{path} should hold one concept number from 1 per line. Take it from its source.")
    return MegPictures(index.astype(int), path, _picture_names(folder))


def _picture_names(folder: Path) -> dict[int, str]:
    names: dict[int, str] = {}
    for path in (path for place in _ATTRIBUTE_PLACES for path in sorted(folder.glob(place + _ATTRIBUTES))):
        table = pd.read_csv(path)
        if not {"things_image_nr", "image_path", "trial_type"} <= set(table):
            raise DataError(f"{path} needs the columns things_image_nr, image_path and trial_type. Copy it again.")
        shown = table[(table["trial_type"] != "catch") & table["things_image_nr"].notna()]
        pairs = shown[["things_image_nr", "image_path"]].drop_duplicates()
        for number, place in zip(pairs["things_image_nr"].astype(int), pairs["image_path"].astype(str), strict=True):
            name = PurePosixPath(place.replace("\\", "/")).stem
            if names.setdefault(number, name) != name:
                raise DataError(f"{path}: picture {number} is both '{names[number]}' and '{name}'. Copy it again.")
    return names


def picture_table(
    codes: np.ndarray, known: MegPictures, path: Path, *, test_repetitions: int | None = None
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return stimulus, concept, partition and repetition of each trial, and notes on what was left out.

    Pictures have their file names and concepts theirs where every picture shown has a name, else numbers.

    Args:
        codes: (trial,) event codes.
        known: The pictures.
        path: Of the epochs, for messages.
        test_repetitions: See `ThingsMEG`.

    Raises:
        DataError: A code without a picture, no repeated picture, or test pictures shown unequally often.
    """
    codes = np.asarray(codes, dtype=int)
    is_catch = codes == CATCH
    shown = codes[~is_catch]
    unknown = shown[(shown < 1) | (shown > len(known.concept_index))]
    if len(unknown):
        raise DataError(
            f"{path}: event code {unknown[0]} has no picture; {known.source} has {len(known.concept_index)}. Use files "
            "of one release."
        )
    is_test = ~is_catch & np.isin(codes, _repeated(shown, path, test_repetitions))
    concept = np.full(len(codes), 0)
    concept[~is_catch] = known.concept_index[shown - 1]
    is_left_out = ~is_catch & ~is_test & np.isin(concept, np.unique(concept[is_test]))
    partition = np.select([is_test, is_catch | is_left_out], ["test", ""], "train")
    stimulus, concepts = _named(codes, concept, known, is_catch)
    table = pd.DataFrame(
        {
            "stimulus": stimulus,
            "concept": concepts,
            "partition": partition.astype(object),
            "repetition": pd.Series(codes).groupby(codes).cumcount().to_numpy() + 1,
        }
    )
    return table, _notes(int(is_catch.sum()), int(is_left_out.sum()))


def _repeated(shown: np.ndarray, path: Path, wanted: int | None) -> np.ndarray:
    """Return the codes of the test pictures: those shown more than once."""
    found, counts = np.unique(shown, return_counts=True)
    test, counts = found[counts > 1], counts[counts > 1]
    if not len(test):
        raise DataError(f"{path}: no picture was shown repeatedly, so none is a test picture. Are all parts there?")
    expected = wanted if wanted is not None else counts[0]
    wrong = np.flatnonzero(counts != expected)
    if len(wrong):
        raise DataError(
            f"{path}: each test picture was shown {expected} times, but picture {test[wrong[0]]} has "
            f"{counts[wrong[0]]} trials. Copy the file and its parts again, or correct loader.test_repetitions."
        )
    return test


def _named(
    codes: np.ndarray, concept: np.ndarray, known: MegPictures, is_catch: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    stimuli, concepts = np.full(len(codes), "", dtype=object), np.full(len(codes), "", dtype=object)
    if all(code in known.names for code in np.unique(codes[~is_catch]).tolist()):
        stimuli[~is_catch] = [known.names[code] for code in codes[~is_catch].tolist()]
        concepts[~is_catch] = [_EXEMPLAR.sub("", name) for name in stimuli[~is_catch]]
    else:
        stimuli[~is_catch] = [str(code) for code in codes[~is_catch].tolist()]
        concepts[~is_catch] = [str(number) for number in concept[~is_catch].tolist()]
    return stimuli, concepts


def _notes(n_catch: int, n_left_out: int) -> tuple[str, ...]:
    notes = []
    if n_catch:
        notes.append(f"{n_catch} catch trials (code {CATCH}) show no picture and were left out")
    if n_left_out:
        notes.append(f"{n_left_out} trials show other pictures of test concepts and belong to no partition")
    return tuple(notes)
