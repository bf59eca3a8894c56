"""Cards with the name of a stimulus, for contact sheets of datasets whose pictures are not at hand."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

__all__ = ["name_cards"]

_PER_LINE = 9  # letters
_PAPER, _INK = (238, 240, 243), (31, 41, 55)


def name_cards(names: Sequence[str], side: int = 96) -> np.ndarray:
    """Return cards (name, side, side, 3) float32 in [0, 1] with the name of each stimulus on it."""
    font = ImageFont.load_default(side // 7)
    cards = []
    for name in names:
        card = Image.new("RGB", (side, side), _PAPER)
        lines = textwrap.wrap(name.replace("_", " "), _PER_LINE) or [""]
        ImageDraw.Draw(card).multiline_text(
            (side / 2, side / 2), "\n".join(lines[:5]), _INK, font, anchor="mm", align="center"
        )
        cards.append(np.asarray(card, dtype=np.float32) / 255)
    return np.stack(cards)
