"""Every head in conf/head keeps the same promises."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from hydra.utils import instantiate

from brain_decode.decoder.architectures import resolve_head
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.base import ClosedFormHead, Head
from brain_decode.signals.spec import TargetSpec

CONFIGS = Path(__file__).resolve().parents[2] / "conf" / "head"
NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml") if path.stem != "auto")
N_WINDOWS, DIM = 30, 4  # four values are also a map of one pixel
SPECS = {
    "classification": TargetSpec("classification", classes=("a", "b", "c")),
    "regression": TargetSpec("regression", dim=2),
    "retrieval": TargetSpec("retrieval", dim=DIM),
}


def embedding() -> BrainEmbedding:
    values = np.random.default_rng(0).poisson(3, (N_WINDOWS, DIM)).astype(np.float32)  # one of the heads takes counts
    return BrainEmbedding(torch.from_numpy(values))


def target(spec: TargetSpec) -> torch.Tensor:
    if spec.task == "classification":
        return torch.arange(N_WINDOWS) % 3
    return torch.from_numpy(np.random.default_rng(1).standard_normal((N_WINDOWS, spec.dim)).astype(np.float32))


def heads() -> list[tuple[str, str]]:
    """Return every head with each of its tasks."""
    found = [(name, yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["_target_"]) for name in NAMES]
    pairs = []
    for name, path in found:
        module, _, class_name = path.rpartition(".")
        tasks = getattr(__import__(module, fromlist=[class_name]), class_name).tasks
        pairs += [(name, task) for task in tasks]
    return pairs


@pytest.fixture(params=heads(), ids="-".join)
def head(request: pytest.FixtureRequest) -> Head:
    """Each head in turn, fitted where it is fitted in closed form."""
    name, task = request.param
    torch.manual_seed(0)
    built = instantiate(yaml.safe_load((CONFIGS / f"{name}.yaml").read_text()))(DIM, SPECS[task])
    if isinstance(built, ClosedFormHead):
        built.fit(embedding(), target(SPECS[task]).numpy())
    return built.eval()


@torch.no_grad()
def test_answers_have_the_promised_size(head: Head):
    answer = head.answer(head(embedding()))
    assert answer.shape == (N_WINDOWS, head.target_spec.n_outputs)
    assert torch.isfinite(answer).all()
    if head.target_spec.task == "classification":
        torch.testing.assert_close(answer.double().sum(1), torch.ones(N_WINDOWS).double(), rtol=0, atol=1e-6)


@torch.no_grad()
def test_evaluation_is_deterministic_and_the_same_after_a_copy(head: Head):
    first = head(embedding())
    assert torch.equal(head(embedding()), first)
    assert torch.equal(copy.deepcopy(head)(embedding()), first)


@torch.no_grad()
def test_settings_and_weights_rebuild_the_head_by_its_architecture(head: Head):
    settings = json.loads(json.dumps(head.config))
    rebuilt = resolve_head(head.architecture)(DIM, head.target_spec, **settings)
    rebuilt.load_state_dict(head.state_dict())
    assert torch.equal(rebuilt.eval()(embedding()), head(embedding()))


def test_the_loss_is_one_finite_number(head: Head):
    loss = head.loss(head(embedding()), target(head.target_spec))
    assert loss.shape == ()
    assert torch.isfinite(loss)


def test_the_architecture_is_the_name_of_its_module(head: Head):
    assert type(head).__module__ == f"brain_decode.heads.{head.architecture}"
