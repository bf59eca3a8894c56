"""Every entry of the catalogue has its card and composes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from brain_decode.cli.composition import compose
from brain_decode.cli.explanation import choices_of

ROOT = Path(__file__).resolve().parents[2]
CARDED = sorted(path for name in ("datasets", "tokenizers") for path in (ROOT / name).glob("*.yaml"))
TRAIN_GROUPS = [group for group in choices_of("train") if group != "datasets"]
OPTIONS = sorted((group, path.stem) for group in TRAIN_GROUPS for path in (ROOT / "conf" / group).glob("*.yaml"))


@pytest.fixture
def whole_catalogue() -> None:
    """Skip while an option that `train` chooses by default is not there yet."""
    for entry in yaml.safe_load((ROOT / "conf" / "train.yaml").read_text())["defaults"]:
        for group, option in entry.items() if isinstance(entry, dict) else []:
            folder = ROOT / group if group == "datasets" else ROOT / "conf" / group
            if option is not None and not (folder / f"{option}.yaml").is_file():
                pytest.skip(f"{group}={option} is not there")


@pytest.mark.parametrize("path", CARDED, ids=lambda path: path.stem)
def test_every_entry_has_a_card(path: Path) -> None:
    assert path.with_suffix(".md").is_file()


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes_with_train(whole_catalogue: None, group: str, option: str) -> None:
    assert compose("train", [f"{group}={option}"])


@pytest.mark.parametrize("path", sorted((ROOT / "datasets").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_composes_with_train(whole_catalogue: None, path: Path) -> None:
    assert compose("train", [f"datasets={path.stem}"]).datasets.name == path.stem


@pytest.mark.parametrize("command", ["prepare", "demo"])
def test_commands_built_on_train_compose(whole_catalogue: None, command: str) -> None:
    assert compose(command, ["seed=3"]).seed == 3


@pytest.mark.parametrize("path", sorted((ROOT / "conf" / "experiment").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_doctor_takes_every_experiment(whole_catalogue: None, path: Path) -> None:
    assert compose("doctor", [f"experiment={path.stem}"])
