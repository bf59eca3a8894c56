"""A recording file held against a saved decoder, without decoding it."""

from __future__ import annotations

from pathlib import Path

from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.passport import Passport
from brain_decode.inference.recordings import read_for

__all__ = ["passport_of_file"]


def passport_of_file(
    checkpoint: str, path: Path, events: Path | None = None, *, input_unit: str | None = None
) -> Passport:
    """Return what the decoder would do with the recording, and whether it takes it.

    Args:
        checkpoint: Folder or Hub id of a decoder.
        path: Recording file, or the 4D image of a functional run.
        events: Table of events that replaces the recording's own.
        input_unit: What the numbers of the file really are in, where it is labelled wrongly.

    Raises:
        DataError: The file cannot be read.
        ConfigError: No such decoder, or an unknown unit.
    """
    decoder = BrainDecoder.from_pretrained(checkpoint)
    return decoder.passport(read_for(decoder, path, events), input_unit=input_unit)
