"""Copies of the training recordings are refused, however they are disguised."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pandas as pd
import pytest

from brain_decode.cli.app import main

RATE_HZ, SECONDS = 128, 60
Run = Callable[..., int]


def write_people(root: Path, seeds: dict[str, int], seconds: int = SECONDS) -> None:
    """Write a BIDS folder of EDF files: a minute of noise for each person, an event every other second."""
    rng = np.random.default_rng(99)
    for subject, seed in seeds.items():
        folder = root / f"sub-{subject}" / "eeg"
        folder.mkdir(parents=True)
        samples = np.random.default_rng(seed).standard_normal((4, RATE_HZ * SECONDS))[:, : RATE_HZ * seconds] * 2e-5
        raw = mne.io.RawArray(samples, mne.create_info(["C3", "C4", "Cz", "Pz"], RATE_HZ, "eeg"), verbose="ERROR")
        name = f"sub-{subject}_task-rest"
        mne.export.export_raw(folder / f"{name}_eeg.edf", raw, physical_range=(-2e-4, 2e-4), verbose="ERROR")
        onsets = np.arange(1.0, seconds - 1.0, 2.0)
        labels = rng.permutation(["a", "b"] * 15)[: len(onsets)]
        events = pd.DataFrame({"onset": onsets, "duration": 0.0, "trial_type": labels})
        events.to_csv(folder / f"{name}_events.tsv", sep="\t", index=False)


def flip_one_bit(root: Path) -> None:
    """Change the lowest bit of one sample of each file."""
    for path in root.glob("**/*.edf"):
        content = bytearray(path.read_bytes())
        content[-1000] ^= 1
        path.write_bytes(content)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def command(name: str, data: Path, *words: str) -> int:
        places = [f"paths.data={data}", f"paths.store={tmp_path / 'stores'}"]
        return main([name, "datasets=bids", *places, *words])

    return command


@pytest.fixture
def trained(run: Run, tmp_path: Path) -> Path:
    write_people(tmp_path / "data", {"01": 1, "02": 2, "03": 3})
    words = ["preprocessing=trials", "split=leave_subject_out", "encoder=time_means", "head=shrinkage_lda"]
    assert run("train", tmp_path / "data", *words, "baselines=[]", "permutations=0", f"out={tmp_path / 'trained'}") == 0
    return tmp_path / "trained"


def test_one_flipped_bit_in_each_file_does_not_make_new_recordings(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flip_one_bit(tmp_path / "data")
    capsys.readouterr()
    assert run("evaluate", tmp_path / "data", f"checkpoint={trained}", f"out={tmp_path / 'scored'}") == 1
    error = capsys.readouterr().err
    assert error.startswith("LeakageError")
    assert "fitted on 'bids sub-01_task-rest', and 'bids sub-01_task-rest' holds the same signal for 59 s" in error
    assert "Choose other recordings" in error
    assert not (tmp_path / "scored").exists()


def test_an_exact_copy_under_another_name_is_told_by_the_name_it_was_fitted_under(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "renamed", {"07": 1})
    capsys.readouterr()
    assert run("evaluate", tmp_path / "renamed", f"checkpoint={trained}", f"out={tmp_path / 'scored'}") == 1
    assert "fitted on 'bids sub-01_task-rest', and 'sub-07_task-rest' has the same content" in capsys.readouterr().err


def test_other_people_are_scored(run: Run, trained: Path, tmp_path: Path) -> None:
    write_people(tmp_path / "others", {"01": 11, "02": 12})
    assert run("evaluate", tmp_path / "others", f"checkpoint={trained}", f"out={tmp_path / 'scored'}") == 0
    assert json.loads((tmp_path / "scored" / "receipt.json").read_text())["data"]["without_fingerprint"] == {}


def test_a_decoder_of_an_older_release_warns_that_only_exact_copies_are_refused(
    run: Run, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = trained / "checkpoint" / "config.json"
    saved = json.loads(config.read_text())
    del saved["provenance"]["fitted_recordings"]
    config.write_text(json.dumps(saved))
    write_people(tmp_path / "others", {"01": 11})
    assert run("evaluate", tmp_path / "others", f"checkpoint={trained}", f"out={tmp_path / 'scored'}") == 0
    assert "was saved without fingerprints" in caplog.text
    assert run("evaluate", tmp_path / "data", f"checkpoint={trained}", f"out={tmp_path / 'again'}") == 1


def test_of_recordings_too_short_for_a_fingerprint_it_is_said_that_only_exact_copies_are_known(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "short", {"07": 7}, seconds=12)
    capsys.readouterr()
    assert run("evaluate", tmp_path / "short", f"checkpoint={trained}", f"out={tmp_path / 'scored'}") == 0
    assert (
        "Of bids sub-07_task-rest only exact copies of what the decoder was fitted on are known (it is shorter "
        "than 13 s)."
    ) in capsys.readouterr().err


def test_a_disguised_copy_of_a_person_on_both_sides_is_refused_in_training(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "data", {"01": 1, "02": 2, "03": 1})
    flip_one_bit(tmp_path / "data" / "sub-03")
    words = ["preprocessing=trials", "split=leave_subject_out", "encoder=time_means", "baselines=[]"]
    assert run("train", tmp_path / "data", *words, f"out={tmp_path / 'run'}") == 1
    told = "'sub-03_task-rest' (recording 2, training) and 'sub-01_task-rest' (recording 0, test) hold the same signal"
    assert told in capsys.readouterr().err


REST = ["preprocessing=trials", "split=leave_subject_out", "encoder=time_means", "head=shrinkage_lda", "baselines=[]"]


def typed(error: str) -> str:
    """Return the word that a refusal says to type, as a shell hands it on."""
    assert "vouch for them: " in error
    (word,) = shlex.split(error.partition("vouch for them: ")[2])
    return word


def read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def test_the_word_of_the_refusal_lets_recordings_pass_that_a_person_vouches_for(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "data", {"01": 1, "02": 2, "03": 1})
    flip_one_bit(tmp_path / "data" / "sub-03")
    words = [*REST, "permutations=0", f"out={tmp_path / 'run'}"]
    assert run("train", tmp_path / "data", *words) == 1
    word = typed(capsys.readouterr().err)
    assert word == "distinct_recordings=[bids sub-01_task-rest,bids sub-03_task-rest]"
    assert run("train", tmp_path / "data", *words, word) == 0
    assert "recordings vouched for by hand" in capsys.readouterr().out.replace("\n", " ")
    (pair,) = read(tmp_path / "run", "metrics.json")["distinct_recordings"]
    assert pair["recordings"] == ["bids sub-01_task-rest", "bids sub-03_task-rest"] and pair["score"] > 7
    assert read(tmp_path / "run", "receipt.json")["data"]["distinct_recordings"] == [pair]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "1 pair of recordings vouched for by hand" in page
    assert "bids sub-01_task-rest and bids sub-03_task-rest are said to be no copies of each other" in page


def test_the_word_of_the_refusal_lets_a_decoder_be_scored(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(trained, "metrics.json")["distinct_recordings"] == []
    write_people(tmp_path / "others", {"11": 1})
    flip_one_bit(tmp_path / "others")
    capsys.readouterr()
    words = [f"checkpoint={trained}", f"out={tmp_path / 'scored'}"]
    assert run("evaluate", tmp_path / "others", *words) == 1
    word = typed(capsys.readouterr().err)
    assert run("evaluate", tmp_path / "others", *words, word) == 0
    (pair,) = read(tmp_path / "scored", "metrics.json")["distinct_recordings"]
    assert pair["recordings"] == ["bids sub-01_task-rest", "bids sub-11_task-rest"]
    assert read(tmp_path / "scored", "receipt.json")["data"]["distinct_recordings"] == [pair]


def test_exact_copies_are_refused_whoever_vouches_for_them(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "renamed", {"07": 1})
    capsys.readouterr()
    words = [f"checkpoint={trained}", "distinct_recordings=[bids sub-01_task-rest,sub-07_task-rest]"]
    assert run("evaluate", tmp_path / "renamed", *words, f"out={tmp_path / 'scored'}") == 1
    error = capsys.readouterr().err
    assert "has the same content" in error and "vouch" not in error


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_vouching_for_a_recording_that_is_not_there_is_one_clear_error(
    run: Run, trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    capsys.readouterr()
    words = REST if command == "train" else [f"checkpoint={trained}"]
    word = "distinct_recordings=[sub-1_task-rest,sub-02_task-rest]"
    assert run(command, tmp_path / "data", *words, word, f"out={tmp_path / 'again'}") == 2
    error = capsys.readouterr().err
    assert error.startswith("ConfigError: distinct_recordings names 'sub-1_task-rest', and there is no such recording")
    assert "Did you mean 'bids sub-01_task-rest'?" in error
