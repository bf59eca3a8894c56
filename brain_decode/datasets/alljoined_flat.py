"""Alljoined-1.6M as its authors cut and whitened it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd

from brain_decode.core.errors import DataError
from brain_decode.datasets.alljoined_order import PARTITIONS, SHOWN_S, TASK, picture_name, read_order, with_concepts
from brain_decode.datasets.base import Dataset, Facts, choose_recordings, dataset_folder
from brain_decode.datasets.numpy_pickle import read_pickled_mapping
from brain_decode.datasets.raw_files import fill_positions
from brain_decode.signals.mne_conversion import sensors_from_info
from brain_decode.signals.recording import Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import Sensors

__all__ = ["AlljoinedFlat"]

_FILES = {"train": "preprocessed_eeg_training_flat.npy", "test": "preprocessed_eeg_test_flat.npy"}
_SAMPLES = "preprocessed_eeg_data"


class AlljoinedFlat(Dataset):
    """The authors' cut and whitened trials: 1 s at 250 Hz from the picture's onset, one recording per session and part.

    The arrays are read where they lie. Whitened channels are mixtures without a unit: they get the type `feature` and
    keep name and position. Events have the columns of `AlljoinedRaw`.

    Args:
        root: The folder that holds `preprocessed_eeg/`, or the folder that holds it.
        name: Name of the entry.
        subjects, sessions: Labels to keep ("01"); None keeps all.
        tasks: ["images"], or None.
        runs: ["train"], ["test"], or None for both.
        montage: MNE montage that gives positions by name.
        facts: What each recording must agree with.

    Source: Files of huggingface.co/datasets/Alljoined/Alljoined-1.6M. Trials are those of the metadata that were not
        dropped, session after session, as the authors' program writes them.
    """

    def __init__(
        self,
        root: str | Path,
        *,
        name: str = "alljoined_1_6m_flat",
        subjects: Sequence[str] | None = None,
        sessions: Sequence[str] | None = None,
        tasks: Sequence[str] | None = None,
        runs: Sequence[str] | None = None,
        montage: str | None = "standard_1020",
        facts: Facts | Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(root, name=name, facts=facts)
        self.montage = montage
        self.wanted_files = {"subject": subjects, "task": tasks, "run": runs}
        self.sessions = sessions

    def recordings(self) -> list[Recording]:
        folder = dataset_folder(self.root, "preprocessed_eeg/sub-*/preprocessed_eeg_*_flat.npy", self.name)
        found = {
            Entities(path.parent.name.removeprefix("sub-"), "", TASK, part): path
            for part, file in _FILES.items()
            for path in sorted(folder.glob(f"preprocessed_eeg/sub-*/{file}"))
        }
        chosen = choose_recordings(found, self.wanted_files, name=self.name)
        cut = {entities: recording for e in sorted(chosen) for entities, recording in self._cut(folder, e, chosen[e])}
        places = {entities: recording.files[0] for entities, recording in cut.items()}
        kept = choose_recordings(places, {"session": self.sessions}, name=self.name)
        return [cut[entities] for entities in sorted(kept)]

    def _cut(self, folder: Path, entities: Entities, path: Path) -> list[tuple[Entities, Recording]]:
        content = read_pickled_mapping(path, (_SAMPLES, "ch_names", "times"))
        trials, names, times = content[_SAMPLES], [str(name) for name in content["ch_names"]], content["times"]
        rate_hz = _require_shape(trials, names, np.asarray(times), path)
        table, source = read_order(folder, entities.subject, with_dropped=True)
        kept = table[(table["part"] == entities.run) & ~table["dropped"].astype(bool)]
        kept = kept.sort_values("session", kind="stable")
        if len(kept) != len(trials):
            raise DataError(
                f"{path} holds {len(trials)} trials, {source} says that {len(kept)} of partition '{entities.run}' were "
                "recorded. Take both from one release."
            )
        events = _flat_events(with_concepts(kept, folder, entities.subject), entities.run)
        sensors, notes = self._sensors(names, path)
        noted = (*notes, "whitened by the authors, with training trials of each session; see the card")
        bounds = np.flatnonzero(np.diff(kept["session"].to_numpy(), prepend=np.nan, append=np.nan) != 0)
        return [
            (
                of_session := replace(entities, session=f"{int(kept['session'].iloc[start]):02d}"),
                Recording(
                    entities=of_session,
                    space=sensors,
                    rate_hz=rate_hz,
                    events=events.iloc[start:stop].reset_index(drop=True),
                    source=TrialArraySource(trials[start:stop]),
                    continuous=False,
                    start_s=float(np.asarray(times)[0]),
                    files=(path,),
                    notes=noted,
                ),
            )
            for start, stop in pairwise(bounds)
        ]

    def _sensors(self, names: Sequence[str], path: Path) -> tuple[Sensors, tuple[str, ...]]:
        spelled = ["AFz" if name == "Afz" else name for name in names]
        raw = mne.io.RawArray(np.zeros((len(names), 1)), mne.create_info(spelled, 1.0, "eeg"), verbose="ERROR")
        notes = () if self.montage is None else fill_positions(raw, self.montage, path.name)
        placed = sensors_from_info(raw.info)
        return replace(placed, types=("feature",) * len(placed)), notes


def _require_shape(trials: Any, names: Sequence[str], times: np.ndarray, path: Path) -> float:
    """Return the sampling rate.

    Raises:
        DataError: Trials, channel names and times that disagree.
    """
    shape = getattr(trials, "shape", ())
    if len(shape) != 3 or trials.dtype.kind != "f" or shape[1] != len(names) or shape[2] != len(times):
        raise DataError(
            f"{path}: {_SAMPLES} should hold numbers of (trial, channel, time) for {len(names)} ch_names and "
            f"{len(times)} times; its shape is {shape}. Fetch the file again."
        )
    steps = np.diff(times)
    if len(steps) == 0 or steps.min() <= 0 or not np.allclose(steps, steps.mean(), rtol=1e-3):
        raise DataError(f"{path}: `times` should rise evenly from sample to sample. Fetch the file again.")
    return round(float(1 / steps.mean()), 6)


def _flat_events(kept: pd.DataFrame, part: str) -> pd.DataFrame:
    label = next(label for label, name in PARTITIONS.items() if name == part)
    return pd.DataFrame(
        {
            "onset_s": np.nan,
            "duration_s": SHOWN_S,
            "trial_type": label,
            "value": kept["picture"].to_numpy(),
            "partition": part,
            "stimulus": [picture_name(int(number)) for number in kept["picture"]],
            "concept": kept["concept"].to_numpy(),
            "repetition": kept["repetition"].to_numpy(),
            "order_row": kept.index.to_numpy(),
        }
    )
