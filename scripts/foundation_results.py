"""Pretrain on recordings without probes, then probe: `python scripts/foundation_results.py DATA RUNS`, as Markdown.

DATA holds the real recordings; the simulated study is made in RUNS. About half an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brain_decode.cli.app import main as brain_decode

POOL = ("eeg_muse_cueing_pretrain", "eeg_muse_ssvep")
PROBES = ("eeg_muse_n170", "eeg_muse_p300_catsdogs", "eeg_muse_leftright_vep")
STUDY = {"sensors": "both", "n_electrodes": 16, "n_coils": 16, "n_train_concepts": 40, "n_test_concepts": 20}
DATA_WORDS = [
    f"datasets=[simulated_things,{','.join(POOL)}]",
    "datasets.loader.datatype=[eeg,meg]",
    *(f"datasets.loader.study.{name}={value}" for name, value in STUDY.items()),
]
STAGES: dict[str, list[str]] = {
    "tokenizer": ["tokenizers=braintokenizer_small", "optimizer.lr=2e-3", "trainer.batch_size=8"],
    "encoder": [
        "encoder=brainomni_small",
        "optimizer.lr=2e-3",
        "optimizer.betas=[0.9,0.95]",
        "optimizer.eps=1e-6",
        "optimizer.weight_decay=0.05",
        "trainer.max_epochs=40",
        "trainer.patience=40",
    ],
}
ADAPTATIONS: dict[str, list[str]] = {
    "linear_probe": [],
    "frozen_probe": ["optimizer.lr=1e-3", "trainer.max_epochs=30"],
    "lora": ["optimizer.lr=1e-3", "trainer.max_epochs=10"],
    "fine_tune": ["optimizer.lr=1e-4", "trainer.max_epochs=10"],
}
# A second, as the tokenizer's windows; the baseline keeps the filter that suits it.
PROBE_WORDS = ["window.stop_s=0.9", "~baselines.shrinkage_lda", "+baselines.tangent_space.preprocessing=erp_robust"]


def run(data: Path, runs: Path) -> None:
    """Run what has not been run yet."""
    places = [f"paths.store={runs / 'stores'}"]
    (runs / "data").mkdir(parents=True, exist_ok=True)
    for name in POOL:
        if not (runs / "data" / name).exists():
            (runs / "data" / name).symlink_to((data / name).resolve())
    for stage, words in STAGES.items():
        given = [f"checkpoint={runs / 'tokenizer'}"] if stage == "encoder" else []
        pool = [*DATA_WORDS, f"paths.data={runs / 'data'}", *places]
        _run_once("pretrain", [*pool, *words, *given], runs / stage)
    source = ["encoder=pretrained", f"encoder.source={runs / 'encoder'}", "preprocessing=brainomni"]
    for name in PROBES:
        for adaptation, words in ADAPTATIONS.items():
            chosen = [f"experiment={name}", f"paths.data={data}", *places, *source, f"encoder.adaptation={adaptation}"]
            _run_once("train", [*chosen, *words, *PROBE_WORDS], runs / f"{name}_{adaptation}")


def _run_once(command: str, words: Sequence[str], folder: Path) -> None:
    if not (folder / "metrics.json").is_file() and brain_decode([command, *words, f"out={folder}"]):
        sys.exit(1)


def section(runs: Path) -> str:
    """Return the tables as Markdown."""
    lines = ["| measure, people kept out | value [95 % interval] | most frequent code |", "|---|---|---|"]
    for stage in STAGES:
        for name, entry in _metrics(runs / stage)["metrics"].items():
            beside = f"{entry['baseline']:.3f}" if "baseline" in entry else ""
            lines.append(f"| {stage}: {name.replace('_', ' ')} | {_scored(entry)} | {beside} |")
    lines += ["", "| dataset | adaptation | pretrained | random initialisation | tangent space | pretrained − random |"]
    lines.append("|---|---|---|---|---|---|")
    for name in PROBES:
        for adaptation in ADAPTATIONS:
            told = _metrics(runs / f"{name}_{adaptation}")
            others, paired = told["baselines"], told["comparisons"]["random_initialisation"]
            low, high = paired["ci95"]
            values = [
                told["metrics"]["auc"],
                *(others[key]["auc"] for key in ("random_initialisation", "tangent_space")),
            ]
            difference = f"{paired['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p {paired['p_holm']:.3f}"
            lines.append(f"| {name} | {adaptation} | {' | '.join(map(_scored, values))} | {difference} |")
    return "\n".join(lines)


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _scored(entry: dict[str, Any]) -> str:
    return f"{entry['value']:.3f} [{entry['ci95'][0]:.3f}, {entry['ci95'][1]:.3f}]"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    print(section(Path(sys.argv[2])))
