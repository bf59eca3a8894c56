"""Pretraining from recordings on disk to weights, scores and a page; people kept out, montages mixed."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import torch
import yaml

from brain_decode.cli.app import main
from brain_decode.cli.composition import compose
from brain_decode.core.errors import ConfigError
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.pretrained import save_tokenizer
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.nn.weights_folder import read_part
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokenizer
from brain_decode.tokenizers.braintokenizer import BrainTokenizer
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ
from brain_decode.training.pretraining_windows import load_pretraining_windows

RATE_HZ, SECONDS = 256.0, 12
TOKENIZER = [
    "tokenizers=braintokenizer_small",
    "tokenizers.window_samples=128",
    "tokenizers.n_filters=4",
    "tokenizers.dim=16",
    "tokenizers.n_sources=3",
    "tokenizers.codebook_dim=16",
    "tokenizers.codebook_size=16",
    "tokenizers.n_levels=2",
]
ENCODER = ["encoder=brainomni_small", "encoder.dim=16", "encoder.depth=2"]
Pretrain = Callable[..., int]


def write_people(folder: Path, channels: tuple[str, ...], people: tuple[str, ...], *, montage: bool = True) -> None:
    """Write a recording for each person: an alpha rhythm of changing phase, and noise."""
    folder.mkdir(parents=True)
    times = np.arange(int(SECONDS * RATE_HZ)) / RATE_HZ
    for number, person in enumerate(people):
        rng = np.random.default_rng(number)
        signal = np.sin(2 * np.pi * (9 + number) * times) + 0.3 * rng.standard_normal((len(channels), len(times)))
        signal *= np.linspace(1, 2, len(channels))[:, None] * 1e-5
        raw = mne.io.RawArray(signal, mne.create_info(list(channels), RATE_HZ, "eeg"), verbose="error")
        if montage:
            places = dict(zip(channels, rng.normal(0.0, 0.06, (len(channels), 3)), strict=True))
            raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
        raw.save(folder / f"sub-{person}_raw.fif", verbose="error")


def write_entry(catalogue: Path, name: str) -> None:
    entry = {
        "name": name,
        "loader": {
            "_target_": "brain_decode.datasets.files.FilesDataset",
            "root": f"${{paths.data}}/{name}",
            "files": "*.fif",
            "entities": "sub-(?P<subject>[a-z]+)",
        },
        **dict.fromkeys(("subjects", "sessions", "tasks", "official_split", "features", "facts", "source")),
        "target": {"column": "trial_type"},
        "window": None,
        "licence": "CC0",
        "citation": "none",
        "simulated": False,
    }
    (catalogue / "datasets").mkdir(parents=True, exist_ok=True)
    (catalogue / "datasets" / f"{name}.yaml").write_text(yaml.safe_dump(entry))


@pytest.fixture
def pretrain(tmp_path: Path) -> Pretrain:
    """Run the command on two small datasets of different montages."""
    write_people(tmp_path / "data" / "four", ("Fz", "Cz", "Pz", "Oz"), ("a", "b", "c", "d"))
    write_people(tmp_path / "data" / "three", ("C3", "C4", "Cz"), ("e", "f"))
    for name in ("four", "three", "blind"):
        write_entry(tmp_path / "catalogue", name)

    def run(*words: str, datasets: str = "[four,three]") -> int:
        places = [f"catalogue={tmp_path / 'catalogue'}", f"paths.data={tmp_path / 'data'}"]
        places.append(f"paths.store={tmp_path / 'stores'}")
        quick = ["trainer.max_epochs=2", "trainer.batch_size=4", "trainer.accelerator=cpu", "window_s=2"]
        return main(["pretrain", f"datasets={datasets}", *places, *quick, *words])

    return run


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def test_copies_on_both_sides_are_refused_until_somebody_vouches_for_them(
    pretrain: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_entry(tmp_path / "catalogue", "twins")
    (tmp_path / "data" / "twins").mkdir()
    signal = 1e-5 * np.random.default_rng(0).standard_normal((2, int(20 * RATE_HZ)))
    for person, gain in (("a", 1.0), ("b", 2.0)):
        raw = mne.io.RawArray(gain * signal, mne.create_info(["C3", "C4"], RATE_HZ, "eeg"), verbose="error")
        raw.set_montage("standard_1005")
        raw.save(tmp_path / "data" / "twins" / f"sub-{person}_raw.fif", verbose="error")
    words = [*TOKENIZER, f"out={tmp_path / 'run'}"]
    assert pretrain(*words, datasets="[twins]") == 1
    error = capsys.readouterr().err
    assert error.startswith("LeakageError: Pretraining trains on")
    (word,) = shlex.split(error.partition("vouch for them: ")[2])
    assert word == "distinct_recordings=[twins sub-a,twins sub-b]"
    assert pretrain(*words, word, datasets="[twins]") == 0
    (pair,) = read(tmp_path / "run" / "metrics.json")["distinct_recordings"]
    assert pair["recordings"] == ["twins sub-a", "twins sub-b"]
    assert read(tmp_path / "run" / "receipt.json")["data"]["distinct_recordings"] == [pair]
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "twins sub-a and twins sub-b are said to be no copies of each other" in page


def test_tokenizer_then_encoder_are_trained_scored_and_saved(pretrain: Pretrain, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert pretrain(*TOKENIZER, f"out={first}") == 0
    assert pretrain(*ENCODER, f"checkpoint={first}", f"out={second}") == 0
    tokenizer = Tokenizer.from_pretrained(first)
    spec = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 512, RATE_HZ)
    encoder = Encoder.from_pretrained(second, spec)
    assert isinstance(tokenizer, BrainTokenizer) and isinstance(encoder, BrainOmni)
    frozen, own = encoder.tokenizer.state_dict(), tokenizer.state_dict()
    assert all(np.array_equal(frozen[name], own[name]) for name in own)
    told, scores = read(first / "pretraining.json"), read(first / "metrics.json")["metrics"]
    assert told["n_train"] + told["n_validation"] == 6 * 6 and len(told["held_out"]) == 2
    assert {name.split()[0] for name in told["held_out"]} == {"four", "three"}
    hashes = read(first / "receipt.json")["data"]["content_hashes"]
    assert len(hashes) == 6 and len(set(hashes.values())) == 6
    assert -1 <= scores["pearson"]["value"] <= 1 and "pearson_alpha" in scores
    codes = read(second / "metrics.json")["metrics"]
    assert 0 <= codes["accuracy"]["baseline"] <= 1 and "accuracy_level_1" in codes
    for folder in (first, second):
        page = (folder / "report.html").read_text(encoding="utf-8")
        assert "people kept out" in page and "<svg" in page
        assert not (folder / "unfinished").exists()


def test_people_with_as_many_sensors_share_a_batch_and_keep_their_own_positions(tmp_path: Path) -> None:
    write_people(tmp_path / "data" / "four", ("Fz", "Cz", "Pz", "Oz"), ("a", "b", "c", "d"))
    write_people(tmp_path / "data" / "three", ("C3", "C4", "Cz"), ("e", "f"))
    for name in ("four", "three"):
        write_entry(tmp_path / "catalogue", name)
    words = ["datasets=[four,three]", f"catalogue={tmp_path / 'catalogue'}", f"paths.data={tmp_path / 'data'}"]
    data = load_pretraining_windows(compose("pretrain", [*words, f"paths.store={tmp_path / 'stores'}", "window_s=2"]))
    assert sorted(np.bincount(data.sizes)) == [12, 24] and sorted(np.bincount(data.montages)) == [6] * 6
    mixed = np.array([20, 3, 14, 8])
    batch = data.signal(mixed)
    for row, position in enumerate(mixed):
        alone = data.signal(np.array([position]))
        torch.testing.assert_close(batch.signal[row], alone.signal[0], rtol=0, atol=0)
        torch.testing.assert_close(batch.positions_m[row], alone.positions_m[0], rtol=0, atol=0)
    parts = data.one_size_at_a_time(np.arange(36), batch_size=8)
    assert [len(part) for part in parts] == [8, 8, 8, 6, 6] and sorted(np.concatenate(parts)) == list(range(36))


def test_pretrained_weights_are_no_decoder_and_say_what_to_do(pretrain: Pretrain, tmp_path: Path) -> None:
    assert pretrain(*TOKENIZER, f"out={tmp_path / 'run'}", datasets="[three]") == 0
    with pytest.raises(ConfigError, match="holds a pretrained tokenizer, which answers nothing yet"):
        BrainDecoder.from_pretrained(tmp_path / "run")


def test_the_weights_remember_every_recording_that_they_and_their_tokenizer_saw(
    pretrain: Pretrain, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert pretrain(*TOKENIZER, f"out={first}", datasets="[three]") == 0
    assert pretrain(*ENCODER, f"checkpoint={first}", f"out={second}", datasets="[four]") == 0
    of_tokenizer = read_part(first, kind="tokenizer").provenance["fitted_on"]
    of_encoder = read_part(second, kind="encoder").provenance["fitted_on"]
    assert len(of_tokenizer) == 2 and len(of_encoder) == 6 and set(of_tokenizer) < set(of_encoder)


def test_the_same_seed_gives_the_same_weights(pretrain: Pretrain, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        assert pretrain(*TOKENIZER, f"out={folder}") == 0
    weights = [(folder / "checkpoint" / "model.safetensors").read_bytes() for folder in folders]
    assert weights[0] == weights[1]


def test_a_receipt_of_pretraining_gives_the_same_numbers_again(
    pretrain: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert pretrain(*TOKENIZER, f"out={first}") == 0
    assert pretrain(*ENCODER, f"checkpoint={first}", f"out={second}") == 0
    for run in (first, second):
        assert main(["replay", f"run={run}", f"out={tmp_path / f'{run.name}_again'}"]) == 0
        assert "The same: all" in capsys.readouterr().out
    assert (tmp_path / "second_again" / "report.html").is_file()
    write_people(tmp_path / "data" / "blind", ("C3", "C4", "Cz"), ("v", "w", "x"))
    added = tmp_path / "data" / "blind" / "sub-x_raw.fif"
    added.rename(tmp_path / "data" / "three" / "sub-x_raw.fif")
    assert main(["replay", f"run={first}", f"out={tmp_path / 'refused'}"]) == 1
    assert "The recordings are not those of the run (added: three sub-x" in capsys.readouterr().err


@pytest.mark.slow
def test_two_processes_pretrain_together(pretrain: Pretrain, tmp_path: Path) -> None:
    folder, together = tmp_path / "run", ("trainer=ddp_cpu", "trainer.max_epochs=2", "trainer.batch_size=4")
    assert pretrain(*TOKENIZER, *together, f"out={folder}") == 0
    assert isinstance(Tokenizer.from_pretrained(folder), BrainTokenizer)
    assert pretrain(*ENCODER, *together, f"checkpoint={folder}", f"out={tmp_path / 'encoder'}") == 0
    sizes = "{n_layers: 1, n_decoder_layers: 1, dim: 16, n_heads: 2, codebook_size: 8}"
    assert pretrain("encoder=eegformer", f"+encoder.tokenizer={sizes}", *together, f"out={tmp_path / 'third'}") == 0


def test_a_tokenizer_of_another_encoder_is_refused(
    pretrain: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    other = EEGFormerVQ(patch_samples=32, dim=16, n_layers=1, n_decoder_layers=1, n_heads=2, codebook_size=8)
    save_tokenizer(other, tmp_path / "other", {"name": "other", "licence": "CC0"})
    for words, message in (
        (ENCODER, "learns from the tokens of braintokenizer; checkpoint= holds eegformer_vq"),
        (["encoder=eegformer"], "learns from the signal and brings its own tokenizer"),
    ):
        assert pretrain(*words, f"checkpoint={tmp_path / 'other'}", f"out={tmp_path / 'refused'}") == 2
        assert message in capsys.readouterr().err


def test_what_cannot_be_pretrained_is_one_clear_error(
    pretrain: Pretrain, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_people(tmp_path / "data" / "blind", ("E1", "E2", "E3"), ("x", "y"), montage=False)
    samples = np.random.default_rng(0).standard_normal((3, 3072)) * [[0.0], [1e-5], [1e-5]]
    flat = mne.io.RawArray(samples, mne.create_info(["E1", "E2", "E3"], RATE_HZ, "eeg"), verbose="error")
    for words, datasets, message in (
        ([], "[four]", "got neither"),
        ([*TOKENIZER, *ENCODER], "[four]", "got tokenizers and encoder"),
        (ENCODER, "[four]", "Give its folder: checkpoint="),
        (["encoder=eegnet"], "[four]", "has no self-supervised training"),
        (TOKENIZER, "[blind]", "sensors have no position"),
        ([*TOKENIZER, "preprocessing.signal_steps=[{step: resample, settings: {rate_hz: 128.0}}]"],
         "[four]", "needs 256 Hz, the windows have 128 Hz"),
        ([*TOKENIZER, "window_s=60"], "[four]", "No recording is as long as a window"),
        ([*TOKENIZER, "validation_share=1.5"], "[four]", "validation_share is a share"),
        ([*TOKENIZER, "preprocessing=network"], "[four]", "would have to be fitted"),
    ):  # fmt: skip
        assert pretrain(*words, f"out={tmp_path / 'refused'}", datasets=datasets) in (1, 2), words
        shown = capsys.readouterr().err
        assert message in shown and "Traceback" not in shown, shown
        assert not (tmp_path / "refused").exists()
    for person in ("x", "y"):
        flat.save(tmp_path / "data" / "blind" / f"sub-{person}_raw.fif", overwrite=True, verbose="error")
    assert pretrain(*TOKENIZER, f"out={tmp_path / 'refused'}", datasets="[blind]") == 1
    assert "Every window has a channel that never varies" in capsys.readouterr().err
