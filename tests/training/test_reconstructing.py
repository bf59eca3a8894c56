"""From answers to pictures in a run: drawn, scored beside ceiling and control, written, saved with the decoder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.decoder import generators
from brain_decode.generation.base import PictureGenerator

STUDY = {
    "n_sessions": 1,
    "n_runs": 1,
    "n_train_concepts": 60,
    "n_exemplars": 2,
    "n_test_concepts": 10,
    "test_repetitions": 4,
    "n_electrodes": 16,
    "rate_hz": 100.0,
    "noise": 0.5,
}


class LeadingFeatures(PictureGenerator):
    """Draws four flat fields whose brightness are the leading features; what it draws tells vectors apart."""

    architecture = "leading_features"
    height = width = 64

    def __init__(self, feature_dim: int = 8, contrast: float = 1.0) -> None:
        self.feature_dim, self.contrast = feature_dim, contrast

    def generate(
        self,
        features: np.ndarray,
        *,
        seed: int,
        starts: np.ndarray | None = None,
        captions: Sequence[str] | None = None,
    ) -> np.ndarray:
        fields = 1 / (1 + np.exp(-self.contrast * features[:, :4].reshape(-1, 2, 2)))
        grey = np.kron(fields, np.ones((32, 32)))
        return np.repeat(grey[..., None], 3, axis=-1).astype(np.float32)


@pytest.fixture
def study_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The words of a run on a study of seconds, with a generator that any process knows by name."""
    monkeypatch.setattr(generators, "resolve_generator", lambda name: LeadingFeatures)
    settings = [f"datasets.loader.study.{name}={value}" for name, value in STUDY.items()]
    return [
        "experiment=simulated_things",
        "baselines={}",
        *settings,
        "+datasets.loader.study.n_features=8",
        f"paths.data={tmp_path / 'data'}",
        f"paths.store={tmp_path / 'stores'}",
    ]


@pytest.fixture
def drawn_run(study_words: list[str], tmp_path: Path) -> Path:
    assert main(["train", *study_words, "generator.architecture=leading_features", f"out={tmp_path / 'run'}"]) == 0
    return tmp_path / "run"


def metrics_of(folder: Path) -> dict:
    return json.loads((folder / "metrics.json").read_text())["metrics"]


def test_a_run_draws_scores_and_writes_a_picture_of_each_answer(drawn_run: Path) -> None:
    metrics = metrics_of(drawn_run)
    for name in ("pixcorr", "ssim", "two_way_pixel_features"):
        assert {"value", "ci95", "chance", "p_permutation", "n", "ceiling", "shuffled"} <= set(metrics[name])
        assert metrics[name]["n"] == 10
    low, high = metrics["two_way_pixel_features"]["shuffled"]["ci95"]
    assert low <= 0.5 <= high
    pictures = sorted((drawn_run / "pictures").glob("*.png"))
    assert len(pictures) == 11
    assert (drawn_run / "pictures" / "contact_sheet.png") in pictures
    with Image.open(pictures[1]) as picture:
        assert picture.size == (64, 64)
    shown = json.loads((drawn_run / "report_data.json").read_text())["reconstruction"]
    assert shown["generator"] == "leading_features"
    assert len(shown["rows"]) == 4
    assert (
        "contact_sheet" in (drawn_run / "report.html").read_text()
        or "data:image/png" in (drawn_run / "report.html").read_text()
    )


def test_the_saved_decoder_draws_again_what_the_run_drew(drawn_run: Path, tmp_path: Path) -> None:
    decoder = BrainDecoder.from_pretrained(drawn_run / "checkpoint")
    assert decoder.generator == {"architecture": "leading_features"}
    vectors = np.random.default_rng(0).standard_normal((3, 8))
    np.testing.assert_allclose(decoder.draw(vectors), LeadingFeatures().generate(vectors, seed=0), atol=1e-6)


def test_a_recording_file_becomes_one_picture_per_stimulus_and_a_sheet_beside_what_was_seen(
    drawn_run: Path, tmp_path: Path
) -> None:
    study = next((tmp_path / "data" / "simulated_things").iterdir())
    stem = study / "sub-01" / "ses-01" / "eeg" / "sub-01_ses-01_task-pictures_run-02"
    words = [f"checkpoint={drawn_run / 'checkpoint'}", f"input={stem}_eeg.vhdr", f"events={stem}_events.tsv"]
    out = tmp_path / "drawn"
    pictures = f"pictures={study / 'stimuli' / 'pictures.npz'}"
    assert main(["reconstruct", *words, "average=stimulus", pictures, f"out={out}"]) == 0
    assert len(list((out / "pictures").glob("*.png"))) == 10
    assert (out / "contact_sheet.png").is_file()
    each = tmp_path / "each"
    assert main(["reconstruct", *words, f"out={each}"]) == 0
    assert len(list((each / "pictures").glob("*.png"))) == 40


def test_pictures_that_were_seen_need_the_column_that_names_them(
    drawn_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"checkpoint={drawn_run / 'checkpoint'}", f"input={tmp_path / 'absent.vhdr'}", "pictures=anything"]
    assert main(["reconstruct", *words, f"out={tmp_path / 'x'}"]) == 2
    assert "needs the event column that names it: average=stimulus" in capsys.readouterr().err


def test_a_decoder_without_a_generator_says_how_to_get_one(
    study_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *study_words, f"out={tmp_path / 'plain'}"]) == 0
    words = [f"checkpoint={tmp_path / 'plain' / 'checkpoint'}", f"input={tmp_path / 'absent.vhdr'}"]
    assert main(["reconstruct", *words, f"out={tmp_path / 'x'}"]) == 2
    assert "Train it with generator=" in capsys.readouterr().err


def test_pictures_of_the_nearest_features_are_named_stand_ins(study_words: list[str], tmp_path: Path) -> None:
    out = tmp_path / "stand_in"
    assert main(["train", *study_words, "generator=nearest_picture", f"out={out}"]) == 0
    shown = json.loads((out / "report_data.json").read_text())["reconstruction"]
    assert shown["stand_in"]
    assert shown["note"].startswith("These are not reconstructions")
    assert BrainDecoder.from_pretrained(out / "checkpoint").generator is None


def test_a_generator_of_classes_is_refused_before_anything_is_fitted(
    study_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word for word in study_words if not word.startswith("experiment=")]
    chosen = ["experiment=simulated_things_category", "generator=nearest_picture", f"out={tmp_path / 'x'}"]
    assert main(["train", *chosen, *words]) == 2
    assert "draws from answers of retrieval; the task is classification" in capsys.readouterr().err


def test_features_of_another_length_than_the_generator_draws_from_are_refused(
    study_words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*study_words, "generator.architecture=leading_features", "+generator.feature_dim=9"]
    assert main(["train", *words, f"out={tmp_path / 'x'}"]) == 1
    assert "draws from 9 values, the decoder answers with 8" in capsys.readouterr().err
