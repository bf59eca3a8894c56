"""A simulated study of the size of THINGS-EEG2, prepared and trained on: things_eeg2_size FOLDER (where it is made)."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

from benchmarks._memory import peak_anonymous_mb
from benchmarks.training import Waits
from omegaconf import OmegaConf

from brain_decode.cli.app import main
from brain_decode.cli.composition import compose
from brain_decode.simulation.settings import StudySettings
from brain_decode.simulation.study import make_study
from brain_decode.training.batches import _Ahead

EXPERIMENT = "experiment=simulated_things_eeg2"
EPOCHS = 2


def measure(folder: str = "things_eeg2_size") -> Iterator[dict[str, Any]]:
    """Make the study where it is absent; prepare it; train NICE and score it: seconds and anonymous memory of each."""
    place = Path(folder)
    words = [EXPERIMENT, f"paths.data={place}", f"paths.store={place / 'stores'}"]
    study = compose("train", [*words, f"out={place / 'run'}"]).datasets.loader.study
    made = make_study(
        place / "simulated_things", StudySettings.from_config(OmegaConf.to_container(study, resolve=True))
    )
    recorded = [path for path in made.rglob("*.eeg") if path.is_file()]
    size_gb = round(sum(path.stat().st_size for path in recorded) / 1e9, 2)
    for name in ("stores", "run"):
        shutil.rmtree(place / name, ignore_errors=True)
    training = [f"trainer.max_epochs={EPOCHS}", "trainer.batch_size=256", "baselines={}", "memory_gib=1"]
    for command, more in (("prepare", []), ("train", [*training, f"out={place / 'run'}"])):
        peak_mb, seconds = peak_anonymous_mb(["-m", "brain_decode", command, *words, *more])
        yield {
            "name": f"anonymous memory of {command}, simulated study of 82,160 trials",
            "value": round(peak_mb),
            "unit": "MB",
            "dataset_gb": size_gb,
            "seconds": round(seconds, 1),
        }
    yield _waiting([*words, *training], place / "run")


def _waiting(words: list[str], folder: Path) -> dict[str, Any]:
    """Train again in this process, and return the share of the steps that went into waiting for batches."""
    shutil.rmtree(folder)
    waits = Waits()
    with patch.object(_Ahead, "__next__", waits.timed(_Ahead.__next__)):
        if main(["train", *words, f"out={folder}"]):
            raise RuntimeError("Training failed.")
    return {
        "name": "NICE on averages of four repetitions, waiting for data",
        "value": round(100 * waits.share(), 2),
        "unit": "% of a step",
        "aim": 5,
        "s_per_step": round(waits.seconds_per_batch(), 4),
    }
