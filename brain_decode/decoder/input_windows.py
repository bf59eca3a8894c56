"""From whatever a user holds (MNE Raw or Epochs, a Recording) to windows the decoder can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.decoder.input_volumes import pick_voxels, recording_of_image, require_same_interval
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import Space
from brain_decode.signals.voxels import Voxels
from brain_decode.signals.windows import Windows

if TYPE_CHECKING:
    from brain_decode.decoder.brain_decoder import InputSpec

__all__ = ["windows_of"]


def windows_of(recording: Any, preprocessing: Preprocessing, expected: InputSpec) -> Windows:
    """Return the windows of a recording after the stateless steps.

    Continuous recordings are cut around the events that name a class (all events where none does), or into windows
    that follow each other where there are no events. Cut trials are taken as they are.

    Args:
        recording: `mne.io.Raw`, `mne.Epochs`, an open 4D nibabel image or `Recording`; not changed.
        preprocessing: The decoder's steps; only the stateless ones run here.
        expected: Channels, rate and window the decoder was trained with.

    Raises:
        SpecMismatch: Channels or voxels are missing, the rate differs, or trials were cut before a filter that the
            decoder needs.
        DataError: Not a recording, or one without a single whole window.
    """
    opened = _as_recording(recording, expected)
    picked, sensors = _pick(opened, expected.sensors)
    if isinstance(sensors, Voxels):
        require_same_interval(opened, expected.rate_hz, [step.name for step in preprocessing.signal_steps])
    if opened.continuous:
        signal = Continuous.of_recording(opened, opened.read()[picked], sensors)
        return _cut(preprocessing.apply_signal(signal), opened, expected)
    _require_filtered(opened, preprocessing)
    trials = opened.read_trials(np.arange(len(opened.events)))[:, picked]
    whole = Windows(trials.astype(np.float32), opened.rate_hz, opened.start_s, sensors, _tabled(opened.events, opened))
    return _cropped(whole, expected)


def _as_recording(given: Any, expected: InputSpec) -> Recording:
    if isinstance(given, Recording):
        return given
    import mne

    from brain_decode.signals.mne_conversion import recording_from_epochs, recording_from_raw
    from brain_decode.signals.nibabel_conversion import is_image

    if isinstance(given, mne.io.BaseRaw):
        return recording_from_raw(given, entities=Entities("unknown"))
    if isinstance(given, mne.BaseEpochs):
        return recording_from_epochs(given, entities=Entities("unknown"))
    if is_image(given):
        return recording_of_image(given, expected.sensors)
    raise DataError(
        f"A decoder reads mne.io.Raw, mne.Epochs, a nibabel image or Recording; got {type(given).__name__}."
    )


def _pick(recording: Recording, wanted: Space) -> tuple[np.ndarray, Space]:
    return pick_voxels(recording, wanted) if isinstance(wanted, Voxels) else _pick_by_name(recording, wanted)


def _pick_by_name(recording: Recording, wanted: Sensors) -> tuple[np.ndarray, Sensors]:
    if not isinstance(recording.space, Sensors):
        raise SpecMismatch(f"{recording.label} holds voxels; this decoder reads sensors {list(wanted.names)}.")
    missing = [name for name in wanted.names if name not in recording.space.names]
    if missing:
        raise SpecMismatch(
            f"The decoder needs the channels {list(wanted.names)}; '{recording.label}' lacks {missing} and has "
            f"{list(recording.space.names)}. Rename the channels, or train on the ones both have."
        )
    picked = recording.space.indices(wanted.names)
    return picked, recording.space.pick(picked)


def _require_filtered(recording: Recording, preprocessing: Preprocessing) -> None:
    """Cut trials cannot be filtered; accept them only when their header shows that it was done before."""
    header = recording.header
    for step in preprocessing.signal_steps:
        settings = step.settings()
        low, high = settings.get("low_hz"), settings.get("high_hz")
        is_done = (
            step.name == "bandpass"
            and header is not None
            and (low is None or header["highpass"] >= 0.5 * low)
            and (high is None or header["lowpass"] <= 1.5 * high)
        )
        if step.name == "pick" or is_done:
            continue
        remedy = f"raw.filter({low}, {high}) before cutting" if step.name == "bandpass" else "the continuous recording"
        raise SpecMismatch(
            f"The decoder applies '{step.name}' {settings} to the continuous recording, which cannot be done on cut "
            f"trials. Pass the mne.io.Raw, or use {remedy}."
        )


def _cut(signal: Continuous, recording: Recording, expected: InputSpec) -> Windows:
    rate = signal.rate_hz
    length = round((expected.stop_s - expected.start_s) * rate)
    events = _decodable(recording.events, expected)
    if len(recording.events) == 0:
        starts = np.arange(0, signal.data.shape[1] - length + 1, length)
        events = pd.DataFrame({"onset_s": starts / rate - expected.start_s, "duration_s": 0.0, "trial_type": ""})
    starts = np.round((events["onset_s"].to_numpy(float) + expected.start_s) * rate).astype(int)
    inside = (starts >= 0) & (starts + length <= signal.data.shape[1])
    if not inside.any():
        raise DataError(
            f"'{recording.label}' has no whole window of {length / rate:.3g} s: {len(events)} events, "
            f"{signal.data.shape[1] / rate:.3g} s of signal."
        )
    view = np.lib.stride_tricks.sliding_window_view(signal.data, length, axis=1)
    data = view[:, starts[inside]].transpose(1, 0, 2).astype(np.float32)
    return Windows(data, rate, expected.start_s, signal.sensors, _tabled(events[inside], recording))


def _decodable(events: pd.DataFrame, expected: InputSpec) -> pd.DataFrame:
    values = {str(value) for group in expected.classes.values() for value in group}
    if not values or expected.target_column not in events:
        return events
    matching = events[events[expected.target_column].astype(str).isin(values)]
    return matching if len(matching) else events


def _tabled(events: pd.DataFrame, recording: Recording) -> pd.DataFrame:
    table = events.reset_index(drop=True).copy()
    entities = recording.entities
    return table.assign(subject=entities.subject, session=entities.session, task=entities.task, run=entities.run)


def _cropped(windows: Windows, expected: InputSpec) -> Windows:
    if abs(windows.rate_hz - expected.rate_hz) > 1e-6:
        raise SpecMismatch(
            f"The decoder was trained at {expected.rate_hz:g} Hz; the trials have {windows.rate_hz:g} Hz. "
            "Resample them before."
        )
    first = round((expected.start_s - windows.start_s) * windows.rate_hz)
    length = round((expected.stop_s - expected.start_s) * windows.rate_hz)
    if first < 0 or first + length > windows.data.shape[2]:
        raise SpecMismatch(
            f"The decoder needs {expected.start_s:g} to {expected.stop_s:g} s around each event; the trials hold "
            f"{windows.start_s:g} to {windows.start_s + windows.data.shape[2] / windows.rate_hz:g} s."
        )
    return Windows(
        windows.data[:, :, first : first + length], windows.rate_hz, expected.start_s, windows.space, windows.table
    )
