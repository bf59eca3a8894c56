"""Any BIDS folder of EEG, MEG or intracranial recordings, from a YAML entry alone or from none at all."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mne_bids import get_entities_from_fname

from brain_decode.core.errors import DataError, unknown_option
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder
from brain_decode.datasets.electrodes import apply_electrodes
from brain_decode.datasets.formats import RAW_EXTENSIONS, open_noted_raw
from brain_decode.datasets.raw_files import ChannelSettings, apply_settings, recording_files, set_types
from brain_decode.datasets.split_files import first_parts
from brain_decode.signals.joining import join_recordings
from brain_decode.signals.mne_conversion import annotation_events, recording_from_raw
from brain_decode.signals.recording import Entities, Recording

__all__ = ["BidsDataset", "inherited_file", "merged_sidecar", "read_events", "sidecar_number"]

_LOG = logging.getLogger(__name__)
_DATATYPES = ("eeg", "meg", "ieeg")
_MNE_TYPE = {
    "EEG": "eeg",
    "EOG": "eog",
    "VEOG": "eog",
    "HEOG": "eog",
    "ECG": "ecg",
    "EMG": "emg",
    "RESP": "resp",
    "TRIG": "stim",
    "SEEG": "seeg",
    "ECOG": "ecog",
    "DBS": "dbs",
    "MISC": "misc",
    "OTHER": "misc",
    "AUDIO": "misc",
    "GSR": "misc",
    "PPG": "misc",
    "EYEGAZE": "misc",
    "PUPIL": "misc",
    "TEMP": "misc",
    "SYSCLOCK": "misc",
}


class BidsDataset(Dataset):
    """The recordings of a BIDS folder.

    `channels.tsv` gives types and bad channels, `electrodes.tsv` positions, `events.tsv` the events, the JSON sidecar
    the reference and the mains frequency; each may lie beside the recording or higher up, as BIDS allows. Where one is
    absent, the recording's own channel types, positions, annotations and header stand in for it, and that is logged.
    A recording that holds EEG and MEG keeps both.

    Args:
        root: The BIDS folder, or the folder that holds it.
        name: Name of the entry.
        datatype: "eeg", "meg" or "ieeg"; a list joins recordings that two systems made at the same time; None takes the
            one kind the folder holds.
        tasks, subjects, sessions, runs: Labels to keep, without their prefix; None keeps all.
        acquisition: Label to keep where a run was stored in several forms.
        channel_names, channel_types, montage: See `ChannelSettings`.
        facts: What each recording must agree with.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "bids",
        datatype: str | Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        acquisition: str | None = None,
        channel_names: str = "stored",
        channel_types: Mapping[str, str] | None = None,
        montage: str | None = None,
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.datatypes = () if datatype is None else (datatype,) if isinstance(datatype, str) else tuple(datatype)
        for kind in self.datatypes:
            if kind not in _DATATYPES:
                raise unknown_option("datatype", kind, _DATATYPES)
        self.wanted = {"subject": subjects, "session": sessions, "task": tasks, "run": runs}
        self.acquisition = acquisition
        self.channels = ChannelSettings(channel_names, dict(channel_types or {}), montage)

    def recordings(self) -> list[Recording]:
        wanted = self.datatypes[0] if len(self.datatypes) == 1 else "*eg"
        folder = dataset_folder(self.root, f"sub-*/**/*_{wanted}*", self.name)
        kinds = self.datatypes or (_datatype_in(folder),)
        of_kind = [self._of_kind(folder, kind) for kind in kinds]
        for kind, found in zip(kinds[1:], of_kind[1:], strict=True):
            if set(found) != set(of_kind[0]):
                differing = sorted(entities.label for entities in set(found) ^ set(of_kind[0]))
                raise DataError(f"{folder}: {kinds[0]} and {kind} are joined run by run; one lacks {differing}.")
        return [reduce(join_recordings, (found[entities] for found in of_kind)) for entities in sorted(of_kind[0])]

    def _of_kind(self, folder: Path, kind: str) -> dict[Entities, Recording]:
        chosen = choose_recordings(_recording_paths(folder, kind, self.acquisition), self.wanted, name=self.name)
        return {entities: self._open(folder, entities, path) for entities, path in chosen.items()}

    def _open(self, folder: Path, entities: Entities, path: Path) -> Recording:
        raw, lost = open_noted_raw(path)
        sidecar = merged_sidecar(folder, path)
        _check_rate(raw, sidecar, path)
        _check_length(raw, sidecar, path)
        _apply_channel_table(raw, inherited_file(folder, path, "channels", ".tsv"), path)
        _apply_electrode_table(raw, folder, path)
        notes = apply_settings(raw, self.channels, path.name)
        line_frequency = sidecar_number(sidecar, "PowerLineFrequency")
        if line_frequency is not None:
            raw.info["line_freq"] = line_frequency
        reference = sidecar.get("EEGReference", sidecar.get("iEEGReference"))
        recording = recording_from_raw(raw, entities, events=_events(folder, path, raw))
        return replace(
            recording,
            reference=None if reference in (None, "n/a") else str(reference),
            files=recording_files(path, raw),
            notes=(*lost, *notes),
        )


def _datatype_in(folder: Path) -> str:
    """Return the kind of recording a folder holds.

    Raises:
        DataError: Several kinds.
    """
    present = [kind for kind in _DATATYPES if next(folder.glob(f"sub-*/**/*_{kind}*"), None) is not None]
    if len(present) != 1:
        raise DataError(
            f"{folder} holds recordings of the kinds {', '.join(present) or 'none'}; one is read at a time. Set "
            "datasets.loader.datatype to one of them."
        )
    return present[0]


def _recording_paths(folder: Path, datatype: str, acquisition: str | None) -> dict[Entities, Path]:
    """Return the recording of each run.

    Raises:
        DataError: No recording, or two forms of one run.
    """
    found: dict[Entities, Path] = {}
    for pattern in (f"sub-*/{datatype}/*_{datatype}*", f"sub-*/ses-*/{datatype}/*_{datatype}*"):
        for path in first_parts(sorted(folder.glob(pattern))):
            # 4D and KIT recordings may be folders without an extension.
            if path.suffix not in RAW_EXTENSIONS and not (path.is_dir() and not path.suffix):
                continue
            parts = get_entities_from_fname(path.name, on_error="ignore")
            later_part = str(parts.get("split") or "1").lstrip("0") not in ("", "1")
            if later_part or acquisition not in (None, parts.get("acquisition")):
                continue
            entities = _entities(parts)
            if entities in found:
                raise DataError(
                    f"{entities.label} is stored twice: {found[entities].name} and {path.name}. "
                    "Choose one with loader.acquisition, or remove one."
                )
            found[entities] = path
    if not found:
        raise DataError(f"No {datatype} recording ({', '.join(RAW_EXTENSIONS)}) below {folder}/sub-*.")
    return found


def _entities(parts: Mapping[str, Any]) -> Entities:
    return Entities(*(parts.get(level) or "" for level in ("subject", "session", "task", "run")))


def _inheritance(folder: Path, path: Path, suffix: str, extension: str) -> list[Path]:
    """Return the sidecars that describe a recording, the most general first (BIDS inheritance)."""
    own = {key: value for key, value in get_entities_from_fname(path.name, on_error="ignore").items() if value}
    levels = [level for level in (path.parent, *path.parent.parents) if level == folder or folder in level.parents]
    found: list[Path] = []
    for level in reversed(levels):
        candidates = {candidate: _named(candidate) for candidate in sorted(level.glob(f"*{suffix}{extension}"))}
        fitting = [candidate for candidate, named in candidates.items() if named.items() <= own.items()]
        found += sorted(fitting, key=lambda candidate: len(candidates[candidate]))
    return found


def _named(path: Path) -> dict[str, str]:
    return {key: value for key, value in get_entities_from_fname(path.name, on_error="ignore").items() if value}


def inherited_file(folder: Path, path: Path, suffix: str, extension: str) -> Path | None:
    """Return the most specific sidecar that describes a recording, None where there is none."""
    sidecars = _inheritance(folder, path, suffix, extension)
    return sidecars[-1] if sidecars else None


def merged_sidecar(folder: Path, path: Path) -> dict[str, Any]:
    """Return the merged JSON sidecars of a recording."""
    merged: dict[str, Any] = {}
    for source in _inheritance(folder, path, path.name.split(".")[0].rsplit("_", 1)[-1], ".json"):
        merged |= _read_sidecar(source)
    return merged


def _read_sidecar(source: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(source.read_text(encoding="utf-8-sig")))
    except (ValueError, TypeError) as error:
        raise DataError(f"{source.name} is not valid JSON: {error}. Correct the file.") from error


def sidecar_number(sidecar: Mapping[str, Any], key: str) -> float | None:
    """Return a number of the sidecar, None for "n/a"."""
    try:
        value = float(sidecar.get(key, "nan"))
    except (TypeError, ValueError):
        return None
    return value if np.isfinite(value) else None


def _check_rate(raw: Any, sidecar: Mapping[str, Any], path: Path) -> None:
    stated = sidecar_number(sidecar, "SamplingFrequency")
    if stated is None:
        return
    if abs(stated - raw.info["sfreq"]) > 1e-3 * stated:
        raise DataError(
            f"{path.name}: the sidecar states SamplingFrequency {stated:g} Hz, the recording has {raw.info['sfreq']} "
            "Hz. Correct the file that is wrong."
        )


def _read_table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (ValueError, OSError) as error:
        raise DataError(f"{path.name} is not a tab-separated table: {error}. Correct the file.") from error


def _apply_channel_table(raw: Any, path: Path | None, recording: Path) -> None:
    """Set the types and bad channels that `channels.tsv` states."""
    if path is None:
        _LOG.info("%s has no channels.tsv: the recording's own channel types are used.", recording.name)
        return
    table = _read_table(path)
    if "name" not in table:
        raise DataError(f"{path.name} needs a column 'name'; it has {list(table.columns)}.")
    repeated = sorted(table["name"][table["name"].duplicated()].unique())
    if repeated:
        raise DataError(f"{path.name}: channel names must be unique; repeated: {repeated}. Rename them.")
    present = table[table["name"].isin(raw.ch_names)]
    if present.empty:
        raise DataError(
            f"{path.name}: none of its channels {table['name'].tolist()} is in {recording.name}, "
            f"which has {raw.ch_names}."
        )
    if len(present) < max(len(table), len(raw.ch_names)):
        differing = sorted(set(table["name"]) ^ set(raw.ch_names))
        _LOG.warning("%s and %s disagree on the channels %s.", path.name, recording.name, differing)
    if "type" in table:
        kinds = present["type"].str.upper().map(_MNE_TYPE)
        set_types(raw, {name: kind for name, kind in zip(present["name"], kinds, strict=True) if isinstance(kind, str)})
    if "status" in table:
        bad = present["name"][present["status"].str.lower() == "bad"]
        raw.info["bads"] = list(dict.fromkeys([*raw.info["bads"], *bad]))


def _apply_electrode_table(raw: Any, folder: Path, path: Path) -> None:
    source = inherited_file(folder, path, "electrodes", ".tsv")
    if source is None:
        return
    system = inherited_file(folder, path, "coordsystem", ".json")
    described = {} if system is None else _read_sidecar(system)
    n_placed = apply_electrodes(raw, _read_table(source), described, source)
    _LOG.info("%s: positions of %d channels from %s.", path.name, n_placed, source.name)


def _check_length(raw: Any, sidecar: Mapping[str, Any], path: Path) -> None:
    """Refuse a recording that is shorter than its sidecar says."""
    stated = sidecar_number(sidecar, "RecordingDuration")
    found = raw.n_times / raw.info["sfreq"]
    if stated is not None and found < stated - max(1.0, 0.01 * stated):
        raise DataError(
            f"{path.name} is cut off: the sidecar states RecordingDuration {stated:g} s, the recording has {found:.1f} "
            "s. Copy the recording again, or correct the sidecar."
        )


def _events(folder: Path, path: Path, raw: Any) -> pd.DataFrame:
    """Return `events.tsv` with text columns, or the annotations of the recording where there is none."""
    source = inherited_file(folder, path, "events", ".tsv")
    if source is None:
        _LOG.info("%s has no events.tsv: the recording's own annotations are used.", path.name)
        return annotation_events(raw)
    return read_events(source)


def read_events(source: Path) -> pd.DataFrame:
    """Return an `events.tsv` as an event table; its other columns stay text.

    Raises:
        DataError: Not a table, no column `onset`, or an onset that is no number.
    """
    table = _read_table(source)
    if "onset" not in table:
        raise DataError(f"{source.name} needs a column 'onset'; it has {list(table.columns)}.")
    table = table.mask(table == "n/a", "")
    onset = pd.to_numeric(table["onset"], errors="coerce")
    if onset.isna().any():
        row = int(np.flatnonzero(onset.isna())[0])
        raise DataError(f"{source.name}: onset in row {row + 1} must be seconds, got '{table['onset'].iloc[row]}'.")
    times = pd.DataFrame({"onset_s": onset, "duration_s": _numbers(table, "duration").fillna(0.0)})
    names = table["trial_type"] if "trial_type" in table else table.get("value", pd.Series("", index=table.index))
    times["trial_type"] = names
    return pd.concat([times, table.drop(columns=["onset", "duration", "trial_type"], errors="ignore")], axis=1)


def _numbers(table: pd.DataFrame, column: str) -> pd.Series:
    values = table[column] if column in table else pd.Series(np.nan, index=table.index)
    return pd.to_numeric(values, errors="coerce")
