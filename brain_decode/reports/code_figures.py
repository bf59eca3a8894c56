"""Figures of a reading of codes: which words mark which class, where, and what the signal looks like there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from brain_decode.reports.drawing import BLUE, GREY, ORANGE, WIDE, new_figure, report_style, short, svg_of

__all__ = ["heat_figure", "markers_figure", "waveforms_figure"]

_MOST_CLASSES = 6
_LABELLED = 16  # spaces that have room for their names


def markers_figure(reading: Mapping[str, Any]) -> str:
    """Draw, for each class, how much likelier its words are in it than in the other classes."""
    columns = min(len(reading["classes"]), 3)
    shown = list(zip(reading["classes"], reading["markers"], strict=True))[:_MOST_CLASSES]
    rows = -(-len(shown) // columns)
    with report_style():
        figure = new_figure(WIDE, 2.2 * rows)
        panels = figure.subplots(rows, columns, squeeze=False).ravel()
        for axes, (name, markers) in zip(panels, shown, strict=False):
            places = np.arange(len(markers))[::-1]
            axes.barh(places, [marker["evidence"] for marker in markers], color=BLUE)
            axes.set_yticks(places, [short(marker["name"], 24) for marker in markers])
            axes.set(title=short(name, 30), xlabel="log ratio")
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        told = "; ".join(f"{name}: {', '.join(marker['name'] for marker in markers)}" for name, markers in shown)
        return svg_of(figure, f"Words that mark each class. {told}")


def heat_figure(reading: Mapping[str, Any]) -> str:
    """Draw where the evidence for each class is, by channel or source and time."""
    shown = list(zip(reading["classes"], reading["heat"], strict=True))[:_MOST_CLASSES]
    highest = max(float(np.abs(heat).max()) for _, heat in shown) or 1.0
    n_spaces = len(reading["spaces"])
    with report_style():
        figure = new_figure(WIDE, 0.8 + min(0.25 * n_spaces, 4.0))
        panels = figure.subplots(1, len(shown), squeeze=False, sharey=True).ravel()
        for axes, (name, heat) in zip(panels, shown, strict=True):
            image = axes.imshow(heat, aspect="auto", cmap="RdBu_r", vmin=-highest, vmax=highest)
            axes.set(title=short(name, 30), xlabel="step of time")
        if n_spaces <= _LABELLED:
            panels[0].set_yticks(np.arange(n_spaces), reading["spaces"])
        figure.colorbar(image, ax=list(panels), label="evidence for the class")
        return svg_of(figure, f"Evidence by place and time for {', '.join(name for name, _ in shown)}")


def waveforms_figure(reading: Mapping[str, Any]) -> str | None:
    """Draw the mean signal where the strongest words of each class occur; None where places are not channels."""
    shown = [
        (name, [marker for marker in markers if marker["waveform"] is not None][:3])
        for name, markers in zip(reading["classes"], reading["markers"], strict=True)
    ][:_MOST_CLASSES]
    if not any(markers for _, markers in shown):
        return None
    with report_style():
        figure = new_figure(WIDE, 2.2)
        panels = figure.subplots(1, len(shown), squeeze=False, sharey=True).ravel()
        for axes, (name, markers) in zip(panels, shown, strict=True):
            for marker, colour in zip(markers, (BLUE, ORANGE, GREY), strict=False):
                axes.plot(marker["waveform"], color=colour, label=f"{short(marker['name'], 20)} ({marker['n']})")
            axes.set(title=short(name, 30), xlabel="sample")
            if markers:
                axes.legend(fontsize=7)
        return svg_of(figure, "Mean signal where the strongest words occur, with how often they do")
