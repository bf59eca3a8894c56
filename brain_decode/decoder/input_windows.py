"""From whatever a user holds (MNE Raw or Epochs, a Recording) to windows the decoder can read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.decoder.adaptation import adapted_recording
from brain_decode.decoder.input_volumes import recording_of_image
from brain_decode.decoder.passport_checks import passport_of
from brain_decode.preprocessing.base import Continuous, Preprocessing
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.sampling import n_samples, nearest_samples
from brain_decode.signals.space import Space
from brain_decode.signals.windows import Windows

if TYPE_CHECKING:
    from brain_decode.decoder.brain_decoder import InputSpec

__all__ = ["as_recording", "windows_of"]


def windows_of(
    recording: Any,
    preprocessing: Preprocessing,
    expected: InputSpec,
    *,
    decoder: str = "the decoder",
    input_unit: str | None = None,
) -> Windows:
    """Return the windows of a recording after the stateless steps, treated exactly as its passport says.

    Continuous recordings are cut around the events that name a class (all events where none does), or into windows
    that follow each other where there are no events. Cut trials are taken as they are.

    Args:
        recording: `mne.io.Raw`, `mne.Epochs`, an open 4D nibabel image or `Recording`; not changed.
        preprocessing: The decoder's steps; only the stateless ones run here.
        expected: Channels, rate and window the decoder was trained with.
        decoder: Name of the decoder for messages.
        input_unit: What the numbers really are in, where the file is labelled wrongly.

    Raises:
        SpecMismatch: Everything the passport refuses.
        DataError: A recording without a single whole window.
    """
    opened = as_recording(recording, expected.sensors)
    passport = passport_of(opened, preprocessing, expected, decoder=decoder, input_unit=input_unit)
    adapted = adapted_recording(opened, expected.sensors, passport)
    if adapted.continuous:
        signal = Continuous.of_recording(adapted, adapted.read(), adapted.space)
        return _cut(preprocessing.apply_signal(signal), adapted, expected)
    trials = adapted.read_trials(np.arange(len(adapted.events))).astype(np.float32)
    whole = Windows(trials, adapted.rate_hz, adapted.start_s, adapted.space, _tabled(adapted.events, adapted))
    return _cropped(whole, expected)


def as_recording(given: Any, wanted: Space) -> Recording:
    """Return what a user holds as a `Recording`, read where it lies.

    Args:
        given: `mne.io.Raw`, `mne.Epochs`, an open 4D nibabel image or `Recording`.
        wanted: The decoder's sensors or voxels; an image is read at its voxels.

    Raises:
        DataError: Something else.
        SpecMismatch: An image for a decoder of sensors.
    """
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
        return recording_of_image(given, wanted)
    raise DataError(
        f"A decoder reads mne.io.Raw, mne.Epochs, a nibabel image or Recording; got {type(given).__name__}."
    )


def _cut(signal: Continuous, recording: Recording, expected: InputSpec) -> Windows:
    rate = signal.rate_hz
    length = n_samples(expected.stop_s - expected.start_s, rate)
    events = _decodable(recording.events, expected)
    if len(recording.events) == 0:
        starts = np.arange(0, signal.data.shape[1] - length + 1, length)
        events = pd.DataFrame({"onset_s": starts / rate - expected.start_s, "duration_s": 0.0, "trial_type": ""})
    starts = nearest_samples(events["onset_s"].to_numpy(float) + expected.start_s, rate)
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
    first = n_samples(expected.start_s - windows.start_s, windows.rate_hz)
    length = n_samples(expected.stop_s - expected.start_s, windows.rate_hz)
    return Windows(
        windows.data[:, :, first : first + length], windows.rate_hz, expected.start_s, windows.space, windows.table
    )
