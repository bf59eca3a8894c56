"""Embeddings of a recording by a pretrained encoder that has no head yet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.decoder.brain_decoder import InputSpec
from brain_decode.decoder.input_windows import windows_of
from brain_decode.encoders.base import Encoder
from brain_decode.nn.weights_folder import PretrainedPart, read_part
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec

__all__ = ["embed_by_pretrained"]

_BATCH = 32  # windows per forward pass


def embed_by_pretrained(
    source: str | Path, recording: Recording, *, window_s: float, input_unit: str | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of windows that follow each other, of whatever brain sensors a recording has.

    Cut trials are embedded as they are cut. Sensors that the recording marks as bad are left out. The steps before the
    encoder are those it was pretrained with.

    Args:
        source: Folder, run folder, or Hub id of a pretrained encoder.
        recording: EEG or MEG.
        window_s: Length of the windows of a continuous recording in seconds.
        input_unit: What the numbers really are in, where the file is labelled wrongly.

    Returns:
        (n_windows, dim) embeddings, and the (n_windows,) onset of each in seconds.

    Raises:
        ConfigError: No such encoder, or one that does not say how recordings are preprocessed.
        DataError: No brain sensors, or not one whole window.
        SpecMismatch: Sensors that the encoder does not know.
    """
    part = read_part(source, kind="encoder")
    preprocessing = _preprocessing_of(part, source)
    expected = _expected(recording, window_s)
    given = recording.with_events(_one_after_the_other(recording, window_s)) if recording.continuous else recording
    windows = windows_of(given, preprocessing, expected, decoder=part.architecture, input_unit=input_unit)
    encoder: Encoder | None = None
    parts = []
    for start in range(0, len(windows), _BATCH):
        rows = preprocessing.apply_windows(windows.rows(np.arange(start, min(start + _BATCH, len(windows)))))
        if encoder is None:
            spec = SignalSpec(rows.space, rows.data.shape[2], rows.rate_hz, start_s=rows.start_s)
            encoder = Encoder.from_part(part, spec)
        with torch.no_grad():
            parts.append(encoder(SignalBatch.from_windows(rows)).pooled.double().numpy())
    return np.concatenate(parts), windows.table["onset_s"].to_numpy(float)


def _preprocessing_of(part: PretrainedPart, source: str | Path) -> Preprocessing:
    saved: Any = part.provenance.get("preprocessing")
    if not saved and part.provenance.get("preprocessing_name"):
        raise ConfigError(
            f"'{part.architecture}' needs preprocessing={part.provenance['preprocessing_name']}, which is fitted on "
            f"training recordings. Train on some: encoder=pretrained encoder.source={source}."
        )
    if not saved:
        raise ConfigError(f"'{source}' does not say how recordings are preprocessed. Convert or pretrain it again.")
    return Preprocessing.from_json(saved)


def _one_after_the_other(recording: Recording, window_s: float) -> pd.DataFrame:
    onsets_s = np.arange(int(recording.duration_s / window_s)) * window_s
    return pd.DataFrame({"onset_s": onsets_s, "duration_s": window_s, "trial_type": ""})


def _expected(recording: Recording, window_s: float) -> InputSpec:
    """Return the input of an encoder that takes the recording as it is."""
    if not isinstance(recording.space, Sensors):
        raise DataError(f"{recording.label} holds voxels; pretrained encoders read EEG and MEG.")
    names = np.array(recording.space.names)
    chosen = [index for index in recording.space.brain_indices() if names[index] not in recording.bads]
    if not chosen:
        raise DataError(f"{recording.label} has no good brain sensors among {sorted(set(recording.space.types))}.")
    if window_s <= 0:
        raise ConfigError(f"window_s is a length in seconds above 0, got {window_s:g}.")
    start_s = 0.0 if recording.continuous else recording.start_s
    stop_s = start_s + (window_s if recording.continuous else recording.duration_s)
    sensors = recording.space.pick(chosen)
    return InputSpec(sensors, recording.rate_hz, start_s, stop_s, classes={}, reference=recording.reference)
