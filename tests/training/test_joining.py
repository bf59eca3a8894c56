"""Decoders of EEG and MEG get one mixture of experts; each stays what it was, and none is scored on what it knows."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from brain_decode import BrainDecoder
from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, LeakageError
from brain_decode.encoders.base import BrainEmbedding
from brain_decode.heads.universal_retrieval import UniversalRetrieval
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.training.fitting import FitSettings, fit_head
from brain_decode.training.joined_parts import refuse_shared_pictures, require_one_space

STUDY = {"n_sessions": 1, "n_runs": 1, "n_train_concepts": 60, "n_exemplars": 2, "n_test_concepts": 10,
         "test_repetitions": 3, "sensors": "both", "n_electrodes": 16, "n_coils": 16, "rate_hz": 100.0, "noise": 0.1,
         "n_features": 12}  # fmt: skip
ENCODERS = {
    "eeg": ("encoder=linear_projector", "encoder.dim=64"),
    "meg": ("encoder=brainflora", "+encoder.dim=80", "+encoder.ff_dim=32"),
}


def write_entries(catalogue: Path) -> None:
    """Two entries of one simulated study: what the electrodes and what the coils saw."""
    (catalogue / "datasets").mkdir(parents=True)
    shipped = Path(__file__).resolve().parents[2] / "datasets" / "simulated_things.yaml"
    for kind in ("eeg", "meg"):
        entry = yaml.safe_load(shipped.read_text(encoding="utf-8"))
        study = {**entry["loader"]["study"], **STUDY}
        entry |= {"name": f"tiny_{kind}", "facts": {}}
        entry["loader"] |= {"root": "${paths.data}/study", "datatype": kind, "study": study}
        (catalogue / "datasets" / f"tiny_{kind}.yaml").write_text(yaml.safe_dump(entry))


class Study:
    """The words of a command on the study, and where its runs are."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        write_entries(folder / "catalogue")

    def run(self, command: str, *words: str) -> int:
        places = [f"catalogue={self.folder / 'catalogue'}", f"paths.data={self.folder / 'data'}"]
        return main([command, *places, f"paths.store={self.folder / 'stores'}", *words])

    def train(self, *words: str, out: str) -> int:
        task = ["target={column: concept, task: retrieval}", "split=official", "preprocessing=simulated"]
        return self.run("train", *task, "baselines=[]", "trainer.max_epochs=20", f"out={self.folder / out}", *words)

    def join(self, out: str, *words: str, **sources: str) -> int:
        chosen = {"tiny_eeg": "eeg", "tiny_meg": "meg", **sources}
        places = ", ".join(f"{name}: {self.folder / place}" for name, place in chosen.items())
        return self.train("datasets=[tiny_eeg,tiny_meg]", f"join={{{places}}}", *words, out=out)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study with a decoder of each of its two systems, and the run that joined them."""
    made = Study(tmp_path_factory.mktemp("joined"))
    for kind, encoder in ENCODERS.items():
        assert made.train(f"datasets=tiny_{kind}", *encoder, "head=retrieval", out=kind) == 0
    assert made.join("joint") == 0
    return made


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def decoders_of(study: Study) -> dict[str, tuple[BrainDecoder, BrainDecoder]]:
    """Return the joined decoder and the one before, by kind."""
    joined = study.folder / "joint" / "checkpoint"
    places = {kind: (joined / f"tiny_{kind}", study.folder / kind / "checkpoint") for kind in ENCODERS}
    return {kind: tuple(map(BrainDecoder.from_pretrained, pair)) for kind, pair in places.items()}  # type: ignore[misc]


def test_the_joined_decoders_find_new_pictures_from_either_kind_of_recording(study: Study):
    metrics = metrics_of(study.folder / "joint")
    assert metrics["decoder"] == "universal_retrieval"
    assert metrics["dataset"] == "tiny_eeg + tiny_meg"
    assert metrics["metrics"]["top5"]["p_permutation"] < 0.05
    assert metrics["metrics"]["top5"]["value"] > metrics["metrics"]["top5"]["chance"] == 0.5


def test_each_dataset_is_scored_with_the_decoder_it_had_before_beside(study: Study):
    metrics, alone = metrics_of(study.folder / "joint"), metrics_of(study.folder / "eeg")
    names = {f"{name}{of}" for name in ("universal_retrieval", "alone") for of in ("", "_tiny_eeg", "_tiny_meg")}
    assert metrics["baselines"].keys() == names - {"universal_retrieval"}
    assert metrics["baselines"]["alone_tiny_eeg"]["top1"]["value"] == alone["metrics"]["top1"]["value"]
    assert metrics["metrics"]["top1"]["n"] == 20
    assert metrics["baselines"]["universal_retrieval_tiny_meg"]["top1"]["n"] == 10


def test_the_experts_are_shared_and_all_else_is_as_it_was(study: Study):
    decoders = decoders_of(study)
    experts = [joined.head.experts.state_dict() for joined, _ in decoders.values()]
    assert all(torch.equal(value, experts[1][name]) for name, value in experts[0].items())
    for joined, before in decoders.values():
        assert joined.preprocessing.to_json() == before.preprocessing.to_json()
        for own, other in ((joined.encoder, before.encoder), (joined.head.projector, before.head.projector)):
            state = other.state_dict()
            assert all(torch.equal(value, state[name]) for name, value in own.state_dict().items())


def test_a_joined_decoder_says_what_it_has_seen_and_how_well_it_does_on_its_own_dataset(study: Study):
    joined, before = decoders_of(study)["meg"]
    assert set(before.fitted_on) < set(joined.fitted_on)
    own = metrics_of(study.folder / "joint")["baselines"]["universal_retrieval_tiny_meg"]
    assert joined.provenance["metrics"]["top1"] == own["top1"]
    assert joined.name == "universal_retrieval for tiny_meg, joined over tiny_eeg + tiny_meg"


def test_a_joined_decoder_is_evaluated_as_any_other(study: Study):
    out = study.folder / "evaluated"
    place = study.folder / "joint" / "checkpoint" / "tiny_eeg"
    assert study.run("evaluate", f"checkpoint={place}", "datasets=tiny_eeg", f"out={out}") == 0
    own = metrics_of(study.folder / "joint")["baselines"]["universal_retrieval_tiny_eeg"]
    assert metrics_of(out)["metrics"]["top1"]["value"] == own["top1"]["value"]


def test_a_receipt_gives_the_same_numbers_again(study: Study, capsys: pytest.CaptureFixture[str]):
    run, again = study.folder / "joint", study.folder / "again"
    assert main(["replay", f"run={run}", f"out={again}"]) == 0
    assert "The same: all" in capsys.readouterr().out
    receipt = json.loads((run / "receipt.json").read_text(encoding="utf-8"))
    assert len(receipt["test_openings"]) == 2
    assert "tiny_meg sub-01_ses-01_task-pictures_run-01" in receipt["data"]["content_hashes"]


def test_what_cannot_be_joined_is_refused_with_the_remedy(study: Study, capsys: pytest.CaptureFixture[str]):
    assert study.train("datasets=tiny_eeg", "encoder=time_means", "head=ridge", out="ridge") == 0
    shutil.copytree(study.folder / "eeg" / "checkpoint", study.folder / "all")
    saved = study.folder / "all" / "config.json"
    saved.write_text(
        saved.read_text(encoding="utf-8").replace('"fitted_partition": "train"', '"fitted_partition": "all"')
    )
    capsys.readouterr()
    for words, sources, message in (
        ((), {"tiny_eeg": "ridge"}, "has the head 'ridge'; joined ones are trained by gradient descent"),
        ((), {"tiny_eeg": "all"}, "was fitted on all windows of its dataset"),
        ((), {"other": "eeg"}, "datasets are ['tiny_eeg', 'tiny_meg'], join has ['other', 'tiny_eeg', 'tiny_meg']"),
        (("split=leave_concept_out",), {}, "join= needs split=official, got leave_concept_out"),
        (("head=retrieval",), {}, "'retrieval' has no part that datasets share"),
        (("target={column: category, task: classification}",), {}, "join= is about retrieval"),
    ):
        assert study.join("refused", *words, **sources) != 0
        assert message in " ".join(capsys.readouterr().err.split())
        assert not (study.folder / "refused" / "metrics.json").exists()


def part_of(name: str, tested: str, learnt: str, features: np.ndarray, dim: int = 2) -> Any:
    """Return what the checks look at."""
    trials = SimpleNamespace(
        features=features, feature_ids=("a", "b"), target_spec=TargetSpec("retrieval", dim=features.shape[1]),
        feature_rows=lambda ids: np.array([("a", "b").index(one) for one in ids]),
    )  # fmt: skip
    decoder = SimpleNamespace(target_spec=TargetSpec("retrieval", dim=dim))
    loaded = SimpleNamespace(trials=trials)
    return SimpleNamespace(
        name=name, tested=frozenset(tested), learnt=frozenset(learnt), loaded=loaded, decoder=decoder
    )


def test_a_picture_tested_in_one_dataset_and_learnt_in_another_is_refused():
    features = np.eye(2)
    fine = [part_of("eeg", "a", "bc", features), part_of("meg", "a", "cd", features)]
    refuse_shared_pictures(fine)
    with pytest.raises(LeakageError, match="'eeg' is tested on pictures that 'meg' is trained on: a"):
        refuse_shared_pictures([fine[0], part_of("meg", "d", "ac", features)])


def test_datasets_share_the_features_of_their_pictures():
    first = part_of("eeg", "a", "b", np.eye(2))
    require_one_space([first, part_of("meg", "a", "b", np.eye(2))])
    with pytest.raises(ConfigError, match="'meg' decodes 3 values, its pictures have 2"):
        require_one_space([first, part_of("meg", "a", "b", np.eye(2), dim=3)])
    with pytest.raises(ConfigError, match="give the picture 'a' or others different features"):
        require_one_space([first, part_of("meg", "a", "b", 2 * np.eye(2))])
    with pytest.raises(ConfigError, match="two datasets or more"):
        require_one_space([first])


class _Noting(UniversalRetrieval):
    """Notes the targets of every batch, and how far training had come."""

    architecture = "noting"

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.seen.append((set(target[:, 0].tolist()), self.share_done))
        return super().loss(output, target)


def test_every_batch_holds_one_dataset_and_the_head_knows_how_far_training_has_come():
    head = _Noting(4, TargetSpec("retrieval", dim=4), projector="none")
    head.seen = []
    groups = np.array([0, 1] * 10)
    target = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    target[:, 0] = torch.from_numpy(groups)
    settings = FitSettings(trainer={"max_epochs": 2, "batch_size": 4, "accelerator": "cpu"})
    spec = SignalSpec(Sensors(("a",), ("eeg",)), 10, 100.0)
    curves = fit_head(
        head, BrainEmbedding(torch.randn(20, 4)), target, 20, signal_spec=spec, settings=settings, groups=groups
    )
    assert len(curves) == 2
    assert all(len(of) == 1 for of, _ in head.seen)
    assert pd.Series([share for _, share in head.seen]).tolist() == [step / 12 for step in range(12)]
