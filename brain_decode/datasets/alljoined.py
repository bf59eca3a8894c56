"""Alljoined-1.6M as recorded: twenty people who saw the pictures of THINGS-EEG2 under a consumer headset.

Source: arXiv 2508.18571.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, listed, unknown_option
from brain_decode.datasets.alljoined_order import (
    PARTITIONS,
    SHOWN_S,
    TASK,
    OrderRepair,
    apply_repair,
    picture_name,
    read_order,
    with_concepts,
)
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder
from brain_decode.datasets.formats import open_noted_raw
from brain_decode.datasets.raw_files import electrode_names, fill_positions, recording_files
from brain_decode.datasets.trigger_matching import find_disorder, match_in_order
from brain_decode.signals.mne_conversion import annotation_events, recording_from_raw
from brain_decode.signals.recording import Entities, Recording

__all__ = ["AlljoinedRaw"]

_LOG = logging.getLogger(__name__)
_N_BLOCKS = 19
_BLOCK = re.compile(r"sub-(?P<subject>[^/]+)/session_(?P<session>\d+)/block_(?P<run>\d+)$")
_ABSENT = ("refuse", "note")


class AlljoinedRaw(Dataset):
    """The recorded blocks: one EDF file each, with events that are matched to the intended order of pictures.

    Events have the columns `stimulus` (five digits, the name of the picture's file), `concept` (where the folder says
    it), `partition` ("train" or "test"), `repetition` (which intended showing of the picture, from 1) and `order_row`
    (row of the table of intended trials). Oddballs and answers are events without a stimulus, since some of their
    markers carry placeholders.

    Args:
        root: The folder that holds `raw_eeg/` and `preprocessed_eeg/`, or the folder that holds it.
        name: Name of the entry.
        subjects, sessions, runs: Labels to keep ("01"); runs are the blocks. None keeps all.
        tasks: ["images"], or None.
        blocks: How many a whole session has.
        missing_blocks: "refuse" a session that lacks some, or "note" it.
        repairs: Rows of a participant's table that stand in the wrong place, as {subject, row, to}; applied, one after
            another, to sessions whose triggers do not fit without, and noted.
        montage: MNE montage that gives positions; standard_1020 is the one with O9 and O10.
        facts: What each recording must agree with.

    Source: Layout and matching of github.com/Alljoined/Alljoined-1.6M. Differs: pictures are matched for each
        partition of a session as there, but a session without one of its blocks is refused instead of passed over.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "alljoined_1_6m",
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        blocks: int = _N_BLOCKS,
        missing_blocks: str = "refuse",
        repairs: Sequence[Mapping[str, Any]] = (),
        montage: str | None = "standard_1020",
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        if missing_blocks not in _ABSENT:
            raise unknown_option("missing_blocks", missing_blocks, _ABSENT)
        self.blocks, self.missing_blocks, self.montage = blocks, missing_blocks, montage
        self.repairs = tuple(OrderRepair.from_config(repair) for repair in repairs)
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, "raw_eeg/sub-*/session_*/block_*", self.name)
        found = _block_files(folder)
        chosen = choose_recordings(found, self.wanted, name=self.name)
        sessions = sorted({(entities.subject, entities.session) for entities in chosen})
        tables: dict[str, tuple[pd.DataFrame, Path]] = {}
        recordings: list[Recording] = []
        for subject, session in sessions:
            if subject not in tables:
                tables = {subject: self._table(folder, subject)}
            blocks = {e: path for e, path in found.items() if (e.subject, e.session) == (subject, session)}
            matched = self._session(blocks, *tables[subject])
            recordings += [recording for recording in matched if recording.entities in chosen]
        return sorted(recordings, key=lambda recording: recording.entities)

    def _table(self, folder: Path, subject: str) -> tuple[pd.DataFrame, Path]:
        table, path = read_order(folder, subject)
        return with_concepts(table, folder, subject), path

    def _session(self, blocks: Mapping[Entities, Path], table: pd.DataFrame, source: Path) -> list[Recording]:
        """Return the recordings of a session, whose triggers are matched together."""
        notes = self._absent(blocks)
        opened = [self._open(entities, blocks[entities]) for entities in sorted(blocks)]
        subject = opened[0].entities.subject
        present = [int(entities.run) for entities in blocks]
        events, fault = _matched(opened, table, present, source)
        for repair in [repair for repair in self.repairs if repair.subject == subject]:
            if fault is not None:
                table = apply_repair(table, repair, source)
                events, fault = _matched(opened, table, present, source)
                notes += (f"row {repair.row} of {source.name} was moved to {repair.to}, as loader.repairs says",)
        if fault is not None:
            raise DataError(fault)
        dropped = _dropped(events, table, opened[0].entities, present)
        if len(dropped):
            rows = listed([str(row) for row in dropped])
            notes += (f"{len(dropped)} intended trials of the session left no trigger (rows {rows} of {source.name})",)
        return [
            replace(block, events=told, notes=(*block.notes, *notes))
            for block, told in zip(opened, events, strict=True)
        ]

    def _absent(self, blocks: Mapping[Entities, Path]) -> tuple[str, ...]:
        first = min(blocks)
        absent = sorted(set(range(1, self.blocks + 1)) - {int(entities.run) for entities in blocks})
        if not absent:
            return ()
        said = (
            f"sub-{first.subject} session_{first.session} lacks {listed([f'block_{number:02d}' for number in absent])}"
        )
        if self.missing_blocks == "refuse":
            raise DataError(
                f"{said} of {self.blocks} blocks. Fetch them with brain-decode download, or go on without them with "
                "datasets.loader.missing_blocks=note."
            )
        return (said,)

    def _open(self, entities: Entities, path: Path) -> Recording:
        raw, lost = open_noted_raw(path)
        if "Afz" in raw.ch_names:  # as the headset's software spells it
            raw.rename_channels({"Afz": "AFz"}, verbose="ERROR")
        electrodes = electrode_names(raw.ch_names)
        if not electrodes:
            raise DataError(f"{path} has no electrode of the 10-05 system; its channels are {listed(raw.ch_names)}.")
        raw.pick(electrodes, verbose="ERROR")
        notes = () if self.montage is None else fill_positions(raw, self.montage, path.name)
        recording = recording_from_raw(raw, entities, events=_marker_events(annotation_events(raw), path))
        return replace(recording, files=recording_files(path, raw), notes=(*lost, *notes))


def _block_files(folder: Path) -> dict[Entities, Path]:
    """Return the EDF file of each block.

    Raises:
        DataError: A block with none, or with several.
    """
    found: dict[Entities, Path] = {}
    for block in sorted(path for path in folder.glob("raw_eeg/sub-*/session_*/block_*") if path.is_dir()):
        match = _BLOCK.search(block.as_posix())
        if match is None:
            _LOG.warning("%s is passed over: sessions and blocks are numbered, as session_01/block_01.", block)
            continue
        files = sorted(path for path in block.iterdir() if path.suffix.lower() == ".edf")
        if len(files) != 1:
            raise DataError(
                f"{block} should hold one EDF file; it holds {[path.name for path in files] or 'none'}. Fetch it again "
                "with brain-decode download, or remove what does not belong there."
            )
        found[Entities(match["subject"], match["session"], TASK, match["run"])] = files[0]
    return found


def _marker_events(events: pd.DataFrame, path: Path) -> pd.DataFrame:
    """Return the events with their marker taken apart: `label,value,deleted,index`.

    Raises:
        DataError: A marker of a picture without its number.
    """
    parts = events["trial_type"].str.split(",", n=3, expand=True).reindex(columns=range(2))
    values = pd.to_numeric(parts[1], errors="coerce")
    shows_picture = parts[0].isin(list(PARTITIONS))
    wrong = shows_picture & ~(values >= 0)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{path}: the marker '{events['trial_type'].iloc[row]}' at {events['onset_s'].iloc[row]:.3f} s should read "
            "label,picture,deleted,index with the picture's number. Fetch the file again."
        )
    return events.assign(
        duration_s=np.where(shows_picture, SHOWN_S, events["duration_s"]),
        trial_type=parts[0],
        value=values,
        partition=parts[0].map(PARTITIONS).fillna(""),
    )


def _matched(
    blocks: Sequence[Recording], table: pd.DataFrame, present: Sequence[int], source: Path
) -> tuple[list[pd.DataFrame], str | None]:
    """Return the events of each block with what the table says about them, or the sentence that says why not."""
    joined = pd.concat([block.events.assign(block=number) for number, block in enumerate(blocks)], ignore_index=True)
    rows = np.full(len(joined), -1)
    for part in PARTITIONS.values():
        intended = _intended(table, blocks[0].entities, present, part)
        shown = np.flatnonzero(joined["partition"] == part)
        triggers = joined["value"].to_numpy()[shown].astype(int)
        places = match_in_order(intended["picture"], triggers)
        if places is None:
            return [], _fault(blocks, joined.iloc[shown], intended, source)
        rows[shown] = intended.index.to_numpy()[places]
    joined = joined.assign(**_told(table, rows))
    parts = [joined[joined["block"] == number].drop(columns="block") for number in range(len(blocks))]
    return [part.reset_index(drop=True) for part in parts], None


def _told(table: pd.DataFrame, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return what the table says about events; -1 stands for an event that is no row of it."""
    known, told = rows >= 0, table.reindex(rows)
    names = told["picture"].fillna(0).astype(int).map(picture_name)
    return {
        "stimulus": np.where(known, names, ""),
        "concept": np.where(known, told["concept"].fillna(""), ""),
        "repetition": np.where(known, told["repetition"].fillna(0), 0).astype(int),
        "order_row": rows,
    }


def _intended(table: pd.DataFrame, entities: Entities, present: Sequence[int], part: str) -> pd.DataFrame:
    """Return the rows of one partition of a session, without those of blocks that are not there."""
    chosen = (table["part"] == part) & (table["session"] == int(entities.session))
    if "block_id" in table:
        chosen &= table["block_id"].isin(list(present))
    return table[chosen]


def _fault(blocks: Sequence[Recording], shown: pd.DataFrame, intended: pd.DataFrame, source: Path) -> str:
    """Return the sentence that names the first trigger out of order, its row, and what can be done."""
    entities, triggers = blocks[0].entities, shown["value"].to_numpy().astype(int)
    where = f"sub-{entities.subject} session_{entities.session}"
    disorder = find_disorder(intended["picture"], triggers)
    trigger = shown.iloc[min(disorder.trigger, len(shown) - 1)]
    block = blocks[int(trigger["block"])].entities.run
    row = intended.index[disorder.expected] if disorder.expected < len(intended) else None
    said = (
        f"{where}: the triggers do not follow {source}: picture {picture_name(int(trigger['value']))} (block_{block}, "
        f"{trigger['onset_s']:.3f} s) came where "
        + (f"row {row} has {picture_name(int(intended['picture'].loc[row]))}" if row is not None else "nothing is left")
    )
    if disorder.found is None:
        return f"{said}, and is nowhere near in the table. Is a file in the folder of another session or participant?"
    found = intended.index[disorder.found]
    return (
        f"{said}; the table has it in row {found}. If the table is wrong and the triggers are right, say so: "
        f'datasets.loader.repairs=[{{subject: "{entities.subject}", row: {found}, to: {row}}}].'
    )


def _dropped(
    events: Sequence[pd.DataFrame], table: pd.DataFrame, entities: Entities, present: Sequence[int]
) -> np.ndarray:
    """Return the rows of intended trials of a session that left no trigger."""
    intended = [_intended(table, entities, present, part).index for part in PARTITIONS.values()]
    recorded = np.concatenate([part["order_row"].to_numpy() for part in events])
    return np.setdiff1d(np.concatenate([np.asarray(rows) for rows in intended]), recorded)
