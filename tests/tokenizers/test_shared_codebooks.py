"""Processes that train together keep one codebook."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import torch
from torch import distributed, multiprocessing
from brain_decode.tokenizers.residual_vq import ResidualVQ

def train(rank, folder):
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    torch.manual_seed(0)
    model = ResidualVQ(4, 4, 8, 2).train()
    torch.manual_seed(10 + rank)  # each process sees other rows and draws other numbers
    for _ in range(3):
        model(torch.randn(32, 4) + rank)
    torch.save(model.state_dict(), f"{folder}/{rank}.pt")
    distributed.destroy_process_group()

if __name__ == "__main__":
    multiprocessing.spawn(train, (sys.argv[1],), nprocs=2)
    one, two = (torch.load(f"{sys.argv[1]}/{rank}.pt", weights_only=True) for rank in (0, 1))
    print(all(torch.equal(one[name], two[name]) for name in one), float(one["levels.0.counts"].sum()) > 32)
"""


@pytest.mark.slow
def test_two_processes_start_move_and_renew_their_codewords_together(tmp_path: Path):
    (tmp_path / "train.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "train.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == ["True", "True"]
