"""Answers for one recording file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.signals.mne_conversion import recording_from_epochs, recording_from_raw
from brain_decode.signals.recording import Entities, Recording
from brain_decode.signals.spec import probability_columns

__all__ = ["embeddings_of", "predictions_table", "read_recording"]


def read_recording(path: Path) -> Recording:
    """Return a recording file of any format MNE reads; `-epo.fif` files become cut trials.

    Raises:
        DataError: No such file, or one that cannot be read.
    """
    import mne

    if not path.exists():
        raise DataError(f"No file '{path}'. Give input= a recording (.vhdr, .edf, .bdf, .set, .fif, -epo.fif).")
    entities = Entities(subject=path.stem)
    try:
        if path.name.endswith(("-epo.fif", "_epo.fif", "-epo.fif.gz")):
            return recording_from_epochs(mne.read_epochs(path, preload=False, verbose="ERROR"), entities=entities)
        return recording_from_raw(mne.io.read_raw(path, preload=False, verbose="ERROR"), entities=entities)
    except Exception as error:  # MNE's readers raise whatever the damaged bytes lead to
        raise DataError(f"'{path.name}' cannot be read as a recording: {error}") from error


def predictions_table(checkpoint: str, path: Path, *, input_unit: str | None = None) -> pd.DataFrame:
    """Return one row per window: when it was, the answer, and the probability of each class.

    Args:
        checkpoint: Folder or Hub id of a decoder.
        path: Recording file.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.

    Raises:
        SpecMismatch: The recording lacks what the decoder needs.
        DataError: The file cannot be read.
    """
    decoder = BrainDecoder.from_pretrained(checkpoint)
    windows = decoder.windows(read_recording(path), input_unit=input_unit)
    answers = decoder.answer_windows(windows)
    kept = [name for name in ("onset_s", "trial_type") if name in windows.table]
    table = windows.table[kept].reset_index(drop=True)
    return pd.concat([table, _answer_columns(decoder, answers)], axis=1)


def embeddings_of(checkpoint: str, path: Path, *, input_unit: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return (n_windows, dim) embeddings and the (n_windows,) onset of each window in seconds."""
    decoder = BrainDecoder.from_pretrained(checkpoint)
    windows = decoder.windows(read_recording(path), input_unit=input_unit)
    return decoder.embed_windows(windows), windows.table["onset_s"].to_numpy(float)


def _answer_columns(decoder: BrainDecoder, answers: np.ndarray) -> pd.DataFrame:
    if decoder.target_spec.task != "classification":
        return pd.DataFrame(answers, columns=[f"value_{index}" for index in range(answers.shape[1])])
    probabilities = pd.DataFrame(answers, columns=probability_columns(decoder.target_spec.classes))
    probabilities.insert(0, "predicted", decoder.classes_[answers.argmax(axis=1)])
    return probabilities
