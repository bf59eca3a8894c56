"""Sensors of a simulated laboratory, and what a dipole in a spherical head looks like to them."""

from __future__ import annotations

from dataclasses import dataclass

import mne
import numpy as np
from mne.io.constants import FIFF

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.signals.montages import THINGS_EEG2_CHANNELS, standard_montage

__all__ = [
    "BRAIN_RADIUS_M",
    "CAPS",
    "HEAD_CENTRE_M",
    "HEAD_RADIUS_M",
    "Helmet",
    "eeg_info",
    "gain_matrix",
    "meg_info",
]

HEAD_CENTRE_M = (0.0, 0.0, 0.04)
HEAD_RADIUS_M = 0.095
BRAIN_RADIUS_M = 0.9 * HEAD_RADIUS_M
#: Number of electrodes to the montage that holds their positions.
CAPS = {16: "biosemi16", 32: "biosemi32", 63: "standard_1005", 64: "biosemi64", 128: "biosemi128"}


@dataclass(frozen=True)
class Helmet:
    """One kind of magnetometer: its coil definition, unit deviation and distance from the head centre.

    Args:
        coil: Name of the coil type in the FIFF standard.
        kind: FIFF unit and channel type follow from it.
        radius_m: Distance of the sensors from the centre of the head.
        noise_t: Deviation of the sensor noise between 0 and 125 Hz, in tesla.
    """

    coil: int
    kind: str
    radius_m: float
    noise_t: float


HELMETS = {
    "opm": Helmet(int(FIFF.FIFFV_COIL_QUSPIN_ZFOPM_MAG2), "mag", 0.105, 1.7e-13),
    "ctf": Helmet(int(FIFF.FIFFV_COIL_CTF_GRAD), "mag", 0.120, 8e-14),
}


def eeg_info(n_channels: int, rate_hz: float) -> mne.Info:
    """Return an EEG cap of 16, 32, 64 or 128 electrodes at the BioSemi positions, or the 63 of THINGS-EEG2.

    Raises:
        ConfigError: Another number.
    """
    if n_channels not in CAPS:
        raise unknown_option("number of electrodes", str(n_channels), [str(n) for n in CAPS])
    montage = standard_montage(CAPS[n_channels])
    names = list(THINGS_EEG2_CHANNELS) if n_channels == 63 else montage.ch_names
    info = mne.create_info(names, rate_hz, "eeg", verbose=False)
    info.set_montage(montage, verbose=False)
    return info


def meg_info(n_channels: int, rate_hz: float, system: str = "opm") -> mne.Info:
    """Return a helmet of radial magnetic sensors spread evenly over the upper part of the head.

    Args:
        n_channels: Sensors, at least 4.
        rate_hz: Samples per second.
        system: "opm" (on the scalp) or "ctf" (axial gradiometers in a dewar).

    Raises:
        ConfigError: Fewer sensors, or an unknown system.
    """
    if system not in HELMETS:
        raise unknown_option("MEG system", system, HELMETS)
    if n_channels < 4:
        raise ConfigError(f"A helmet has at least 4 sensors, got {n_channels}.")
    helmet = HELMETS[system]
    names = [f"MEG{number + 1:03d}" for number in range(n_channels)]
    info = mne.create_info(names, rate_hz, helmet.kind, verbose=False)
    outward = _spread(n_channels)
    with info._unlock():
        for channel, normal in zip(info["chs"], outward, strict=True):
            channel["loc"] = np.concatenate([np.add(HEAD_CENTRE_M, helmet.radius_m * normal), *_frame(normal)])
            channel["coil_type"] = helmet.coil
            channel["coord_frame"] = FIFF.FIFFV_COORD_DEVICE
        info["dev_head_t"] = mne.Transform("meg", "head", np.eye(4))
    return info


def _spread(count: int, lowest: float = -0.35) -> np.ndarray:
    """Return (count, 3) unit vectors, evenly spread over the sphere above height `lowest` (Fibonacci lattice)."""
    height = 1 - (1 - lowest) * (np.arange(count) + 0.5) / count
    turn = np.pi * (3 - np.sqrt(5)) * np.arange(count)
    across = np.sqrt(1 - height**2)
    return np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)


def _frame(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a right-handed coil frame whose third axis is `normal`."""
    other = np.array([1.0, 0.0, 0.0]) if abs(normal[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first = np.cross(other, normal)
    first /= np.linalg.norm(first)
    return first, np.cross(normal, first), normal


def gain_matrix(info: mne.Info, positions_m: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Return the field of unit dipoles at the sensors.

    Args:
        info: All EEG or all MEG, in head coordinates.
        positions_m: (dipole, 3) inside the sphere of `BRAIN_RADIUS_M` around `HEAD_CENTRE_M`.
        moments: (dipole, 3) unit vectors.

    Returns:
        (channel, dipole): V/(A m) against the average reference for EEG, T/(A m) for MEG.

    Raises:
        ConfigError: A dipole outside the brain.
    """
    depth = np.linalg.norm(positions_m - np.array(HEAD_CENTRE_M), axis=1)
    if depth.max() >= BRAIN_RADIUS_M:
        raise ConfigError(f"Dipoles lie within {BRAIN_RADIUS_M:g} m of the head centre, one is at {depth.max():.3g} m.")
    sphere = mne.make_sphere_model(HEAD_CENTRE_M, HEAD_RADIUS_M, verbose=False)
    sources = mne.setup_volume_source_space(
        None, pos={"rr": positions_m, "nn": moments}, sphere=sphere, sphere_units="m", verbose=False
    )
    is_meg = "mag" in info.get_channel_types(unique=True)
    forward = mne.make_forward_solution(
        info, trans=None, src=sources, bem=sphere, meg=is_meg, eeg=not is_meg, mindist=0.0, verbose=False
    )
    free = forward["sol"]["data"].reshape(len(info.ch_names), len(positions_m), 3)
    gain = np.einsum("cdk,dk->cd", free, moments)
    return gain if is_meg else gain - gain.mean(axis=0)
