"""The trials of a run: one table over all recordings, read from the signal stores as decoders need them."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.fingerprint import Fingerprint
from brain_decode.datasets.store import SignalStore, prepare_store
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.amplitude import amplitude_sample, typical_amplitudes
from brain_decode.signals.recording import Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.space import Space
from brain_decode.signals.spec import TargetSpec, Task
from brain_decode.signals.windows import Windows
from brain_decode.stimuli.pictures import PictureFiles

__all__ = ["RepetitionGroups", "Trials", "repetition_groups"]

_LOG = logging.getLogger(__name__)


@dataclass
class Trials:
    """Windows of a run with their targets.

    Args:
        recordings: In the order `table.recording` counts them.
        table: One row per window; see `WINDOW_COLUMNS`.
        task: What is decoded.
        store_folder: Where signal stores are kept.
        features: (n_stimuli, dim) retrieval targets, or (n_stimuli, level, dim), with `feature_ids` naming the stimulus
            of each row.
        feature_ids: Stimulus ids of the feature rows.
        feature_concepts: Concept of each feature row, where known.
        feature_provenance: Where the features come from: a file, or models with hashes and settings.
        workers: Processes that prepare stores.
        target_column: Event column the labels came from.
        class_values: Class label to the event values it stands for.
        unnamed_stimuli: Why labels may go with stimuli that nobody named; no p is made then.
        picture_settings: The `pictures:` block of the dataset's entry; its folder is `picture_root`.
        picture_root: Folder of the dataset.
    """

    recordings: list[Recording]
    table: pd.DataFrame
    task: Task
    store_folder: Path
    features: np.ndarray | None = None
    feature_ids: tuple[str, ...] = ()
    feature_concepts: tuple[str, ...] = ()
    feature_provenance: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    target_column: str = "trial_type"
    class_values: dict[str, list[str]] = field(default_factory=dict)
    picture_settings: Mapping[str, Any] | None = None
    picture_root: Path = Path()
    unnamed_stimuli: str = ""
    _stores: dict[str, SignalStore] = field(default_factory=dict, init=False, repr=False)
    _amplitudes: dict[Space, dict[str, float]] = field(default_factory=dict, init=False, repr=False)

    def store(self, preprocessing: Preprocessing) -> SignalStore:
        """Return the store of these stateless steps, made on first use.

        Raises:
            SpecMismatch: Recordings of different rates after these steps.
        """
        key = json.dumps([step.to_json() for step in preprocessing.signal_steps], sort_keys=True)
        if key not in self._stores:
            store = prepare_store(self.recordings, preprocessing.signal_steps, self.store_folder, workers=self.workers)
            store.require_one_rate(self.table["recording"].unique())
            self._stores[key] = store
        return self._stores[key]

    def first_amplitudes(self, read: Space) -> dict[str, float]:
        """Return the typical amplitude of each sensor type in the first recording; voxels have none.

        Args:
            read: The channels of it that are read; its file is opened once for them.
        """
        recording = self.recordings[0]
        if not isinstance(recording.space, Sensors) or not isinstance(read, Sensors):
            return {}
        if read not in self._amplitudes:
            samples = amplitude_sample(recording, recording.space.indices(read.names))
            self._amplitudes[read] = typical_amplitudes(samples, read.types)
        return self._amplitudes[read]

    def windows(self, preprocessing: Preprocessing, rows: np.ndarray) -> Windows:
        """Return windows after the stateless steps only."""
        return self.store(preprocessing).read(self.table.iloc[rows])

    def blank_window(self, preprocessing: Preprocessing) -> Windows:
        """Return one window of zeros of the size that all windows have after the stateless steps."""
        first = self.windows(preprocessing, np.zeros(1, dtype=int))
        return first.with_data(np.zeros_like(first.data))

    @property
    def target_spec(self) -> TargetSpec:
        """What a head has to answer.

        Raises:
            ConfigError: Fewer than two classes, or retrieval without features.
        """
        if self.task == "classification":
            return TargetSpec("classification", classes=self.classes)
        if self.task == "regression":
            return TargetSpec("regression", dim=1)
        if self.features is None:
            raise ConfigError("Retrieval compares with stimulus features; the dataset entry has none (features:).")
        n_levels = self.features.shape[1] if self.features.ndim == 3 else 1
        return TargetSpec("retrieval", dim=int(self.features.shape[-1]), n_levels=n_levels)

    @cached_property
    def pictures(self) -> PictureFiles | None:
        """What the stimuli look like; None where the dataset does not say."""
        settings = self.picture_settings
        return PictureFiles.from_config(settings, self.picture_root) if settings else None

    @cached_property
    def picture_hashes(self) -> dict[str, str]:
        """Content hash of the picture of each stimulus that was shown and has one; none where they are not here."""
        if not self.picture_settings:
            return {}
        try:
            pictures = PictureFiles.from_config(self.picture_settings, self.picture_root)
        except DataError as error:
            _LOG.info("Pictures are compared by name only: %s", error)
            return {}
        shown = set(self.table["stimulus"].astype(str)).intersection(pictures.ids)
        return {name: pictures.content_hash(name) for name in sorted(shown)}

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class labels, sorted; read from the table once."""
        return tuple(sorted({str(label) for label in self.table["label"]}))

    @cached_property
    def _class_indices(self) -> np.ndarray:
        """(window,) position in `classes`; batches look theirs up here."""
        order = {label: index for index, label in enumerate(self.classes)}
        return self.table["label"].astype(str).map(order).to_numpy(dtype=int)

    def targets(self, rows: np.ndarray) -> np.ndarray:
        """Return class indices (n,), values (n, 1) or stimulus features (n, dim) or (n, level, dim).

        Raises:
            DataError: A value that is not a number, or a stimulus without features.
        """
        if self.task == "classification":
            return self._class_indices[rows]
        part = self.table.iloc[rows]
        if self.task == "regression":
            values = pd.to_numeric(part["label"], errors="coerce").to_numpy(float)
            if not np.isfinite(values).all():
                raise DataError(f"Regression targets must be numbers; {(~np.isfinite(values)).sum()} are not.")
            return values[:, None]
        return self._stimulus_features(part["stimulus"].tolist())

    def feature_rows(self, stimuli: Sequence[str]) -> np.ndarray:
        """Return the feature row of each stimulus.

        Raises:
            DataError: A stimulus that has none.
        """
        names = np.array([str(stimulus) for stimulus in stimuli], dtype=object)
        rows = self._feature_index.get_indexer(pd.Index(names))
        if (rows < 0).any():
            missing = sorted(set(names[rows < 0]))
            raise DataError(f"{len(missing)} stimuli have no features, for example '{missing[0]}'.")
        return rows

    @cached_property
    def _feature_index(self) -> pd.Index:
        """Stimulus of each feature row; batches look theirs up here."""
        return pd.Index(self.feature_ids, dtype=object)

    def _stimulus_features(self, stimuli: Sequence[str]) -> np.ndarray:
        if self.features is None:
            raise ConfigError("Retrieval compares with stimulus features; the dataset entry has none (features:).")
        return np.asarray(self.features[self.feature_rows(stimuli)])

    def relabelled(self, labels: np.ndarray) -> Trials:
        """Return the same windows, read from the same stores, with other labels (n,)."""
        other = copy.copy(self)
        other.table = self.table.assign(label=labels)
        other.__dict__.pop("_class_indices", None)
        return other

    def content_hashes(self, preprocessing: Preprocessing) -> list[str]:
        """Return the content hash of each recording."""
        return list(self.store(preprocessing).content_hashes)

    def fingerprints(self, preprocessing: Preprocessing) -> list[Fingerprint]:
        """Return the fingerprint of each recording."""
        return self.store(preprocessing).fingerprints


@dataclass(frozen=True)
class RepetitionGroups:
    """Rows of a window table grouped by what was shown to whom.

    Args:
        rows: Table positions, group after group.
        starts: Where each group begins in `rows`.
    """

    rows: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def sizes(self) -> np.ndarray:
        """(groups,) repetitions per group."""
        return np.diff(np.append(self.starts, len(self.rows)))

    def first_rows(self) -> np.ndarray:
        """Return one table position per group."""
        return self.rows[self.starts]

    def members(self, groups: np.ndarray) -> RepetitionGroups:
        """Return some of the groups."""
        sizes = self.sizes[groups]
        starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(int) if len(groups) else np.zeros(0, int)
        inside = np.arange(int(sizes.sum())) - np.repeat(starts, sizes)
        return RepetitionGroups(self.rows[np.repeat(self.starts[groups], sizes) + inside], starts)

    def average(self, windows: Windows) -> Windows:
        """Return one window per group: the mean of its repetitions; `windows` are in the order of `rows`."""
        return windows.run_means(self.starts)


def repetition_groups(table: pd.DataFrame, rows: np.ndarray, *, at_most: int | None = None) -> RepetitionGroups:
    """Group rows by dataset, subject and stimulus, in order of first appearance; keep the first `at_most` of each."""
    part = table.iloc[rows]
    codes = part.groupby(["dataset", "subject", "stimulus"], sort=False).ngroup().to_numpy()
    order = np.argsort(codes, kind="stable")
    sorted_codes = codes[order]
    starts = np.flatnonzero(np.r_[True, np.diff(sorted_codes) > 0]) if len(order) else np.zeros(0, dtype=int)
    if at_most is not None and len(order):
        position = np.arange(len(order)) - np.repeat(starts, np.diff(np.append(starts, len(order))))
        order = order[position < at_most]
        sorted_codes = codes[order]
        starts = np.flatnonzero(np.r_[True, np.diff(sorted_codes) > 0])
    return RepetitionGroups(np.asarray(rows)[order], starts)


def describe_classes(target: Mapping[str, Any] | None, classes: Sequence[str]) -> dict[str, list[str]]:
    """Return class label to the event values it stands for, as saved with a decoder."""
    given = dict((target or {}).get("classes") or {})
    if not given:
        return {label: [label] for label in classes}
    return {
        str(label): [str(value) for value in ([values] if isinstance(values, str | int | float) else values)]
        for label, values in given.items()
    }
