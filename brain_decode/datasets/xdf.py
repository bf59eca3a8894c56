"""Recordings of LabStreamingLayer (XDF)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np

from brain_decode.core.errors import DataError, MissingExtra

__all__ = ["DAMAGED", "read_xdf"]

DAMAGED = "The file is damaged or cut off"  # how the warning begins when parts of the file were skipped

_VOLTS = {"microvolts": 1e-6, "microvolt": 1e-6, "uv": 1e-6, "µv": 1e-6, "millivolts": 1e-3, "mv": 1e-3, "volts": 1.0}
_SIGNAL_TYPES = ("EEG", "MEG", "ECOG", "SEEG")


class _Noticed(logging.Handler):
    """Counts the places that pyxdf could not read; it goes on after each and only logs it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.n_breaks = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.n_breaks += "corruption" in record.getMessage()


def read_xdf(path: Path) -> Any:
    """Return the brain signal of an XDF file as `mne.io.RawArray`, with the markers of its other streams.

    The signal is the stream of type EEG (or MEG, ECoG, SEEG) with the most samples. Values without a stated unit are
    microvolts, as amplifiers of LabStreamingLayer send them.

    Raises:
        MissingExtra: pyxdf is not installed.
        DataError: A damaged file, or one without such a stream.
    """
    try:
        import pyxdf
    except ImportError as error:
        raise MissingExtra(f"{path.name} needs pyxdf: install brain_decode[formats].") from error
    noticed = _Noticed()
    logging.getLogger("pyxdf.pyxdf").addHandler(noticed)
    try:
        streams, _ = pyxdf.load_xdf(str(path), verbose=False)
    except Exception as error:  # pyxdf raises whatever the damaged bytes lead to
        raise DataError(f"{path.name} could not be read as XDF: {error}. Copy the file again.") from error
    finally:
        logging.getLogger("pyxdf.pyxdf").removeHandler(noticed)
    if noticed.n_breaks:
        warnings.warn(f"{DAMAGED}: {noticed.n_breaks} of its parts could not be read and were skipped.", stacklevel=2)
    signal = _signal_stream(streams, path)
    stamps = np.asarray(signal["time_stamps"])
    rate = float(_text(signal["info"], "nominal_srate"))
    names, factors = _channels(signal)
    info = mne.create_info(names, rate, "eeg")
    raw = mne.io.RawArray(np.asarray(signal["time_series"], dtype=float).T * factors[:, None], info, verbose="ERROR")
    raw.set_annotations(_markers(streams, float(stamps[0])))
    return raw


def _signal_stream(streams: Sequence[Mapping[str, Any]], path: Path) -> Mapping[str, Any]:
    described = [f"'{_text(s['info'], 'name')}' of type {_text(s['info'], 'type')}" for s in streams]
    fitting = [
        stream
        for stream in streams
        if _text(stream["info"], "type").upper() in _SIGNAL_TYPES
        and len(stream["time_series"])
        and float(_text(stream["info"], "nominal_srate") or 0) > 0
    ]
    if not fitting:
        raise DataError(
            f"{path.name} has no stream of type EEG with samples and a rate; it has {'; '.join(described) or 'none'}. "
            "Record the amplifier's stream, or give another file."
        )
    return max(fitting, key=lambda stream: len(stream["time_series"]))


def _text(info: Mapping[str, Any], key: str) -> str:
    values = info.get(key) or [""]
    return str(values[0] or "")


def _channels(stream: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Return names and factors to volts, from the description of the stream where it has one."""
    n_channels = np.shape(stream["time_series"])[1]
    description = (stream["info"].get("desc") or [None])[0] or {}
    listed = ((description.get("channels") or [None])[0] or {}).get("channel") or []
    if len(listed) != n_channels:
        return [f"{number + 1}" for number in range(n_channels)], np.full(n_channels, 1e-6)
    names = [_text(channel, "label") or f"{number + 1}" for number, channel in enumerate(listed)]
    factors = [_VOLTS.get(_text(channel, "unit").lower(), 1e-6) for channel in listed]
    return names, np.array(factors)


def _markers(streams: Sequence[Mapping[str, Any]], start_s: float) -> mne.Annotations:
    """Return the text samples of all streams as annotations, on the clock of the signal."""
    onsets: list[float] = []
    texts: list[str] = []
    for stream in streams:
        if isinstance(stream["time_series"], list):
            onsets += [float(stamp) - start_s for stamp in stream["time_stamps"]]
            texts += [str(sample[0]) for sample in stream["time_series"]]
    return mne.Annotations(onsets, 0.0, texts)
