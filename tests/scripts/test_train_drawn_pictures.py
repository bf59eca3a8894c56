"""The shipped picture models can be trained again from nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from brain_decode.generation.drawn_pictures import DrawnPictures
from brain_decode.stimuli.drawn_picture_encoder import DrawnPictureEncoder


@pytest.mark.slow
def test_the_script_writes_models_that_load(repository: Path, tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("train", repository / "scripts" / "train_drawn_pictures.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.main(["--rounds", "1", "--effort", "0.001", "--out", str(tmp_path)]) == 0
    vectors = DrawnPictureEncoder.load(tmp_path / "drawn_picture_encoder").embed(np.full((2, 64, 64, 3), 0.5))
    drawn = DrawnPictures(str(tmp_path / "drawn_pictures"), steps=2).generate(vectors, seed=0)
    assert drawn.shape == (2, 64, 64, 3)
