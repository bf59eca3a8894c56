"""A continuous signal as MNE sees it, for the steps that call MNE."""

from __future__ import annotations

from typing import Any

import numpy as np

from brain_decode.core.errors import DataError, SpecMismatch
from brain_decode.preprocessing.base import Continuous
from brain_decode.signals.sensors import Sensors

__all__ = ["has_position", "mne_info", "mne_raw", "require_positions", "sensors_of"]


def sensors_of(step: str, signal: Continuous) -> Sensors:
    """Return the sensors of a signal.

    Raises:
        SpecMismatch: It holds voxels.
    """
    if not isinstance(signal.sensors, Sensors):
        raise SpecMismatch(f"{step} works on sensors; the recording holds voxels. Use preprocessing=fmri.")
    return signal.sensors


def mne_info(signal: Continuous) -> Any:
    """Return an MNE `Info` for the channels of the signal, with what its header says about them.

    The header is used where it knows every channel with its type; else the `Info` is made from the sensors, and has
    no projectors, head position coils or digitisation.
    """
    import mne

    from brain_decode.signals.mne_conversion import info_from_sensors

    header, sensors = signal.header, sensors_of("a step of MNE", signal)
    if header is None or not _is_described(sensors, header):
        info = info_from_sensors(sensors, signal.rate_hz)
    else:
        order = {name: index for index, name in enumerate(header["ch_names"])}
        info = mne.pick_info(header, [order[name] for name in sensors.names], copy=True)
        with info._unlock():
            info["sfreq"] = signal.rate_hz
    info["bads"] = list(signal.bads)
    return info


def _is_described(sensors: Sensors, header: Any) -> bool:
    kinds = dict(zip(header["ch_names"], header.get_channel_types(), strict=True))
    pairs = zip(sensors.names, sensors.types, strict=True)
    return all(kind in ("misc", kinds.get(name)) for name, kind in pairs) and set(sensors.names) <= set(kinds)


def mne_raw(signal: Continuous, info: Any = None) -> Any:
    """Return the signal as `mne.io.RawArray` with its own copy of the samples."""
    import mne

    return mne.io.RawArray(signal.data.copy(), mne_info(signal) if info is None else info, verbose="ERROR")


def has_position(sensors: Sensors) -> np.ndarray:
    """Return (n_channels,) True where a channel has a position; zero and NaN both mean unknown."""
    positions = sensors.positions_m
    return np.isfinite(positions).all(axis=1) & (np.abs(positions) > 0).any(axis=1)


def require_positions(step: str, sensors: Sensors, indices: np.ndarray) -> None:
    """Refuse channels without a position.

    Raises:
        DataError: Some of these channels have none.
    """
    missing = [sensors.names[index] for index in indices[~has_position(sensors)[indices]]]
    if missing:
        raise DataError(
            f"{step} needs sensor positions; {missing} have none. Name a standard montage "
            "(datasets.loader.montage=standard_1020) or leave these channels out."
        )
