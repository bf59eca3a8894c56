"""The recordings of a run, each held against the decoder that scores them or against the run's first recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from brain_decode.decoder.adaptation import adapted_recording, is_unchanged
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.passport import Passport
from brain_decode.decoder.passport_checks import passport_of
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import Recording
from brain_decode.training.fitting import input_spec_of
from brain_decode.training.trials import Trials

__all__ = ["accepted_recordings", "passport_evidence", "passports_against_first", "repairs"]


def accepted_recordings(
    decoder: BrainDecoder, recordings: Sequence[Recording], input_unit: str | None = None
) -> tuple[list[Passport], list[Recording]]:
    """Return the passport of each recording, and the recordings as the decoder reads them.

    Raises:
        SpecMismatch: A recording the decoder refuses.
    """
    passports = [decoder.passport(recording, input_unit=input_unit) for recording in recordings]
    wanted = decoder.input_spec.sensors
    adapted = [
        adapted_recording(recording, wanted, passport) if _needs_work(passport) else recording
        for recording, passport in zip(recordings, passports, strict=True)
    ]
    return passports, adapted


def _needs_work(passport: Passport) -> bool:
    """A refused passport is handed on too, so that it is refused in one place."""
    return not passport.is_accepted or not is_unchanged(passport)


def passports_against_first(trials: Trials, preprocessing: Preprocessing) -> list[Passport]:
    """Return the passport of each recording of a training run against its first recording."""
    expected = input_spec_of(trials, preprocessing)
    name = "the first recording"
    return [passport_of(recording, preprocessing, expected, decoder=name) for recording in trials.recordings]


def repairs(trials: Trials, preprocessing: Preprocessing) -> list[dict[str, str]]:
    """Return what was filled in when recordings were opened and repaired when they were prepared, for the report."""
    entries = trials.store(preprocessing).entries
    pairs = zip(trials.recordings, entries, strict=True)
    return [
        {"recording": recording.label, "what": note}
        for recording, entry in pairs
        for note in (*recording.notes, *entry.notes)
    ]


def passport_evidence(passports: Sequence[Passport], against: str) -> dict[str, Any] | None:
    """Return the table of the report: one row per recording, one cell per property.

    Args:
        passports: In the order of the recordings.
        against: What they were held against: "the decoder" or "the first recording".

    Returns:
        {"against", "columns", "expected", "rows": [{"recording", "state", "cells": [{"text", "state", "action"}]}]};
        None without recordings.
    """
    if not passports:
        return None
    columns = list(dict.fromkeys(line.what for passport in passports for line in passport.lines))
    expected = {line.what: line.expected for passport in passports for line in passport.lines}
    rows = [
        {
            "recording": passport.recording,
            "state": _worst(passport),
            "cells": [_cell(passport, what) for what in columns],
        }
        for passport in passports
    ]
    return {"against": against, "columns": columns, "expected": [expected[what] for what in columns], "rows": rows}


def _worst(passport: Passport) -> str:
    present = {line.state for line in passport.lines}
    return next((state for state in ("refused", "will be changed", "noted") if state in present), "ok")


def _cell(passport: Passport, what: str) -> dict[str, str]:
    for line in passport.lines:
        if line.what == what:
            return {"text": line.found, "state": line.state, "action": line.action}
    return {"text": "", "state": "ok", "action": ""}
