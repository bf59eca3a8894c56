"""Windows for self-supervised training: several datasets and montages, whole people kept out."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError, DataError, LeakageError
from brain_decode.core.progress import track
from brain_decode.core.seeding import derived_seed
from brain_decode.datasets.seen_recordings import (
    SeenRecording,
    recordings_of,
    refuse_disguised_copies,
    vouched_pairs,
)
from brain_decode.datasets.splits import unit_codes
from brain_decode.datasets.store import SignalStore, prepare_store
from brain_decode.datasets.vouching import VOUCH_WORD, vouched_for
from brain_decode.datasets.window_table import sliding_window_table
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.recording import Recording
from brain_decode.training.batches import Batch
from brain_decode.training.loading import dataset_entries, load_recordings

__all__ = ["PretrainingWindows", "load_pretraining_windows"]

_LOG = logging.getLogger(__name__)
_READ_ROWS = 256  # windows read at once while flat ones are looked for


@dataclass(frozen=True)
class PretrainingWindows:
    """Windows of recordings of any montage, and which are kept out.

    Args:
        store: Prepared recordings.
        table: One row per window, as in `sliding_window_table`.
        preprocessing: Its window steps are applied to every batch; none is fitted.
        sizes: (n,) number for the channel count and rate of each window: equal numbers can share a batch.
        montages: (n,) number for the sensors and rate of each window: equal numbers are read together.
        train: Positions trained on.
        validation: Positions of the people kept out.
        held_out: Their names, after that of their dataset where there are several; runs where a dataset has one person.
        left_out: Windows that were not used, by reason.
        datasets: One summary per dataset: name, licence, citation, whether simulated.
        vouched: Pairs of recordings that a person says are no copies, and that would be refused otherwise.
    """

    store: SignalStore
    table: pd.DataFrame
    preprocessing: Preprocessing
    sizes: np.ndarray
    montages: np.ndarray
    train: np.ndarray
    validation: np.ndarray
    held_out: tuple[str, ...]
    left_out: Mapping[str, int] = field(default_factory=dict)
    datasets: Sequence[Mapping[str, Any]] = ()
    vouched: Sequence[Mapping[str, Any]] = ()

    def content_hashes(self) -> dict[str, str]:
        """Return the content hash of each recording by its label, after the name of its dataset where several are."""
        owners = self.table.groupby("recording")["dataset"].first()
        prefix = "{} " if owners.nunique() > 1 else ""
        entries = self.store.entries
        return {
            prefix.format(owner) + entries[number].label: entries[number].content_hash
            for number, owner in owners.items()
        }

    def recordings(self) -> list[SeenRecording]:
        """Return what the weights are to remember."""
        labels = [entry.label for entry in self.store.entries]
        return recordings_of(self.table, labels, self.store.content_hashes, self.store.fingerprints)

    def signal(self, positions: np.ndarray) -> SignalBatch:
        """Return preprocessed windows, each with the sensors of its recording."""
        rows, montages = self.table.iloc[np.asarray(positions)], self.montages[np.asarray(positions)]
        parts = [np.flatnonzero(montages == number) for number in np.unique(montages)]
        batches = [self._of_one_montage(rows.iloc[part]) for part in parts]
        if len(batches) == 1:
            return batches[0]
        return SignalBatch.concatenate(batches).rows(np.argsort(np.concatenate(parts)))

    def _of_one_montage(self, rows: pd.DataFrame) -> SignalBatch:
        return SignalBatch.from_windows(self.preprocessing.apply_windows(self.store.read(rows)))

    def batch(self, positions: np.ndarray) -> Batch:
        """Return windows, and nothing in the place of targets."""
        return self.signal(positions), torch.empty(0)

    def one_size_at_a_time(self, positions: np.ndarray, batch_size: int) -> list[np.ndarray]:
        """Return positions in order, in parts of one channel count."""
        parts = [positions[self.sizes[positions] == size] for size in np.unique(self.sizes[positions])]
        return [part for found in parts for part in np.array_split(found, -(-len(found) // batch_size))]


def load_pretraining_windows(config: DictConfig) -> PretrainingWindows:
    """Read the datasets of a configuration, prepare their signal and cut it into windows.

    Args:
        config: Composed from `conf/pretrain.yaml`.

    Raises:
        ConfigError: A window, stride or share that cannot be used; a step that would have to be fitted.
        DataError: Broken facts, nothing long enough, or nobody left to train on.
        LeakageError: A recording that is trained on and kept out as well under another name.
    """
    steps = OmegaConf.to_container(config.preprocessing, resolve=True)
    preprocessing = Preprocessing.from_json(steps)  # type: ignore[arg-type]
    _require_settings(config, preprocessing)
    recordings: list[Recording] = []
    tables, summaries = [], []
    for entry in dataset_entries(config):
        dataset, found = load_recordings(entry)
        for warning in dataset.check_facts(found):
            _LOG.warning("%s", warning)
        stride_s = float(config.stride_s or config.window_s)
        cut = sliding_window_table(found, dataset=entry["name"], length_s=float(config.window_s), step_s=stride_s).table
        tables.append(cut.assign(recording=cut["recording"] + len(recordings)))
        recordings += found
        summaries.append({key: entry.get(key) for key in ("name", "licence", "citation", "source", "simulated")})
    table = pd.concat(tables, ignore_index=True)
    store = prepare_store(
        recordings, preprocessing.signal_steps, Path(config.paths.store), workers=int(config.workers or 1)
    )
    kept, left_out = _usable(store, table)
    table = table.iloc[kept].reset_index(drop=True)
    held_out, names = _held_out(table, float(config.validation_share), int(config.seed))
    positions = np.arange(len(table))
    vouched = _vouched_where_no_copies(store, table, held_out, config.get(VOUCH_WORD))
    return PretrainingWindows(
        store=store,
        table=table,
        preprocessing=preprocessing,
        sizes=_sizes(store, table),
        montages=_montages(store, table),
        train=positions[~held_out],
        validation=positions[held_out],
        held_out=names,
        left_out=left_out,
        datasets=summaries,
        vouched=vouched,
    )


def _require_settings(config: DictConfig, preprocessing: Preprocessing) -> None:
    fitted = [step.name for step in preprocessing.window_steps if step.is_fitted_step]
    if fitted:
        raise ConfigError(
            f"Pretraining fits no preprocessing, and {fitted} would have to be fitted. Use preprocessing=brainomni."
        )
    if not 0 < float(config.validation_share) < 1:
        raise ConfigError(f"validation_share is a share of the people in (0, 1), got {config.validation_share}.")


def _usable(store: SignalStore, table: pd.DataFrame) -> tuple[np.ndarray, dict[str, int]]:
    """Return the positions of windows in which no channel stands still, and how many do."""
    kept = np.zeros(len(table), dtype=bool)
    codes = _montages(store, table)
    parts = [rows for code in np.unique(codes) for rows in _blocks(np.flatnonzero(codes == code))]
    for rows in track(parts, "Looking for flat windows", len(parts)):
        kept[rows] = (np.ptp(store.read(table.iloc[rows]).data, axis=2) > 0).all(axis=1)
    if not kept.any():
        raise DataError("Every window has a channel that never varies. Drop that channel, or repair the recordings.")
    flat = int((~kept).sum())
    return np.flatnonzero(kept), {"a channel never varies": flat} if flat else {}


def _blocks(rows: np.ndarray) -> list[np.ndarray]:
    return np.array_split(rows, -(-len(rows) // _READ_ROWS))


def _montages(store: SignalStore, table: pd.DataFrame) -> np.ndarray:
    return _numbered([(entry.sensors, entry.rate_hz) for entry in store.entries], table)


def _sizes(store: SignalStore, table: pd.DataFrame) -> np.ndarray:
    return _numbered([(len(entry.sensors), entry.rate_hz) for entry in store.entries], table)


def _numbered(keys: Sequence[Hashable], table: pd.DataFrame) -> np.ndarray:
    """Return a number for each window: equal where the keys of their recordings are."""
    seen: dict[Hashable, int] = {}
    numbers = [seen.setdefault(key, len(seen)) for key in keys]
    return np.array(numbers)[table["recording"].to_numpy(int)]


def _held_out(table: pd.DataFrame, share: float, seed: int) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return which windows are kept out, and whose: people of each dataset, or runs of a dataset with one person."""
    held, names = np.zeros(len(table), dtype=bool), list[str]()
    prefix = "{} " if table["dataset"].nunique() > 1 else ""
    for dataset, frame in table.groupby("dataset", sort=True):
        level = "subject" if frame["subject"].nunique() > 1 else "run"
        codes, units = unit_codes(frame, level)
        if len(units) < 2:
            continue  # one recording: it is trained on, and people of other datasets are kept out
        rng = np.random.default_rng(derived_seed(seed, "held out", str(dataset)))
        chosen = rng.permutation(len(units))[: max(round(share * len(units)), 1)]
        held[frame.index.to_numpy()[np.isin(codes, chosen)]] = True
        names += [prefix.format(dataset) + units[unit] for unit in chosen]
    if held.all() or not held.any():
        raise DataError(
            f"Pretraining keeps people out to be measured on, and there are {table['subject'].nunique()}. Add "
            "recordings of others, or change validation_share."
        )
    return held, tuple(sorted(names))


def _vouched_where_no_copies(
    store: SignalStore, table: pd.DataFrame, held_out: np.ndarray, words: Any
) -> list[dict[str, Any]]:
    """Return the pairs vouched for; no recording trained on may be kept out as well under another name.

    Raises:
        LeakageError: Names both.
    """
    labels = [entry.label for entry in store.entries]
    trained, kept = (
        recordings_of(table[side], labels, store.content_hashes, store.fingerprints) for side in (~held_out, held_out)
    )
    remedy = "Remove one of the two."
    twin = {one.content_hash: one for one in trained}
    for recording in kept:
        if recording.content_hash in twin:
            raise LeakageError(
                f"Pretraining keeps '{recording.name}' out to be measured on, and trains on "
                f"'{twin[recording.content_hash].name}' of the same content. {remedy}"
            )
    vouched = vouched_for(words, [one.name for one in (*trained, *kept)])
    refuse_disguised_copies(trained, kept, fitted="Pretraining trains", remedy=remedy, vouched=vouched)
    return vouched_pairs(vouched, trained, kept)
