"""THINGS-EEG2: ten participants who saw 16,740 pictures in rapid serial presentation (Gifford et al. 2022)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.datasets.base import Dataset, Facts, choose_recordings
from brain_decode.datasets.condition_trials import ConditionTrials
from brain_decode.datasets.raw_files import fill_positions
from brain_decode.datasets.things_eeg2_files import CutFile, find_files, read_cut_file
from brain_decode.datasets.things_eeg2_raw import read_raw_file
from brain_decode.datasets.things_pictures import (
    PARTITIONS,
    Pictures,
    condition_events,
    picture_events,
    read_pictures,
    require_same_pictures,
)
from brain_decode.signals.mne_conversion import sensors_from_info
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.units import UNIT_FACTORS

__all__ = ["ThingsEEG2"]

_SHOWN_S = 0.1  # each picture; another follows 0.2 s after its onset
_LINE_FREQUENCY_HZ = 50.0  # Berlin
_REFERENCE = "Fz"


class ThingsEEG2(Dataset):
    """Recordings of THINGS-EEG2 in any of the layouts in which they are passed on.

    `raw` gives one continuous recording per session and partition; the others cut trials, one recording per
    participant and partition. The partition is the recording's task ("train" or "test"). Events have the columns
    `stimulus` (file name of the picture without suffix), `concept`, `partition`, and `repetition` from 1.

    Args:
        root: The folder that holds `sub-XX/`, or has it one level below; or the folder that holds it.
        name: Name of the entry.
        layout: "raw"; "preprocessed": the authors' files or those at 250 Hz; "ubp": train.pt and test.pt;
            "neurobridge": train.npy and test.npy; "auto" recognises it by its files.
        unit: Of the stored numbers. "1" is for whitened files, whose channels are mixtures without a unit: they get
            the type `feature` and keep name and position.
        rate_hz, start_s: Of cut trials whose files store no times.
        montage: MNE montage that gives positions by channel name.
        expected: Partition → [pictures, repetitions] that cut trials must have; for `raw` the pictures count only.
        subjects, sessions, tasks: Labels to keep; None keeps all.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "things_eeg2",
        layout: str = "auto",
        unit: str = "V",
        rate_hz: float | None = None,
        start_s: float = 0.0,
        montage: str | None = None,
        expected: Mapping[str, Sequence[int]] | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        if unit not in UNIT_FACTORS:
            raise unknown_option("unit", unit, UNIT_FACTORS)
        self.layout, self.unit, self.montage = layout, unit, montage
        self.rate_hz, self.start_s = rate_hz, start_s
        self.expected = {key: tuple(int(count) for count in counts) for key, counts in (expected or {}).items()}
        for partition, counts in self.expected.items():
            if partition not in PARTITIONS or len(counts) != 2:
                raise ConfigError(f"expected is {{train: [pictures, repetitions], test: ...}}; got {expected}.")
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks}

    def recordings(self) -> list[Recording]:
        layout, folder, found = find_files(self.root, self.layout, self.name)
        chosen = choose_recordings(found, self.wanted, name=self.name)
        if self.wanted["task"] is None:
            _require_both(chosen)
        pictures = read_pictures(folder)
        for partition, known in pictures.items():
            self._require_count("pictures", len(known), partition, 0, known.source)
        if layout == "raw":
            return [self._raw(entities, chosen[entities], pictures) for entities in sorted(chosen)]
        return [self._cut(entities, chosen[entities], layout, pictures) for entities in sorted(chosen)]

    def _raw(self, entities: Entities, path: Path, pictures: Mapping[str, Pictures]) -> Recording:
        raw = read_raw_file(path, UNIT_FACTORS[self.unit])
        known = self._pictures(entities.task, pictures, path)
        unknown = raw.triggers[raw.triggers > len(known)]
        if len(unknown):
            raise DataError(
                f"{path}: trigger {unknown[0]} has no picture; {known.source} has {len(known)} of partition "
                f"'{entities.task}'. Use files and pictures of one source."
            )
        rows = raw.triggers - 1
        repetition = pd.Series(rows).groupby(rows).cumcount().to_numpy() + 1
        events = picture_events(known, rows, repetition, entities.task, shown_s=_SHOWN_S, onsets_s=raw.onsets_s)
        sensors, notes = self._sensors(raw.channel_names, raw.channel_types, path)
        return Recording(
            entities=entities,
            space=sensors,
            rate_hz=raw.rate_hz,
            events=events.assign(value=raw.triggers),
            source=raw.source,
            line_frequency_hz=_LINE_FREQUENCY_HZ,
            reference=_REFERENCE,
            files=(path,),
            notes=(*raw.notes, *notes),
        )

    def _cut(self, entities: Entities, path: Path, layout: str, pictures: Mapping[str, Pictures]) -> Recording:
        cut = read_cut_file(path, layout, rate_hz=self.rate_hz, start_s=self.start_s)
        self._require_count("pictures", cut.n_pictures, entities.task, 0, path)
        self._require_count("repetitions", cut.n_repetitions, entities.task, 1, path)
        known = self._pictures_of(cut, entities.task, pictures, path)
        kind = "feature" if self.unit == "1" else "eeg"
        sensors, notes = self._sensors(cut.channel_names, (kind,) * len(cut.channel_names), path)
        return Recording(
            entities=entities,
            space=sensors,
            rate_hz=cut.times.rate_hz,
            events=condition_events(known, cut.n_repetitions, entities.task, shown_s=_SHOWN_S),
            source=ConditionTrials(cut.array, UNIT_FACTORS[self.unit]),
            continuous=False,
            start_s=cut.times.start_s,
            line_frequency_hz=_LINE_FREQUENCY_HZ,
            files=(path,),
            notes=(*cut.times.notes, *notes),
        )

    def _pictures_of(self, cut: CutFile, partition: str, pictures: Mapping[str, Pictures], path: Path) -> Pictures:
        """Return what the trials show, held against what the dataset's folder says."""
        if cut.pictures is not None:
            if partition in pictures:
                require_same_pictures(cut.pictures, pictures[partition])
            return cut.pictures
        known = self._pictures(partition, pictures, path)
        if len(known) != cut.n_pictures:
            raise DataError(
                f"{path} holds responses to {cut.n_pictures} pictures, {known.source} has {len(known)} of partition "
                f"'{partition}'. Complete the pictures, or use files of one source."
            )
        return known

    def _pictures(self, partition: str, pictures: Mapping[str, Pictures], path: Path) -> Pictures:
        if partition not in pictures:
            raise DataError(
                f"{path} numbers its pictures, but does not name them. Put image_metadata.npy, or the folders "
                f"training_images/ and test_images/, beside the participants in {self.root}."
            )
        return pictures[partition]

    def _require_count(self, what: str, found: int, partition: str, place: int, source: Path) -> None:
        expected = self.expected.get(partition)
        if expected is not None and found != expected[place]:
            raise DataError(
                f"{source}: expected {expected[place]} {what} in partition '{partition}', received {found}. Copy the "
                "file again, or correct loader.expected where yours is a part of the dataset."
            )

    def _sensors(self, names: Sequence[str], types: Sequence[str], path: Path) -> tuple[Sensors, tuple[str, ...]]:
        if self.montage is None:
            return Sensors(tuple(names), tuple(types)), ()
        # Positions are those of electrodes, also where what is measured there has no unit any more.
        kinds = ["eeg" if kind == "feature" else kind for kind in types]
        placed = mne.io.RawArray(np.zeros((len(names), 1)), mne.create_info(list(names), 1.0, kinds), verbose="ERROR")
        notes = fill_positions(placed, self.montage, path.name)
        return replace(sensors_from_info(placed.info), types=tuple(types)), notes


def _require_both(chosen: Mapping[Entities, Path]) -> None:
    """Refuse a participant or session with one partition only.

    Raises:
        DataError: Names the file that is there without its other half.
    """
    for entities, path in chosen.items():
        [other] = [task for task in PARTITIONS if task != entities.task]
        if replace(entities, task=other) not in chosen:
            raise DataError(
                f"{path} is there without the file of the '{other}' pictures beside it. Copy both, or say "
                f"datasets.tasks=[{entities.task}]."
            )
