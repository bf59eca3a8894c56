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
from brain_decode.reports.certainty import about, has_interval, scored
from brain_decode.reports.sections import replace_section

POOL = ("eeg_muse_cueing_pretrain", "eeg_muse_ssvep")
PROBES = ("eeg_muse_n170", "eeg_muse_p300_catsdogs", "eeg_muse_leftright_vep")
STUDY = {"sensors": "both", "n_electrodes": 16, "n_coils": 16, "n_train_concepts": 40, "n_test_concepts": 20}
DATA_WORDS = [
    f"datasets=[simulated_things,{','.join(POOL)}]",
    "datasets.loader.datatype=[eeg,meg]",
    *(f"datasets.loader.study.{name}={value}" for name, value in STUDY.items()),
]
STAGES: dict[str, list[str]] = {
    "tokenizer": [
        "tokenizers=braintokenizer_small",
        "optimizer.lr=2e-3",
        "trainer.batch_size=8",
        "trainer.max_epochs=32",
        "trainer.patience=32",
    ],
    "encoder": [
        "encoder=brainomni_small",
        "optimizer.lr=2e-3",
        "optimizer.betas=[0.9,0.95]",
        "optimizer.eps=1e-6",
        "optimizer.weight_decay=0.05",
        "trainer.max_epochs=25",
        "trainer.patience=25",
    ],
    "eegformer": [
        "encoder=eegformer",
        "+encoder.tokenizer={n_layers: 2, n_decoder_layers: 1, codebook_size: 64, patch_samples: 32, max_patches: 80}",
        "trainer.max_epochs=6",
    ],
}
BAND = "preprocessing=brainomni_narrow"
BRAINOMNI = ["encoder=pretrained", "encoder.source=RUNS/encoder"]
EEGFORMER = ["encoder=pretrained", "encoder.source=RUNS/eegformer"]
ADAPTATIONS: dict[str, list[str]] = {
    "linear_probe": [*BRAINOMNI, "encoder.adaptation=linear_probe"],
    "frozen_probe": [*BRAINOMNI, "encoder.adaptation=frozen_probe", "optimizer.lr=1e-3", "trainer.max_epochs=30"],
    "lora": [*BRAINOMNI, "encoder.adaptation=lora", "optimizer.lr=1e-3", "trainer.max_epochs=5"],
    "fine_tune": [*BRAINOMNI, "encoder.adaptation=fine_tune", "optimizer.lr=1e-4", "trainer.max_epochs=5"],
    "linear_probe_steps": [*BRAINOMNI, "encoder.adaptation=linear_probe", "encoder.pool=steps"],
    "fine_tune_steps": [
        *BRAINOMNI,
        "encoder.adaptation=fine_tune",
        "encoder.pool=steps",
        "optimizer.lr=1e-4",
        "trainer.max_epochs=5",
    ],
    "eegformer_linear_probe": [*EEGFORMER, "encoder.adaptation=linear_probe"],
    "eegformer_fine_tune": [
        *EEGFORMER,
        "encoder.adaptation=fine_tune",
        "optimizer.lr=1e-4",
        "trainer.max_epochs=5",
    ],
    "eegformer_code_ngrams": ["encoder=code_ngrams", "head=naive_bayes", "encoder.source=RUNS/eegformer"],
}
# A second, as the tokenizer's windows; the baseline keeps the filter that suits it.
PROBE_WORDS = ["window.stop_s=0.9", "~baselines.shrinkage_lda", "+baselines.tangent_space.preprocessing=erp_robust"]
NOTES = """
Made by `python scripts/foundation_results.py DATA RUNS`. Small models (`tokenizers=braintokenizer_small`,
`encoder=brainomni_small`, an EEGFormer of two layers and 64 codes), trained within 30 minutes on two cores on
`eeg_muse_cueing_pretrain`, `eeg_muse_ssvep` and a **simulated** EEG and MEG study, between 1 and 40 Hz; EEGFormer on
the first alone. The first table is about people and runs kept out of training, who also chose the epoch; simulated
recordings are among those of `tokenizer` and `encoder`. None of the recordings below was seen in pretraining: the guard
compares contents.

Probes are scored leave-run-out on windows from -0.1 to 0.9 s. Beside the pretrained weights stands the same network
from random initialisation, adapted in the same way with the same seed, compared on the same windows (Student's t over
the folds, corrected for the training windows they share; Holm over the decoders of a run); beside both the tangent
space, with the filter of the experiment. Intervals of the second table are about these subjects. `steps` joins the
steps of a window (`encoder.pool=steps`) instead of averaging them. One seed; p is not corrected over the 27 runs.

What to keep in mind:

- These are the figures of a second recipe, so they are not blind. The first had the authors' band (0.1 to 96 Hz), half
  the epochs for the tokenizer, 40 instead of 25 for the encoder and twice those for adaptation; its reconstruction was
  0.56, its masked codes 0.179 (level 0: 0.579), its twelve probes on two datasets (n170, left or right) lay between
  0.50 and 0.58. The band was narrowed and `steps` was added after seeing some of them, the epochs were changed with it
  to spend the time elsewhere. No learning rate was tried twice.
- Pretraining helps BrainOmni clearly on p300, most where steps are joined, a little on n170, and not on left or right;
  it helps EEGFormer nowhere. No decoder here beats what is made for these responses: `xdawn_tangent` reaches an AUC of
  0.71 (n170, one person), 0.77 (p300) and 0.85 (left or right) above.
- On left or right it is the codes that lose what tells the classes apart, not the probes: shrinkage LDA on means of
  62 ms reaches 0.75 on the windows that go into the tokenizer, and 0.54 on what comes back out of its codes.
- The tangent space is weak on evoked responses: it reads covariances, not the mean response.
- An electrode that is missing is better filled in by MNE. With 16 of 64 electrodes of `eeg_mi_eegmmidb_s001` hidden, a
  `braintokenizer_small` trained on six of its runs reaches a mean correlation of 0.755 on the two others, spherical
  splines 0.947, and no electrode is better by the tokenizer (`scripts/missing_sensors.py`; pretrained with
  `datasets.tasks=null window_s=4 optimizer.lr=2e-3 trainer.batch_size=4 trainer.max_epochs=20`, in the authors' band).
  One draw of electrodes, two runs of one person. Splines keep what the codes of eight sources lose: the tokenizer's
  reconstruction of electrodes that it sees is 0.759.

"""


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
        _run_once("pretrain", [*pool, BAND, f"paths.data={runs / 'data'}", *places, *words, *given], runs / stage)
    for name in PROBES:
        for adaptation, words in ADAPTATIONS.items():
            chosen = [f"experiment={name}", f"paths.data={data}", *places, BAND]
            _run_once("train", [*chosen, *_filled(words, runs), *PROBE_WORDS], runs / f"{name}_{adaptation}")


def _filled(words: Sequence[str], runs: Path) -> list[str]:
    """Return words with the run folders in them."""
    return [word.replace("RUNS", str(runs)) for word in words]


def _run_once(command: str, words: Sequence[str], folder: Path) -> None:
    if not (folder / "metrics.json").is_file() and brain_decode([command, *words, f"out={folder}"]):
        sys.exit(1)


def section(runs: Path) -> str:
    """Return the tables as Markdown."""
    lines = [
        "| measure, people kept out | value [95 % interval] | interval is about | most frequent code |",
        "|---|---|---|---|",
    ]
    for stage in STAGES:
        for name, entry in _metrics(runs / stage)["metrics"].items():
            beside = f"{entry['baseline']:.3f}" if "baseline" in entry else ""
            lines.append(
                f"| {stage}: {name.replace('_', ' ')} | {scored(entry)} | {about([entry]) or '–'} | {beside} |"
            )
    lines += ["", "| dataset | adaptation | pretrained | random initialisation | tangent space | pretrained − random |"]
    lines.append("|---|---|---|---|---|---|")
    for name in PROBES:
        for adaptation in ADAPTATIONS:
            told = _metrics(runs / f"{name}_{adaptation}")
            others, paired = told["baselines"], told["comparisons"]["random_initialisation"]
            values = [
                told["metrics"]["auc"],
                *(others[key]["auc"] for key in ("random_initialisation", "tangent_space")),
            ]
            lines.append(f"| {name} | {adaptation} | {' | '.join(map(scored, values))} | {_difference(paired)} |")
    return "\n".join(lines)


def _metrics(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def _difference(paired: dict[str, Any]) -> str:
    """Return the difference with its interval and corrected p, or without them where they are not given."""
    if not has_interval(paired):
        return f"{paired['difference']:+.3f}"
    low, high = paired["ci95"]
    return f"{paired['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p {paired['p_holm']:.3f}"


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    replace_section(Path("docs/results.md"), "Foundation models", NOTES + section(Path(sys.argv[2])))
