"""Answers for one recording file."""

from __future__ import annotations

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.bids import read_events
from brain_decode.datasets.files import FilesDataset
from brain_decode.datasets.formats import open_recording
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.pretrained_embedding import embed_by_pretrained
from brain_decode.inference.volumes import is_image_file, read_image
from brain_decode.nn.weights_folder import holds_part
from brain_decode.signals.nibabel_conversion import open_run_image
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.spec import probability_columns

__all__ = ["embeddings_of", "predictions_table", "read_for", "read_recording"]


def read_recording(path: Path) -> Recording:
    """Return a recording file of any format MNE reads; `-epo.fif` files become cut trials.

    Raises:
        DataError: No such file, or one that cannot be read.
    """
    if not path.exists():
        raise DataError(f"No file '{path}'. Give input= a recording (.vhdr, .edf, .bdf, .set, .fif, -epo.fif).")
    if is_image_file(path):
        open_run_image(path)
        raise DataError(
            f"'{path.name}' is an image; which of its voxels are read is known with a decoder of voxels only."
        )
    return open_recording(path, Entities(subject=path.stem))


def read_for(decoder: BrainDecoder, path: Path, events: Path | None = None) -> Recording:
    """Return a recording file, or the decoder's voxels of an image file.

    Args:
        decoder: Its voxels are those an image is read at.
        path: Any format MNE reads, or a 4D NIfTI image.
        events: Table of events (`onset`, `duration`, `trial_type`) that replaces the recording's own.
    """
    wanted = decoder.input_spec.sensors
    recording = read_image(path, wanted) if is_image_file(path) else read_recording(path)
    return recording if events is None else recording.with_events(read_events(events))


def predictions_table(
    checkpoint: str, path: Path, events: Path | None = None, *, input_unit: str | None = None
) -> pd.DataFrame:
    """Return one row per window: when it was, the answer, and the probability of each class.

    Args:
        checkpoint: Folder or Hub id of a decoder.
        path: Recording file.
        events: Table of events that replaces the recording's own.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.

    Raises:
        SpecMismatch: The recording lacks what the decoder needs.
        DataError: The file cannot be read.
    """
    decoder = BrainDecoder.from_pretrained(checkpoint)
    windows = decoder.windows(read_for(decoder, path, events), input_unit=input_unit)
    answers = decoder.answer_windows(windows)
    kept = [name for name in ("onset_s", "trial_type") if name in windows.table]
    table = windows.table[kept].reset_index(drop=True)
    return pd.concat([table, _answer_columns(decoder, answers)], axis=1)


def embeddings_of(
    checkpoint: str,
    path: Path,
    events: Path | None = None,
    *,
    input_unit: str | None = None,
    window_s: float = 10.0,
    channels: Mapping[str, Any] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_windows, dim) embeddings and the (n_windows,) onset of each window in seconds.

    Args:
        checkpoint: Folder or Hub id of a decoder, or of a pretrained encoder, which takes any sensors.
        path: Recording file.
        events: Table of events that replaces the recording's own; decoders cut around them.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.
        window_s: Length of the windows that a pretrained encoder embeds, one after the other.
        channels: What a pretrained encoder is told of the file's channels: `montage`, `channel_names`, `channel_types`
            of `FilesDataset`.

    Raises:
        ConfigError: Nothing at `checkpoint`, or events for a pretrained encoder.
        SpecMismatch: The recording lacks what the decoder needs.
        DataError: The file cannot be read.
    """
    if holds_part(checkpoint):
        if events is not None:
            raise ConfigError("A pretrained encoder embeds windows that follow each other; leave out events=.")
        recording = _read_told(path, channels or {})
        return embed_by_pretrained(checkpoint, recording, window_s=window_s, input_unit=input_unit)
    decoder = BrainDecoder.from_pretrained(checkpoint)
    windows = decoder.windows(read_for(decoder, path, events), input_unit=input_unit)
    return decoder.embed_windows(windows), windows.table["onset_s"].to_numpy(float)


def _read_told(path: Path, channels: Mapping[str, Any]) -> Recording:
    """Return a recording file whose channels are named, typed and placed as the person says."""
    told = {name: value for name, value in channels.items() if value is not None}
    if not told or not path.exists():
        return read_recording(path)
    return FilesDataset(path.parent, name=path.name, files=glob.escape(path.name), **told).recordings()[0]


def _answer_columns(decoder: BrainDecoder, answers: np.ndarray) -> pd.DataFrame:
    if decoder.target_spec.task != "classification":
        return pd.DataFrame(answers, columns=[f"value_{index}" for index in range(answers.shape[1])])
    probabilities = pd.DataFrame(answers, columns=probability_columns(decoder.target_spec.classes))
    probabilities.insert(0, "predicted", decoder.classes_[answers.argmax(axis=1)])
    return probabilities
