"""The samples of simulated runs: responses to a schedule of pictures, plus noise, at every sensor at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mne
import numpy as np
import pandas as pd
from scipy.signal import oaconvolve

from brain_decode.simulation.forward import eeg_info, gain_matrix, meg_info
from brain_decode.simulation.noise import NoiseFields, background, noise_fields, sensor_noise
from brain_decode.simulation.pictures import PictureSet
from brain_decode.simulation.settings import SENSOR_KINDS, StudySettings
from brain_decode.simulation.ventral_stream import Stream, build_stream, time_courses

__all__ = [
    "Laboratory",
    "Participant",
    "RESPONSE_S",
    "Run",
    "build_laboratory",
    "build_participant",
    "schedule",
    "simulate_run",
]

RESPONSE_S = 0.6  # responses last from the onset to here
_RESPONSE_AM = 9e-9  # dipole moment of a response of 1
_MOMENTS_AM = {"brain": 1.1e-8, "alpha": 2.5e-8}
_PAUSE_S = 2.0  # before the first and after the last picture
_JITTER_S = 0.05


@dataclass(frozen=True)
class Laboratory:
    """Sensors of each kind ("eeg", "meg") and what participants have in common."""

    settings: StudySettings
    infos: Mapping[str, mne.Info]


@dataclass(frozen=True)
class Participant:
    """One participant: visual areas, their gain at the sensors, and noise fields.

    Args:
        stream: Visual areas.
        gains: Sensor kind to (channel, dipole) gain of the visual areas.
        fields: Sensor kind to noise fields.
        amplitude: (picture, dipole) response to each picture, in A m.
    """

    stream: Stream
    gains: Mapping[str, np.ndarray]
    fields: Mapping[str, NoiseFields]
    amplitude: np.ndarray


@dataclass(frozen=True)
class Run:
    """Samples of one run.

    Args:
        data: Sensor kind to (channel, time) samples in V or T.
        noise: Sensor kind to the part of `data` that is not response; without broken channels.
        bads: Sensor kind to names of broken channels.
    """

    data: Mapping[str, np.ndarray]
    noise: Mapping[str, np.ndarray]
    bads: Mapping[str, list[str]]


def build_laboratory(settings: StudySettings) -> Laboratory:
    """Return the sensors a study measures with."""
    infos = {}
    if "eeg" in SENSOR_KINDS[settings.sensors]:
        infos["eeg"] = eeg_info(settings.n_electrodes, settings.rate_hz)
    if "meg" in SENSOR_KINDS[settings.sensors]:
        infos["meg"] = meg_info(settings.n_coils, settings.rate_hz, settings.meg_system)
    return Laboratory(settings, infos)


def build_participant(laboratory: Laboratory, subject: int, drive: np.ndarray) -> Participant:
    """Return participant number `subject`.

    Args:
        laboratory: Sensors.
        subject: From 0 on.
        drive: (picture, area, dimension) of `area_drive`.
    """
    settings = laboratory.settings
    stream = build_stream(subject, seed=settings.seed, individuality=settings.individuality)
    random = np.random.default_rng([settings.seed, 20, subject])
    specific = np.einsum("pdk,dk->pd", drive[:, stream.area], stream.tuning)
    strength = 1 + 0.3 * settings.individuality * random.normal()
    return Participant(
        stream=stream,
        gains={kind: gain_matrix(info, stream.positions_m, stream.moments) for kind, info in laboratory.infos.items()},
        fields={kind: noise_fields(info, random, settings.meg_system) for kind, info in laboratory.infos.items()},
        amplitude=_RESPONSE_AM * max(strength, 0.3) * (settings.coupling * specific + stream.baseline),
    )


def schedule(pictures: PictureSet, settings: StudySettings, subject: int, session: int) -> list[pd.DataFrame]:
    """Return the events of each run of a session: training runs, then the run with the test pictures.

    Returns:
        Tables with `onset` and `duration` in seconds and the columns of `events.tsv`; `picture` is the row in
        `pictures`.
    """
    random = np.random.default_rng([settings.seed, 30, subject])
    train = np.concatenate([random.permutation(pictures.rows("train")) for _ in range(settings.train_repetitions)])
    parts = np.array_split(train, settings.n_sessions * settings.n_runs)
    runs = parts[session * settings.n_runs : (session + 1) * settings.n_runs]
    random = np.random.default_rng([settings.seed, 31, subject, session])
    test = np.concatenate([random.permutation(pictures.rows("test")) for _ in range(settings.test_repetitions)])
    tables = [_events(pictures, settings, rows, random) for rows in (*runs, test)]
    earlier = np.concatenate([np.zeros(0, dtype=int), *parts[: session * settings.n_runs]])
    return _with_repetitions(tables, earlier, session * settings.test_repetitions, pictures)


def _events(
    pictures: PictureSet, settings: StudySettings, rows: np.ndarray, random: np.random.Generator
) -> pd.DataFrame:
    onset = _PAUSE_S + np.arange(len(rows)) * settings.onset_step_s + random.uniform(0, _JITTER_S, len(rows))
    sample = np.round(onset * settings.rate_hz)
    columns = {"stimulus": pictures.ids, "concept": pictures.concepts, "category": pictures.categories}
    return pd.DataFrame(
        {
            "onset": sample / settings.rate_hz,
            "duration": settings.picture_s,
            "trial_type": "picture",
            **{name: np.array(values)[rows] for name, values in columns.items()},
            "partition": np.array(pictures.partitions)[rows],
            "picture": rows,
        }
    )


def _with_repetitions(
    tables: list[pd.DataFrame], earlier: np.ndarray, earlier_tests: int, pictures: PictureSet
) -> list[pd.DataFrame]:
    """Number the showings of each picture from 1 on, over sessions."""
    joined = pd.concat(tables, keys=range(len(tables)))
    before = np.bincount(earlier, minlength=len(pictures.ids))
    before[pictures.rows("test")] = earlier_tests
    count = joined.groupby("picture").cumcount() + 1 + before[joined["picture"]]
    joined["repetition"] = count.to_numpy()
    return [joined.loc[[number]].droplevel(0) for number in range(len(tables))]


def simulate_run(
    laboratory: Laboratory, participant: Participant, events: pd.DataFrame, *, subject: int, session: int, run: int
) -> Run:
    """Return the samples of one run, the same for the same numbers."""
    settings = laboratory.settings
    random = np.random.default_rng([settings.seed, 40, subject, session, run])
    of_session = np.random.default_rng([settings.seed, 41, subject, session])
    gain = of_session.uniform(0.9, 1.1)
    level = settings.noise * of_session.uniform(0.9, 1.1)
    samples = int(np.ceil((events["onset"].iloc[-1] + _PAUSE_S) * settings.rate_hz))
    sources = gain * _source_activity(participant, events, samples, settings.rate_hz)
    shared = background(samples, settings.rate_hz, random)
    noise = {
        kind: level * sensor_noise(shared, fields, _MOMENTS_AM, settings.rate_hz, random)
        for kind, fields in participant.fields.items()
    }
    data = {kind: participant.gains[kind] @ sources + noise[kind] for kind in noise}
    bads = {kind: _break(data[kind], laboratory.infos[kind].ch_names, settings, random) for kind in data}
    return Run(data, noise, bads)


def _source_activity(participant: Participant, events: pd.DataFrame, samples: int, rate_hz: float) -> np.ndarray:
    """Return (dipole, time) moments: every onset starts the time course of the dipole's area."""
    stream = participant.stream
    impulses = np.zeros((samples, len(stream.area)))
    onsets = np.round(events["onset"].to_numpy() * rate_hz).astype(int)
    np.add.at(impulses, onsets, participant.amplitude[events["picture"].to_numpy()])
    shapes = time_courses(np.arange(round(RESPONSE_S * rate_hz)) / rate_hz, stream.latency_s)
    return oaconvolve(impulses.T, shapes[stream.area], axes=1)[:, :samples]


def _break(data: np.ndarray, names: list[str], settings: StudySettings, random: np.random.Generator) -> list[str]:
    """Drown the laboratory's broken channels in noise, in place; return their names."""
    count = min(settings.n_bad_channels, len(names) // 4)
    broken = np.sort(np.random.default_rng([settings.seed, 42]).choice(len(names), count, replace=False))
    size = 10 * data.std(axis=1).mean()
    data[broken] = size * random.standard_normal((count, data.shape[1]))
    return [names[row] for row in broken]
