"""Figures of scores; every number is given, nothing is computed from recordings here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from brain_decode.reports.certainty import has_interval
from brain_decode.reports.drawing import (
    BLUE,
    GREEN,
    GREY,
    HALF,
    INK,
    ORANGE,
    WIDE,
    chance_line,
    draw_interval,
    listed_values,
    new_axes,
    new_figure,
    report_style,
    short,
    svg_of,
)

__all__ = [
    "calibration_figure",
    "confusion_figure",
    "forest_figure",
    "groups_figure",
    "k_way_figure",
    "learning_figure",
    "ranks_figure",
    "repetitions_figure",
]

_MOST_NAMED_ROWS = 40  # more names than this cannot be read in one figure
_MOST_NUMBERED_CLASSES = 12
_MOST_NAMED_CLASSES = 24
_DARK = 0.6  # share of the colour range beyond which text is white


def forest_figure(
    rows: Sequence[Mapping[str, Any]], label: str, chance: float | None, ceiling: float | None = None
) -> str:
    """Draw each decoder's value and interval against chance.

    Args:
        rows: {"name", "value", "ci95"}; the first is the run's own decoder.
        label: Name of the metric.
        chance: Guessing, None where there is none.
        ceiling: What an oracle reaches on simulated data.
    """
    with report_style():
        figure, axes = new_axes(WIDE, 0.75 + 0.3 * len(rows))
        _rows(axes, rows, [BLUE] + [GREY] * (len(rows) - 1))
        chance_line(axes, chance, vertical=True)
        if ceiling is not None:
            axes.axvline(ceiling, color=GREEN, linestyle="--", linewidth=1.4, zorder=0)
            _above(axes, ceiling, "oracle", GREEN)
        if chance is not None:
            _above(axes, chance, "guessing", GREY)
        axes.set_xlabel(label)
        bound = f" Guessing gives {chance:.3f}." if chance is not None else ""
        return svg_of(figure, f"{label} of each decoder{_with_bars(rows)}: {listed_values(rows)}.{bound}")


def groups_figure(groups: Sequence[Mapping[str, Any]], metric: str, label: str, chance: float | None) -> str:
    """Draw the value of `metric`, called `label`, of each subject or run; very many are sorted and not named."""
    rows = [{"name": group["label"], **group["metrics"][metric]} for group in groups]
    is_named = len(rows) <= _MOST_NAMED_ROWS
    if not is_named:
        rows = sorted(rows, key=_value, reverse=True)
    with report_style():
        figure, axes = new_axes(WIDE, 0.75 + (0.25 * len(rows) if is_named else 4.0))
        _rows(axes, rows, [BLUE] * len(rows))
        if not is_named:
            axes.set_yticks([])
            axes.set_ylabel(f"{len(rows)}, from best to worst")
        chance_line(axes, chance, vertical=True)
        if chance is not None:
            _above(axes, chance, "guessing", GREY)
        axes.set_xlabel(label)
        return svg_of(figure, f"{label} of each{_with_bars(rows)}: {listed_values(rows)}")


def _with_bars(rows: Sequence[Mapping[str, Any]]) -> str:
    return " with its 95 % interval" if any(map(has_interval, rows)) else ""


def confusion_figure(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Draw the share of each true class that was answered with each class, with numbers where they can be read."""
    table = np.asarray(counts, dtype=float)
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.full_like(table, np.nan), where=totals > 0)
    most = float(np.nanmax(shares)) if np.isfinite(shares).any() else 1.0
    top = 1.0 if len(classes) <= 4 else max(most, 0.05)
    size = min(2.1 + 0.42 * len(classes), 6.2)
    with report_style():
        figure, axes = new_axes(min(size + 0.9, WIDE), size)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=top, interpolation="nearest")
        if len(classes) <= _MOST_NUMBERED_CLASSES:
            _write_shares(axes, table, shares, top)
        if len(classes) > 4:
            bar = figure.colorbar(image, ax=axes, shrink=0.6, format=lambda share, _: f"{share:.0%}")
            bar.outline.set_visible(False)
        _name_classes(axes, classes)
        unnamed = f" ({len(classes)} classes in the order of the run)" if len(classes) > _MOST_NAMED_CLASSES else ""
        axes.set(xlabel=f"answered{unnamed}", ylabel="shown")
        axes.spines[:].set_visible(False)
        right = ", ".join(f"{name} {shares[i, i]:.0%}" for i, name in enumerate(classes[:40]) if totals[i, 0])
        return svg_of(figure, f"Confusion matrix: rows shown, columns answered. Share right: {right}")


def calibration_figure(bins: Sequence[Mapping[str, Any]]) -> str:
    """Draw how often the decoder was right against how sure it said it was."""
    filled = [entry for entry in bins if entry["n"] and entry["confidence"] is not None]
    most = max((entry["n"] for entry in filled), default=1)
    with report_style():
        figure, axes = new_axes(HALF, 3.3)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.4)
        confidence, accuracy = ([entry[key] for entry in filled] for key in ("confidence", "accuracy"))
        axes.plot(confidence, accuracy, color=BLUE, linewidth=1, alpha=0.5)
        axes.scatter(
            confidence, accuracy, s=[14 + 100 * e["n"] / most for e in filled], color=BLUE, linewidths=0, clip_on=False
        )
        axes.set(xlabel="stated probability of the answer", ylabel="share correct", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.set_aspect("equal")
        points = ", ".join(f"{entry['confidence']:.2f} right {entry['accuracy']:.0%}" for entry in filled)
        return svg_of(figure, f"Calibration: stated probability and share correct: {points}")


def ranks_figure(ranks: Sequence[float], gallery_size: int) -> str:
    """Draw how many answers had the true candidate at each place or better (`ranks` count from 0), beside guessing."""
    places = np.arange(1, gallery_size + 1)
    reached = np.searchsorted(np.sort(np.asarray(ranks, dtype=float) + 1), places, side="right") / max(len(ranks), 1)
    with report_style():
        figure, axes = new_axes(HALF, 2.9)
        axes.step(places, reached, where="post", color=BLUE, linewidth=2)
        axes.plot(places, places / gallery_size, color=GREY, linestyle=":", linewidth=1.4)
        axes.set(xlabel=f"place among {gallery_size}", ylabel="share at this place or better", ylim=(0, 1.02))
        _log_axis(axes, [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000) if tick <= gallery_size])
        shown = ", ".join(f"{k}: {reached[k - 1]:.0%}" for k in (1, 5, 10, 50) if k <= gallery_size)
        return svg_of(figure, f"Share of answers with the true candidate among the best so many: {shown}")


def k_way_figure(curve: Sequence[Mapping[str, Any]]) -> str:
    """Draw the expected accuracy against the number of alternatives."""
    with report_style():
        figure, axes = new_axes(HALF, 2.9)
        ticks = _curve(axes, curve, "k", "expected", "ci95", BLUE)
        axes.plot(ticks, [point["chance"] for point in curve], color=GREY, linestyle=":", linewidth=1.4)
        axes.set(xlabel="alternatives to choose from (k)", ylabel="expected accuracy", ylim=(0, 1.02))
        _log_axis(axes, ticks)
        shown = ", ".join(f"{point['k']}: {point['expected']:.0%}" for point in curve)
        return svg_of(figure, f"Expected accuracy against number of alternatives: {shown}")


def repetitions_figure(curve: Sequence[Mapping[str, Any]], chance: float | None) -> str:
    """Draw top-1 and top-5 accuracy against the number of averaged repetitions."""
    with report_style():
        figure, axes = new_axes(HALF, 2.9)
        ticks = _curve(axes, curve, "n", "top1", "ci95", BLUE, name="top-1")
        if all(point.get("top5") is not None for point in curve):
            _curve(axes, curve, "n", "top5", "ci95_top5", ORANGE, name="top-5", marker="s")
            axes.legend(loc="upper left")
        chance_line(axes, chance, vertical=False)
        axes.set(xlabel="repetitions averaged", ylabel="accuracy", ylim=(0, 1.02))
        _log_axis(axes, ticks)
        shown = ", ".join(f"{point['n']}: {point['top1']:.0%}" for point in curve)
        return svg_of(figure, f"Top-1 accuracy against repetitions averaged: {shown}")


def learning_figure(curves: Sequence[Mapping[str, Any]]) -> str:
    """Draw losses, and the validation score where it is given, over epochs; one line for each fold."""
    has_score = any(point.get("validation_score") is not None for point in curves)
    folds: dict[str, list[Mapping[str, Any]]] = {}
    for point in curves:
        folds.setdefault(str(point["fold"]), []).append(point)
    with report_style():
        figure = new_figure(WIDE, 2.8)
        panels = figure.subplots(1, 1 + has_score, squeeze=False)[0]
        for number, points in enumerate(folds.values()):
            for key, colour, dash, label in (
                ("train_loss", GREY, "--", "training"),
                ("validation_loss", BLUE, "-", "validation"),
            ):
                _epochs(panels[0], points, key, colour, dash, None if number else label)
            if has_score:
                _epochs(panels[1], points, "validation_score", BLUE, "-", None)
        for axes in panels:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        panels[0].set(xlabel="epoch", ylabel="loss")
        panels[0].legend()
        if has_score:
            panels[1].set(xlabel="epoch", ylabel="validation score")
        return svg_of(figure, f"Training and validation loss over epochs of {len(folds)} folds")


def _epochs(
    axes: Axes, points: Sequence[Mapping[str, Any]], key: str, colour: str, dash: str, label: str | None
) -> None:
    values = [np.nan if point.get(key) is None else point[key] for point in points]
    axes.plot(
        [point["epoch"] for point in points],
        values,
        color=colour,
        linestyle=dash,
        alpha=0.8,
        linewidth=1.3,
        label=label,
    )


def _rows(axes: Axes, rows: Sequence[Mapping[str, Any]], colours: Sequence[str]) -> None:
    """Draw rows from top to bottom, named on the left."""
    for place, (row, colour) in enumerate(zip(rows, colours, strict=True)):
        draw_interval(axes, row, place, colour)
    axes.set_yticks(range(len(rows)), [short(row["name"], 40) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e5e7eb", linewidth=0.7)
    axes.set_axisbelow(True)


def _above(axes: Axes, place: float, text: str, colour: str) -> None:
    axes.annotate(
        text,
        (place, 1),
        (0, 3),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha="center",
        color=colour,
        fontsize=8,
    )


def _value(row: Mapping[str, Any]) -> float:
    return -np.inf if row.get("value") is None else float(row["value"])


def _write_shares(axes: Axes, table: np.ndarray, shares: np.ndarray, top: float) -> None:
    few = len(table) <= 4
    for (row, column), share in np.ndenumerate(shares):
        if not np.isfinite(share):
            continue
        text = f"{share:.0%}\n{int(table[row, column])} windows" if few else f"{100 * share:.0f}"
        colour = "white" if share > _DARK * top else INK
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8.5 if few else 8)


def _name_classes(axes: Axes, classes: Sequence[str]) -> None:
    if len(classes) > _MOST_NAMED_CLASSES:
        axes.set(xticks=[], yticks=[])
        return
    names = [short(name, 18) for name in classes]
    is_long = len(classes) > 4 or max(map(len, names), default=0) > 10
    turned: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if is_long else {}
    axes.set_xticks(range(len(classes)), names, **turned)
    axes.set_yticks(range(len(classes)), names)
    axes.tick_params(length=0)


def _curve(
    axes: Axes,
    curve: Sequence[Mapping[str, Any]],
    across: str,
    up: str,
    interval: str,
    colour: str,
    *,
    name: str | None = None,
    marker: str = "o",
) -> list[int]:
    """Draw values, with their band where intervals are given, and return the positions on the horizontal axis."""
    places = [int(point[across]) for point in curve]
    pairs = [point.get(interval) or [point[up], point[up]] for point in curve]
    low, high = (np.array([pair[side] for pair in pairs], dtype=float) for side in (0, 1))
    if np.isfinite(low).any():
        axes.fill_between(places, low, high, color=colour, alpha=0.16, linewidth=0)
    axes.plot(
        places, [point[up] for point in curve], color=colour, marker=marker, markersize=4, linewidth=2, label=name
    )
    return places


def _log_axis(axes: Axes, ticks: Sequence[int]) -> None:
    axes.set_xscale("log")
    kept = [tick for place, tick in enumerate(ticks) if place == 0 or tick >= 1.45 * ticks[place - 1]]
    axes.set_xticks(kept, [str(tick) for tick in kept])
    axes.minorticks_off()
