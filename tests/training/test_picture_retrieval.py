"""Any encoder goes with the retrieval head, and a tiny simulated study is enough to say that it trains."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from brain_decode.cli.app import main

STUDY = {"n_train_concepts": 20, "n_exemplars": 1, "n_test_concepts": 6, "test_repetitions": 1, "n_runs": 1,
         "n_sessions": 1, "n_electrodes": 16, "rate_hz": 256.0}  # fmt: skip
TOKENIZER = "{window_samples: 64, n_filters: 4, ratios: [4, 2, 2], dim: 16, n_sources: 3, n_heads: 2, codebook_dim: 16, codebook_size: 64, n_levels: 4}"  # noqa: E501
ENCODERS = {
    "brainomni": ["preprocessing=brainomni", "encoder.dim=16", "encoder.n_heads=4", "encoder.depth=2",
                  f"+encoder.tokenizer={TOKENIZER}"],
    "atm": ["preprocessing=simulated", "optimizer=adamw_atm", "head.scale=linear", "head.normalise_brain=false",
            "head.learn_temperature=true"],
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the words of a run on the study, which the first run makes."""
    place = tmp_path_factory.mktemp("pictures")
    return [
        "train",
        "datasets=simulated_things",
        *(f"datasets.loader.study.{name}={value}" for name, value in STUDY.items()),
        f"paths.data={place / 'data'}",
        f"paths.store={place / 'store'}",
        "target={column: concept, task: retrieval}",
        "split=official",
        "split.zero_shot=true",
        "baselines={}",
        "head=retrieval",
        "trainer.max_epochs=2",
        "trainer.accelerator=cpu",
    ]


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_is_trained_and_scored_for_retrieval(study: list[str], tmp_path: Path, encoder: str) -> None:
    assert main([*study, f"encoder={encoder}", *ENCODERS[encoder], f"out={tmp_path / 'run'}"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["decoder"] == encoder
    assert metrics["metrics"]["top1"]["n"] == STUDY["n_test_concepts"]
    assert metrics["metrics"]["top1"]["chance"] == pytest.approx(1 / STUDY["n_test_concepts"])
    epochs = json.loads((tmp_path / "run" / "report_data.json").read_text())["learning_curves"]
    assert [row["epoch"] for row in epochs] == [1, 2]
