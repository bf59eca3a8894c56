"""Leave-one-subject-out retrieval: a new person, new pictures, and a decoder that starts anew for each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_decode.cli.app import main
from brain_decode.core.errors import DataError
from brain_decode.datasets.new_subject_splits import LeaveSubjectOutZeroShot
from brain_decode.training import crossvalidation

STUDY = {"n_subjects": 2, "n_train_concepts": 40, "n_exemplars": 2, "n_test_concepts": 12, "test_repetitions": 4,
         "n_runs": 1, "n_sessions": 1, "n_electrodes": 16, "rate_hz": 128.0, "noise": 0.5}  # fmt: skip
Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words of a retrieval run on two simulated people, whom the first run makes."""
    place = tmp_path_factory.mktemp("people")
    return [
        "train",
        "datasets=simulated_things",
        *(f"datasets.loader.study.{name}={value}" for name, value in STUDY.items()),
        f"paths.data={place / 'data'}",
        f"paths.store={place / 'store'}",
        "target={column: concept, task: retrieval}",
        "preprocessing=simulated",
        "split=leave_subject_out_zero_shot",
        "baselines={}",
        "trainer.accelerator=cpu",
    ]


RIDGE = ["encoder=time_means", "+encoder.bin_s=0.02", "+encoder.start_s=0.06", "+encoder.stop_s=0.5", "head=ridge"]
NETWORK = ["encoder=eegnet", "head=retrieval", "trainer.max_epochs=1"]


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """The windows of every fit of a run, in order."""
    seen: list[pd.DataFrame] = []
    real = crossvalidation.fit_decoder

    def record(recipe: Any, trials: Any, rows: np.ndarray, *rest: Any, **named: Any) -> Any:
        seen.append(trials.table.iloc[rows])
        return real(recipe, trials, rows, *rest, **named)

    monkeypatch.setattr(crossvalidation, "fit_decoder", record)
    return seen


def test_a_new_person_is_scored_on_new_pictures(words: list[str], tmp_path: Path, fits: list[pd.DataFrame]) -> None:
    assert main([*words, *RIDGE, f"out={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    predictions = pd.read_parquet(tmp_path / "run" / "predictions.parquet")
    assert [fold["name"] for fold in metrics["folds"]] == ["sub-01", "sub-02"]
    for fold, fitted in zip(("01", "02"), fits):
        assert set(fitted["subject"]) == {"01", "02"} - {fold} and set(fitted["partition"]) == {"train"}
        own = predictions[predictions["fold"] == f"sub-{fold}"]
        assert set(own["subject"]) == {fold} and set(own["gallery_size"]) == {12}
        assert not set(own["truth"]) & set(fitted["stimulus"])
    assert set(fits[-1]["subject"]) == {"01", "02"} and set(fits[-1]["partition"]) == {"train"}
    top1 = metrics["metrics"]["top1"]
    assert top1["n"] == 24 and top1["chance"] == pytest.approx(1 / 12)
    assert top1["ci95"] == [None, None] and "takes 5" in top1["ci95_reason"]
    assert top1["p_permutation"] < 0.01 and "decoder fixed" in top1["p_method"]
    assert metrics["metrics"]["2_way"]["value"] > 0.6


def test_no_decoder_is_carried_over_from_one_person_to_the_next(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main([*words, *NETWORK, f"out={tmp_path / 'forth'}"]) == 0
    real = LeaveSubjectOutZeroShot.folds
    monkeypatch.setattr(LeaveSubjectOutZeroShot, "folds", lambda self, table: real(self, table)[::-1])
    assert main([*words, *NETWORK, f"out={tmp_path / 'back'}"]) == 0
    ranks = [
        pd.read_parquet(tmp_path / way / "predictions.parquet").sort_values(["fold", "n_repetitions", "window"])
        for way in ("forth", "back")
    ]
    assert ranks[0]["similarity"].tolist() == pytest.approx(ranks[1]["similarity"].tolist(), abs=1e-6)


def table(partitions: dict[str, list[str]]) -> pd.DataFrame:
    rows = [
        {"dataset": "made", "subject": subject, "partition": part, "stimulus": f"{part}{number}"}
        for subject, parts in partitions.items()
        for number, part in enumerate(parts)
    ]
    return pd.DataFrame(rows)


def test_what_the_left_out_person_learned_and_the_others_were_tested_on_is_used_by_nobody() -> None:
    made = table({"01": ["train", "validation", "test"], "02": ["train", "test", "test"]})
    first, second = LeaveSubjectOutZeroShot().folds(made)
    assert (first.train.tolist(), first.test.tolist()) == ([3], [2])
    assert (second.train.tolist(), second.test.tolist()) == ([0, 1], [4, 5])
    assert LeaveSubjectOutZeroShot().final_rows(made).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("partitions", "told"),
    [
        ({"01": ["train", "test"]}, "needs at least 2 subjects, the table has 1"),
        ({"01": ["train", "test"], "02": ["train", "train"]}, "sub-02 has no test windows"),
        ({"01": ["test", "test"], "02": ["train", "test"]}, "sub-01 has no training windows"),
    ],
)
def test_people_without_both_parts_are_named(partitions: dict[str, list[str]], told: str) -> None:
    with pytest.raises(DataError, match=told):
        LeaveSubjectOutZeroShot().folds(table(partitions))
