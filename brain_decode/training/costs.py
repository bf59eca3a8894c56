"""What `prepare` and `train` will cost, told from small measured pieces of the same work."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

from brain_decode.datasets.inner_folds import inner_folds
from brain_decode.datasets.splits import OfficialSplit, ScoreOnly
from brain_decode.datasets.store import prepare_store
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.recording import Recording
from brain_decode.signals.spec import probability_columns
from brain_decode.training.crossvalidation import Protocol
from brain_decode.training.describing import describe_windows
from brain_decode.training.filter_gaps import over_filters
from brain_decode.training.fitting import FitSettings, fit_decoder
from brain_decode.training.loading import LoadedRun
from brain_decode.training.permuting import design_of
from brain_decode.training.permuting_costs import RefitCost, barred_reason, batches_of_draws
from brain_decode.training.pilots import (
    Growth,
    elapsed_since_start_s,
    highest_resident_mb,
    megabytes_of,
    piece_of,
    resident_mb,
    timed,
    watched_memory,
)
from brain_decode.training.predicting import predict_rows
from brain_decode.training.recipes import Plan, Recipe, plan_from_config
from brain_decode.training.results import RunResult, write_results
from brain_decode.training.run import protocol_of
from brain_decode.training.trials import Trials

__all__ = ["Cost", "Prediction", "predict_costs"]

_PIECE_MB = 24.0  # of a recording that is prepared on trial
_PILOT_WINDOWS = 240  # windows that decoders are fitted on, on trial
_SCORED_WINDOWS = (400, 1600)  # made-up answers that are scored on trial


@dataclass(frozen=True)
class Cost:
    """What a command takes.

    Args:
        disk_mb: Written and kept.
        memory_mb: Resident at most, pages of the stores not counted.
        seconds: Least and most; they differ where early stopping or the permutation test decides.
    """

    disk_mb: float
    memory_mb: float
    seconds: tuple[float, float]


@dataclass(frozen=True)
class Prediction:
    """Costs of the two commands, and what they were computed from.

    Args:
        prepare: Where nothing is prepared yet.
        train: Where everything is prepared.
        assumptions: Sentences.
    """

    prepare: Cost
    train: Cost
    assumptions: list[str]


@dataclass(frozen=True)
class _Start:
    """What the process had taken before it began to prepare or fit."""

    seconds: float
    memory_mb: float


def predict_costs(config: DictConfig, loaded: LoadedRun, write_report: Callable[[Path], object]) -> Prediction:
    """Prepare pieces of recordings and fit decoders on few windows, and extrapolate to the whole.

    Args:
        config: Composed from `conf/train.yaml`.
        loaded: Of `load_windows`.
        write_report: Draws the report of a run folder, as `train` does in the end.

    Raises:
        BrainDecodeError: What `prepare` or `train` would refuse as well.
    """
    start = _Start(elapsed_since_start_s(), resident_mb())
    steps = Preprocessing.from_json(OmegaConf.to_container(config.preprocessing, resolve=True))  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory(prefix="brain_decode_doctor_") as scratch:
        prepare = _prepare_cost(loaded.trials, steps, Path(scratch) / "pieces", start)
        train, assumptions = _train_cost(config, loaded, write_report, Path(scratch), start)
    return Prediction(prepare, train, assumptions)


def _prepare_cost(trials: Trials, steps: Preprocessing, scratch: Path, start: _Start) -> Cost:
    """Return the cost of preparing: one recording is prepared up to a share, and up to a third of that."""
    recordings = trials.recordings
    largest = max(recordings, key=megabytes_of)
    share = min(1.0, _PIECE_MB / max(megabytes_of(largest), 1e-9))
    sizes, seconds, peaks, ratio = [], [], [], 0.0
    for number, part in enumerate((share / 3, share)):
        piece_mb = megabytes_of(largest) * part
        with watched_memory() as highest:
            piece_s, stored = timed(partial(_prepared_piece, largest, part, steps, scratch / f"{number}"))
        sizes.append(piece_mb)
        seconds.append(piece_s)
        peaks.append(highest[0])
        ratio = _megabytes_in([stored]) / piece_mb
    time_by_mb, memory_by_mb = Growth.through(sizes, seconds), Growth.through(sizes, peaks)
    every_mb = [megabytes_of(recording) for recording in recordings]
    workers = max(min(trials.workers, len(recordings)), 1)
    duration = start.seconds + sum(time_by_mb.at(size) for size in every_mb) / workers
    manifests_mb = (
        _megabytes_in([stored.with_suffix(".json")])
        * sum(len(recording.space) for recording in recordings)
        / len(largest.space)
    )
    return Cost(
        disk_mb=ratio * sum(every_mb) + manifests_mb,
        memory_mb=start.memory_mb + memory_by_mb.at(max(every_mb)),
        seconds=(duration, duration),
    )


def _prepared_piece(recording: Recording, share: float, steps: Preprocessing, folder: Path) -> Path:
    """Prepare a piece of a recording, and return the file that holds it."""
    return prepare_store([piece_of(recording, share)], steps.signal_steps, folder).entries[0].path


@dataclass(frozen=True)
class _RecipeCost:
    """Seconds of fitting by training window (per epoch for a network) and of answering by window, and MB of fitting."""

    fit_s: Growth
    answer_s: Growth
    fit_mb: Growth
    is_network: bool
    decoder: BrainDecoder

    def fitting(self, n_windows: int, epochs: int) -> float:
        """Return the seconds of one fit."""
        return self.fit_s.at(n_windows * epochs if self.is_network else n_windows)


def _megabytes_in(files: Iterable[Path]) -> float:
    return sum(path.stat().st_size for path in files if path.is_file()) / 2**20


def _train_cost(
    config: DictConfig,
    loaded: LoadedRun,
    write_report: Callable[[Path], object],
    scratch: Path,
    start: _Start,
) -> tuple[Cost, list[str]]:
    trials = loaded.trials
    plan = plan_from_config(config, trials.task, trials.recordings[0].space)
    protocol = over_filters(protocol_of(config, trials, scratch / "run", []), plan, trials)
    pilot = _pilot_trials(trials, scratch / "stores")
    folds = protocol.split.folds(trials.table)
    draws = batches_of_draws(trials, protocol.split, folds, protocol.n_permutations)
    costs = {recipe.name: _recipe_cost(recipe, pilot, protocol) for recipe in plan.recipes}
    epochs = _epochs(protocol.settings)
    fits = _fits(plan, trials, protocol)
    closed = [recipe for recipe in plan.recipes if recipe.can_be_refitted and draws]
    refits = [RefitCost.measured(recipe, pilot, trials, folds, protocol.settings) for recipe in closed]
    permuting = [sum(cost.seconds(batches) for cost in refits) for batches in (draws[:1], draws)]
    least, most = (
        sum(costs[name].fitting(n_train, count) + costs[name].answer_s.at(n_test) for name, n_train, n_test in fits)
        for count in epochs
    )
    least, most = least + permuting[0], most + permuting[1]
    run = _made_up_run(costs, pilot, plan, protocol, loaded)
    names = list(dict.fromkeys([plan.name, *(recipe.name for recipe in plan.recipes)]))
    scoring = _Scoring(run, names, trials.table, config, write_report, scratch / "scores")
    ending = _ending(scoring, len(trials.table))
    saved = costs[plan.candidates[0].name].decoder.save_pretrained(scratch / "checkpoint")
    largest_fit = max((costs[name].fit_mb.at(n_train) for name, n_train, _ in fits), default=0.0)
    # The pilot has done a little of all that the run does, so its own peak holds every library and working copy.
    memory_mb = max(start.memory_mb + largest_fit, ending.memory_mb, highest_resident_mb())
    fixed = start.seconds + ending.seconds
    disk_mb = ending.disk_mb + _megabytes_in(saved.iterdir())
    cost = Cost(disk_mb, memory_mb, (least + fixed, most + fixed))
    said = _assumptions(pilot, trials, costs, epochs, len(fits))
    may_have_p = protocol.n_permutations and trials.task != "retrieval"
    barred = barred_reason(trials) if may_have_p and not draws else ""  # what is drawn is not barred
    said += [f"No p will be given: {barred}."] if barred else []
    return cost, said + _permutation_assumptions(draws, len(folds), len(refits), permuting)


def _pilot_trials(trials: Trials, store_folder: Path) -> Trials:
    """Return trials of the beginnings of a few recordings, enough for every class and some hundred windows."""
    pieces: list[Recording] = []
    tables: list[pd.DataFrame] = []
    wanted = set(trials.classes) if trials.task == "classification" else set()
    for index in np.random.default_rng(0).permutation(len(trials.recordings)):
        share = min(1.0, _PIECE_MB / max(megabytes_of(trials.recordings[index]), 1e-9))
        piece = piece_of(trials.recordings[index], share)
        rows = _rows_within(trials.table[trials.table["recording"] == index], piece)
        tables.append(rows.assign(recording=len(pieces)))
        pieces.append(piece)
        wanted -= set(rows["label"].astype(str))
        if not wanted and sum(map(len, tables)) >= _PILOT_WINDOWS:
            break
    table = pd.concat(tables, ignore_index=True).assign(rejected="")
    return replace(trials, recordings=pieces, table=table, store_folder=store_folder)


def _rows_within(table: pd.DataFrame, piece: Recording) -> pd.DataFrame:
    """Return the windows of a recording that lie within its piece."""
    if piece.continuous:
        return table[table["stop_s"] <= piece.duration_s]
    return table[table["event"] < len(piece.events)]


def _pilot_rows(pilot: Trials) -> np.ndarray:
    """Return rows spread over the pilot, so that every class is among them."""
    order = np.random.default_rng(0).permutation(len(pilot.table))
    return np.sort(order[:_PILOT_WINDOWS])


def _recipe_cost(recipe: Recipe, pilot: Trials, protocol: Protocol) -> _RecipeCost:
    rows = _pilot_rows(pilot)
    small = np.sort(np.random.default_rng(0).permutation(rows)[: max(len(rows) // 2, 2)])
    times, peaks = [], []
    for chosen in (small, rows):
        with watched_memory() as highest:
            once_s, decoder = timed(partial(_fitted, recipe, pilot, chosen, protocol, 1), repeats=2)
        times.append(once_s)
        peaks.append(highest[0])
    answers = [partial(predict_rows, decoder, pilot, chosen, protocol.gallery) for chosen in (small, rows)]
    answering = [timed(answer, repeats=2)[0] for answer in answers]
    sizes = [len(small), len(rows)]
    fit_s, is_network = Growth.through(sizes, times), not recipe.is_closed_form
    if is_network:
        thrice_s, _ = timed(partial(_fitted, recipe, pilot, rows, protocol, 3))
        epoch_s = max(thrice_s - once_s, 0.0) / 2
        fit_s = Growth(max(once_s - epoch_s, 0.0), epoch_s / len(rows))
    return _RecipeCost(fit_s, Growth.through(sizes, answering), Growth.through(sizes, peaks), is_network, decoder)


def _fitted(recipe: Recipe, pilot: Trials, rows: np.ndarray, protocol: Protocol, epochs: int) -> BrainDecoder:
    """Return a decoder fitted on some rows; networks for so many epochs."""
    settings = _epochs_only(protocol.settings, epochs)
    return fit_decoder(recipe, pilot, rows, validation=np.zeros(0, dtype=int), settings=settings).decoder


def _epochs_only(settings: FitSettings, epochs: int) -> FitSettings:
    trainer = {**settings.trainer, "max_epochs": epochs, "logger_folder": None}
    return replace(settings, trainer=trainer, state_folder=None)


def _epochs(settings: FitSettings) -> tuple[int, int]:
    """Return the fewest and the most epochs that early stopping leaves."""
    most = int(settings.trainer.get("max_epochs", 100))
    return min(int(settings.trainer.get("patience", 15)) + 1, most), most


def _fits(plan: Plan, trials: Trials, protocol: Protocol) -> list[tuple[str, int, int]]:
    """Return (recipe, training windows, windows answered) of every fit of a run, the last one included."""
    found: list[tuple[str, int, int]] = []
    folds = protocol.split.folds(trials.table)
    for fold in folds:
        found += _selection_fits(plan, trials, fold.train, protocol)
        found += [(recipe.name, len(fold.train), len(fold.test)) for recipe in plan.recipes]
    if isinstance(protocol.split, OfficialSplit | ScoreOnly):
        return found
    everything = protocol.split.final_rows(trials.table)
    final = plan.candidates[0].name
    return [*found, *_selection_fits(plan, trials, everything, protocol), (final, len(everything), 0)]


def _selection_fits(plan: Plan, trials: Trials, rows: np.ndarray, protocol: Protocol) -> list[tuple[str, int, int]]:
    if len(plan.candidates) == 1:
        return []
    level = next((level for level in protocol.split.forbids if level in ("subject", "session", "run")), "run")
    folds = inner_folds(trials.table, rows, zero_shot=protocol.zero_shot, level=level, reach=protocol.reach)
    return [(recipe.name, len(fold.train), len(fold.test)) for recipe in plan.candidates for fold in folds]


def _made_up_run(
    costs: Mapping[str, _RecipeCost], pilot: Trials, plan: Plan, protocol: Protocol, loaded: LoadedRun
) -> RunResult:
    """Return a run whose answers and averages are those of the pilot."""
    rows = _pilot_rows(pilot)
    answers = predict_rows(costs[plan.recipes[0].name].decoder, pilot, rows, protocol.gallery)
    seen = set(pilot.table["label"].astype(str).iloc[rows]) if pilot.task == "classification" else set()
    present = [name for name in pilot.classes if name in seen] if seen else []
    preprocessing = plan.recipes[0].build_preprocessing()
    return RunResult(
        command="train",
        decoder=plan.name,
        protocol="pilot",
        task=pilot.task,
        predictions=answers,
        folds=[],
        curves=[],
        datasets=loaded.datasets,
        exclusions=loaded.exclusions,
        rejection=None,
        evoked=describe_windows(pilot, preprocessing, rows, present, note="") if present else None,
        receipt={},
        selected=plan.name,
        seed=0,
        classes=loaded.trials.classes if pilot.task == "classification" else (),
        design=design_of(protocol.split, protocol.split.folds(loaded.trials.table)),
    )


def _ending(scoring: _Scoring, n_windows: int) -> _Ending:
    """Return what scores, intervals, permutations, files and report of a run take."""
    sizes = [min(n_windows, size) for size in _SCORED_WINDOWS]
    first_s, _ = timed(partial(scoring, sizes[0]))  # with what is loaded on first use
    seconds, megabytes, peaks = [], [], []
    resident = resident_mb()
    for size in sizes:
        with watched_memory() as highest:
            seconds.append(timed(partial(scoring, size))[0])
        megabytes.append(_megabytes_in(scoring.folder.iterdir()))
        peaks.append(highest[0])
    once_s = max(first_s - seconds[0], 0.0)
    whole_s, disk_mb, peak_mb = (Growth.through(sizes, costs).at(n_windows) for costs in (seconds, megabytes, peaks))
    return _Ending(once_s + whole_s, disk_mb, resident + peak_mb)


@dataclass(frozen=True)
class _Ending:
    """Seconds, MB on disk, and resident MB at most."""

    seconds: float
    disk_mb: float
    memory_mb: float


@dataclass(frozen=True)
class _Scoring:
    """Scores a made-up run, its answers repeated up to a number, and draws its report."""

    run: RunResult
    names: Sequence[str]
    table: pd.DataFrame
    config: DictConfig
    write_report: Callable[[Path], object]
    folder: Path

    def __call__(self, n_windows: int) -> None:
        rng = np.random.default_rng(0)
        folds = np.arange(n_windows) * self.run.design.n_folds // n_windows
        told = {"fold": [f"fold-{fold}" for fold in folds], "split": "test"}
        frames = [self._answers(n_windows, rng).assign(decoder=name, **told) for name in self.names]
        run = replace(self.run, predictions=pd.concat(frames, ignore_index=True))
        write_results(run, self.config, self.folder)
        self.write_report(self.folder)

    def _answers(self, n_windows: int, rng: np.random.Generator) -> pd.DataFrame:
        """Return answers to the run's own windows; no two alike, for repeated numbers take less room in a file."""
        answers = self.run.predictions
        own = answers.iloc[np.arange(n_windows) % len(answers)].reset_index(drop=True)
        if self.run.task != "retrieval":
            where = own.columns.intersection(self.table.columns).difference(["label", "rejected"])
            own[where] = self.table[where].iloc[:n_windows].reset_index(drop=True)
        if self.run.task == "classification":
            names = probability_columns(self.run.classes)
            share, values = rng.random((n_windows, 1)), own[names].to_numpy(float)
            own[names] = share * values + (1 - share) * np.roll(values, 1, axis=0)
        return own


def _permutation_assumptions(
    draws: Sequence[int], n_folds: int, n_decoders: int, seconds: Sequence[float]
) -> list[str]:
    if not draws or not n_decoders:
        return []
    counts = f"{draws[0]} to {sum(draws)}" if len(draws) > 1 else f"{draws[0]}"
    decoders = f"{n_decoders} closed-form {'decoder' if n_decoders == 1 else 'decoders'}"
    return [
        f"p: {counts} permutations of the labels, for each of which {decoders} are fitted again in {n_folds} folds: "
        f"{seconds[0]:.0f} s where there is nothing to decode, up to {seconds[1]:.0f} s where there is "
        "(permutations= sets the number, 0 gives no p)."
    ]


def _assumptions(
    pilot: Trials, trials: Trials, costs: Mapping[str, _RecipeCost], epochs: tuple[int, int], n_fits: int
) -> list[str]:
    said = [
        f"{n_fits} fits, extrapolated from {min(len(pilot.table), _PILOT_WINDOWS)} windows of {len(trials.table)}, "
        "with the processes and the load this machine has now."
    ]
    networks = [name for name, cost in costs.items() if cost.is_network]
    if networks:
        said.append(
            f"{', '.join(networks)}: between {epochs[0]} and {epochs[1]} epochs a fit; where training stops early is "
            "not known beforehand."
        )
    return said
