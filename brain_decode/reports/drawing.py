"""How every figure of a report looks: colours, axes, and inline SVG that screen readers can name."""

from __future__ import annotations

import html
import io
import re
import warnings
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from brain_decode.reports.certainty import has_interval

__all__ = [
    "BLUE",
    "CLASS_COLOURS",
    "GREEN",
    "GREY",
    "HALF",
    "INK",
    "ORANGE",
    "WIDE",
    "area_colours",
    "chance_line",
    "class_line",
    "draw_interval",
    "listed_values",
    "new_axes",
    "new_figure",
    "report_style",
    "short",
    "svg_of",
]

# Okabe and Ito's palette, its yellow replaced (too pale on paper): told apart by people with any colour vision.
BLUE, ORANGE, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
CLASS_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#56B4E9", "#8A5A00", "#44337A", "#000000")
GREY, INK = "#6b7280", "#1f2937"
WIDE, HALF = 7.6, 3.7  # inches: the whole column, and one of two figures side by side
_LINE_STYLES = ("-", "--", ":")
_LONGEST_LABEL = 28
_SMALLEST_RANGE = 0.02  # AUC beside 0.5; keeps noise from filling the colour range
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "text.parse_math": False,  # a class called "$5" is text, not a formula
    "text.color": INK,
    "axes.edgecolor": "#9ca3af",
    "axes.labelcolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "brain_decode",
}


def report_style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn and written."""
    return mpl.rc_context(_STYLE)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure (inches) outside matplotlib's global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure (inches) with one pair of axes."""
    figure = new_figure(width, height)
    return figure, figure.subplots()


def draw_interval(axes: Axes, entry: Mapping[str, Any], place: float, colour: str) -> None:
    """Draw a value, and its interval as a horizontal bar where one is given, at height `place`."""
    if has_interval(entry):
        axes.plot(entry["ci95"], [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
    if entry.get("value") is not None:
        axes.plot([entry["value"]], [place], "o", color=colour, markersize=6.5)


def chance_line(axes: Axes, chance: float | None, *, vertical: bool) -> None:
    """Draw the level of guessing, where there is one."""
    if chance is not None:
        draw = axes.axvline if vertical else axes.axhline
        draw(chance, color=GREY, linestyle=":", linewidth=1.4, zorder=0)


def class_line(index: int) -> dict[str, Any]:
    """Return colour and dash of a class: as many as 24 can be told apart."""
    n_colours = len(CLASS_COLOURS)
    style = _LINE_STYLES[index // n_colours % len(_LINE_STYLES)]
    return {"color": CLASS_COLOURS[index % n_colours], "linestyle": style}


def short(label: object, longest: int = _LONGEST_LABEL) -> str:
    """Return a label on one line, its middle left out where it is too long for a figure."""
    text = " ".join(str(label).split())
    half = longest // 2
    return text if len(text) <= longest else f"{text[: half - 1]}…{text[-half:]}"


def svg_of(figure: Figure, description: str) -> str:
    """Return the figure as an SVG element without references to anything outside it.

    Args:
        figure: Drawn figure.
        description: What a person who cannot see it is told; any text.
    """
    buffer = io.StringIO()
    with warnings.catch_warnings():
        # Texts stay texts, which the reader's fonts show; matplotlib's own font only measures them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    body = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], count=1, flags=re.DOTALL)
    return _named(_unique_ids(body), description)


def _unique_ids(body: str) -> str:
    """Matplotlib numbers its clip paths per figure; several figures of one page must not share them."""
    unique = f"f{zlib.crc32(body.encode('utf-8', 'replace')):08x}"
    body = re.sub(r'( id=)"([^"]+)"', rf'\1"{unique}-\2"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{unique}-\1)", body)
    return re.sub(r'(xlink:href)="#([^"]+)"', rf'\1="#{unique}-\2"', body)


def _named(body: str, description: str) -> str:
    return body.replace("<svg ", f'<svg role="img" aria-label="{html.escape(description, quote=True)}" ', 1)


def listed_values(rows: Sequence[Mapping[str, Any]], most: int = 40) -> str:
    """Return `name 0.71, name 0.66` of the first rows, for descriptions."""
    return ", ".join(f"{row['name']} {row['value']:.3f}" for row in rows[:most] if row.get("value") is not None)


def area_colours(areas: np.ndarray, n_classes: int) -> dict[str, Any]:
    """Return colour map and limits for AUCs.

    Two classes have a direction, so 0.5 is the middle; several have none, so 0.5 is the lower end.
    """
    limit = max(float(np.nan_to_num(np.abs(areas - 0.5)).max()), _SMALLEST_RANGE)
    if n_classes == 2:
        return {"cmap": "RdBu_r", "vmin": 0.5 - limit, "vmax": 0.5 + limit}
    return {"cmap": "viridis", "vmin": 0.5, "vmax": 0.5 + limit}
