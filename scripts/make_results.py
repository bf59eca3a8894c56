"""Run the experiment of every real dataset and write docs/results.md: `python scripts/make_results.py DATA [RUNS]`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from brain_decode.cli.app import main
from brain_decode.core.files import write_atomically
from brain_decode.reports.tables import results_table

EXPERIMENTS = (
    "eeg_muse_n170",
    "eeg_muse_p300_catsdogs",
    "eeg_muse_leftright_vep",
    "eeg_muse_ssvep",
    "eeg_mi_eegmmidb_s001",
    "eeg_fingertap_bci2iv",
    "eeg_n400_words",
    "eeg_eeglab_attention",
    "things_eeg2_clip",
)
# One person where the dataset's advised protocol is within a person.
SUBJECTS = {"eeg_muse_n170": "01"}
HEADER = """# Results on real recordings

Made by `python scripts/make_results.py DATA`; every number is read from the run folders it writes.
The figure of a dataset is that of `nested_selection`: the decoder a user is advised to take, chosen inside the
training part of each fold and never by its test score. The rows below it are the candidates and baselines, each fitted
and scored on the same folds; the best of them in hindsight is not the figure. Intervals are 95 % cluster bootstraps,
p is a permutation test with the decoder fixed.

"""


def make_results(data: Path, runs: Path) -> int:
    """Run what has not been run yet, and write the table."""
    for name in EXPERIMENTS:
        folder = runs / name
        if (folder / "metrics.json").is_file():
            continue
        shutil.rmtree(folder, ignore_errors=True)
        words = [f"experiment={name}", f"paths.data={data}", f"paths.store={runs / 'stores'}", f"out={folder}"]
        words += [f"datasets.subjects=['{SUBJECTS[name]}']"] if name in SUBJECTS else []
        if main(["train", *words]):
            return 1
    table = results_table([runs / name for name in EXPERIMENTS])
    write_atomically(Path("docs/results.md"), HEADER + table + "\n")
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(make_results(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else Path("runs/results")))
