"""Decode a simulated study of the size of THINGS-EEG2, and write its section of docs/results.md.

`python scripts/visual_results.py DATA RUNS`: DATA holds `things_eeg2_clip`; the simulated studies are made in RUNS, and
what is there already is not run again. About an hour and a half on two cores.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brain_decode.cli.app import main as brain_decode
from brain_decode.reports.certainty import scored
from brain_decode.reports.sections import replace_section

HEADING = "Seeing through EEG and MEG"
RIDGE = ["encoder=time_means", "+encoder.bin_s=0.02", "+encoder.start_s=0.06", "+encoder.stop_s=0.5", "head=ridge"]
MODELS: dict[str, list[str]] = {
    "time means, ridge": RIDGE,
    "NICE": ["encoder=nice", "trainer.max_epochs=20"],
    "near-linear projector": ["encoder=linear_projector", "trainer.max_epochs=20"],
    "near-linear projector, 17 channels, rate 1e-4": [
        "encoder=linear_projector",
        "preprocessing=simulated_250_posterior",
        "optimizer.lr=1e-4",
        "trainer.max_epochs=20",
    ],
    "ATM-S": ["encoder=atm", "trainer.max_epochs=12"],
}
TRAINING = ["optimizer=adamw", "trainer.batch_size=256", "trainer.patience=5"]  # one setting for every network
N_TRIALS = (4135, 8270, 16540, 33080)  # of 66160; drawn at random, each part within the next
CURVE = "time means, ridge"
DEMO = ["datasets.loader.study.n_exemplars=16"]  # the study of the demo
JUDGED = ("top1", "pixcorr", "ssim", "two_way_pixel_features", "two_way_resnet20_cifar10")
NOTES = """
Made by `python scripts/visual_results.py DATA RUNS`. **Simulated**, except for the last table: one participant at the
size of THINGS-EEG2 (16,540 pictures x 4 and 200 x 80 showings, 63 electrodes, a picture every 0.2 s), with three times
the noise of the default study, the only value that was tried. The oracle knows how the signal was made. Networks are
trained on averages of the four showings, with AdamW at 1e-3, batches of 256, at most 20 epochs (ATM-S 12) and the
epoch chosen on held-out training pictures; ridge fits what 8 GiB hold (14,202 of the 16,540 averages). One seed.
Intervals are about other pictures shown to these subjects.

What to keep in mind:

- The near-linear projector overfits at that rate; the row with its authors' rate and channels was added after seeing
  it. No other setting was tried twice. Responses are linear in the picture features here, which favours linear maps.
- Reconstructions are of the demo's study (3,840 training and 50 test pictures, ridge, the generator that ships with the
  package). Plain features (colour layout, oriented energy, silhouette) are not strictly held out: the picture encoder
  was trained to keep their leading components. ResNet-20 was trained on photographs by others and judges at 32 x 32.
- Without coupling every score is at chance, and what is drawn is no better than the shuffled control.
- The prior of the last table is cross-fitted on 100 pairs in five folds. It retrieves at chance, and so does ridge on
  the same pairs (0.00, 0.04): 80 pairs teach no map between spaces of 1,024 dimensions. Two sizes and lengths of
  training, two guidances and two numbers of samples were tried on these pairs, all near chance. Nothing is drawn there:
  the contact sheets show the names of the nearest stimuli as stand-ins, because the pictures are not at hand.

"""
NULL = ["datasets.loader.study.coupling=0"]
MEG = ["datasets.loader.study.sensors=meg", "datasets.loader.study.n_coils=271", "datasets.loader.study.meg_system=ctf"]


def run(data: Path, runs: Path) -> None:
    """Run what has not been run yet."""
    study = ["experiment=simulated_things_eeg2", f"paths.data={runs / 'data'}", "baselines={}"]
    for name, words in MODELS.items():
        _run_once([*study, *TRAINING, *words], runs / _folder(name))
    for count in N_TRIALS:
        _run_once([*study, *MODELS[CURVE], f"split.train_windows={count}"], runs / f"trials_{count}")
    small = ["experiment=simulated_things_reconstruction", f"paths.data={runs / 'data'}", *DEMO]
    small.append(f"judges={{networks: {data / 'weights'}}}")
    _run_once(small, runs / "pictures")
    _run_once([*small, *NULL], runs / "null")
    _run_once([*small, *MEG], runs / "meg")
    for name in ("things_eeg2_clip", "things_eeg2_clip_prior"):
        _run_once([f"experiment={name}", f"paths.data={data}", "generator=nearest_picture"], runs / name)


def _folder(name: str) -> str:
    return name.lower().replace(", ", "_").replace(" ", "_").replace("-", "_")


def _run_once(words: Sequence[str], folder: Path) -> None:
    places = [f"paths.store={folder.parent / 'stores'}", f"out={folder}"]
    if not (folder / "metrics.json").is_file() and brain_decode(["train", *words, *places]):
        sys.exit(1)


def section(runs: Path) -> str:
    """Return the tables as Markdown."""
    lines = ["| decoder, simulated THINGS-EEG2 | top-1 of 200 | top-5 | single trial, top-1 |", "|---|---|---|---|"]
    for name in MODELS:
        scores, curve = _read(runs / _folder(name), "metrics"), _read(runs / _folder(name), "report_data")
        single = curve["repetitions"][0]
        lines.append(f"| {name} | {_scored(scores, 'top1')} | {_scored(scores, 'top5')} | {single['top1']:.3f} |")
    oracle = _read(runs / _folder(CURVE), "metrics")["oracle"]
    lines += [
        f"| oracle | {oracle['top1']:.3f} | {oracle['top5']:.3f} | |",
        "",
        *_repetitions(runs),
        "",
        *_trials(runs),
    ]
    return "\n".join([*lines, "", *_pictures(runs), "", *_clip(runs)])


def _repetitions(runs: Path) -> list[str]:
    curves = {name: _read(runs / _folder(name), "report_data")["repetitions"] for name in MODELS}
    counts = [str(point["n"]) for point in curves[CURVE]]
    lines = [f"| top-1 by repetitions averaged | {' | '.join(counts)} |", "|---|" + "---|" * len(counts)]
    for name, curve in curves.items():
        cells = [f"{point['top1']:.3f}" for point in curve]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def _trials(runs: Path) -> list[str]:
    folders = {count: runs / f"trials_{count}" for count in N_TRIALS} | {66160: runs / _folder(CURVE)}
    scores = {count: _read(folder, "metrics") for count, folder in folders.items()}
    top1 = np.array([score["metrics"]["top1"]["value"] for score in scores.values()])
    slope, _ = np.polyfit(np.log10(list(scores)), top1, 1)
    fit = float(np.corrcoef(np.log10(list(scores)), top1)[0, 1] ** 2)
    lines = [f"| {CURVE}, by training trials | top-1 |", "|---|---|"]
    lines += [f"| {count:,} | {_scored(score, 'top1')} |" for count, score in scores.items()]
    return [*lines, "", f"Log-linear fit: {slope:+.3f} of top-1 per tenfold of trials (r² {fit:.2f})."]


def _pictures(runs: Path) -> list[str]:
    lines = ["| reconstruction, simulated | metric | value | ceiling | shuffled control |", "|---|---|---|---|---|"]
    for name, folder in {"EEG": "pictures", "EEG, coupling=0": "null", "MEG, 271 channels": "meg"}.items():
        scores = _read(runs / folder, "metrics")
        for metric in JUDGED:
            entry = scores["metrics"][metric]
            beside = [scored(entry[key]) if entry.get(key) else "" for key in ("ceiling", "shuffled")]
            lines.append(f"| {name} | {metric} | {_scored(scores, metric)} | {' | '.join(beside)} |")
    return lines


def _clip(runs: Path) -> list[str]:
    lines = ["| real embeddings, subject 8, pool of 200 | top-1 | top-5 |", "|---|---|---|"]
    for name in ("things_eeg2_clip", "things_eeg2_clip_prior"):
        scores = _read(runs / name, "metrics")
        lines.append(f"| {name} | {_scored(scores, 'top1')} | {_scored(scores, 'top5')} |")
    return lines


TABLES = (_repetitions, _trials, _pictures, _clip)


def _read(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def _scored(scores: dict[str, Any], metric: str) -> str:
    return scored(scores["metrics"][metric])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run(Path(sys.argv[1]), Path(sys.argv[2]))
    replace_section(Path("docs/results.md"), HEADING, NOTES + section(Path(sys.argv[2])))
