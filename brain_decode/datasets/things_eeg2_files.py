"""The published layouts of THINGS-EEG2: which files there are, and the trials that each holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.core.files import read_json_object
from brain_decode.datasets.base import dataset_folder
from brain_decode.datasets.condition_trials import TrialTimes, trial_times
from brain_decode.datasets.numpy_pickle import read_pickled, read_pickled_mapping
from brain_decode.datasets.things_pictures import Pictures, pictures_of_paths
from brain_decode.signals.montages import THINGS_EEG2_CHANNELS as CHANNELS
from brain_decode.signals.recording import Entities

__all__ = ["CHANNELS", "LAYOUTS", "POSTERIOR_CHANNELS", "CutFile", "find_files", "read_cut_file"]

POSTERIOR_CHANNELS = CHANNELS[-17:]  # names that begin with P or O, which the authors' own preprocessing keeps

# Layout to the files of the training and the test pictures in each participant's (for raw: session's) folder.
LAYOUTS: Mapping[str, tuple[str, str]] = {
    "raw": ("raw_eeg_training.npy", "raw_eeg_test.npy"),
    "preprocessed": ("preprocessed_eeg_training.npy", "preprocessed_eeg_test.npy"),
    "ubp": ("train.pt", "test.pt"),
    "neurobridge": ("train.npy", "test.npy"),
}
_TASKS = ("train", "test")
_AXES = {
    "preprocessed": "(picture, repetition, channel, time)",
    "ubp": "(picture, repetition, channel, time)",
    "neurobridge": "(concept, picture, repetition, channel, time)",
}


@dataclass(frozen=True)
class CutFile:
    """Trials of one partition of one participant.

    Args:
        array: (picture, repetition, channel, time), or with a concept axis before the pictures.
        channel_names: One per channel.
        times: When the samples were taken.
        pictures: What the file itself says it shows; None where it does not say.
    """

    array: np.ndarray
    channel_names: tuple[str, ...]
    times: TrialTimes
    pictures: Pictures | None = None

    @property
    def n_pictures(self) -> int:
        return int(np.prod(self.array.shape[:-3]))

    @property
    def n_repetitions(self) -> int:
        return int(self.array.shape[-3])


def find_files(root: Path, layout: str, name: str) -> tuple[str, Path, dict[Entities, Path]]:
    """Return the layout, the folder of the dataset, and the file of each participant, session and partition.

    Args:
        root: The dataset's folder; participants lie in it or one level below; where it is absent, in its
            parent.
        layout: A key of `LAYOUTS`, or "auto" to recognise it by its files.
        name: Name of the entry.

    Raises:
        ConfigError: An unknown layout, or files of several where one is to be recognised.
        DataError: No file.
    """
    if layout not in ("auto", *LAYOUTS):
        raise unknown_option("layout", layout, ("auto", *LAYOUTS))
    wanted = LAYOUTS if layout == "auto" else {layout: LAYOUTS[layout]}
    folder = root if root.is_dir() else root.parent
    found: dict[tuple[str, Path], dict[Entities, Path]] = {}
    # Beside an absent folder lie other datasets, which are none of its levels.
    for place in (folder, *(sorted(folder.glob("*/")) if root.is_dir() else ())):
        for kind, names in wanted.items():
            files = _files(place, kind, names)
            if files:
                found[kind, place] = files
    if len(found) > 1:
        places = ", ".join(f"{kind} in {place}" for kind, place in found)
        raise ConfigError(
            f"Dataset '{name}': several sets of files are there: {places}. State loader.layout, or set loader.root to "
            "one folder."
        )
    if not found:
        pattern = "sub-*/" if layout == "auto" else f"sub-*/{'ses-*/' if layout == 'raw' else ''}{LAYOUTS[layout][0]}"
        dataset_folder(root, f"{pattern}", name)
        raise DataError(
            f"Dataset '{name}': no files of layout {layout} in {folder}: expected one of "
            f"{sorted(names[0] for names in wanted.values())} in each sub-XX/. Set paths.data, or loader.layout."
        )
    [((kind, _), files)] = found.items()
    return kind, folder, files


def _files(place: Path, layout: str, names: tuple[str, str]) -> dict[Entities, Path]:
    sessions = "ses-*/" if layout == "raw" else ""
    files = {}
    for task, name in zip(_TASKS, names, strict=True):
        for path in sorted(place.glob(f"sub-*/{sessions}{name}")):
            subject = path.relative_to(place).parts[0].removeprefix("sub-")
            session = path.parent.name.removeprefix("ses-") if layout == "raw" else ""
            files[Entities(subject, session, task)] = path
    return files


def read_cut_file(path: Path, layout: str, *, rate_hz: float | None = None, start_s: float = 0.0) -> CutFile:
    """Return the cut trials of a file; its array stays on disk.

    Args:
        path: Of the file.
        layout: Any but "raw".
        rate_hz: Samples per second of files that do not store times.
        start_s: Time of the first sample in such files.

    Raises:
        DataError: A wrong shape, or names, times or pictures that disagree with it.
        ConfigError: A file without times where no rate is given.
    """
    array, described = _READERS[layout](path)
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim != _AXES[layout].count(",") + 1:
        shape = f"shape {array.shape} and type {array.dtype}" if isinstance(array, np.ndarray) else "no array"
        raise DataError(
            f"{path} should hold numbers with the axes {_AXES[layout]}; it has {shape}. Take the file from its source, "
            "or state its loader.layout."
        )
    cut = CutFile(array, _names(described, array.shape[-2], path), _times(described, array, path, rate_hz, start_s))
    if described.get("img") is None:
        return cut
    pictures = _shown(described["img"], path)
    if len(pictures) != cut.n_pictures:
        raise DataError(f"{path}: `eeg` has {cut.n_pictures} pictures, `img` names {len(pictures)}. Replace the file.")
    return replace(cut, pictures=pictures)


def _read_preprocessed(path: Path) -> tuple[Any, dict[str, Any]]:
    content = read_pickled_mapping(path, ("preprocessed_eeg_data", "ch_names", "times"))
    return content["preprocessed_eeg_data"], content


def _read_ubp(path: Path) -> tuple[Any, dict[str, Any]]:
    content = read_pickled_mapping(path, ("eeg", "img"))
    return content["eeg"], content


def _read_neurobridge(path: Path) -> tuple[Any, dict[str, Any]]:
    info = next((place / "info.json" for place in path.parents[:3] if (place / "info.json").is_file()), None)
    described = {} if info is None else read_json_object(info, remedy="Take the file from its source, or remove it.")
    return read_pickled(path), described


_READERS = {"preprocessed": _read_preprocessed, "ubp": _read_ubp, "neurobridge": _read_neurobridge}


def _names(described: Mapping[str, Any], n_channels: int, path: Path) -> tuple[str, ...]:
    stored = described.get("ch_names")
    if stored is None:
        known = {len(CHANNELS): CHANNELS, len(POSTERIOR_CHANNELS): POSTERIOR_CHANNELS}
        if n_channels not in known:
            raise DataError(
                f"{path} does not name its {n_channels} channels; only {len(CHANNELS)}, or {len(POSTERIOR_CHANNELS)} "
                "posterior ones, are known without names. Add `ch_names`."
            )
        return known[n_channels]
    names = tuple(str(name) for name in stored)
    if len(names) != n_channels:
        raise DataError(
            f"{path}: the data have {n_channels} channels, `ch_names` names {len(names)}. Replace the file."
        )
    # Mixed up channels look like brains all the same, so the known ones are only taken in the one known order.
    if set(names) == set(CHANNELS) and names != CHANNELS:
        row = next(row for row in range(n_channels) if names[row] != CHANNELS[row])
        raise DataError(
            f"{path}: `ch_names` are the {len(CHANNELS)} known channels in another order: channel {row + 1} is "
            f"'{names[row]}', not '{CHANNELS[row]}'. Decoders trained on other copies would take one channel for "
            "another. Take the file from its source, or prepare it again with the order kept."
        )
    return names


def _times(
    described: Mapping[str, Any], array: np.ndarray, path: Path, rate_hz: float | None, start_s: float
) -> TrialTimes:
    if described.get("times") is not None:
        return trial_times(described["times"], array.shape[-1], path)
    if rate_hz is None:
        raise ConfigError(f"{path} does not say when its samples were taken. State loader.rate_hz and loader.start_s.")
    return TrialTimes(start_s, rate_hz, (f"its rate of {rate_hz:g} Hz is the entry's, not stored in the file",))


def _shown(stored: Any, path: Path) -> Pictures:
    """Return the pictures of `img`: one path per picture, or one per picture and repetition."""
    paths = np.asarray(stored, dtype=object)
    if paths.ndim > 1:
        paths = paths.reshape(len(paths), -1)
        differing = np.flatnonzero((paths != paths[:, :1]).any(axis=1))
        if len(differing):
            raise DataError(
                f"{path}: the repetitions of picture {differing[0] + 1} show {sorted(set(paths[differing[0]]))}. "
                "Responses to several pictures are mixed; take the file from its source."
            )
        paths = paths[:, 0]
    return pictures_of_paths(paths.tolist(), path)
