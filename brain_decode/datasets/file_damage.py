"""What is wrong with a recording file: cut off, a header that promises more than there is, values of a wrong type."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from brain_decode.core.errors import DataError

__all__ = ["promised_edf_length", "require_whole", "wrong_mff_event"]

_VALUE_BYTES = {"INT_16": 2, "INT_32": 4, "IEEE_FLOAT_32": 4}
_INTEGERS = ("long", "short", "int")


def require_whole(path: Path, raw: Any) -> None:
    """Refuse recordings without samples, and BrainVision signal files that are shorter than their header says.

    Raises:
        DataError: Says what is expected and what is there.
    """
    if raw.n_times == 0:
        raise DataError(f"{path.name} has no samples: the recording lasts 0 seconds. Leave the file out.")
    if path.suffix.lower() == ".vhdr" and raw.filenames:
        _require_whole_brainvision(path, Path(raw.filenames[0]), raw)


def _require_whole_brainvision(header: Path, signal: Path, raw: Any) -> None:
    described = header.read_text(encoding="utf-8", errors="replace")
    size, n_channels = signal.stat().st_size, len(raw.ch_names)
    sample_bytes = _VALUE_BYTES.get(_value(described, "BinaryFormat").upper(), 0) * n_channels
    if sample_bytes and size % sample_bytes:
        raise DataError(
            f"{signal.name} is cut off: {size} bytes are no whole number of samples of {n_channels} channels "
            f"({sample_bytes} bytes each). Copy the file again."
        )
    promised = _value(described, "DataPoints")
    if promised.isdigit() and 0 < raw.n_times < int(promised):
        raise DataError(
            f"{signal.name} is cut off, or its header lies about its length: {header.name} promises {promised} "
            f"samples, the file has {raw.n_times}. Copy the file again, or correct DataPoints in its header."
        )


def _value(header: str, key: str) -> str:
    found = re.search(rf"^{key}\s*=\s*(\w+)", header, flags=re.MULTILINE)
    return found.group(1) if found else ""


def promised_edf_length(path: Path) -> str:
    """Return what the header of an EDF or BDF file promises and what there is, as the end of a sentence.

    Source: Kemp et al. 1992 (EDF header: bytes of the header at 184, records at 236, channels at 252; samples of each
    channel in a record after 216 bytes for each channel).
    """
    with path.open("rb") as file:
        header = file.read(256)
        try:
            header_bytes, n_records, n_channels = int(header[184:192]), int(header[236:244]), int(header[252:256])
            samples = file.read(header_bytes - 256)[216 * n_channels : 224 * n_channels]
            per_record = sum(int(samples[start : start + 8]) for start in range(0, 8 * n_channels, 8))
        except ValueError:
            return "the header is damaged."
    width = 3 if path.suffix.lower() == ".bdf" else 2
    promised, found = header_bytes + n_records * per_record * width, path.stat().st_size
    return f"it promises {promised} bytes in {n_records} records, the file has {found}."


def wrong_mff_event(path: Path) -> str | None:
    """Return a sentence about the first event value of an MFF folder that is no number though it says so, or None."""
    if path.suffix.lower() != ".mff" or not path.is_dir():
        return None
    for source in sorted(path.glob("Events*.xml")):
        try:
            values = ElementTree.parse(source).iterfind(".//{*}key/{*}data")
            wrong = [v for v in values if v.get("dataType") in _INTEGERS and not _is_integer(v.text)]
        except ElementTree.ParseError as error:
            return f"{source.name} in it is no valid XML ({error}). Export the recording again."
        if wrong:
            return (
                f"{len(wrong)} event values in {source.name}, the first '{wrong[0].text}', are no numbers though "
                f"their dataType is '{wrong[0].get('dataType')}'. Correct dataType to TEXT in that file, or export the "
                "recording again."
            )
    return None


def _is_integer(text: str | None) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+\s*", text or "") is not None
