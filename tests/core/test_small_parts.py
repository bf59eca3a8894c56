"""Seeds, progress, log level and the catalogue."""

from __future__ import annotations

import io
import logging
import random
import sys

import numpy as np
import pytest
import torch

from brain_decode.core import progress, resources
from brain_decode.core.errors import ConfigError, StorageError
from brain_decode.core.log import get_logger, set_up_logging
from brain_decode.core.progress import track, track_bytes
from brain_decode.core.resources import catalogue_root, group_folders
from brain_decode.core.seeding import derived_seed, seed_everything, spawn_rngs, torch_generator


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_the_same_seed_gives_the_same_draws() -> None:
    seed_everything(3)
    first = draws()
    seed_everything(3)
    assert draws() == first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "0"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(ConfigError, match="A seed is a whole number from 0 to 4294967295, got"):
        seed_everything(seed)  # type: ignore[arg-type]


def test_spawned_generators_do_not_depend_on_their_number() -> None:
    first, second = spawn_rngs(0, 2)
    assert spawn_rngs(0, 5)[0].random() == first.random()
    assert first.random() != second.random()


def test_derived_seeds_depend_on_names_alone() -> None:
    assert derived_seed(0, "fold", 1) == derived_seed(0, "fold", 1)
    assert derived_seed(0, "fold", 1) != derived_seed(0, "fold", 2)
    assert torch_generator(5).initial_seed() == 5


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_is_drawn_where_nobody_watches(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track(range(3), "folds")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_bars_inside_bars_are_drawn_together(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    pairs = [(a, b) for a in track(range(2), "folds") for b in track(iter(range(2)), "windows", total=2)]
    assert pairs == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert progress._ACTIVE.get() is None
    assert "folds" in terminal.getvalue()


def test_bytes_are_counted_where_somebody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with track_bytes("Fetching", 2048, done=1024) as arrived:
        arrived(600)
        arrived(-88)
    assert "Fetching" in terminal.getvalue() and "1.5/2.0 KiB" in terminal.getvalue()


def test_logging_is_quiet_unless_asked() -> None:
    set_up_logging()
    assert get_logger("brain_decode.x").getEffectiveLevel() == logging.WARNING
    set_up_logging("info")
    assert get_logger("x").getEffectiveLevel() == logging.INFO
    set_up_logging()
    with pytest.raises(ConfigError, match="Unknown log level 'loud'"):
        set_up_logging("loud")


def test_messages_go_to_what_standard_error_is_when_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    set_up_logging()
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    get_logger("x").warning("heard")
    assert second.getvalue() == "WARNING: heard\n"


def test_the_catalogue_is_beside_the_package() -> None:
    assert (catalogue_root() / "conf" / "train.yaml").is_file()
    assert group_folders("paths") == [catalogue_root() / "conf" / "paths"]
    assert group_folders("nothing") == []


def test_a_lost_catalogue_is_named(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "_PACKAGE", tmp_path / "brain_decode")
    with pytest.raises(StorageError, match="The installation is broken"):
        catalogue_root()
