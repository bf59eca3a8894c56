"""Signal-space projection, and removal of the signals of continuous head position coils; both MNE's."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from brain_decode.core.errors import ConfigError, DataError, unknown_option
from brain_decode.core.log import get_logger
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.preprocessing.mne_signal import mne_info, mne_raw

__all__ = ["RemoveHeadPositionSignals", "SignalSpaceProjection"]

_LOG = get_logger(__name__)
_ORIGINS = ("stored", "ecg", "eog")


@dataclass
class SignalSpaceProjection(SignalStep):
    """Project out directions of sensor space; nothing is fitted over recordings, each has its own projectors.

    Args:
        origin: "stored" applies the projectors in the recording's header; "ecg" and "eog" compute them from heart
            beats or blinks of this recording, and leave the stored ones alone.
        channel: Channel with the heart or the eyes; None lets MNE choose (for the heart it can do without one). Begin
            with `pick` to keep that channel until here.
        n_vectors: Directions for each of magnetometers, gradiometers and EEG, where they are computed.

    Source: Uusitalo and Ilmoniemi 1997.
    """

    name = "ssp"
    uses_everything = "computes its projectors from the whole recording"

    origin: str = "stored"
    channel: str | None = None
    n_vectors: int = 1

    def __post_init__(self) -> None:
        if self.origin not in _ORIGINS:
            raise unknown_option("origin of projectors", self.origin, _ORIGINS)
        if self.n_vectors < 1:
            raise ConfigError(f"ssp needs n_vectors of at least 1; got {self.n_vectors}.")

    @property
    def is_causal(self) -> bool:  # type: ignore[override]
        """True for stored projectors, which mix channels at one time only."""
        return self.origin == "stored"

    def apply(self, signal: Continuous) -> Continuous:
        """Return the projected signal, its header with the projectors marked as applied.

        Raises:
            DataError: No projector in the header, or no heart beat or blink in the recording.
        """
        raw = mne_raw(signal, mne_info(signal))
        if self.origin == "stored":
            if not raw.info["projs"]:
                raise DataError(
                    "ssp finds no projectors in the header of the recording. Compute them (origin: ecg or eog), or "
                    "leave ssp out."
                )
        else:
            raw.del_proj([i for i, projector in enumerate(raw.info["projs"]) if not projector["active"]])
            raw.add_proj(self._computed(raw), verbose="ERROR")
        raw.apply_proj(verbose="ERROR")
        _LOG.info("ssp applied %s.", "; ".join(projector["desc"] for projector in raw.info["projs"]))
        return replace(signal, data=raw.get_data(), header=raw.info)

    @property
    def is_transductive(self) -> bool:  # type: ignore[override]
        """True where projectors are computed from the recording."""
        return self.origin != "stored"

    def reach_s(self, rate_hz: float) -> float:
        """Return zero for stored projectors, infinity for those of the recording's own heart beats or blinks."""
        return 0.0 if self.origin == "stored" else math.inf

    def _computed(self, raw: Any) -> list[Any]:
        from mne.preprocessing import compute_proj_ecg, compute_proj_eog

        compute = compute_proj_ecg if self.origin == "ecg" else compute_proj_eog
        number = {"n_grad": self.n_vectors, "n_mag": self.n_vectors, "n_eeg": self.n_vectors}
        try:
            projectors, events = compute(
                raw, ch_name=self.channel, no_proj=True, reject=None, verbose="ERROR", **number
            )
        except (RuntimeError, ValueError) as error:
            raise DataError(
                f"ssp cannot compute projectors from {self.origin} events: {error} Keep a channel of that type with a "
                "leading pick, or name it (channel=)."
            ) from error
        if not projectors or not len(events):
            raise DataError(f"ssp finds no {self.origin} event in the recording. Name the channel (channel=).")
        return projectors


@dataclass
class RemoveHeadPositionSignals(SignalStep):
    """Subtract the sinusoids of continuous head position coils from MEG, at the frequencies in the header.

    Args:
        include_line: Fit and subtract the mains and its harmonics too, where the header states the mains frequency.
    """

    name = "remove_chpi"
    is_causal = False
    uses_everything = "fits sinusoids over windows whose length only the header of each recording says"

    include_line: bool = True

    def apply(self, signal: Continuous) -> Continuous:
        """Return the signal without the coils.

        Raises:
            DataError: No MEG channel, or a header without frequencies of head position coils.
        """
        from mne.chpi import filter_chpi, get_chpi_info

        if not {"mag", "grad"} & set(signal.sensors.types):
            raise DataError(f"remove_chpi needs MEG channels; the recording has {sorted(set(signal.sensors.types))}.")
        info = mne_info(signal)
        try:
            frequencies_hz = get_chpi_info(info, on_missing="raise", verbose="ERROR")[0]
        except (ValueError, KeyError, IndexError) as error:
            raise DataError(
                "remove_chpi finds no head position coils in the header of the recording, so they were off or the "
                "header was lost. Leave remove_chpi out."
            ) from error
        raw = mne_raw(signal, info)
        has_line = self.include_line and info["line_freq"] is not None
        filter_chpi(raw, include_line=has_line, verbose="ERROR")
        _LOG.info("remove_chpi subtracted coils at %s Hz.", ", ".join(f"{value:g}" for value in frequencies_hz))
        return signal.with_data(raw.get_data())
