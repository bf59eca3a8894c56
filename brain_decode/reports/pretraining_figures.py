"""Figures of a pretraining run: learning, codebooks, bands, and signals beside their reconstructions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from brain_decode.reports.drawing import (
    BLUE,
    GREY,
    ORANGE,
    WIDE,
    draw_interval,
    new_axes,
    new_figure,
    report_style,
    short,
    svg_of,
)

__all__ = ["codebook_figure", "curves_figure", "example_figure", "levels_figure"]

_LONGEST_SHOWN_S = 4.0


def curves_figure(curves: Sequence[Mapping[str, Any]]) -> str:
    """Draw the loss over epochs, and beside it each other term that was logged, training and people kept out."""
    terms = [name.removeprefix("train_") for name in curves[0] if name.startswith("train_")] if curves else []
    shown = [name for name in terms if not name.startswith("use_") and not name.startswith("accuracy_")][:6]
    rows = -(-len(shown) // 3)
    with report_style():
        figure = new_figure(WIDE, 1.9 * max(rows, 1))
        panels = figure.subplots(max(rows, 1), 3, squeeze=False).ravel()
        for axes, name in zip(panels, shown, strict=False):
            for part, colour, dash in (("train", GREY, "--"), ("validation", BLUE, "-")):
                points = [(p["epoch"], p[f"{part}_{name}"]) for p in curves if p.get(f"{part}_{name}") is not None]
                if points:
                    axes.plot(*zip(*points, strict=True), dash, color=colour, label=part)
            axes.set_title(name)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for axes in panels[len(shown) :]:
            axes.set_visible(False)
        panels[0].legend()
        return svg_of(figure, f"{', '.join(shown)} over {len(curves)} epochs, in training and on people kept out")


def codebook_figure(use: Mapping[str, Sequence[float]]) -> str:
    """Draw, for each level, the share of codewords in use and how evenly they are used."""
    levels = np.arange(len(use["used_share"]))
    with report_style():
        figure, axes = new_axes(WIDE / 2, 2.2)
        axes.bar(levels - 0.2, use["used_share"], 0.4, color=GREY, label="used at all")
        axes.bar(levels + 0.2, use["perplexity_share"], 0.4, color=BLUE, label="perplexity / size")
        axes.set(xlabel="level", ylabel="share of codewords", ylim=(0, 1.05), xticks=levels)
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        told = ", ".join(f"level {n} {value:.2f}" for n, value in enumerate(use["perplexity_share"]))
        return svg_of(figure, f"Perplexity over the size of the codebook: {told}")


def levels_figure(entries: Mapping[str, Mapping[str, Any]], label: str) -> str:
    """Draw values with intervals, one row each, and what the most frequent code gives where it is known."""
    with report_style():
        figure, axes = new_axes(WIDE / 2, 0.6 + 0.32 * len(entries))
        places = np.arange(len(entries))[::-1]
        for place, entry in zip(places, entries.values(), strict=True):
            draw_interval(axes, entry, float(place), BLUE)
            if entry.get("baseline") is not None:
                axes.plot([entry["baseline"]], [place], "|", color=ORANGE, markersize=11, markeredgewidth=2)
        axes.set_yticks(places, [name.replace("_", " ") for name in entries])
        axes.set_xlim(left=min(0.0, *(float(entry["value"]) for entry in entries.values())))
        axes.set(xlabel=label, ylim=(-0.6, len(entries) - 0.4))
        told = ", ".join(f"{name} {entry['value']:.3f}" for name, entry in entries.items())
        return svg_of(figure, f"{label}: {told}")


def example_figure(example: Mapping[str, Any]) -> str:
    """Draw the first seconds of some channels beside their reconstruction."""
    target, estimate = example["signals"]
    n_shown = min(target.shape[-1], int(_LONGEST_SHOWN_S * example["rate_hz"]))
    times = np.arange(n_shown) / example["rate_hz"]
    with report_style():
        figure, axes = new_axes(WIDE, 0.5 + 0.9 * len(target))
        for row, name in enumerate(example["names"]):
            offset = -6.0 * row
            axes.plot(times, target[row, :n_shown] + offset, color=GREY, linewidth=1.1, label=None if row else "signal")
            axes.plot(
                times,
                estimate[row, :n_shown] + offset,
                color=ORANGE,
                linewidth=1.1,
                label=None if row else "reconstruction",
            )
            axes.text(0, offset + 2.6, short(name, 60), fontsize=8)
        axes.set(xlabel="seconds", yticks=[], xlim=(0, times[-1]))
        axes.spines["left"].set_visible(False)
        axes.legend(loc="upper right", ncols=2)
        return svg_of(figure, f"Signals and their reconstructions: {', '.join(example['names'])}")
