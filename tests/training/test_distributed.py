"""Two processes that train together end with the weights of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from brain_decode.cli.app import main

# Spawned processes import what they get by name, so the parts come from a file and not from a test session.
SCRIPT = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np, torch
from test_lightning_module import CPU, FAST, SENSORS, N_TIMES, N_WINDOWS, Linear, Reader
from brain_decode.heads.classification import Classification
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.training.lightning_module import fit_network

def train(**trainer):
    torch.manual_seed(3)
    encoder = Linear(SignalSpec(SENSORS, N_TIMES, 100.0), dropout=0.0)
    head = Classification(4, TargetSpec("classification", classes=("a", "b")))
    positions = np.arange(N_WINDOWS)
    settings = CPU | {"max_epochs": 4, "batch_size": 15} | trainer
    # 61 windows in batches of 15 and 16: the shares of the two processes are not of one size.
    result = fit_network(
        encoder, head, Reader(offset=0.3), positions[35:], positions[:35], trainer=settings, optimizer=FAST, seed=5
    )
    weights = torch.cat([value.flatten() for value in [*encoder.state_dict().values(), *head.state_dict().values()]])
    return weights, result

if __name__ == "__main__":
    (one, alone), (two, together) = train(), train(strategy="ddp_spawn", devices=2)
    losses = [[point["train_loss"] for point in result.curves] for result in (alone, together)]
    print(json.dumps({"difference": float((one - two).abs().max()), "losses": losses}))
"""


def places_in(folder: Path) -> list[str]:
    return [f"catalogue={folder / 'catalogue'}", f"paths.data={folder / 'data'}", f"paths.store={folder / 'stores'}"]


@pytest.mark.slow
def test_two_processes_end_with_the_weights_and_losses_of_one(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), str(repository / "tests" / "training")],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["difference"] < 1e-6
    assert said["losses"][0] == pytest.approx(said["losses"][1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("launched", [False, True], ids=["spawned", "torchrun"])
def test_a_run_of_two_processes_writes_one_folder(
    tmp_path: Path, write_taps: Callable[[Path], None], launched: bool
) -> None:
    write_taps(tmp_path)
    chosen = ["datasets=taps", "preprocessing=trials", "split=contiguous_kfold", "split.n_folds=2", "encoder=eegnet"]
    chosen += ["permutations=0"]
    trainer = ["trainer=ddp_cpu", "trainer.max_epochs=2", *(["trainer.strategy=ddp"] if launched else [])]
    program = ["-m", "brain_decode", "train", *places_in(tmp_path), *chosen, *trainer, f"out={tmp_path / 'out'}"]
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2"] if launched else []
    done = subprocess.run(
        [sys.executable, *torchrun, *program],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Report: ") == 1
    assert (tmp_path / "out" / "checkpoint" / "model.safetensors").is_file()
    assert not (tmp_path / "runs").exists()


def test_more_processes_than_windows_are_refused(
    tmp_path: Path, write_taps: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write_taps(tmp_path)
    chosen = ["datasets=taps", "preprocessing=trials", "split=contiguous_kfold", "encoder=eegnet", "trainer=ddp_cpu"]
    assert main(["train", *places_in(tmp_path), *chosen, "trainer.devices=500", f"out={tmp_path / 'out'}"]) == 2
    assert "500 processes cannot share" in capsys.readouterr().err


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="needs a machine without graphics card")
@pytest.mark.parametrize("trainer", ["fsdp_gpu", "gpu_bf16"])
def test_a_trainer_for_graphics_cards_is_refused_where_there_is_none(
    tmp_path: Path, write_taps: Callable[[Path], None], capsys: pytest.CaptureFixture[str], trainer: str
) -> None:
    write_taps(tmp_path)
    chosen = ["datasets=taps", "preprocessing=trials", "split=contiguous_kfold", "encoder=eegnet", f"trainer={trainer}"]
    assert main(["train", *places_in(tmp_path), *chosen, f"out={tmp_path / 'out'}"]) == 2
    assert "The trainer settings cannot be used" in capsys.readouterr().err
