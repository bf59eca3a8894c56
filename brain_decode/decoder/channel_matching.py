"""Which channel of a recording stands for which channel of a decoder: by name, by position, or estimated."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spherical_splines import spline_weights

__all__ = ["ChannelMatch", "MatchingLimits", "canonical_name", "match_channels", "mixing_matrix"]

Way = Literal["name", "alias", "position", "interpolated", "missing"]

# The two names of four electrodes (10-20 system of 1958, and the extended system of 1991).
_RENAMED = {"t3": "t7", "t4": "t8", "t5": "p7", "t6": "p8"}
_PREFIX = re.compile(r"^(eeg|meg|seeg|ecog|ieeg|pol)[\s_:-]*(?=\w)")
_SUFFIX = re.compile(r"[\s_-]+(ref|le|avg|ar|av|a1|a2|a1a2|m1|m2|m1m2|ground|gnd)\d*$")
_FAR = 1e3  # metres; a pair that may not be matched


@dataclass(frozen=True)
class MatchingLimits:
    """How far matching may go before a channel counts as missing.

    Args:
        distance_m: Largest distance of a match by position.
        interpolated_share: Largest part of the decoder's channels that may be estimated from their neighbours.
        least_neighbours: Electrodes an estimate needs in all.
        neighbour_distance_m: At least three electrodes must lie this near to the one that is estimated.
    """

    distance_m: float = 0.010
    interpolated_share: float = 0.25
    least_neighbours: int = 8
    neighbour_distance_m: float = 0.080  # neighbours in the 10-20 system lie up to 76 mm apart


@dataclass(frozen=True)
class ChannelMatch:
    """Where one channel of the decoder comes from.

    Args:
        name: The decoder's channel.
        way: "name" (exact), "alias" (another spelling of it), "position", "interpolated" or "missing".
        source: The recording's channel; empty for channels that are interpolated or missing.
        distance_m: Distance between the two for a match by position.
    """

    name: str
    way: Way
    source: str = ""
    distance_m: float | None = None


def canonical_name(name: str) -> str:
    """Return the spelling two names of one electrode share.

    Case, spaces, dots, a leading "EEG", a trailing reference ("-REF", "-A1") and the older names T3, T4, T5, T6 do not
    count. A bipolar channel ("Fp1-F3") keeps both its names, since it is another signal.
    """
    text = _PREFIX.sub("", name.strip().lower().rstrip(". "))
    text = _SUFFIX.sub("", text)
    text = re.sub(r"\s+", "", text).rstrip(".")
    return _RENAMED.get(text, text)


def match_channels(wanted: Sensors, found: Sensors, limits: MatchingLimits | None = None) -> tuple[ChannelMatch, ...]:
    """Return one match per channel of the decoder, in the decoder's order; no channel is used twice.

    Names come first, then positions (EEG only: intracranial contacts and MEG coils that lie near each other measure
    different things), then spherical splines over the electrodes that are there (EEG only).

    Args:
        wanted: The decoder's channels.
        found: The recording's channels.
        limits: How far positions and interpolation may go.
    """
    limits = limits or MatchingLimits()
    matches = {name: ChannelMatch(name, "name", name) for name in wanted.names if name in set(found.names)}
    matches |= _by_alias(wanted, found, matches)
    matches |= _by_position(wanted, found, matches, limits)
    matches |= _by_interpolation(wanted, found, matches, limits)
    return tuple(matches.get(name, ChannelMatch(name, "missing")) for name in wanted.names)


def mixing_matrix(wanted: Sensors, found: Sensors, matches: Sequence[ChannelMatch]) -> tuple[np.ndarray, Sensors]:
    """Return the (wanted, found) matrix that makes the decoder's channels, and these as the recording has them.

    Channels that were matched keep the recording's position, where it has one; estimated ones get the decoder's.
    """
    order = {name: index for index, name in enumerate(found.names)}
    taken = np.array([order.get(match.source, -1) for match in matches], dtype=int)
    there = np.flatnonzero(taken >= 0)
    matrix = np.zeros((len(wanted), len(found)))
    matrix[there, taken[there]] = 1.0
    estimated = np.array([match.way == "interpolated" for match in matches], dtype=bool)
    if estimated.any():
        used, positions = _electrodes(wanted, found, {match.name: match for match in matches})
        matrix[np.ix_(estimated, used)] = spline_weights(positions, wanted.positions_m[estimated])
    return matrix, _as_recorded(wanted, found, taken)


def _as_recorded(wanted: Sensors, found: Sensors, taken: np.ndarray) -> Sensors:
    locations = wanted.locations.copy()
    known = (taken >= 0) & np.isfinite(found.positions_m[taken]).all(axis=1)
    locations[known] = found.locations[taken[known]]
    coils = np.where(taken >= 0, np.array(found.coil_types)[taken], wanted.coil_types)
    frame = found.coordinate_frame if known.any() else wanted.coordinate_frame
    return Sensors(wanted.names, wanted.types, locations, tuple(coils.tolist()), frame)


def _free(wanted: Sensors, found: Sensors, matches: dict[str, ChannelMatch]) -> tuple[list[int], list[int]]:
    """Return the channels on both sides that are not matched yet."""
    used = {match.source for match in matches.values()}
    here = [index for index, name in enumerate(wanted.names) if name not in matches]
    return here, [index for index, name in enumerate(found.names) if name not in used]


def _by_alias(wanted: Sensors, found: Sensors, matches: dict[str, ChannelMatch]) -> dict[str, ChannelMatch]:
    """Match other spellings; a spelling that stands for two channels on either side is left open."""
    open_wanted, open_found = _free(wanted, found, matches)
    here = _grouped([wanted.names[index] for index in open_wanted])
    there = _grouped([found.names[index] for index in open_found])
    pairs = [(here[key][0], there[key]) for key in here if len(here[key]) == 1 and len(there.get(key, ())) == 1]
    return {name: ChannelMatch(name, "alias", sources[0]) for name, sources in pairs}


def _grouped(names: Sequence[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(canonical_name(name), []).append(name)
    return groups


def _by_position(
    wanted: Sensors, found: Sensors, matches: dict[str, ChannelMatch], limits: MatchingLimits
) -> dict[str, ChannelMatch]:
    """Match the nearest electrodes one to one, as many as lie within the limit and at the least total distance."""
    from scipy.optimize import linear_sum_assignment

    if wanted.coordinate_frame != found.coordinate_frame:
        return {}
    open_wanted, open_found = _free(wanted, found, matches)
    here = [index for index in open_wanted if _has_place(wanted, index)]
    there = [index for index in open_found if _has_place(found, index)]
    if not here or not there:
        return {}
    gaps = wanted.positions_m[here][:, None] - found.positions_m[there][None]
    distances = np.linalg.norm(gaps, axis=2)
    rows, columns = linear_sum_assignment(np.where(distances <= limits.distance_m, distances, _FAR))
    near = distances[rows, columns] <= limits.distance_m
    return {
        wanted.names[here[row]]: ChannelMatch(
            wanted.names[here[row]], "position", found.names[there[column]], float(distances[row, column])
        )
        for row, column in zip(rows[near], columns[near], strict=True)
    }


def _has_place(sensors: Sensors, index: int) -> bool:
    return sensors.types[index] == "eeg" and bool(np.isfinite(sensors.positions_m[index]).all())


def _by_interpolation(
    wanted: Sensors, found: Sensors, matches: dict[str, ChannelMatch], limits: MatchingLimits
) -> dict[str, ChannelMatch]:
    """Return the absent electrodes whose neighbours allow an estimate; none where too many are absent."""
    absent, _ = _free(wanted, found, matches)
    if not absent or len(absent) > limits.interpolated_share * len(wanted):
        return {}
    used, positions = _electrodes(wanted, found, matches)
    if len(used) < limits.least_neighbours:
        return {}
    placed = [index for index in absent if _has_place(wanted, index)]
    distances = np.linalg.norm(wanted.positions_m[placed][:, None] - positions[None], axis=2)
    enough = (distances <= limits.neighbour_distance_m).sum(axis=1) >= 3
    chosen = [wanted.names[index] for index, near in zip(placed, enough, strict=True) if near]
    return {name: ChannelMatch(name, "interpolated") for name in chosen}


def _electrodes(wanted: Sensors, found: Sensors, matches: dict[str, ChannelMatch]) -> tuple[np.ndarray, np.ndarray]:
    """Return which electrodes of the recording have a place, and (n, 3) that place in the decoder's frame.

    A matched electrode without a position in the recording stands where the decoder's did.
    """
    same_frame = wanted.coordinate_frame == found.coordinate_frame
    own = found.positions_m if same_frame else np.full((len(found), 3), np.nan)
    positions = own.copy()
    order = {name: index for index, name in enumerate(found.names)}
    place = dict(zip(wanted.names, wanted.positions_m, strict=True))
    for match in matches.values():
        if match.source and not np.isfinite(positions[order[match.source]]).all():
            positions[order[match.source]] = place[match.name]
    is_eeg = np.array([kind == "eeg" for kind in found.types], dtype=bool)
    used = np.flatnonzero(is_eeg & np.isfinite(positions).all(axis=1))
    return used, positions[used]
