"""Figures of a run as inline SVG; every number is given, nothing is computed from data here."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "evoked_figure",
    "forest_figure",
    "groups_figure",
    "k_way_figure",
    "learning_figure",
    "ranks_figure",
    "repetitions_figure",
    "topography_figure",
]

# Okabe and Ito's palette: told apart by people with any colour vision.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6b7280"
_CLASS_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, "#E69F00", "#56B4E9", "#F0E442", "#000000")
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "brain_decode",
}
_MICRO = 1e6
_TOPOGRAPHY_CHANNELS = 8  # fewer electrodes do not make a map
_EVOKED_CHANNELS = 6


def forest_figure(rows: Sequence[Mapping[str, Any]], metric: str, chance: float | None) -> str:
    """Draw each decoder's value and interval against chance; the first row is the run's own decoder."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(7.2, 0.6 + 0.36 * len(rows))
        for place, row in enumerate(reversed(rows)):
            colour = BLUE if place == len(rows) - 1 else GREY
            _bar(axes, row, place, colour)
        axes.set_yticks(range(len(rows)), [str(row["name"]) for row in reversed(rows)])
        axes.set_ylim(-0.7, len(rows) - 0.3)
        _chance_line(axes, chance, vertical=True)
        axes.set_xlabel(metric)
        return _svg(figure, f"{metric} of each decoder with its 95 % interval")


def groups_figure(groups: Sequence[Mapping[str, Any]], metric: str, label: str, chance: float | None) -> str:
    """Draw the value of `metric`, called `label`, of each subject or run."""
    rows = [
        {"name": group["label"], **group["metrics"][metric]} for group in groups if metric in (group["metrics"] or {})
    ]
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(7.2, max(1.6, 0.5 + 0.28 * len(rows)))
        for place, row in enumerate(reversed(rows)):
            _bar(axes, row, place, BLUE)
        axes.set_yticks(range(len(rows)), [str(row["name"]) for row in reversed(rows)])
        _chance_line(axes, chance, vertical=True)
        axes.set_xlabel(label)
        return _svg(figure, f"{label} of each subject or run with its 95 % interval")


def confusion_figure(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw the share of each true class that was answered with each class."""
    table = np.asarray(counts, dtype=float)
    shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    size = 1.9 + 0.42 * len(classes)
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(size + 0.8, size)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row in range(len(classes)):
            for column in range(len(classes)):
                colour = "white" if shares[row, column] > 0.55 else "black"
                text = f"{shares[row, column]:.0%}" + (f"\n{int(table[row, column])}" if len(classes) <= 4 else "")
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5)
        axes.set_xticks(range(len(classes)), classes, rotation=30 if len(classes) > 3 else 0)
        axes.set_yticks(range(len(classes)), classes)
        axes.set(xlabel="answered", ylabel="shown")
        axes.spines[:].set_visible(False)
        return _svg(figure, "Confusion matrix: rows are what was shown, columns what was answered")


def calibration_figure(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw how often the decoder was right against how sure it said it was."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 3.0)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        filled = [entry for entry in bins if entry["n"]]
        most = max((entry["n"] for entry in filled), default=1)
        axes.scatter(
            [entry["confidence"] for entry in filled],
            [entry["accuracy"] for entry in filled],
            s=[12 + 110 * entry["n"] / most for entry in filled],
            color=BLUE,
            alpha=0.8,
        )
        axes.set(xlabel="stated probability", ylabel="share correct", xlim=(0, 1.02), ylim=(0, 1.02))
        return _svg(figure, "Calibration: share correct against stated probability")


def ranks_figure(ranks: Sequence[float], gallery_size: int) -> str:
    """Draw how many stimuli reached each rank or better, beside guessing."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.8)
        places = np.arange(1, gallery_size + 1)
        reached = np.searchsorted(np.sort(np.asarray(ranks) + 1), places, side="right") / max(len(ranks), 1)
        axes.step(places, reached, where="post", color=BLUE, linewidth=2)
        axes.plot(places, places / gallery_size, color=GREY, linestyle=":", linewidth=1.2)
        axes.set(
            xlabel=f"rank among {gallery_size}", ylabel="share at this rank or better", xscale="log", ylim=(0, 1.02)
        )
        return _svg(figure, "Share of stimuli whose true picture is at each rank or better")


def k_way_figure(curve: Sequence[Mapping[str, Any]]) -> str:
    """Draw the expected accuracy against the number of alternatives."""
    return _curve_figure(curve, "k", "expected", "alternatives (k)", "accuracy", with_chance=True)


def repetitions_figure(curve: Sequence[Mapping[str, Any]], chance: float | None) -> str:
    """Draw top-1 accuracy against the number of averaged repetitions."""
    return _curve_figure(curve, "n", "top1", "repetitions averaged", "top-1 accuracy", chance=chance)


def _curve_figure(
    curve: Sequence[Mapping[str, Any]],
    across: str,
    up: str,
    x_label: str,
    y_label: str,
    *,
    with_chance: bool = False,
    chance: float | None = None,
) -> str:
    x, y = [point[across] for point in curve], [point[up] for point in curve]
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(3.6, 2.8)
        intervals = [point.get("ci95") or [point[up], point[up]] for point in curve]
        low, high = (np.array([pair[side] for pair in intervals], dtype=float) for side in (0, 1))
        axes.fill_between(x, low, high, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(x, y, color=BLUE, marker="o", markersize=4, linewidth=2)
        if with_chance:
            axes.plot(x, [point["chance"] for point in curve], color=GREY, linestyle=":", linewidth=1.2)
        _chance_line(axes, chance, vertical=False)
        axes.set(xlabel=x_label, ylabel=y_label, xscale="log", ylim=(0, 1.02))
        axes.set_xticks(x, [str(value) for value in x])
        axes.minorticks_off()
        return _svg(figure, f"{y_label} against {x_label}")


def learning_figure(curves: Sequence[Mapping[str, Any]]) -> str:
    """Draw training and validation loss over epochs, one pair of lines for each fold."""
    with mpl.rc_context(_STYLE):
        figure, axes = _axes(7.2, 2.8)
        for number, fold in enumerate(dict.fromkeys(str(point["fold"]) for point in curves)):
            points = [point for point in curves if str(point["fold"]) == fold]
            epochs = [point["epoch"] for point in points]
            for key, colour, label in (("train_loss", GREY, "training"), ("validation_loss", BLUE, "validation")):
                losses = [np.nan if point.get(key) is None else point[key] for point in points]
                axes.plot(epochs, losses, color=colour, alpha=0.75, linewidth=1.4, label=None if number else label)
        axes.set(xlabel="epoch", ylabel="loss")
        axes.legend()
        return _svg(figure, "Training and validation loss over epochs")


def evoked_figure(evoked: Mapping[str, Any]) -> str:
    """Draw the mean response of each class with its standard error at the channels that separate them most."""
    mean, error = np.asarray(evoked["mean"], dtype=float), np.asarray(evoked["sem"], dtype=float)
    times_ms = np.asarray(evoked["times_s"], dtype=float) * 1000
    apart = np.abs(np.asarray(evoked["separability"], dtype=float) - 0.5).max(axis=1)
    shown = np.sort(np.argsort(-apart, kind="stable")[:_EVOKED_CHANNELS])
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    factor, unit = (_MICRO, "µV") if evoked.get("unit") == "V" else (1.0, str(evoked.get("unit", "")))
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 0.5 + 1.75 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for place, channel in enumerate(shown):
            axes = grid.flat[place]
            for number, name in enumerate(evoked["classes"]):
                colour = _CLASS_COLOURS[number % len(_CLASS_COLOURS)]
                line, spread = mean[number, channel] * factor, error[number, channel] * factor
                axes.fill_between(times_ms, line - spread, line + spread, color=colour, alpha=0.2, linewidth=0)
                axes.plot(times_ms, line, color=colour, linewidth=1.6, label=str(name) if place == 0 else None)
            axes.axvline(0, color="black", linewidth=0.6)
            axes.set_title(str(evoked["channels"][channel]))
            axes.set_ylabel(unit)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
        for axes in grid[-1]:
            axes.set_xlabel("milliseconds after the event")
        figure.legend(loc="outside upper right", ncols=min(len(evoked["classes"]), 6))
        return _svg(figure, "Mean response of each class with standard error, at the most separating channels")


def topography_figure(evoked: Mapping[str, Any]) -> str | None:
    """Draw where on the head the classes differ at the times they differ most; None without enough positions."""
    types = [str(kind) for kind in evoked["channel_types"]]
    chosen = [i for i, place in enumerate(evoked["positions_m"]) if place is not None and types[i] == "eeg"]
    if len(chosen) < _TOPOGRAPHY_CHANNELS:
        return None
    separability = np.asarray(evoked["separability"], dtype=float)[chosen]
    times_s = np.asarray(evoked["times_s"], dtype=float)
    strength = np.abs(separability - 0.5).mean(axis=0) * (times_s >= 0)
    with mpl.rc_context(_STYLE):
        return _head_maps(evoked, chosen, separability, _peaks(strength, times_s))


def _peaks(strength: np.ndarray, times_s: np.ndarray, count: int = 4, apart_s: float = 0.06) -> list[int]:
    """Return up to `count` sample positions of the largest values, at least `apart_s` from each other."""
    peaks: list[int] = []
    for index in np.argsort(-strength, kind="stable"):
        if len(peaks) < count and all(abs(times_s[index] - times_s[other]) >= apart_s for other in peaks):
            peaks.append(int(index))
    return sorted(peaks)


def _head_maps(
    evoked: Mapping[str, Any], chosen: Sequence[int], separability: np.ndarray, peaks: Sequence[int]
) -> str | None:
    import mne

    names = [str(evoked["channels"][index]) for index in chosen]
    info = mne.create_info(names, 1000.0, "eeg")
    places = {name: np.asarray(evoked["positions_m"][i], dtype=float) for name, i in zip(names, chosen, strict=True)}
    info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="ERROR")
    limit = max(float(np.abs(separability[:, peaks] - 0.5).max()), 0.02)
    figure = Figure(figsize=(7.4, 2.1), layout="constrained")
    grid = figure.subplots(1, len(peaks), squeeze=False)[0]
    image: Any = None
    for axes, peak in zip(grid, peaks, strict=True):
        try:
            image, _ = mne.viz.plot_topomap(
                separability[:, peak],
                info,
                axes=axes,
                show=False,
                cmap="RdBu_r",
                vlim=(0.5 - limit, 0.5 + limit),
                contours=0,
            )
        except (RuntimeError, ValueError):  # electrodes on one line, or all at one place, span no map
            return None
        axes.set_title(f"{float(evoked['times_s'][peak]) * 1000:.0f} ms", loc="center")
    figure.colorbar(image, ax=list(grid), shrink=0.8, label="AUC of one channel")
    return _svg(figure, "Head maps of single-channel AUC at the times the classes differ most")


def _axes(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _bar(axes: Axes, row: Mapping[str, Any], place: int, colour: str) -> None:
    interval = row.get("ci95") or [None, None]
    if None not in interval:
        axes.plot(interval, [place, place], color=colour, linewidth=2.4, solid_capstyle="round")
    axes.plot([row["value"]], [place], "o", color=colour, markersize=6)


def _chance_line(axes: Axes, chance: float | None, *, vertical: bool) -> None:
    if chance is None:
        return
    draw = axes.axvline if vertical else axes.axhline
    draw(chance, color=GREY, linestyle=":", linewidth=1.4)


def _svg(figure: Figure, description: str) -> str:
    """Return the figure as an SVG element that screen readers can name."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    body = text[text.index("<svg") :]
    # Matplotlib numbers its clip paths per figure; several figures of one page must not share them.
    unique = f"f{zlib.crc32(body.encode()):08x}"
    body = re.sub(r'id="([^"]+)"', rf'id="{unique}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{unique}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'xlink:href="#{unique}-\1"', body)
    return body.replace("<svg ", f'<svg role="img" aria-label="{description}" ', 1)
