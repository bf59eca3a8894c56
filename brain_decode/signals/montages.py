"""Electrode montages by name, whatever the version of MNE calls them."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import mne

from brain_decode.core.errors import unknown_option

__all__ = ["THINGS_EEG2_CHANNELS", "standard_montage"]

#: The 63 recorded electrodes of THINGS-EEG2 (Gifford et al. 2022), whose reference was Fz.
# fmt: off
THINGS_EEG2_CHANNELS = (
    "Fp1", "Fp2", "AF7", "AF3", "AFz", "AF4", "AF8", "F7", "F5", "F3", "F1", "F2", "F4", "F6", "F8", "FT9", "FT7",
    "FC5", "FC3", "FC1", "FCz", "FC2", "FC4", "FC6", "FT8", "FT10", "T7", "C5", "C3", "C1", "Cz", "C2", "C4", "C6",
    "T8", "TP9", "TP7", "CP5", "CP3", "CP1", "CPz", "CP2", "CP4", "CP6", "TP8", "TP10", "P7", "P5", "P3", "P1", "Pz",
    "P2", "P4", "P6", "P8", "PO7", "PO3", "POz", "PO4", "PO8", "O1", "Oz", "O2",
)
# fmt: on


@cache
def standard_montage(name: str) -> Any:
    """Return a montage that MNE brings.

    Raises:
        ConfigError: An unknown name.
    """
    available = mne.channels.get_builtin_montages()
    # MNE 1.14 renames these montages; both names stand for the same positions.
    wanted = name if name in available else name.replace("standard_", "colin27_")
    if wanted not in available:
        raise unknown_option("montage", name, available)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.channels.make_standard_montage(wanted)
