"""One opener for every recording format, with one clear error where a file cannot be opened."""

from __future__ import annotations

import logging
import re
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import mne
import numpy as np
import scipy.io

from brain_decode.core.errors import BrainDecodeError, DataError, MissingExtra
from brain_decode.datasets.file_damage import promised_edf_length, require_whole, wrong_mff_event
from brain_decode.datasets.muse_csv import read_muse_csv
from brain_decode.datasets.xdf import DAMAGED, read_xdf
from brain_decode.signals.mne_conversion import recording_from_epochs, recording_from_raw
from brain_decode.signals.recording import Entities, Recording

__all__ = [
    "RAW_EXTENSIONS",
    "holds_trials",
    "open_noted_raw",
    "open_noted_trials",
    "open_raw",
    "open_recording",
]

_LOG = logging.getLogger(__name__)
RAW_EXTENSIONS = (
    ".vhdr", ".edf", ".bdf", ".set", ".fif", ".fif.gz", ".cnt", ".gdf", ".mff", ".raw", ".ds", ".sqd", ".con",
    ".data", ".xdf", ".xdfz", ".csv", ".nwb", ".mefd",
)  # fmt: skip
_READ_ERRORS = (
    ValueError, OSError, RuntimeError, KeyError, IndexError, TypeError, AttributeError, NotImplementedError,
    UnicodeError, EOFError, ZeroDivisionError, AssertionError, OverflowError, zlib.error,
)  # fmt: skip
_COMPANIONS = {
    ".eeg": "the .vhdr file beside it",
    ".vmrk": "the .vhdr file beside it",
    ".fdt": "the .set file beside it",
    ".head": "the .data file beside it",
    ".study": "one of the .set files it lists",
    ".res4": "the .ds folder",
    ".meg4": "the .ds folder",
}
_IMAGES = (".nii", ".nii.gz", ".mgz", ".gii", ".gii.gz", ".annot")
_ARRAYS = (".npz", ".npy", ".mat", ".txt")
_PLAIN_ARRAYS = (
    "holds plain numbers; their rate, unit and channel names are not in it. Describe them in a YAML entry with "
    "loader._target_: brain_decode.datasets.arrays.ArrayDataset (see datasets/eeg_fingertap_bci2iv.yaml)"
)
_KIT = (".sqd", ".con")
_TRIALS = ("-epo.fif", "_epo.fif", "-epo.fif.gz", "_epo.fif.gz")
_AVERAGES = ("-ave.fif", "_ave.fif", "-ave.fif.gz", "_ave.fif.gz")


def open_recording(path: Path, entities: Entities) -> Recording:
    """Return the recording of a file: continuous, or cut trials.

    Cut trials are those of `-epo.fif` and of EEGLAB sets with several trials; the averages of `-ave.fif` are one trial
    for each condition.

    Raises:
        DataError: A file that is absent, damaged or no recording.
        MissingExtra: A format whose reader is not installed.
    """
    if holds_trials(path):
        epochs, notes = open_noted_trials(path)
        return replace(recording_from_epochs(epochs, entities=entities), files=(path,), notes=notes)
    raw, notes = open_noted_raw(path)
    return replace(recording_from_raw(raw, entities=entities), notes=notes)


def open_raw(path: Path) -> Any:
    """Return a continuous recording as `mne.io.Raw`, without its samples being read where the format allows.

    Raises:
        DataError: A file that is absent, no recording, cut off or damaged, or whose channel names are not unique.
        MissingExtra: A format whose reader is not installed.
    """
    return open_noted_raw(path)[0]


def open_noted_raw(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return what `open_raw` does, and sentences about what the file lost, for the recording's notes."""
    raw, notes = _guarded(path, _reader(path))
    require_whole(path, raw)
    return raw, notes


def holds_trials(path: Path) -> bool:
    """Return True for a file of cut trials: epochs, averages, or an EEGLAB set of several trials."""
    if path.name.endswith((*_TRIALS, *_AVERAGES)):
        return True
    return path.suffix.lower() == ".set" and path.is_file() and _n_eeglab_trials(path) > 1


def open_noted_trials(path: Path) -> tuple[Any, tuple[str, ...]]:
    """Return cut trials as `mne.Epochs`, and sentences about what the file lost.

    Raises:
        DataError: A file that is absent or damaged.
        MissingExtra: A format whose reader is not installed.
    """
    if path.name.endswith(_TRIALS):
        return _guarded(path, _read_epochs)
    return _guarded(path, _read_averages if path.name.endswith(_AVERAGES) else _read_eeglab_trials)


def _n_eeglab_trials(path: Path) -> int:
    """Return the trials of an EEGLAB set; damaged sets and those of MATLAB 7.3 count as continuous."""
    try:
        saved = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False, variable_names=["EEG", "trials"])
        return int(saved["EEG"].trials if "EEG" in saved else saved["trials"])
    except _READ_ERRORS:
        return 1


def _guarded(path: Path, read: Callable[[Path], Any]) -> tuple[Any, tuple[str, ...]]:
    """Return what a reader returns, and notes; whatever it raises or warns of becomes one clear error or a note."""
    if not path.exists():
        raise DataError(f"The recording {path} does not exist.")
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes). Copy the file again.")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            opened = read(path)
    except BrainDecodeError:
        raise
    except ImportError as error:
        raise MissingExtra(
            f"{path.name} needs a reader that is not installed: install brain_decode[formats]."
        ) from error
    except _READ_ERRORS as error:
        if "pip install" in str(error) or "required to read" in str(error):
            said = str(error).strip().split("\n")[0].rstrip(".")
            raise MissingExtra(f"{path.name}: {said}. Install brain_decode[formats].") from error
        raise DataError(f"{path.name} could not be read as {_kind(path)}{_reason(path, error)}") from error
    noted = [_heed(path, str(warning.message)) for warning in caught]
    return opened, tuple(dict.fromkeys(note for note in noted if note))


def _kind(path: Path) -> str:
    return "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix or "a 4D recording"


def _reason(path: Path, error: Exception) -> str:
    event = wrong_mff_event(path)
    if event:
        return f": {event}"
    said = str(error).strip().split("\n")[0].rstrip(".")
    return (
        f" ({said or type(error).__name__}): it is cut off, damaged, or of another kind than its name says. Copy the "
        "file again, or replace it."
    )


def _heed(path: Path, message: str) -> str | None:
    """Turn warnings about invented data into errors, and those about lost data into a note."""
    lowered = message.lower()
    if "not unique" in lowered or "duplicate" in lowered:
        raise DataError(f"{path.name}: {message} Give each channel a name of its own in the file.")
    if "does not match the file size" in lowered:
        raise DataError(
            f"{path.name} is cut off, or its header lies about its length: {promised_edf_length(path)} Copy the file "
            "again, or correct the number of records in its header."
        )
    if "outside data range" in lowered or "outside the data range" in lowered:
        note = f"{path.name}: {message} Was the signal file cut off?"
    elif DAMAGED in message:
        note = f"{path.name}: {message}"
    else:
        _LOG.debug("%s: %s", path.name, message)
        return None
    _LOG.warning("%s", note)
    return note


def _reader(path: Path) -> Callable[[Path], Any]:
    """Return the function that reads this file.

    Raises:
        DataError: A file that belongs to another one, an image, plain numbers, or no recording at all.
    """
    suffix, name = path.suffix.lower(), path.name.lower()
    if suffix in _COMPANIONS:
        raise DataError(f"{path.name} is a part of a recording. Give {_COMPANIONS[suffix]}.")
    if name.endswith(_IMAGES):
        raise DataError(f"{path.name} is an image, no recording of sensors. Use datasets=bids_fmri for functional MRI.")
    if suffix in _ARRAYS:
        raise DataError(f"{path.name} {_PLAIN_ARRAYS}.")
    special = {
        ".cnt": _read_cnt,
        ".data": _read_nicolet,
        ".raw": _read_egi,
        ".xdf": read_xdf,
        ".xdfz": read_xdf,
        ".csv": read_muse_csv,
    }
    if suffix in special:
        return special[suffix]
    if path.is_dir() and not suffix:
        return _read_folder
    if path.is_file() and suffix not in (".gz", *RAW_EXTENSIONS):
        if not _bti_parts(path):
            raise DataError(
                f"{path.name} is no recording of a known format ({', '.join(RAW_EXTENSIONS)}, or a 4D file with its "
                "config and hs_file beside it)."
            )
        return _read_bti
    return _read_any


def _read_eeglab_trials(path: Path) -> Any:
    return mne.io.read_epochs_eeglab(path, verbose="WARNING")


def _read_any(path: Path) -> Any:
    return mne.io.read_raw(path, preload=False, verbose="WARNING")


def _read_epochs(path: Path) -> Any:
    return mne.read_epochs(path, preload=False, verbose="WARNING")


def _read_averages(path: Path) -> Any:
    """Return averages as one trial for each condition."""
    averages = mne.read_evokeds(path, verbose="WARNING")
    data = np.stack([average.data for average in averages])
    names = [str(average.comment) for average in averages]
    codes = {name: number for number, name in enumerate(dict.fromkeys(names), start=1)}
    events = np.array([[sample, 0, codes[name]] for sample, name in enumerate(names)])
    return mne.EpochsArray(data, averages[0].info, events, averages[0].tmin, codes, verbose="ERROR")


def _read_cnt(path: Path) -> Any:
    """Return a Neuroscan or an ANT recording; both call their files .cnt, and MNE's guess can crash the process."""
    with path.open("rb") as file:
        signature = file.read(12)
    if signature.startswith(b"RIFF"):
        return mne.io.read_raw_ant(path, preload=False, verbose="WARNING")
    if not signature.startswith(b"Version"):
        raise DataError(f"{path.name} is neither a Neuroscan nor an ANT recording: it begins with {signature!r}.")
    try:
        return mne.io.read_raw_cnt(path, preload=False, verbose="WARNING")
    except RuntimeError as error:
        raise DataError(
            f"{path.name}: the number of samples in its header does not fit its size. Export it again as EDF or "
            "BrainVision, or copy it again."
        ) from error


def _read_nicolet(path: Path) -> Any:
    return mne.io.read_raw_nicolet(path, ch_type="eeg", preload=False, verbose="WARNING")


def _read_egi(path: Path) -> Any:
    return mne.io.read_raw_egi(path, preload=False, verbose="WARNING")


def _bti_parts(path: Path) -> tuple[Path, Path] | None:
    """Return the config and head shape files of a 4D recording, None where they are not beside it."""
    stem = path.name.lower()
    if "config" in stem or "hs" in stem.replace(path.suffix, ""):
        return None
    beside = [other for other in path.parent.iterdir() if other.is_file() and other != path]
    ending = path.name.partition("pdf")[2]
    config = [other for other in beside if "config" in other.name.lower() and other.name.endswith(ending)]
    shape = [other for other in beside if re.search(r"(^|_)hs", other.name.lower()) and other.name.endswith(ending)]
    return (config[0], shape[0]) if config and shape else None


def _read_folder(path: Path) -> Any:
    """Return the 4D or KIT recording in a folder, as BIDS keeps them.

    Raises:
        DataError: None, or several.
    """
    inside = sorted(file for file in path.iterdir() if file.is_file())
    kit = [file for file in inside if file.suffix in _KIT and not file.stem.endswith("_markers")]
    readable = kit or [file for file in inside if _bti_parts(file) is not None]
    if len(readable) != 1:
        raise DataError(
            f"The folder {path.name} should hold one 4D recording with its config and hs_file, or one KIT recording; "
            f"it holds {[file.name for file in inside]}."
        )
    return _read_any(readable[0]) if kit else _read_bti(readable[0])


def _read_bti(path: Path) -> Any:
    parts = _bti_parts(path)
    if parts is None:
        raise DataError(f"{path.name} lacks the config and hs_file of a 4D recording beside it.")
    return mne.io.read_raw_bti(path, *parts, preload=False, verbose="WARNING")
