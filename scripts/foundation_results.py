"""Pretrain on recordings without probes, then probe, and write the section of docs/results.md.

`python scripts/foundation_results.py DATA RUNS`: DATA holds the real recordings; the simulated study is made in RUNS,
what is there already is not run again. About three quarters of an hour on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brain_decode.cli.app import main as brain_decode
from brain_decode.core.files import write_atomically

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
    "eegformer": [
        "encoder=eegformer",
        "+encoder.tokenizer={n_layers: 2, n_decoder_layers: 1, codebook_size: 64, patch_samples: 32, max_patches: 80}",
        "trainer.max_epochs=6",
    ],
}
BRAINOMNI = ["encoder=pretrained", "encoder.source=RUNS/encoder"]
EEGFORMER = ["encoder=pretrained", "encoder.source=RUNS/eegformer"]
ADAPTATIONS: dict[str, list[str]] = {
    "linear_probe": [*BRAINOMNI, "encoder.adaptation=linear_probe"],
    "frozen_probe": [*BRAINOMNI, "encoder.adaptation=frozen_probe", "optimizer.lr=1e-3", "trainer.max_epochs=30"],
    "lora": [*BRAINOMNI, "encoder.adaptation=lora", "optimizer.lr=1e-3", "trainer.max_epochs=10"],
    "fine_tune": [*BRAINOMNI, "encoder.adaptation=fine_tune", "optimizer.lr=1e-4", "trainer.max_epochs=10"],
    "eegformer_linear_probe": [*EEGFORMER, "encoder.adaptation=linear_probe"],
    "eegformer_fine_tune": [
        *EEGFORMER,
        "encoder.adaptation=fine_tune",
        "optimizer.lr=1e-4",
        "trainer.max_epochs=10",
    ],
    "eegformer_code_ngrams": ["encoder=code_ngrams", "head=naive_bayes", "encoder.source=RUNS/eegformer"],
}
# A second, as the tokenizer's windows; the baseline keeps the filter that suits it.
PROBE_WORDS = ["window.stop_s=0.9", "~baselines.shrinkage_lda", "+baselines.tangent_space.preprocessing=erp_robust"]
HEADING = "## Foundation models\n"
NOTES = """NOTES"""


def run(data: Path, runs: Path) -> None:
    """Run what has not been run yet."""
    places = [f"paths.store={runs / 'stores'}"]
    (runs / "data").mkdir(parents=True, exist_ok=True)
    for name in POOL:
        if not (runs / "data" / name).exists():
            (runs / "data" / name).symlink_to((data / name).resolve())
    for stage, words in STAGES.items():
        given = [f"checkpoint={runs / 'tokenizer'}"] if stage == "encoder" else []
        pool = [f"datasets={POOL[0]}"] if stage == "eegformer" else DATA_WORDS
        _run_once("pretrain", [*pool, f"paths.data={runs / 'data'}", *places, *words, *given], runs / stage)
    for name in PROBES:
        for adaptation, words in ADAPTATIONS.items():
            chosen = [f"experiment={name}", f"paths.data={data}", *places, "preprocessing=brainomni"]
            _run_once("train", [*chosen, *_filled(words, runs), *PROBE_WORDS], runs / f"{name}_{adaptation}")


def _filled(words: Sequence[str], runs: Path) -> list[str]:
    """Return words with the run folders in them."""
    return [word.replace("RUNS", str(runs)) for word in words]


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


def write_section(runs: Path) -> None:
    """Put the section at the end of docs/results.md, in the place of an older one."""
    path = Path("docs/results.md")
    before = path.read_text(encoding="utf-8").partition(HEADING)[0]
    write_atomically(path, before.rstrip() + "\n\n" + HEADING + NOTES + section(runs) + "\n")


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _scored(entry: dict[str, Any]) -> str:
    return f"{entry['value']:.3f} [{entry['ci95'][0]:.3f}, {entry['ci95'][1]:.3f}]"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    write_section(Path(sys.argv[2]))
