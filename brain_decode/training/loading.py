"""From a composed configuration to the trials of a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.base import Dataset, EventTarget
from brain_decode.datasets.entries import build_dataset
from brain_decode.datasets.licences import ACCEPT_WORD
from brain_decode.datasets.simulated import SimulatedThings
from brain_decode.datasets.stimulus_columns import unnamed_stimuli
from brain_decode.datasets.window_table import build_window_table
from brain_decode.evaluation.evidence import rejection_evidence
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.preprocessing.rejection import Rejection
from brain_decode.signals.recording import Recording
from brain_decode.signals.spec import Task
from brain_decode.training.stimulus_targets import load_targets
from brain_decode.training.trials import Trials, describe_classes

__all__ = ["LoadedRun", "load_recordings", "load_run", "load_windows"]

_LOG = logging.getLogger(__name__)

_READ_ROWS = 1024  # windows read at once while rejection looks at their amplitudes


@dataclass
class LoadedRun:
    """Trials of a run and what the report says about them.

    Args:
        trials: Windows with targets.
        datasets: One summary per dataset: name, licence, citation, whether simulated.
        exclusions: Events that have no whole window, and why.
        rejection: Rule and counts, None where nothing is rejected.
        warnings: Facts that only warn.
        oracle: Retrieval scores of a decoder that knows how a simulated signal was made; None for recorded ones.
    """

    trials: Trials
    datasets: list[dict[str, Any]]
    exclusions: list[dict[str, Any]] = field(default_factory=list)
    rejection: dict[str, Any] | None = None
    warnings: list[str] = field(default_factory=list)
    oracle: dict[str, float] | None = None


def load_run(
    config: DictConfig,
    preprocessing: Preprocessing,
    *,
    window: tuple[float, float] | None = None,
    target: Mapping[str, Any] | None = None,
) -> LoadedRun:
    """Read the datasets of a configuration, make the window table and apply the rejection rule.

    Args:
        config: As in `load_windows`.
        preprocessing: Its stateless steps make the signal on which rejection thresholds are applied.
        window: As in `load_windows`.
        target: As in `load_windows`.

    Raises:
        DataError: Broken facts, or no window at all.
    """
    loaded = load_windows(config, window=window, target=target)
    for warning in loaded.warnings:
        _LOG.warning("%s", warning)
    loaded.rejection = _reject(config, loaded.trials, preprocessing)
    return loaded


def load_windows(
    config: DictConfig, *, window: tuple[float, float] | None = None, target: Mapping[str, Any] | None = None
) -> LoadedRun:
    """Read the datasets of a configuration and make the window table; no signal is read.

    Args:
        config: Composed; needs `datasets`, `paths`, and may have `target`, `window`, `also`, `stimuli`.
        window: Window relative to the event; the configuration's where None.
        target: Target entry; the configuration's where None.

    Raises:
        DataError: Broken facts, or no window at all.
    """
    entries = dataset_entries(config)
    recordings: list[Recording] = []
    tables, summaries, exclusions, warnings = [], [], [], []
    tasks: set[Task] = set()
    for entry in entries:
        dataset, found = load_recordings(entry)
        warnings += dataset.check_facts(found)
        chosen = _target(entry, config, target)
        start_s, stop_s = window or _window(entry, config, found)
        cut = build_window_table(found, dataset=entry["name"], target=chosen, start_s=start_s, stop_s=stop_s)
        tables.append(cut.table.assign(recording=cut.table["recording"] + len(recordings)))
        exclusions += cut.exclusions
        recordings += found
        tasks.add(chosen.task)
        summaries.append({key: entry.get(key) for key in ("name", "licence", "citation", "source", "simulated")})
    table = pd.concat(tables, ignore_index=True)
    _require_windows(table, entries)
    trials = _trials(config, entries, recordings, table, tasks, target, dataset.root)
    oracle = _oracle(config, dataset, trials)
    return LoadedRun(trials, summaries, exclusions, warnings=warnings, oracle=oracle)


def _oracle(config: DictConfig, dataset: Dataset, trials: Trials) -> dict[str, float] | None:
    """Return the ceiling of zero-shot retrieval where the one dataset is a simulation."""
    comparable = trials.task == "retrieval" and (config.get("gallery") or "exact_image") == "exact_image"
    return dataset.oracle() if comparable and isinstance(dataset, SimulatedThings) else None


def dataset_entries(config: DictConfig) -> list[dict[str, Any]]:
    """Return the dataset entries of a configuration as plain values: `datasets`, then those under `also`.

    Each carries the names given by `accept_licence=`.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    if not isinstance(plain, dict):
        raise ConfigError("The configuration must be a mapping.")
    also = plain.get("also") or {}
    accepted = {ACCEPT_WORD: plain.get(ACCEPT_WORD)}
    first = plain["datasets"]
    shared = {key: first.get(key) for key in ("subjects", "sessions", "tasks") if first.get(key) is not None}
    return [{**first, **accepted}, *({**entry, **shared, **accepted} for entry in also.values())]


def load_recordings(entry: Mapping[str, Any]) -> tuple[Dataset, list[Recording]]:
    """Build the loader of a dataset entry and return its recordings, lazily read."""
    dataset = build_dataset(entry)
    return dataset, dataset.recordings()


def _target(entry: Mapping[str, Any], config: DictConfig, given: Mapping[str, Any] | None) -> EventTarget:
    target = dict(given if given is not None else entry.get("target") or {})
    override = config.get("target")
    if isinstance(override, str):
        # Another column than the entry's: its class map no longer applies.
        target = {**target, "column": override, "classes": None} if override != target.get("column") else target
    elif override is not None:
        target = {**target, **OmegaConf.to_container(override, resolve=True)}  # type: ignore[dict-item]
    return EventTarget(**target)


def _window(entry: Mapping[str, Any], config: DictConfig, recordings: Sequence[Recording]) -> tuple[float, float]:
    window = config.get("window") or entry.get("window")
    if window:
        # The answer of blood flow comes seconds after the event: fMRI entries state by how much windows lag.
        lag_s = float(window.get("lag_s") or 0.0)
        return float(window["start_s"]) + lag_s, float(window["stop_s"]) + lag_s
    first = recordings[0]
    if not first.continuous:
        return first.start_s, first.start_s + first.duration_s
    return -0.2, 0.8  # what event-related studies cut where nothing else is said


def _require_windows(table: pd.DataFrame, entries: Sequence[Mapping[str, Any]]) -> None:
    if len(table) == 0:
        names = ", ".join(str(entry["name"]) for entry in entries)
        raise DataError(f"'{names}' gives no window: no event has the target's values. Check target= and the events.")


def _trials(
    config: DictConfig,
    entries: Sequence[Mapping[str, Any]],
    recordings: list[Recording],
    table: pd.DataFrame,
    tasks: set[Task],
    target: Mapping[str, Any] | None,
    root: Path,
) -> Trials:
    if len(tasks) != 1:
        raise ConfigError(f"Datasets of one run share one task, got {sorted(tasks)}. Train them apart.")
    task = tasks.pop()
    chosen = _target(entries[0], config, target)
    trials = Trials(
        recordings=recordings,
        table=table,
        task=task,
        store_folder=Path(config.paths.store),
        workers=int(config.get("workers") or 1),
        target_column=chosen.column,
    )
    if len(entries) == 1:
        trials.picture_settings, trials.picture_root = entries[0].get("pictures"), root
    if task == "classification":
        if chosen.stimulus_column is None:
            trials.unnamed_stimuli = unnamed_stimuli(recordings, table, chosen.column)
        trials.class_values = describe_classes({"classes": chosen.classes}, trials.classes)
    if task == "retrieval":
        _add_features(trials, config, entries, root)
    return trials


def _add_features(trials: Trials, config: DictConfig, entries: Sequence[Mapping[str, Any]], root: Path) -> None:
    if len(entries) != 1:
        raise ConfigError(
            "Retrieval needs one dataset entry with features: (the vectors of its stimuli); "
            f"got {[entry['name'] for entry in entries]}."
        )
    features, trials.feature_provenance = load_targets(config, entries[0], trials.table, root)
    trials.features, trials.feature_ids, trials.feature_concepts = features.vectors, features.ids, features.concepts


def _reject(config: DictConfig, trials: Trials, preprocessing: Preprocessing) -> dict[str, Any] | None:
    rule = config.get("preprocessing", {}).get("rejection")
    if not rule:
        return None
    rejection = Rejection(**OmegaConf.to_container(rule, resolve=True))  # type: ignore[arg-type]
    rows = np.arange(len(trials.table))
    reasons = np.concatenate(
        [
            rejection.reasons(trials.windows(preprocessing, rows[start : start + _READ_ROWS]))
            for start in range(0, len(rows), _READ_ROWS)
        ]
    )
    trials.table["rejected"] = reasons
    written = ", ".join(f"{key} {value}" for key, value in rule.items() if value is not None)
    return rejection_evidence(trials.table, rule=written)
