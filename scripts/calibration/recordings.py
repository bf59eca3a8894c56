"""Real recordings whose labels are shuffled within runs: nothing is left to decode, and p must be uniform."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import kstest

from brain_decode.cli.composition import compose
from brain_decode.evaluation.exchangeability import label_exchange
from brain_decode.evaluation.permutation import ENOUGH, PermutationValue
from brain_decode.evaluation.unavailable import Unavailable
from brain_decode.training.permuting import RefitScores, fitted_folds, sequential_p_values
from brain_decode.training.refit import refitting
from brain_decode.training.run import prepare_run

N_SHUFFLES, _PERMUTATIONS = 20, 39
EXPERIMENTS = (
    "eeg_muse_n170",
    "eeg_muse_p300_catsdogs",
    "eeg_muse_leftright_vep",
    "eeg_muse_ssvep",
    "eeg_mi_eegmmidb_s001",
    "eeg_fingertap_bci2iv",
    "eeg_n400_words",
    "eeg_eeglab_attention",
    "fmri_haxby2001",
)
SUBJECTS = {"eeg_muse_n170": ["datasets.subjects=['01']"]}


def measure(
    data: Path, experiments: Sequence[str] = EXPERIMENTS, n_shuffles: int = N_SHUFFLES
) -> Iterator[dict[str, Any]]:
    """Yield {"setting", "promised", "measured", "n"}: of each dataset and decoder, and of all p-values together."""
    everything: list[PermutationValue] = []
    aucs: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        for name in experiments:
            started = time.monotonic()
            for decoder, found, scores in _shuffled(name, data, Path(place), n_shuffles):
                everything += found
                p_values = [value.p for value in found]
                aucs += scores
                mean, error = float(np.mean(scores)), float(np.std(scores, ddof=1) / np.sqrt(len(scores)))
                told = f"{name}, {decoder}, labels shuffled within runs"
                yield _row(f"{told}: mean AUC (standard error {error:.3f})", "0.500", mean, len(scores))
                yield _row(f"{told}: p <= 0.05", "0.05", float(np.mean(np.array(p_values) <= 0.05)), len(p_values))
                print(name, decoder, np.round(p_values, 4).tolist(), np.round(scores, 4).tolist(), file=sys.stderr)
            print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
    rng = np.random.default_rng(0)
    uniform = float(kstest([_within_its_step(value, rng) for value in everything], "uniform").pvalue)
    low = float(np.mean([value.p <= 0.05 for value in everything]))
    yield _row("all of these: p <= 0.05", "0.05", low, len(everything))
    yield _row("all of these: Kolmogorov-Smirnov p of uniform p-values", "over 0.01", uniform, len(everything))
    away = (np.mean(aucs) - 0.5) / (np.std(aucs, ddof=1) / np.sqrt(len(aucs)))
    yield _row("all of these: mean AUC from 0.5 in standard errors", "within 2", float(away), len(aucs))


def _within_its_step(value: PermutationValue, rng: np.random.Generator) -> float:
    """Return a p-value anywhere between the next smaller possible one and itself, as a test for uniform ones needs it.

    A sequential p takes few values: `ENOUGH` over the number drawn where it stopped, else steps of 1 / (1 + drawn).
    """
    stopped = abs(value.p * value.n_permutations - ENOUGH) < 1e-9
    below = ENOUGH / (value.n_permutations + 1) if stopped else value.p - 1 / (value.n_permutations + 1)
    return float(rng.uniform(below, value.p))


def _row(setting: str, promised: str, measured: float, n: int) -> dict[str, Any]:
    return {"setting": setting, "promised": promised, "measured": measured, "n": n}


def _shuffled(
    name: str, data: Path, place: Path, n_shuffles: int
) -> Iterator[tuple[str, Sequence[PermutationValue], Sequence[float]]]:
    """Yield each closed-form decoder of an experiment with the p-values and the AUCs of the shuffles."""
    words = [f"experiment={name}", f"paths.data={data}", f"paths.store={place / 'stores'}", *SUBJECTS.get(name, [])]
    planned = prepare_run(compose("train", words), place / name)
    trials, settings = planned.loaded.trials, planned.protocol.settings
    folds = fitted_folds(trials, planned.protocol.split.folds(trials.table))
    labels = trials.targets(np.arange(len(trials.table)))
    exchange = label_exchange(trials.table, labels)
    if isinstance(exchange, Unavailable):
        return
    shuffled = labels[exchange.positions(n_shuffles, np.random.default_rng(0))]
    for recipe in planned.plan.recipes:
        p_values, aucs = [], []
        with refitting() as pool:
            refits = {recipe.name: RefitScores(recipe, trials, folds, settings, pool)}
            aucs = refits[recipe.name](shuffled)["auc"].tolist()
            for number, one in enumerate(shuffled):
                found = sequential_p_values(refits, {recipe.name: (recipe.name,)}, one, exchange, _PERMUTATIONS, number)
                p_values.append(found[recipe.name]["auc"])
        yield recipe.name, p_values, aucs
