"""The checks behind a passport: each holds one property of a recording against what the decoder was trained with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from brain_decode.core.errors import MOST_NAMED, SpecMismatch, and_more, listed, unknown_option
from brain_decode.decoder.channel_matching import ChannelMatch, MatchingLimits, match_channels
from brain_decode.decoder.input_volumes import pick_voxels, require_same_interval
from brain_decode.decoder.passport import Passport, PassportLine
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.amplitude import amplitude_sample, typical_amplitudes, unit_factor_guess
from brain_decode.signals.recording import Recording
from brain_decode.signals.sampling import n_samples
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.units import UNIT_FACTORS
from brain_decode.signals.voxels import Voxels

if TYPE_CHECKING:
    from brain_decode.decoder.brain_decoder import InputSpec

__all__ = ["INPUT_UNITS", "passport_of"]

# What a user may say the numbers of a file are in.
INPUT_UNITS = {name: factor for name, factor in UNIT_FACTORS.items() if name != "1"}
_DISPLACED_M = 0.04  # channels of one name this far apart are other electrodes of other layouts


def passport_of(
    recording: Recording,
    preprocessing: Preprocessing,
    expected: InputSpec,
    *,
    decoder: str = "the decoder",
    input_unit: str | None = None,
    limits: MatchingLimits | None = None,
) -> Passport:
    """Return the passport of a recording for a decoder; nothing is changed.

    Names that are spelled otherwise are matched; so are electrodes within 10 mm, and up to a quarter of the channels
    is estimated from its neighbours: these are applied and said. A unit that the amplitude contradicts is refused,
    because scaling in silence would hide a wrong file: the user says the unit in `input_unit`.

    Args:
        recording: Continuous, or cut trials.
        preprocessing: The decoder's steps.
        expected: What the decoder was trained with.
        decoder: Name of the decoder for the text.
        input_unit: What the numbers of the file really are in ("uV", "mV", "fT", …); None trusts the file.
        limits: How far positions and interpolation may go.

    Raises:
        SpecMismatch: The recording holds voxels and the decoder reads sensors.
        ConfigError: An unknown `input_unit`.
    """
    wanted = expected.sensors
    if isinstance(wanted, Voxels):
        return _passport_of_volumes(recording, preprocessing, expected, wanted, decoder)
    if not isinstance(recording.space, Sensors):
        raise SpecMismatch(f"{recording.label} holds voxels; this decoder reads sensors {list(wanted.names)}.")
    if input_unit is not None and input_unit not in INPUT_UNITS:
        raise unknown_option("input_unit", input_unit, INPUT_UNITS)
    factor = 1.0 if input_unit is None else INPUT_UNITS[input_unit]
    matches = match_channels(wanted, recording.space, limits)
    rate, resampled = _rate(recording, preprocessing, expected)
    used = {match.source for match in matches}
    lines = (
        *_channels(matches, recording.space, wanted),
        _unit(recording, recording.space, matches, expected, input_unit, factor),
        rate,
        _window(recording, expected),
        *_trial_filters(recording, preprocessing),
        _reference(recording, preprocessing, expected),
        _line_frequency(recording, preprocessing, expected),
        *_bad_channels(recording, matches),
    )
    return Passport(
        recording=_shown_name(recording),
        decoder=decoder,
        lines=lines,
        channels=matches,
        unused=tuple(name for name in _decoded_names(recording.space) if name not in used),
        unit_factor=factor,
        resampled_to_hz=resampled,
        notes=recording.notes,
    )


def _passport_of_volumes(
    recording: Recording, preprocessing: Preprocessing, expected: InputSpec, wanted: Voxels, decoder: str
) -> Passport:
    """Return the passport of volumes: the decoder's voxels are there, at the interval of training, for long enough."""
    have = f"{len(recording.space)} {'voxels' if isinstance(recording.space, Voxels) else 'sensors'}"
    voxels = PassportLine("voxels", "ok", have, f"{len(wanted)} voxels")
    apart = f"{1 / recording.rate_hz:g} s apart", f"{1 / expected.rate_hz:g} s apart"
    interval = PassportLine("volumes", "ok", *apart)
    try:
        pick_voxels(recording, wanted)
    except SpecMismatch as error:
        voxels = PassportLine("voxels", "refused", have, voxels.expected, str(error))
    try:
        require_same_interval(recording, expected.rate_hz, [step.name for step in preprocessing.signal_steps])
    except SpecMismatch as error:
        interval = PassportLine("volumes", "refused", *apart, str(error))
    lines = (voxels, interval, _window(recording, expected))
    return Passport(_shown_name(recording), decoder, lines, notes=recording.notes)


def _shown_name(recording: Recording) -> str:
    """Return the file's name where the entities say nothing more than it."""
    entities = recording.entities
    if recording.files and not (entities.session or entities.task or entities.run):
        return recording.files[0].name
    return "the recording" if entities.subject == "unknown" else recording.label


def _channels(matches: Sequence[ChannelMatch], found: Sensors, wanted: Sensors) -> list[PassportLine]:
    expected = f"{len(wanted)} {_kinds(wanted)}: {listed(wanted.names)}"
    missing = [match.name for match in matches if match.way == "missing"]
    estimated = [match.name for match in matches if match.way == "interpolated"]
    placed = [match for match in matches if match.way == "position"]
    spelled = [match for match in matches if match.way == "alias"]
    exact = len(matches) - len(missing) - len(estimated) - len(placed) - len(spelled)
    counts = [(exact, "by name"), (len(spelled), "by another spelling"), (len(placed), "by position")]
    counts += [(len(estimated), "interpolated"), (len(missing), "missing")]
    have = ", ".join(f"{count} {how}" for count, how in counts if count)
    if missing:
        return [PassportLine("channels", "refused", _lacking(missing, have, found), expected, _remedy(found, wanted))]
    actions = []
    if spelled:
        actions.append("renamed: " + listed([f"{m.source} is {m.name}" for m in spelled]))
    if placed:
        told = [f"{m.source} for {m.name} ({1e3 * (m.distance_m or 0):.1f} mm)" for m in placed]
        actions.append("nearest electrode taken: " + listed(told))
    if estimated:
        actions.append(f"estimated from their neighbours (spherical splines): {listed(estimated)}")
    spare = [name for name in _decoded_names(found) if name not in {match.source for match in matches}]
    if spare:
        actions.append(f"not read: {listed(spare)}")
    changed = bool(placed or estimated or spelled)
    line = PassportLine("channels", "will be changed" if changed else "ok", have, expected, "; ".join(actions))
    return [line, *_sensor_types(matches, found, wanted), *_displaced(matches, found, wanted)]


def _lacking(missing: Sequence[str], have: str, found: Sensors) -> str:
    return f"{have}; lacks {list(missing[:MOST_NAMED])}{and_more(missing)} and has {listed(_decoded_names(found))}"


def _remedy(found: Sensors, wanted: Sensors) -> str:
    kinds = set(found.types) & set(wanted.types)
    if not kinds:
        return f"This is another kind of recording; the decoder reads {_kinds(wanted)}"
    no_places = not np.isfinite(found.positions_m).any()
    places = ", set a montage so that they can be matched by position" if no_places and "eeg" in kinds else ""
    return f"Rename the channels if they have other names here{places}, or train on the channels both have"


def _sensor_types(matches: Sequence[ChannelMatch], found: Sensors, wanted: Sensors) -> list[PassportLine]:
    types_found, types_wanted = _types(found), _types(wanted)
    wrong = [m for m in matches if m.source and types_found[m.source] != types_wanted[m.name]]
    if not wrong:
        return []
    have = listed([f"{m.source} is {types_found[m.source]}" for m in wrong])
    need = listed([f"{m.name} {types_wanted[m.name]}" for m in wrong])
    setting = ", ".join(f"'{m.source}': '{types_wanted[m.name]}'" for m in wrong[:3])
    more = ", …" if len(wrong) > 3 else ""
    return [PassportLine("sensor types", "refused", have, need, f"Use raw.set_channel_types({{{setting}{more}}})")]


def _types(sensors: Sensors) -> dict[str, str]:
    return dict(zip(sensors.names, sensors.types, strict=True))


def _displaced(matches: Sequence[ChannelMatch], found: Sensors, wanted: Sensors) -> list[PassportLine]:
    if found.coordinate_frame != wanted.coordinate_frame:
        return []
    pairs = [match for match in matches if match.way in ("name", "alias")]
    there = found.positions_m[found.indices([match.source for match in pairs])]
    here = wanted.positions_m[wanted.indices([match.name for match in pairs])]
    distances = np.linalg.norm(there - here, axis=1)
    far = [f"{m.source} ({1e3 * d:.0f} mm)" for m, d in zip(pairs, distances, strict=True) if d > _DISPLACED_M]
    if not far:
        return []
    action = "Check that both layouts mean the same electrodes by these names (BioSemi's A1 is not an ear)"
    return [PassportLine("electrode places", "noted", f"away from training: {listed(far)}", "the same places", action)]


def _unit(
    recording: Recording,
    space: Sensors,
    matches: Sequence[ChannelMatch],
    expected: InputSpec,
    unit: str | None,
    factor: float,
) -> PassportLine:
    rows = space.indices([match.source for match in matches if match.source] or _decoded_names(space))
    types = [space.types[row] for row in rows]
    samples = amplitude_sample(recording, rows) if len(rows) else np.zeros((0, 0))
    found, guess = typical_amplitudes(samples, types), unit_factor_guess(samples * factor, types, expected.amplitudes)
    have = _amplitudes(found) or "no amplitude to judge"
    need = _amplitudes(expected.amplitudes) or "the size of brain signals"
    if guess is not None and guess != 1.0:
        return PassportLine("unit", "refused", have, need, _unit_remedy(guess, unit, types))
    if factor != 1.0:
        return PassportLine("unit", "will be changed", have, need, f"multiplied by {factor:g}: input_unit={unit}")
    return PassportLine("unit", "ok", have, need)


def _unit_remedy(guess: float, unit: str | None, types: Sequence[str]) -> str:
    if unit is not None:
        return f"input_unit={unit} does not make the size believable; leave it out or check the file"
    names = ("V", "mV", "uV", "nV") if "eeg" in types or "seeg" in types or "ecog" in types else ("pT", "fT")
    fitting = [name for name in names if np.isclose(INPUT_UNITS[name], guess)]
    if fitting:
        return (
            f"The numbers look like {fitting[0]} labelled as {_si_unit(types[0])}: if so, say input_unit={fitting[0]}"
        )
    if guess > 1:
        return "The numbers were scaled down once too often; read the file in its own unit"
    return f"The numbers are about {1 / guess:g} times too large; check the unit of the file"


def _amplitudes(amplitudes: object) -> str:
    return ", ".join(f"{kind} {_quantity(value, kind)}" for kind, value in dict(amplitudes or {}).items())  # type: ignore[call-overload]


def _quantity(value: float, kind: str) -> str:
    """Return an amplitude with the prefix people use for it."""
    scale, unit = {"mag": (1e15, "fT"), "grad": (1e13, "fT/cm"), "feature": (1.0, "")}.get(kind, (1e6, "µV"))
    shown = value * scale
    return f"{shown:.3g} {unit}".rstrip() if 1e-3 <= shown < 1e5 else f"{value:.3g} {_si_unit(kind)}".rstrip()


def _si_unit(kind: str) -> str:
    return {"mag": "T", "grad": "T/m", "feature": ""}.get(kind, "V")


def _rate(recording: Recording, preprocessing: Preprocessing, expected: InputSpec) -> tuple[PassportLine, float | None]:
    """Return the line about the sampling rate, and the rate to resample to where the decoder's steps do not do it."""
    have, need = f"{recording.rate_hz:g} Hz", f"{expected.rate_hz:g} Hz"
    if abs(recording.rate_hz - expected.rate_hz) <= 1e-6:
        return PassportLine("sampling rate", "ok", have, need), None
    if not recording.continuous:
        remedy = "Resample them before: epochs.resample, or better the continuous recording before cutting"
        return PassportLine("sampling rate", "refused", f"trials at {have}", need, remedy), None
    highest = min([expected.rate_hz / 2, *_upper_edges(preprocessing)])
    if recording.rate_hz / 2 <= highest and recording.rate_hz < expected.rate_hz:
        remedy = f"The decoder uses frequencies up to {highest:g} Hz, which {have} does not hold; record at {need}"
        return PassportLine("sampling rate", "refused", have, need, remedy), None
    own = [step.rate_hz for step in preprocessing.signal_steps if step.name == "resample"]  # type: ignore[attr-defined]
    if own:
        action = f"the decoder's own steps resample to {own[-1]:g} Hz"
        return PassportLine("sampling rate", "will be changed", have, need, action), None
    return PassportLine("sampling rate", "will be changed", have, need, f"resampled to {need}"), expected.rate_hz


def _upper_edges(preprocessing: Preprocessing) -> list[float]:
    edges = [step.settings().get("high_hz") for step in preprocessing.signal_steps if step.name == "bandpass"]
    return [float(edge) for edge in edges if edge is not None]


def _window(recording: Recording, expected: InputSpec) -> PassportLine:
    need = f"windows of {expected.stop_s - expected.start_s:.3g} s, {expected.start_s:g} to {expected.stop_s:g} s"
    if recording.continuous:
        have = f"{recording.duration_s:.4g} s, {len(recording.events)} events"
        if recording.duration_s < expected.stop_s - expected.start_s - 0.5 / recording.rate_hz:
            return PassportLine("duration", "refused", have, need, "The recording is shorter than one window")
        action = "" if len(recording.events) else "no events: windows follow each other from the start"
        return PassportLine("duration", "ok" if len(recording.events) else "noted", have, need, action)
    stop_s = recording.start_s + recording.duration_s
    have = f"{recording.source.n_trials} trials of {recording.start_s:g} to {stop_s:g} s"
    first = n_samples(expected.start_s - recording.start_s, recording.rate_hz)
    length = n_samples(expected.stop_s - expected.start_s, recording.rate_hz)
    if first < 0 or first + length > recording.n_times:
        return PassportLine("duration", "refused", have, need, "Cut longer trials")
    return PassportLine("duration", "ok", have, need)


def _trial_filters(recording: Recording, preprocessing: Preprocessing) -> list[PassportLine]:
    """Cut trials cannot be filtered; accept them only when their header shows that it was done before."""
    if recording.continuous:
        return []
    header = recording.header
    for step in preprocessing.signal_steps:
        settings = step.settings()
        low, high = settings.get("low_hz"), settings.get("high_hz")
        is_done = (
            step.name == "bandpass"
            and header is not None
            and (low is None or header["highpass"] >= 0.5 * low)
            and (high is None or header["lowpass"] <= 1.5 * high)
        )
        if step.name == "pick" or is_done:
            continue
        remedy = f"raw.filter({low}, {high}) before cutting" if step.name == "bandpass" else "the continuous recording"
        need = f"'{step.name}' {settings} on the continuous recording, which cannot be done on cut trials"
        action = f"Pass the mne.io.Raw, or use {remedy}"
        return [PassportLine("filters", "refused", "cut trials that were not filtered so", need, action)]
    return []


def _reference(recording: Recording, preprocessing: Preprocessing, expected: InputSpec) -> PassportLine:
    have, need = recording.reference or "not stated", expected.reference or "not stated"
    own = [step.settings().get("to") for step in preprocessing.signal_steps if step.name == "rereference"]
    if own:
        target = own[-1] if isinstance(own[-1], str) else ", ".join(own[-1] or ())
        return PassportLine("reference", "ok", have, need, f"the decoder's own steps re-reference to {target}")
    if recording.reference and expected.reference and not _same_word(have, need):
        action = "left as it is: scores can suffer. Re-reference both to the average in preprocessing"
        return PassportLine("reference", "noted", have, need, action)
    return PassportLine("reference", "ok", have, need)


def _same_word(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()


def _line_frequency(recording: Recording, preprocessing: Preprocessing, expected: InputSpec) -> PassportLine:
    have, need = _mains(recording.line_frequency_hz), _mains(expected.line_frequency_hz)
    mains = recording.line_frequency_hz
    notched = [step.settings()["line_hz"] for step in preprocessing.signal_steps if step.name == "notch"]
    if mains and notched and not any(abs(mains - hz) < 1 for hz in notched):
        action = f"the decoder's notch removes {notched[0]:g} Hz, so hum of {mains:g} Hz stays in"
        return PassportLine("line frequency", "noted", have, need, action)
    reaches = min([recording.rate_hz / 2, *_upper_edges(preprocessing)])
    differs = bool(mains and expected.line_frequency_hz and abs(mains - expected.line_frequency_hz) >= 1)
    if differs and not notched and reaches > min(mains or 0, expected.line_frequency_hz or 0):
        action = "left as it is: the decoder's band includes the mains, and here it hums at another frequency"
        return PassportLine("line frequency", "noted", have, need, action)
    return PassportLine("line frequency", "ok", have, need)


def _mains(frequency_hz: float | None) -> str:
    return "not stated" if frequency_hz is None else f"{frequency_hz:g} Hz"


def _bad_channels(recording: Recording, matches: Sequence[ChannelMatch]) -> list[PassportLine]:
    bad = [match.source for match in matches if match.source in recording.bads]
    if not bad:
        return []
    action = "read as they are: the decoder needs them. Use raw.interpolate_bads() before"
    return [PassportLine("bad channels", "noted", listed(bad), "none", action)]


def _decoded_names(sensors: Sensors) -> list[str]:
    return [sensors.names[index] for index in sensors.decoded_indices()]


def _kinds(sensors: Sensors) -> str:
    return " and ".join(sorted(set(sensors.types)))
