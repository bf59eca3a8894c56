"""A recording file held against a saved decoder, without decoding it."""

from __future__ import annotations

from pathlib import Path

from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.passport import Passport
from brain_decode.inference.recordings import read_recording

__all__ = ["passport_of_file"]


def passport_of_file(checkpoint: str, path: Path, *, input_unit: str | None = None) -> Passport:
    """Return what the decoder would do with the recording, and whether it takes it.

    Args:
        checkpoint: Folder or Hub id of a decoder.
        path: Recording file.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.

    Raises:
        DataError: The file cannot be read.
        ConfigError: No such decoder, or an unknown unit.
    """
    return BrainDecoder.from_pretrained(checkpoint).passport(read_recording(path), input_unit=input_unit)
