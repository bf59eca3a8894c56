"""A run that is killed at any moment ends, by the same command, as if it had never been killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytestmark = pytest.mark.slow

# Imports once, then runs the command line in copies of the process: the moments are spent in the run, not in imports.
KILLER = """
import json, os, signal, sys, time
import brain_decode.training.run, brain_decode.training.lightning_module, brain_decode.training.preparing
import brain_decode.reports.html, brain_decode.datasets.simulated, brain_decode.encoders.eegnet
import brain_decode.training.pretraining, brain_decode.encoders.brainomni
from brain_decode.cli.app import main

def attempt(words, moment=None):
    child = os.fork()
    if child == 0:
        os._exit(main(words))
    if moment is not None:
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

task = json.load(sys.stdin)
started = time.monotonic()
if attempt(task["whole"]):
    sys.exit("the uninterrupted run failed")
duration = time.monotonic() - started
moments, places, failed = [share * duration for share in task["moments"]], 0, []
while moments:
    words = [word.replace("PLACE", f"killed{places}") for word in task["killed"]]
    while moments and (code := attempt(words, moments.pop())) == -signal.SIGKILL:
        pass
    code = attempt(words) if code == -signal.SIGKILL else code
    failed += [code] if code else []
    places += 1
print(json.dumps({"places": places, "failed": failed}))
"""


def kill_at_random_moments(whole: list[str], killed: list[str], n_moments: int) -> list[str]:
    """Run `whole` undisturbed, then `killed` with kills at random moments of that duration, again and again to its end.

    Returns:
        What PLACE in `killed` stood for: another place each time the command came to its end.
    """
    moments = np.random.default_rng(0).uniform(0, 0.7, n_moments).tolist()
    done = subprocess.run(
        [sys.executable, "-c", KILLER],
        input=json.dumps({"whole": whole, "killed": killed, "moments": moments}),
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["failed"] == [], done.stderr[-2000:]
    return [f"killed{number}" for number in range(said["places"])]


def test_training_that_is_killed_twenty_times_gives_the_same_weights_and_numbers(
    tmp_path: Path, write_taps: Callable[[Path], None]
) -> None:
    write_taps(tmp_path)
    words = [
        "train",
        f"catalogue={tmp_path / 'catalogue'}",
        "datasets=taps",
        f"paths.data={tmp_path / 'data'}",
        "preprocessing=trials",
        "split=contiguous_kfold",
        "permutations=9",
        "encoder=eegnet",
        "trainer.max_epochs=12",
        "trainer.accelerator=cpu",
        "trainer.keep_state_s=0",
    ]
    whole, killed = (
        [*words, f"out={tmp_path / name}", f"paths.store={tmp_path / f'store_{name}'}"] for name in ("whole", "PLACE")
    )
    for place in kill_at_random_moments(whole, killed, n_moments=20):
        for name in ("checkpoint/model.safetensors", "metrics.json", "report_data.json"):
            assert (tmp_path / place / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
        predictions = [pd.read_parquet(tmp_path / folder / "predictions.parquet") for folder in ("whole", place)]
        pd.testing.assert_frame_equal(*predictions)
        assert names_in(tmp_path / place) == names_in(tmp_path / "whole")


def test_preparing_that_is_killed_twenty_times_gives_the_same_store(tmp_path: Path) -> None:
    sizes = {"n_train_concepts": 40, "n_test_concepts": 8, "n_runs": 4, "n_electrodes": 16, "rate_hz": 100.0}
    study = [f"datasets.loader.study.{name}={value}" for name, value in sizes.items()]
    words = ["prepare", "datasets=simulated_things", "preprocessing=simulated", *study]
    whole, killed = (
        [*words, f"paths.data={tmp_path / name}", f"paths.store={tmp_path / f'store_{name}'}"]
        for name in ("whole", "PLACE")
    )
    for place in kill_at_random_moments(whole, killed, n_moments=20):
        assert names_in(tmp_path / place) == names_in(tmp_path / "whole")
        assert store_contents(tmp_path / f"store_{place}") == store_contents(tmp_path / "store_whole")


def test_pretraining_that_is_killed_gives_the_same_weights_and_numbers(tmp_path: Path) -> None:
    sizes = {"n_train_concepts": 16, "n_test_concepts": 4, "n_runs": 4, "n_electrodes": 16, "rate_hz": 256.0}
    shared = [
        "pretrain",
        "datasets=simulated_things",
        *(f"datasets.loader.study.{name}={value}" for name, value in sizes.items()),
        f"paths.data={tmp_path / 'data'}",
        f"paths.store={tmp_path / 'store'}",
        "window_s=2",
        "trainer.max_epochs=4",
        "trainer.batch_size=8",
        "trainer.accelerator=cpu",
        "trainer.keep_state_s=0",
    ]
    tokenizer = ["tokenizers=braintokenizer_small", "tokenizers.window_samples=128", "tokenizers.n_filters=4"]
    encoder = ["encoder=brainomni_small", "encoder.depth=2", f"checkpoint={tmp_path / 'tokenizer_whole'}"]
    for name, words in (("tokenizer", tokenizer), ("encoder", encoder)):
        whole, killed = ([*shared, *words, f"out={tmp_path / place}"] for place in (f"{name}_whole", f"{name}_PLACE"))
        for place in kill_at_random_moments(whole, killed, n_moments=8):
            for file in ("checkpoint/model.safetensors", "metrics.json", "pretraining.json"):
                own = (tmp_path / f"{name}_{place}" / file).read_bytes()
                assert own == (tmp_path / f"{name}_whole" / file).read_bytes(), (name, file)
            assert names_in(tmp_path / f"{name}_{place}") == names_in(tmp_path / f"{name}_whole")


def names_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def store_contents(folder: Path) -> dict[str, Any]:
    """Return the bytes of each array and each manifest without the places its files were read from."""
    contents: dict[str, Any] = {}
    for path in folder.iterdir():
        if path.suffix == ".json":
            manifest = json.loads(path.read_text())
            contents[path.name] = {**manifest, "files": [file["sha256"] for file in manifest["files"]]}
        else:
            contents[path.name] = path.read_bytes()
    return contents
