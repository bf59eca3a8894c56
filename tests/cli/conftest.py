"""A small catalogue and a command that records what it was run with."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from brain_decode.cli import app
from brain_decode.cli.commands import Command
from brain_decode.core import resources

FILES = {
    "pyproject.toml": "",
    "conf/echo.yaml": """
# brain-decode echo encoder=slow
defaults:
  - datasets: small  # recordings
  - encoder: quick  # windows to vectors
  - paths: default
  - _self_
  - experiment: null
target: null  # event column
seed: 0  # randomness
out: null
workers: 1
catalogue: null
also: {}
""",
    "conf/strict.yaml": "defaults:\n  - datasets: ???\n  - _self_\ncheckpoint: ???\nout: null\n",
    "conf/encoder/quick.yaml": "width: 8\n",
    "conf/encoder/slow.yaml": "depth: 3\n",
    "conf/paths/default.yaml": "data: data\n",
    "conf/experiment/deep.yaml": "# @package _global_\ndefaults:\n  - override /encoder: slow\nseed: 7\n",
    "datasets/small.yaml": "name: small\nsubjects: null\nroot: ${paths.data}/small\n",
    "datasets/large.yaml": "name: large\nsubjects: null\nroot: ${paths.data}/large\n",
    "tokenizers/README.md": "none",
}


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def scratch_catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = write_tree(tmp_path / "checkout", FILES)
    monkeypatch.setattr(resources, "_PACKAGE", root / "brain_decode")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return root


class Echo:
    """Runs `echo` with words; returns the exit code and keeps the configuration and folder of each run."""

    def __init__(self) -> None:
        self.configs: list[dict] = []
        self.folders: list[Path] = []

    def __call__(self, *words: str, command: str = "echo") -> int:
        return app.main([command, *words])

    def record(self, config: DictConfig, folder: Path) -> None:
        self.configs.append(OmegaConf.to_container(config, resolve=True))
        self.folders.append(folder)
        (folder / "receipt.json").write_text("{}", encoding="utf-8")


@pytest.fixture
def echo(scratch_catalogue: Path, monkeypatch: pytest.MonkeyPatch) -> Echo:
    recorder = Echo()
    commands = {name: Command(name, "Say it again.", name) for name in ("echo", "strict")}
    for name in commands:
        module = types.ModuleType(f"brain_decode.cli.{name}")
        module.run = recorder.record
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(app, "find_commands", commands.copy)
    return recorder
