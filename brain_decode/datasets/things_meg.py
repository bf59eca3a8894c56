"""THINGS-MEG: four participants who saw 22,448 pictures (Hebart et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder
from brain_decode.datasets.condition_trials import ConditionTrials, trial_times
from brain_decode.datasets.numpy_pickle import read_pickled_mapping
from brain_decode.datasets.things_meg_pictures import MegPictures, picture_table, read_meg_pictures
from brain_decode.datasets.things_pictures import PARTITIONS, Pictures, condition_events, read_pictures
from brain_decode.signals.mne_conversion import recording_from_epochs
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sensors import Sensors

__all__ = ["ThingsMEG"]

_EPOCHS = "preprocessed_P*-epo.fif"
_PLACES = ("", "derivatives/preprocessed/", "preprocessed/")
_PARTICIPANT = re.compile(r"preprocessed_P(\d+)-epo")
_ARRAYS = {"train": "preprocessed_meg_training.pkl", "test": "preprocessed_meg_zs_test.pkl"}
_LAYOUTS = ("auto", "epochs", "arrays")
_LINE_FREQUENCY_HZ = 60.0  # Bethesda
_SHOWN_S = 0.5
_READ_ERRORS = (ValueError, OSError, RuntimeError, KeyError, TypeError)


class ThingsMEG(Dataset):
    """Cut trials of THINGS-MEG: the published epochs, or the arrays of the zero-shot split made from them.

    Of the epochs, each participant is one recording. Events have the columns `stimulus`, `concept`, `partition` and
    `repetition`. The zero-shot split follows from the events: pictures shown repeatedly are the test; other pictures
    of their concepts belong to no partition, and neither do catch trials, which have no stimulus.

    Args:
        root: The folder of the files, or one above it (as in the derivatives of the BIDS folder).
        name: Name of the entry.
        layout: "epochs" (`preprocessed_P1-epo.fif` and its further parts), "arrays"
            (`sub-XX/preprocessed_meg_training.pkl`, `preprocessed_meg_zs_test.pkl`), or "auto".
        test_repetitions: How often each test picture was shown; None takes any number that is the same for all.
        expected: Partition → number of pictures it must have.
        subjects, sessions, tasks: Labels to keep; None keeps all. Participants are named BIGMEG1 to BIGMEG4.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "things_meg",
        layout: str = "auto",
        test_repetitions: int | None = None,
        expected: Mapping[str, int] | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        if layout not in _LAYOUTS:
            raise unknown_option("layout", layout, _LAYOUTS)
        for partition in expected or {}:
            if partition not in PARTITIONS:
                raise unknown_option("partition in expected", partition, PARTITIONS)
        self.layout, self.test_repetitions, self.expected = layout, test_repetitions, dict(expected or {})
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks}

    def recordings(self) -> list[Recording]:
        folder = self.root if self.root.is_dir() else self.root.parent
        epochs, arrays = _epochs_files(folder), _array_files(folder)
        if self.layout == "arrays" or (self.layout == "auto" and not epochs and arrays):
            if not arrays:
                raise self._no_files(f"sub-*/{_ARRAYS['train']}")
            pictures = read_pictures(folder)
            chosen = choose_recordings(arrays, self.wanted, name=self.name)
            return [self._open_array(entities, chosen[entities], pictures) for entities in sorted(chosen)]
        if not epochs:
            raise self._no_files(_EPOCHS)
        chosen = choose_recordings(epochs, self.wanted, name=self.name)
        known = read_meg_pictures(folder)
        return [self._open_epochs(entities, chosen[entities], known) for entities in sorted(chosen)]

    def _no_files(self, pattern: str) -> DataError:
        dataset_folder(self.root, "*", self.name)
        return DataError(
            f"Dataset '{self.name}': no file {pattern} in {self.root} or its derivatives/preprocessed/. Set paths.data "
            "to the folder that holds it."
        )

    def _open_epochs(self, entities: Entities, path: Path, known: MegPictures) -> Recording:
        try:
            epochs = mne.read_epochs(path, preload=False, verbose="ERROR")
        except _READ_ERRORS as error:
            raise DataError(
                f"{path} could not be read as MNE epochs: {error}. Its parts ({path.stem}-1.fif, ...) must lie beside "
                "it under their own names; copy what is missing."
            ) from error
        recording = recording_from_epochs(epochs, entities)
        table, notes = picture_table(epochs.events[:, 2], known, path, test_repetitions=self.test_repetitions)
        for partition in self.expected:
            self._require_number(partition, table.loc[table["partition"] == partition, "stimulus"].nunique(), path)
        times = recording.events[["onset_s", "value"]].assign(duration_s=_SHOWN_S, trial_type="picture")
        parts = tuple(sorted(path.parent.glob(f"{path.stem}*.fif")))
        return replace(recording, events=pd.concat([times, table], axis=1), files=parts, notes=notes)

    def _open_array(self, entities: Entities, path: Path, pictures: Mapping[str, Pictures]) -> Recording:
        content = read_pickled_mapping(path, ("meg_data", "ch_names", "times"))
        array, names = content["meg_data"], tuple(str(name) for name in content["ch_names"])
        if not isinstance(array, np.ndarray) or array.ndim != 5 or array.dtype.kind not in "fiu":
            shape = f"shape {array.shape}" if isinstance(array, np.ndarray) else "no array"
            raise DataError(
                f"{path}: `meg_data` should hold numbers with the axes (concept, picture, repetition, channel, time); "
                f"it has {shape}. Take the file from its source."
            )
        if len(names) != array.shape[3]:
            raise DataError(f"{path}: `meg_data` has {array.shape[3]} channels, `ch_names` {len(names)}. Replace it.")
        times = trial_times(content["times"], array.shape[4], path)
        n_pictures, n_repetitions = array.shape[0] * array.shape[1], array.shape[2]
        self._require_number(entities.task, n_pictures, path)
        known = _known_pictures(pictures, entities.task, n_pictures, path)
        return Recording(
            entities=entities,
            space=Sensors(names, ("mag",) * len(names)),
            rate_hz=times.rate_hz,
            events=condition_events(known, n_repetitions, entities.task, shown_s=_SHOWN_S),
            source=ConditionTrials(array),
            continuous=False,
            start_s=times.start_s,
            line_frequency_hz=_LINE_FREQUENCY_HZ,
            files=(path,),
            notes=times.notes,
        )

    def _require_number(self, partition: str, found: int, path: Path) -> None:
        expected = self.expected.get(partition)
        if expected is not None and found != expected:
            raise DataError(
                f"{path}: expected {expected} pictures in partition '{partition}', received {found}. Copy the file and "
                "its parts again, or correct loader.expected where yours is a part of the dataset."
            )


def _epochs_files(folder: Path) -> dict[Entities, Path]:
    found: dict[Entities, Path] = {}
    for place in _PLACES:
        for path in sorted(folder.glob(f"{place}{_EPOCHS}")):
            match = _PARTICIPANT.match(path.name)
            if match is not None:
                found.setdefault(Entities(f"BIGMEG{int(match.group(1))}"), path)
    return found


def _array_files(folder: Path) -> dict[Entities, Path]:
    found: dict[Entities, Path] = {}
    for task, file in _ARRAYS.items():
        for path in sorted({*folder.glob(f"sub-*/{file}"), *folder.glob(f"preprocessed_MEG/sub-*/{file}")}):
            number = path.parent.name.removeprefix("sub-")
            found[Entities(f"BIGMEG{int(number)}" if number.isdigit() else number, task=task)] = path
    return found


def _known_pictures(pictures: Mapping[str, Pictures], partition: str, n_pictures: int, path: Path) -> Pictures:
    if partition not in pictures:
        raise DataError(
            f"{path} numbers its pictures, but does not name them. Put the folders training_images/ and test_images/ "
            "beside the participants."
        )
    if len(pictures[partition]) != n_pictures:
        raise DataError(
            f"{path} holds responses to {n_pictures} pictures, {pictures[partition].source} has "
            f"{len(pictures[partition])}. Complete the pictures, or use files of one source."
        )
    return pictures[partition]
