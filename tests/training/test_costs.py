"""Costs are told from small pieces, before the work starts."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hydra.utils import instantiate

from brain_decode.cli.app import main
from brain_decode.cli.composition import compose
from brain_decode.reports.html import write_report
from brain_decode.signals.recording import ArraySource, Entities, Recording
from brain_decode.signals.sensors import Sensors
from brain_decode.training.costs import Prediction, predict_costs
from brain_decode.training.loading import load_windows
from brain_decode.training.permuting import FittedFold
from brain_decode.training.permuting_costs import RefitCost, batches_of_draws
from brain_decode.training.pilots import Growth, megabytes_of, piece_of, watched_memory

WriteTaps = Callable[..., None]


def test_a_line_goes_through_both_measurements() -> None:
    growth = Growth.through((10, 30), (2.0, 4.0))
    assert (growth.fixed, growth.each) == (1.0, 0.1)
    assert growth.at(100) == pytest.approx(11.0)


@pytest.mark.parametrize("costs", [(4.0, 2.0), (1.0, 6.0)])
def test_a_line_that_would_fall_or_start_below_zero_starts_at_zero(costs: tuple[float, float]) -> None:
    growth = Growth.through((10, 30), costs)
    assert growth.fixed == 0.0
    assert growth.at(30) == pytest.approx(costs[1])


def test_memory_that_is_taken_and_given_back_is_seen() -> None:
    with watched_memory() as highest:
        # Straight from the system: the heap may hold enough from before.
        block = mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        block.write(b"x" * (256 << 20))
        time.sleep(0.1)
        block.close()
    assert 200 < highest[0] < 600


def test_a_piece_is_the_beginning_of_a_recording_with_the_events_in_it() -> None:
    events = pd.DataFrame({"onset_s": [1.0, 6.0], "duration_s": 0.0, "trial_type": ["a", "b"]})
    source = ArraySource(np.arange(2000.0).reshape(2, 1000))
    recording = Recording(Entities("01"), Sensors(("a", "b"), ("eeg", "eeg")), 100.0, events, source)
    piece = piece_of(recording, 0.5)
    assert piece.duration_s == 5.0
    assert np.array_equal(piece.read(), recording.read(0, 500))
    assert piece.events["trial_type"].tolist() == ["a"]
    assert megabytes_of(piece) == pytest.approx(2 * 500 * 8 / 2**20)


def words(folder: Path) -> list[str]:
    places = [f"catalogue={folder / 'catalogue'}", f"paths.data={folder / 'data'}", f"paths.store={folder / 'stores'}"]
    return [*places, "datasets=taps", "preprocessing=trials", "split=contiguous_kfold", "encoder=time_means"]


def costs_of(chosen: list[str]) -> Prediction:
    config = compose("train", chosen)
    return predict_costs(config, load_windows(config), write_report)


def test_the_disk_that_preparing_takes_is_told_exactly(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    told = costs_of(words(tmp_path)).prepare.disk_mb
    assert main(["prepare", *words(tmp_path)]) == 0
    taken = sum(path.stat().st_size for path in (tmp_path / "stores").iterdir()) / 2**20
    assert told == pytest.approx(taken, rel=0.05)


def test_the_size_of_the_run_folder_is_told(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    told = costs_of([*words(tmp_path), "permutations=9"]).train.disk_mb
    assert main(["train", *words(tmp_path), "permutations=9", f"out={tmp_path / 'run'}"]) == 0
    taken = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file()) / 2**20
    assert told == pytest.approx(taken, rel=0.3)


def test_more_folds_and_a_network_take_longer(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    few = costs_of([*words(tmp_path), "split.n_folds=2", "permutations=0"])
    network = costs_of([*words(tmp_path), "encoder=eegnet", "trainer.accelerator=cpu"])
    assert network.train.seconds[1] > network.train.seconds[0] > few.train.seconds[0]
    assert few.train.seconds[0] == few.train.seconds[1]
    assert "between 9 and 50 epochs a fit" in " ".join(network.assumptions)


def test_permutation_tests_are_foreseen_between_the_first_batch_and_all(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    told = costs_of([*words(tmp_path), "permutations=199"])
    assert told.train.seconds[1] > told.train.seconds[0]
    said = next(line for line in told.assumptions if line.startswith("p: "))
    assert said.startswith("p: 20 to 199 permutations of the labels, for each of which ")
    assert "fitted again in 5 folds" in said


def test_a_design_without_a_valid_null_is_foreseen(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    path = tmp_path / "data" / "taps.npz"
    stored = dict(np.load(path))
    np.savez(path, **{**stored, "y": np.sort(stored["y"])})
    said = costs_of([*words(tmp_path), "permutations=199"]).assumptions
    assert [line for line in said if line.startswith("No p will be given: the design allows only 2 labellings")]


@pytest.mark.parametrize("chosen", ["permutations=0", "split=contiguous_kfold"])
def test_draws_come_in_batches_that_double(chosen: str, tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    config = compose("train", [*words(tmp_path), chosen])
    trials = load_windows(config).trials
    split = instantiate(config.split)
    draws = batches_of_draws(trials, split, split.folds(trials.table), int(config.permutations))
    assert draws == ([] if chosen == "permutations=0" else [20, 40, 80, 59])


def test_refits_cost_by_batches_folds_and_draws() -> None:
    folds = [FittedFold(np.arange(8), np.arange(8, 10))] * 3
    cost = RefitCost(Growth(0.0, 0.1), Growth(0.0, 0.01), 0.5, folds)
    # The observed labels come first: one batch and one draw more.
    assert cost.seconds([20, 40]) == pytest.approx(3 * 3 * 1.0 + 61 * (3 * 0.1 + 0.5))
    assert cost.seconds([]) == 0.0


def test_nothing_is_written_where_the_run_would_write(tmp_path: Path, write_taps: WriteTaps) -> None:
    write_taps(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    costs_of(words(tmp_path))
    assert sorted(tmp_path.rglob("*")) == before


def test_the_doctor_tells_what_a_dataset_holds_and_takes(
    tmp_path: Path, write_taps: WriteTaps, capsys: pytest.CaptureFixture[str]
) -> None:
    write_taps(tmp_path)
    assert main(["doctor", *words(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "taps: 1 recordings of 1 people" in said
    assert "windows: left 50, right 50" in said
    assert "What it will take" in said and "prepare" in said


def test_the_doctor_lists_every_broken_fact(
    tmp_path: Path, write_taps: WriteTaps, capsys: pytest.CaptureFixture[str]
) -> None:
    write_taps(tmp_path)
    entry = tmp_path / "catalogue" / "datasets" / "taps.yaml"
    entry.write_text(entry.read_text().replace("loader:\n", "loader:\n  facts: {channels: 5, rate_hz: 250}\n"))
    assert main(["doctor", *words(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "broken fact: " in said
    assert "expected number of channels 5, received 4" in said
    assert "expected sampling rate in Hz 250" in said
