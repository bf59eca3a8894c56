"""Recordings to and from MNE, without loss and without touching the input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import mne
import numpy as np
import pandas as pd
from mne.io.constants import FIFF

from brain_decode.core.errors import DataError
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sensors import BRAIN_SENSOR_TYPES, SENSOR_TYPES, Sensors

__all__ = [
    "EpochsSource",
    "RawSource",
    "annotation_events",
    "info_from_sensors",
    "recording_from_epochs",
    "recording_from_raw",
    "recording_to_epochs",
    "recording_to_raw",
    "sensors_from_info",
    "sensors_in_head_frame",
]

_FRAMES = {
    "unknown": int(FIFF.FIFFV_COORD_UNKNOWN),
    "meg": int(FIFF.FIFFV_COORD_DEVICE),
    "head": int(FIFF.FIFFV_COORD_HEAD),
    "mri": int(FIFF.FIFFV_COORD_MRI),
    "mri_voxel": int(FIFF.FIFFV_MNE_COORD_MRI_VOXEL),
    "ras": int(FIFF.FIFFV_MNE_COORD_RAS),
    "mni_tal": int(FIFF.FIFFV_MNE_COORD_MNI_TAL),
    "ctf_meg": int(FIFF.FIFFV_MNE_COORD_CTF_DEVICE),
    "ctf_head": int(FIFF.FIFFV_MNE_COORD_CTF_HEAD),
}
_FRAME_NAMES = {number: name for name, number in _FRAMES.items()}
_EVENT_COLUMNS = ("onset_s", "duration_s", "trial_type", "value", "sample", "previous_value")


@dataclass(frozen=True)
class RawSource:
    """A continuous MNE recording, read where it lies."""

    raw: Any

    @property
    def n_times(self) -> int:
        return int(self.raw.n_times)

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.raw[:, start:stop][0]


@dataclass(frozen=True)
class EpochsSource:
    """MNE epochs, read where they lie."""

    epochs: Any

    @property
    def n_trials(self) -> int:
        return len(self.epochs)

    @property
    def n_times(self) -> int:
        return len(self.epochs.times)

    def read_trials(self, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        return self.epochs[np.asarray(indices, dtype=int)].get_data(copy=True, verbose="ERROR")


def sensors_from_info(info: Any) -> Sensors:
    """Return the channels of an MNE `Info`; locations are bit-identical when all brain sensors share one frame.

    MEG coils are stored in the device frame and electrodes in the head frame; where both occur, the coils are moved to
    the head frame by `dev_head_t`. Channel types MNE knows and this package does not decode become "misc".

    Raises:
        DataError: Sensors in two frames without the transform between them.
    """
    kinds = info.get_channel_types()
    types = tuple(kind if kind in SENSOR_TYPES else "misc" for kind in kinds)
    locations = np.array([channel["loc"] for channel in info["chs"]], dtype=float).reshape(len(types), 12).copy()
    frames = np.array([int(channel["coord_frame"]) for channel in info["chs"]], dtype=int)
    brain = np.array([kind in BRAIN_SENSOR_TYPES for kind in types], dtype=bool)
    present = sorted(set(frames[brain].tolist())) or [_FRAMES["head"]]
    if len(present) > 1:
        locations = _to_head(locations, frames, info["dev_head_t"], present)
        present = [_FRAMES["head"]]
    return Sensors(
        tuple(info["ch_names"]),
        types,
        locations,
        tuple(int(channel["coil_type"]) for channel in info["chs"]),
        _FRAME_NAMES.get(present[0], "unknown"),
    )


def sensors_in_head_frame(sensors: Sensors, info: Any) -> Sensors:
    """Return sensors with their positions in the head frame; those that are there already are returned as they are.

    Args:
        sensors: In the head or the device frame.
        info: MNE `Info` with `dev_head_t`.

    Raises:
        DataError: Another frame, or no transform.
    """
    if sensors.coordinate_frame == "head":
        return sensors
    frame = _FRAMES.get(sensors.coordinate_frame, _FRAMES["unknown"])
    transform = None if info is None else info["dev_head_t"]
    frames = np.full(len(sensors), frame)
    moved = _to_head(sensors.locations, frames, transform, sorted({frame, _FRAMES["head"]}))
    return replace(sensors, locations=moved, coordinate_frame="head")


def _to_head(locations: np.ndarray, frames: np.ndarray, transform: Any, present: list[int]) -> np.ndarray:
    """Return the locations with device-frame coils moved to the head frame."""
    allowed = {_FRAMES["meg"], _FRAMES["head"]}
    if set(present) != allowed or transform is None:
        names = [_FRAME_NAMES.get(frame, str(frame)) for frame in present]
        raise DataError(
            f"The sensors lie in the coordinate frames {names} and the file has no transform from device to head. "
            "Add `dev_head_t` to the recording, or pick one kind of sensor."
        )
    matrix, device = transform["trans"], frames == _FRAMES["meg"]
    moved = locations.copy()
    moved[device, :3] = locations[device, :3] @ matrix[:3, :3].T + matrix[:3, 3]
    for axis in (3, 6, 9):
        moved[device, axis : axis + 3] = locations[device, axis : axis + 3] @ matrix[:3, :3].T
    return moved


def info_from_sensors(sensors: Sensors, rate_hz: float) -> mne.Info:
    """Return an MNE `Info` with these channels; `sensors_from_info` gives the same sensors back."""
    kinds = ["misc" if kind == "feature" else kind for kind in sensors.types]
    info = mne.create_info(list(sensors.names), rate_hz, kinds, verbose="ERROR")
    for channel, location, coil in zip(info["chs"], sensors.locations, sensors.coil_types, strict=True):
        channel["loc"] = location.copy()
        channel["coil_type"] = coil
        channel["coord_frame"] = _FRAMES.get(sensors.coordinate_frame, _FRAMES["unknown"])
    return info


def annotation_events(raw: Any) -> pd.DataFrame:
    """Return the annotations of a raw recording as events, in seconds from its first sample."""
    annotations = raw.annotations
    return pd.DataFrame(
        {
            "onset_s": np.asarray(annotations.onset, dtype=float) - raw.first_time,
            "duration_s": np.asarray(annotations.duration, dtype=float),
            "trial_type": [str(text) for text in annotations.description],
        }
    )


def recording_from_raw(raw: Any, entities: Entities, *, events: pd.DataFrame | None = None) -> Recording:
    """Return a recording that reads from `raw` lazily; `raw` is not changed.

    Args:
        raw: `mne.io.Raw` of any format.
        entities: Which run of which participant this is.
        events: Event table with `onset_s` from the first sample; default: the annotations.
    """
    line_frequency = raw.info["line_freq"]
    files = tuple(name for name in (raw.filenames or ()) if name is not None)
    return Recording(
        entities=entities,
        space=sensors_from_info(raw.info),
        rate_hz=float(raw.info["sfreq"]),
        events=annotation_events(raw) if events is None else events,
        source=RawSource(raw),
        line_frequency_hz=None if line_frequency is None else float(line_frequency),
        files=files,
        header=raw.info.copy(),
        annotations=raw.annotations.copy(),
        first_sample=int(raw.first_samp),
    )


def recording_to_raw(recording: Recording) -> Any:
    """Return the recording as `mne.io.Raw`, with the header, annotations and first sample it came with.

    Events of a recording that came without annotations become annotations.

    Raises:
        DataError: Cut trials; use `recording_to_epochs`.
    """
    if not recording.continuous:
        raise DataError(f"{recording.label} holds cut trials, which are no raw recording. Use recording_to_epochs.")
    if isinstance(recording.source, RawSource) and _is_whole(recording):
        return recording.source.raw.copy()
    raw = mne.io.RawArray(recording.read(), _header(recording), first_samp=recording.first_sample, verbose="ERROR")
    annotations = _first_sample_annotations(recording, raw.first_time)
    raw.set_annotations(annotations, verbose="ERROR")
    return raw


def _first_sample_annotations(recording: Recording, first_time_s: float) -> mne.Annotations:
    """Return annotations as `set_annotations` expects them: from the first sample where there is no clock time."""
    if recording.annotations is not None:
        annotations = recording.annotations.copy()
        if annotations.orig_time is None:
            annotations.onset -= first_time_s
        return annotations
    events = recording.events
    durations = events["duration_s"].astype(float).fillna(0.0)
    return mne.Annotations(events["onset_s"].astype(float), durations, events["trial_type"].astype(str))


def recording_from_epochs(epochs: Any, entities: Entities | None = None) -> Recording:
    """Return cut trials that are read from MNE epochs lazily; `epochs` is not changed.

    The event table has the name of each event in `trial_type`, its code in `value`, its time in the recording in
    `onset_s` (NaN where the sample numbers do not say), and the metadata columns. A
    metadata column with a name the event table uses itself gets the prefix `metadata_`.
    """
    files = () if getattr(epochs, "filename", None) is None else (epochs.filename,)
    return Recording(
        entities=entities or Entities(subject="01"),
        space=sensors_from_info(epochs.info),
        rate_hz=float(epochs.info["sfreq"]),
        events=_epoch_events(epochs),
        source=EpochsSource(epochs),
        continuous=False,
        start_s=float(epochs.tmin),
        line_frequency_hz=None if epochs.info["line_freq"] is None else float(epochs.info["line_freq"]),
        files=files,
        header=epochs.info.copy(),
    )


def _epoch_events(epochs: Any) -> pd.DataFrame:
    names = {code: name for name, code in reversed(epochs.event_id.items())}
    table = pd.DataFrame(
        {
            "onset_s": _epoch_onsets_s(epochs),
            "duration_s": 0.0,
            "trial_type": [names.get(code, str(code)) for code in epochs.events[:, 2]],
            "value": epochs.events[:, 2],
            "sample": epochs.events[:, 0],
            "previous_value": epochs.events[:, 1],
        }
    )
    if epochs.metadata is None:
        return table
    extra = epochs.metadata.reset_index(drop=True)
    renamed = {name: f"metadata_{name}" for name in extra.columns if name in _EVENT_COLUMNS}
    return pd.concat([table, extra.rename(columns=renamed)], axis=1)


def _epoch_onsets_s(epochs: Any) -> np.ndarray:
    """Return when each trial's event was, NaN where the sample numbers do not say.

    MNE numbers trials of arrays 0, 1, 2, ... and EEGLAB lays trials end to end; several recordings joined in one file
    may begin again. Trials of a lower rate keep the sample numbers of the signal they were cut from.
    """
    samples, order = epochs.events[:, 0].astype(float), np.asarray(epochs.selection, dtype=float)
    steps, counted = np.diff(samples), np.diff(order)
    if (steps <= 0).any() or any(np.array_equal(steps, size * counted) for size in (1, len(epochs.times))):
        return np.full(len(samples), np.nan)
    rate_hz = getattr(epochs, "_raw_sfreq", None)  # MNE has no public name for it
    return samples / float(np.ravel(epochs.info["sfreq"] if rate_hz is None else rate_hz)[0])


def recording_to_epochs(recording: Recording) -> Any:
    """Return cut trials as `mne.Epochs`, with header, event codes and metadata.

    Raises:
        DataError: A continuous recording; use `recording_to_raw`.
    """
    if recording.continuous:
        raise DataError(f"{recording.label} is continuous, which is no set of epochs. Use recording_to_raw.")
    if isinstance(recording.source, EpochsSource) and _is_whole(recording):
        return recording.source.epochs.copy()
    data = recording.read_trials(np.arange(recording.source.n_trials))
    events, event_id = _mne_events(recording)
    extra = recording.events.drop(columns=[name for name in _EVENT_COLUMNS if name in recording.events])
    return mne.EpochsArray(
        data,
        _header(recording),
        events=events,
        tmin=recording.start_s,
        event_id=event_id,
        metadata=extra.reset_index(drop=True) if len(extra.columns) else None,
        verbose="ERROR",
    )


def _mne_events(recording: Recording) -> tuple[np.ndarray, dict[str, int]]:
    """Return MNE's event array and names; events without a code or a sample number get one."""
    table = recording.events
    names = table["trial_type"].astype(str)
    codes = table["value"] if "value" in table else pd.Series(pd.factorize(names)[0] + 1)
    codes = pd.to_numeric(codes, errors="coerce")
    if codes.isna().any():
        codes = pd.Series(pd.factorize(names)[0] + 1)
    samples = table["sample"] if "sample" in table else pd.Series(np.arange(len(table)))
    previous = table["previous_value"] if "previous_value" in table else pd.Series(np.zeros(len(table)))
    events = np.column_stack([samples.to_numpy(int), previous.to_numpy(int), codes.to_numpy(int)])
    return events, {name: int(code) for name, code in zip(names, codes, strict=True)}


def _is_whole(recording: Recording) -> bool:
    """Return True when the space axis still is the one of the header."""
    return recording.header is not None and tuple(recording.header["ch_names"]) == recording.space.names


def _header(recording: Recording) -> mne.Info:
    """Return the header the recording came with, or one made from its sensors."""
    if not isinstance(recording.space, Sensors):
        raise DataError(f"{recording.label} holds voxels; MNE describes sensors. Use nibabel for volumes.")
    same_rate = recording.header is not None and recording.header["sfreq"] == recording.rate_hz
    if recording.header is not None and same_rate and set(recording.space.names) <= set(recording.header["ch_names"]):
        index_of = {name: index for index, name in enumerate(recording.header["ch_names"])}
        order = [index_of[name] for name in recording.space.names]
        return mne.pick_info(recording.header, order, copy=True)
    info = info_from_sensors(recording.space, recording.rate_hz)
    if recording.line_frequency_hz is not None:
        info["line_freq"] = recording.line_frequency_hz
    return info
