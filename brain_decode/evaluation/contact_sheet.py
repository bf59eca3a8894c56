"""Pictures as files: one by one, and side by side on a contact sheet that says which is which."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from brain_decode.core.errors import DataError
from brain_decode.core.files import write_atomically
from brain_decode.evaluation.picture_metrics import require_pictures

__all__ = ["ReconstructionEvidence", "shown_positions", "write_contact_sheet", "write_pictures"]

MOST_SHOWN = 24
SEEN, CEILING, RECONSTRUCTED = "seen", "ceiling: from\nthe true features", "reconstructed"
STAND_IN = "stand-in: picture\nof the nearest\nfeatures"
SHUFFLED = "control: from\nshuffled brain\nresponses"
_SIDE, _GAP, _MARGIN = 96, 4, 118  # pixels: a picture, between pictures, room for the names of rows
_PER_BAND = 8  # pictures side by side
_NAME_HEIGHT, _FONT_SIZE = 18, 12
_INK, _SOFT, _PAPER = (31, 41, 55), (75, 85, 99), (255, 255, 255)


@dataclass(frozen=True)
class ReconstructionEvidence:
    """What a report shows of reconstructions; `report_data.json` holds it under "reconstruction".

    Args:
        sheet: Path of the contact sheet in the run folder.
        rows: Names of its rows, from top to bottom, as `write_contact_sheet` returns them.
        shown: Stimulus ids of the pictures on it, in order.
        n_pictures: Reconstructions there are; the sheet shows some.
        metrics: Keys in metrics.json of the scores that belong to the pictures.
        generator: What drew the pictures, in words.
        stand_in: Whether pictures of the dataset stand in for reconstructions.
        note: A sentence that a reader of the pictures needs; stand-ins must say what they are.

    Raises:
        DataError: Stand-ins without a note.
    """

    sheet: str
    rows: tuple[str, ...]
    shown: tuple[str, ...]
    n_pictures: int
    metrics: tuple[str, ...] = ()
    generator: str = ""
    stand_in: bool = False
    note: str = ""

    def __post_init__(self) -> None:
        if self.stand_in and not self.note:
            raise DataError("Pictures that stand in for reconstructions need a note that says what they are.")

    def as_json(self) -> dict[str, Any]:
        """Return plain values for report_data.json."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def shown_positions(n: int, most: int = MOST_SHOWN) -> np.ndarray:
    """Return positions of at most `most` of n pictures at equal distances: a choice that does not see the scores."""
    return np.unique(np.linspace(0, n - 1, min(n, most)).round().astype(int))


def write_contact_sheet(
    seen: np.ndarray | None,
    ceiling: np.ndarray | None,
    reconstructed: np.ndarray,
    shuffled: np.ndarray | None,
    path: Path,
    labels: Sequence[str],
    *,
    stand_in: bool = False,
) -> tuple[str, ...]:
    """Write a PNG with a column for each picture, and rows seen, ceiling, reconstructed, shuffled control.

    Args:
        seen: (picture, height, width, 3) in [0, 1]; the other three alike, in any size; None where it is not known.
        ceiling: Drawn from the true features; None leaves the row out.
        reconstructed: Drawn from brain responses.
        shuffled: Drawn from the responses to other pictures; None leaves the row out.
        path: Of the PNG.
        labels: Name of each picture.
        stand_in: The reconstructions are pictures of the dataset; the row says so.

    Returns:
        The names of the rows, on one line each.

    Raises:
        DataError: Arrays that are no pictures, or numbers that disagree.
        StorageError: The file cannot be written.
    """
    parts = {SEEN: seen, CEILING: ceiling, STAND_IN if stand_in else RECONSTRUCTED: reconstructed, SHUFFLED: shuffled}
    rows = {name: _thumbnails(pixels, name) for name, pixels in parts.items() if pixels is not None}
    for name, pictures in rows.items():
        if len(pictures) != len(labels):
            raise DataError(
                f"A contact sheet has one picture for each of {len(labels)} labels in every row; "
                f"'{_one_line(name)}' has {len(pictures)}."
            )
    write_atomically(path, _png(_drawn(rows, [str(label) for label in labels])))
    return tuple(_one_line(name) for name in rows)


def write_pictures(pixels: np.ndarray, ids: Sequence[str], folder: Path) -> list[Path]:
    """Write one PNG for each picture, named after its id, and return their paths in order.

    Signs that a file name cannot hold become `_`; a name that is taken gets a number.

    Raises:
        DataError: No pictures, or as many ids as pictures.
        StorageError: A file cannot be written.
    """
    pixels = require_pictures(pixels, "to write")
    if len(pixels) != len(ids):
        raise DataError(f"Each picture is written under its id; got {len(pixels)} pictures and {len(ids)} ids.")
    paths: list[Path] = []
    for name, picture in zip(_file_names(ids), pixels, strict=True):
        paths.append(write_atomically(folder / f"{name}.png", _png(_image(picture))))
    return paths


def _file_names(ids: Sequence[str]) -> list[str]:
    taken: dict[str, int] = {}
    names = []
    for name in ids:
        plain = re.sub(r"[^\w.-]+", "_", str(name)).strip("._")[:100] or "picture"
        taken[plain] = taken.get(plain, 0) + 1
        names.append(plain if taken[plain] == 1 else f"{plain}-{taken[plain]}")
    return names


def _image(picture: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(picture * 255).astype(np.uint8))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _thumbnails(pixels: np.ndarray, name: str) -> list[Image.Image]:
    pictures = (_image(picture) for picture in require_pictures(pixels, _one_line(name)))
    return [picture.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC) for picture in pictures]


def _drawn(rows: Mapping[str, list[Image.Image]], labels: list[str]) -> Image.Image:
    """Draw bands of columns below each other; in each, all rows."""
    columns, bands = min(len(labels), _PER_BAND), -(-len(labels) // _PER_BAND)
    step = _SIDE + _GAP
    band_height = _NAME_HEIGHT + len(rows) * step + 3 * _GAP
    sheet = Image.new("RGB", (_MARGIN + columns * step, bands * band_height), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_SIZE)
    for place, label in enumerate(labels):
        left, top = _MARGIN + place % _PER_BAND * step, place // _PER_BAND * band_height
        draw.text((left + _SIDE / 2, top + _GAP), _fitted(label, font), _SOFT, font, anchor="ma")
        for row, pictures in enumerate(rows.values()):
            sheet.paste(pictures[place], (left, top + _NAME_HEIGHT + row * step))
    for band in range(bands):
        for row, name in enumerate(rows):
            middle = band * band_height + _NAME_HEIGHT + row * step + _SIDE / 2
            draw.multiline_text((_GAP, middle), name, _INK, font, anchor="lm", spacing=2)
    return sheet


def _fitted(label: str, font: Any) -> str:
    """Return a label no wider than a picture, its middle left out."""
    text, kept = " ".join(label.split()), len(label)
    while font.getlength(text) > _SIDE and kept > 2:
        kept -= 1
        text = f"{label[: (kept + 1) // 2]}..{label[-(kept // 2) :]}"
    return text


def _one_line(name: str) -> str:
    return " ".join(name.split())
