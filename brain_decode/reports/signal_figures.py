"""Figures of signals: class averages, and when and where on the head the classes differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from brain_decode.reports.drawing import (
    INK,
    WIDE,
    area_colours,
    class_line,
    new_axes,
    new_figure,
    report_style,
    short,
    svg_of,
)

__all__ = ["evoked_figure", "has_map", "separability_figure", "topography_figure"]

_TOPOGRAPHY_CHANNELS = 8  # fewer electrodes do not make a map
_TOPOGRAPHY_TYPES = ("eeg", "mag")  # both gradiometers of a pair sit in one place
_EVOKED_CHANNELS = 6
_MOST_CLASSES = 12  # more lines than this hide each other
_MOST_LINES = 8
_MOST_PEAKS = 4
_LONGEST_MS_S = 10.0
# Factor and unit of the numbers shown, by sensor type and unit of the data.
_SHOWN_UNITS = {
    ("V", "mag"): (1e15, "fT"),
    ("V", "grad"): (1e13, "fT/cm"),
    ("V", "ref_meg"): (1e15, "fT"),
    ("T", "mag"): (1e15, "fT"),
    ("T", "grad"): (1e13, "fT/cm"),
    ("T/m", "grad"): (1e13, "fT/cm"),
}


def evoked_figure(evoked: Mapping[str, Any]) -> str | None:
    """Draw the mean response of each class with its standard error at the channels that separate them most.

    None with more classes than lines can show.
    """
    classes = [str(name) for name in evoked["classes"]]
    if len(classes) > _MOST_CLASSES:
        return None
    mean, error = _array(evoked["mean"]), _array(evoked["sem"])
    times, unit_of_time = _shown_times(evoked)
    shown = _best_channels(_array(evoked["separability"]))
    columns = min(len(shown), 2)
    rows = -(-len(shown) // columns)
    with report_style():
        figure = new_figure(WIDE, 0.75 + 1.7 * rows)
        grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
        for place, channel in enumerate(shown):
            factor, unit = _shown_unit(str(evoked.get("unit") or ""), str(evoked["channel_types"][channel]))
            axes = grid.flat[place]
            for number in range(len(classes)):
                _response(axes, times, mean[number, channel] * factor, error[number, channel] * factor, number)
            axes.set_title(short(evoked["channels"][channel]))
            axes.set_ylabel(unit)
            _mark_event(axes, times)
        for axes in grid.flat[len(shown) :]:
            axes.set_visible(False)
            grid[-2, -1].tick_params(labelbottom=True)  # the lowest panel of its column now
        for axes in grid.flat[max(len(shown) - columns, 0) : len(shown)]:
            axes.set_xlabel(f"{unit_of_time} after the event")
        lines = grid.flat[0].get_lines()[: len(classes)]
        figure.legend(
            lines, [short(name, 20) for name in classes], loc="outside upper left", ncols=min(len(classes), 6)
        )
        names = ", ".join(str(evoked["channels"][channel]) for channel in shown)
        return svg_of(figure, f"Mean response of {', '.join(classes)} with standard error at {names}")


def separability_figure(evoked: Mapping[str, Any]) -> str:
    """Draw the AUC of every channel alone over time: lines for few channels, a heat map for many."""
    areas, (times, unit_of_time) = _array(evoked["separability"]), _shown_times(evoked)
    channels = [str(name) for name in evoked["channels"]]
    is_few = len(channels) <= _MOST_LINES
    with report_style():
        figure, axes = new_axes(WIDE, 2.6 if is_few else min(1.2 + 0.09 * len(channels), 5.0))
        if is_few:
            for number, line in enumerate(areas):
                axes.plot(times, line, linewidth=1.5, label=short(channels[number], 16), **class_line(number))
            axes.axhline(0.5, color=INK, linewidth=0.6)
            axes.set_ylabel("AUC of one channel")
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            _heat_map(axes, areas, times, channels, len(evoked["classes"]))
        _mark_event(axes, times)
        axes.set_xlabel(f"{unit_of_time} after the event")
        return svg_of(figure, f"How well each of {len(channels)} channels alone tells the classes apart over time")


def has_map(evoked: Mapping[str, Any]) -> bool:
    """Return whether enough channels of one type have positions for head maps."""
    return any(len(_placed(evoked, kind)) >= _TOPOGRAPHY_CHANNELS for kind in _TOPOGRAPHY_TYPES)


def topography_figure(evoked: Mapping[str, Any]) -> str | None:
    """Draw where on the head the classes differ at the times they differ most.

    None with fewer than 8 placed EEG electrodes or magnetometers, or where these span no map.
    """
    times_s = _array(evoked["times_s"])
    for kind in _TOPOGRAPHY_TYPES:
        chosen = _placed(evoked, kind)
        if len(chosen) >= _TOPOGRAPHY_CHANNELS:
            separability = np.nan_to_num(_array(evoked["separability"])[chosen], nan=0.5)
            strength = np.abs(separability - 0.5).mean(axis=0) * (times_s >= 0)
            with report_style():
                return _head_maps(evoked, chosen, separability, _peaks(strength, times_s), kind)
    return None


def _array(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _shown_times(evoked: Mapping[str, Any]) -> tuple[np.ndarray, str]:
    """Return the times of the samples and their unit: seconds where windows last long, as those of blood flow do."""
    times_s = _array(evoked["times_s"])
    return (times_s, "s") if np.ptp(times_s) > _LONGEST_MS_S else (1000 * times_s, "ms")


def _best_channels(separability: np.ndarray) -> np.ndarray:
    apart = np.nan_to_num(np.abs(separability - 0.5)).max(axis=1)
    return np.sort(np.argsort(-apart, kind="stable")[:_EVOKED_CHANNELS])


def _shown_unit(unit: str, channel_type: str) -> tuple[float, str]:
    """Return factor and unit a person expects; MEG channels carry tesla whatever the file says of its EEG."""
    if (unit, channel_type) in _SHOWN_UNITS:
        return _SHOWN_UNITS[unit, channel_type]
    return (1e6, "µV") if unit == "V" else (1.0, unit)


def _response(axes: Axes, times: np.ndarray, line: np.ndarray, spread: np.ndarray, number: int) -> None:
    style = class_line(number)
    axes.plot(times, line, linewidth=1.5, **style)
    axes.fill_between(times, line - spread, line + spread, color=style["color"], alpha=0.18, linewidth=0)


def _mark_event(axes: Axes, times: np.ndarray) -> None:
    if times[0] <= 0 <= times[-1]:
        axes.axvline(0, color=INK, linewidth=0.7)
    axes.set_xlim(times[0], times[-1])


def _heat_map(axes: Axes, areas: np.ndarray, times: np.ndarray, channels: Sequence[str], n_classes: int) -> None:
    edges = (times[0], times[-1], len(channels) - 0.5, -0.5)
    style = area_colours(areas, n_classes)
    image = axes.imshow(areas, aspect="auto", extent=edges, interpolation="nearest", **style)
    axes.get_figure().colorbar(image, ax=axes, label="AUC of one channel").outline.set_visible(False)  # type: ignore[union-attr]
    step = -(-len(channels) // 32)
    axes.set_yticks(range(0, len(channels), step), [short(name, 10) for name in channels[::step]], fontsize=7)
    axes.tick_params(axis="y", length=0)


def _placed(evoked: Mapping[str, Any], kind: str) -> list[int]:
    types = [str(channel_type) for channel_type in evoked["channel_types"]]
    return [i for i, place in enumerate(evoked["positions_m"]) if place is not None and types[i] == kind]


def _peaks(strength: np.ndarray, times_s: np.ndarray, count: int = _MOST_PEAKS, apart_s: float = 0.06) -> list[int]:
    """Return up to `count` sample positions of the largest local maxima, at least `apart_s` from each other.

    Maxima below a third of the largest are noise beside it.
    """
    floor = max(float(strength.max(initial=0.0)) / 3, np.finfo(float).tiny)
    padded = np.concatenate([[-np.inf], strength, [-np.inf]])
    is_peak = (strength >= padded[:-2]) & (strength >= padded[2:]) & (strength >= floor)
    peaks: list[int] = []
    for index in np.argsort(-strength, kind="stable"):
        is_apart = all(abs(times_s[index] - times_s[other]) >= apart_s for other in peaks)
        if is_peak[index] and is_apart and len(peaks) < count:
            peaks.append(int(index))
    return sorted(peaks)


def _head_maps(
    evoked: Mapping[str, Any], chosen: Sequence[int], separability: np.ndarray, peaks: Sequence[int], kind: str
) -> str | None:
    import mne

    if not peaks:
        return None
    names = [f"{number}" for number in range(len(chosen))]  # MNE refuses repeated names, a report does not
    info = mne.create_info(names, 1000.0, kind)
    for channel, index in zip(info["chs"], chosen, strict=True):
        channel["loc"][:3] = evoked["positions_m"][index]
    style = area_colours(separability[:, peaks], len(evoked["classes"]))
    colours = {"cmap": style["cmap"], "vlim": (style["vmin"], style["vmax"])}
    figure = new_figure(WIDE, 2.15)
    grid = figure.subplots(1, _MOST_PEAKS, squeeze=False)[0]
    for axes in grid[len(peaks) :]:
        axes.set_visible(False)
    grid = grid[: len(peaks)]
    image: Any = None
    for axes, peak in zip(grid, peaks, strict=True):
        try:
            image, _ = mne.viz.plot_topomap(
                separability[:, peak], info, axes=axes, show=False, contours=0, res=96, size=1.6, **colours
            )
        except (RuntimeError, ValueError):  # electrodes on one line, or all at one place, span no map
            return None
        axes.set_title(f"{float(evoked['times_s'][peak]) * 1000:.0f} ms", loc="center")
    figure.colorbar(image, ax=list(grid), shrink=0.8, label="AUC of one channel")
    moments = ", ".join(f"{float(evoked['times_s'][peak]) * 1000:.0f}" for peak in peaks)
    return svg_of(figure, f"Head maps of single-channel AUC at {moments} milliseconds, when the classes differ most")
