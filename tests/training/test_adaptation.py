"""A pretrained encoder meets labels: probe, fine-tuning, the random control beside it, and the guard."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mne
import numpy as np
import pytest
import torch
import yaml

from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, LeakageError, MissingExtra, SpecMismatch
from brain_decode.datasets.leakage import refuse_pretraining_overlap
from brain_decode.datasets.seen_recordings import SeenRecording, saved_seen
from brain_decode.decoder.brain_decoder import BrainDecoder
from brain_decode.decoder.pretrained import pretrained_encoder, save_encoder, save_tokenizer
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.encoders.eegformer import EEGFormer
from brain_decode.encoders.nice import NICE
from brain_decode.heads.classification import Classification
from brain_decode.nn.low_rank import merge_low_rank
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec, TargetSpec
from brain_decode.signals.windows import Windows
from brain_decode.tokenizers.eegformer_vq import EEGFormerVQ
from brain_decode.training.lightning_module import _Supervised
from brain_decode.training.stored_tokens import TokenisedWindows, require_storable

TOKENIZER = {"window_samples": 64, "n_filters": 4, "ratios": [4, 2, 2], "dim": 16, "n_sources": 3, "n_heads": 2,
             "codebook_dim": 16, "codebook_size": 64, "n_levels": 4}  # fmt: skip
CHANNELS = ("Fz", "Cz", "Pz", "Oz")
SPEC = SignalSpec(Sensors(CHANNELS, ("eeg",) * 4, np.random.default_rng(0).normal(0, 0.06, (4, 12))), 128, 256.0)


def save(folder: Path, fitted_on: tuple[str, ...] = (), seen: tuple[SeenRecording, ...] = ()) -> BrainOmni:
    torch.manual_seed(5)
    encoder = BrainOmni(SPEC, tokenizer=dict(TOKENIZER), dim=16, n_heads=4, depth=3, dropout=0.0)
    provenance = {"name": "small", "fitted_on": list(fitted_on), **saved_seen(seen), "licence": "CC0"}
    save_encoder(encoder, folder, provenance)
    return encoder


def noise() -> SignalBatch:
    """Four windows of unit noise."""
    data = np.random.default_rng(3).standard_normal((4, 4, 128)).astype(np.float32)
    return SignalBatch.from_windows(Windows(data, 256.0, 0.0, SPEC.sensors))


def test_a_linear_probe_leaves_the_encoder_alone_and_fine_tuning_all_but_the_tokenizer(tmp_path: Path):
    saved = save(tmp_path / "weights")
    probe = pretrained_encoder(SPEC, tmp_path / "weights")
    assert not probe.learns_by_gradient
    assert all(torch.equal(a, b) for a, b in zip(probe.state_dict().values(), saved.state_dict().values(), strict=True))
    tuned = pretrained_encoder(SPEC, tmp_path / "weights", adaptation="fine_tune")
    trained = {name.split(".")[0] for name, weight in tuned.named_parameters() if weight.requires_grad}
    assert trained == {"blocks"}  # the projection is the identity where widths agree


def test_pretrained_weights_take_another_pool_where_the_encoder_has_the_choice(tmp_path: Path):
    saved = save(tmp_path / "weights")
    joined = pretrained_encoder(SPEC, tmp_path / "weights", pool="steps")
    assert joined.embedding_dim == 12 * saved.embedding_dim and joined.config["pool"] == "steps"
    assert torch.equal(joined.blocks[0].widen.weight, saved.blocks[0].widen.weight)
    save_encoder(NICE(SPEC), tmp_path / "nice", {"name": "nice", "licence": "CC0"})
    with pytest.raises(ConfigError, match="'nice' has no choice of pool"):
        pretrained_encoder(SPEC, tmp_path / "nice", pool="steps")


def test_random_weights_have_the_same_sizes_and_other_values(tmp_path: Path):
    saved = save(tmp_path / "weights")
    torch.manual_seed(7)
    other = pretrained_encoder(SPEC, tmp_path / "weights", weights="random")
    assert other.config == saved.config
    assert not torch.equal(next(other.blocks[0].parameters()), other.blocks[1].widen.weight)
    assert not torch.equal(other.blocks[0].widen.weight, saved.blocks[0].widen.weight)


def test_fine_tuning_gives_layers_near_the_input_lower_rates_and_the_head_ten_times_the_rate(tmp_path: Path):
    save(tmp_path / "weights")
    encoder = pretrained_encoder(SPEC, tmp_path / "weights", adaptation="fine_tune", layer_decay=0.5)
    head = Classification(encoder.embedding_dim, TargetSpec("classification", classes=("a", "b")))
    groups = _Supervised(encoder, head).parameter_groups(0.8)
    assert [group["lr"] for group in groups] == pytest.approx([0.2, 0.4, 0.8, 8.0])
    trained = [weight for weight in [*encoder.parameters(), *head.parameters()] if weight.requires_grad]
    assert sum(len(group["params"]) for group in groups) == len(trained)


def test_options_are_checked(tmp_path: Path):
    save(tmp_path / "weights")
    for changes, message in (
        ({"weights": "pretrain"}, "Did you mean 'pretrained'"),
        ({"adaptation": "finetune"}, "Did you mean 'fine_tune'"),
        ({"layer_decay": 0.0}, "layer_decay is the rate"),
    ):
        with pytest.raises(ConfigError, match=message):
            pretrained_encoder(SPEC, tmp_path / "weights", **changes)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="has no config.json"):
        pretrained_encoder(SPEC, tmp_path)


def test_recordings_the_weights_have_seen_are_refused_by_name():
    refuse_pretraining_overlap(["one"], {"sub-01": "two"})
    with pytest.raises(LeakageError, match="sub-01.*same content"):
        refuse_pretraining_overlap(["one"], {"sub-01": "one", "sub-02": "two"})


Train = Callable[..., int]


def write_run(path: Path, seed: int) -> None:
    """Write a minute in which every second brings a slow burst or a fast one on two sensors."""
    rng = np.random.default_rng(seed)
    signal = 0.3 * rng.standard_normal((4, 61 * 256))
    labels = rng.permutation(np.arange(60) % 2)
    times = np.arange(128) / 256
    bursts = [3 * np.sin(2 * np.pi * rate_hz * times) * np.hanning(128) for rate_hz in (6, 30)]
    for second, label in enumerate(labels):
        signal[:2, second * 256 : second * 256 + 128] += bursts[label]
    raw = mne.io.RawArray(signal * 1e-5, mne.create_info(list(CHANNELS), 256.0, "eeg"), verbose="error")
    places = dict(zip(CHANNELS, SPEC.sensors.positions_m, strict=True))
    raw.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    names = np.array(["slow", "fast"])[labels]
    raw.set_annotations(mne.Annotations(np.arange(60.0), 0.5, names))
    raw.save(path, verbose="error")


@pytest.fixture
def train(tmp_path: Path) -> Train:
    """Run `train` on three such runs."""
    (tmp_path / "data").mkdir()
    for run in range(3):
        write_run(tmp_path / "data" / f"run{run}_raw.fif", run)
    (tmp_path / "catalogue" / "datasets").mkdir(parents=True)
    loader = {"_target_": "brain_decode.datasets.files.FilesDataset", "root": "${paths.data}", "files": "*.fif",
              "entities": "run(?P<run>[0-9])"}  # fmt: skip
    entry = {"name": "bursts", "loader": loader, "subjects": None, "window": {"start_s": 0.0, "stop_s": 0.5},
             "target": {"column": "trial_type", "task": "classification"}, "licence": "CC0"}  # fmt: skip
    (tmp_path / "catalogue" / "datasets" / "bursts.yaml").write_text(yaml.safe_dump(entry))
    words = ["train", "datasets=bursts", "preprocessing=brainomni", "split=leave_run_out", "trainer.accelerator=cpu"]
    words += [f"catalogue={tmp_path / 'catalogue'}", f"paths.data={tmp_path / 'data'}"]
    words += [f"paths.store={tmp_path / 'stores'}", "encoder=pretrained", f"encoder.source={tmp_path / 'weights'}"]
    words += ["permutations=9"]
    return lambda *more: main([*words, *more])


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "metrics.json").read_text(encoding="utf-8"))


def test_a_probe_is_scored_beside_the_same_encoder_with_random_weights_and_saved_whole(train: Train, tmp_path: Path):
    saved = save(tmp_path / "weights")
    assert train(f"out={tmp_path / 'run'}") == 0
    metrics = metrics_of(tmp_path / "run")
    assert set(metrics["baselines"]) == {"random_initialisation", "tangent_space", "shrinkage_lda"}
    assert "random_initialisation" in metrics["comparisons"]
    assert metrics["metrics"]["auc"]["value"] > 0.7
    decoder = BrainDecoder.from_pretrained(tmp_path / "run")
    frozen = decoder.encoder.state_dict()
    assert all(torch.equal(frozen[name], weight) for name, weight in saved.state_dict().items())
    raw = mne.io.read_raw_fif(tmp_path / "data" / "run0_raw.fif", verbose="error")
    answers = decoder.predict(raw)
    truth = np.array(list(raw.annotations.description))
    assert np.mean(answers == truth) > 0.7


def test_a_frozen_tokenizer_sees_each_window_once_and_its_tokens_give_the_same_embedding(tmp_path: Path):
    encoder, batch = save(tmp_path / "weights").eval(), noise()
    tokens = encoder.tokenize(batch)
    kept = TokenisedWindows(tokens.codes.to(torch.int16).numpy(), encoder.tokenizer, torch.arange(4))
    found, target = kept.batch(np.array([2, 0]))
    assert torch.equal(found.codes, tokens.codes[[2, 0]]) and target.tolist() == [2, 0]
    with torch.no_grad():
        torch.testing.assert_close(encoder(found).pooled, encoder(batch).pooled[[2, 0]])
    with pytest.raises(SpecMismatch, match="40000 codewords are too many"):
        require_storable(40000)


def test_fine_tuning_trains_the_blocks_and_leaves_the_tokenizer(train: Train, tmp_path: Path):
    saved = save(tmp_path / "weights")
    words = ("encoder.adaptation=fine_tune", "trainer.max_epochs=2", "baselines=[]", f"out={tmp_path / 'run'}")
    assert train(*words) == 0
    assert set(metrics_of(tmp_path / "run")["baselines"]) == {"random_initialisation"}
    tuned = BrainDecoder.from_pretrained(tmp_path / "run").encoder
    assert isinstance(tuned, BrainOmni)
    assert not torch.equal(tuned.blocks[0].widen.weight, saved.blocks[0].widen.weight)
    own = saved.tokenizer.state_dict()
    assert all(torch.equal(weight, own[name]) for name, weight in tuned.tokenizer.state_dict().items())


def test_a_probe_on_recordings_of_pretraining_is_refused(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save(tmp_path / "weights")
    assert train("baselines=[]", f"out={tmp_path / 'run'}") == 0
    hashes = json.loads((tmp_path / "run" / "receipt.json").read_text())["data"]["content_hashes"]
    name, content = next(iter(hashes.items()))
    save(tmp_path / "weights", (content,))
    capsys.readouterr()
    assert train("baselines=[]", f"out={tmp_path / 'refused'}") == 1
    assert name in capsys.readouterr().err and not (tmp_path / "refused").exists()


def test_people_that_pretraining_has_met_are_refused_where_people_are_left_out(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    save(tmp_path / "weights", ("another run",), (SeenRecording("bursts", "01", "sub-01_run-9", "another run"),))
    words = ("baselines=[]", f"out={tmp_path / 'run'}")
    assert train(*words, "split=leave_subject_out") == 1
    assert "have met sub-01 of bursts in other recordings" in capsys.readouterr().err
    assert train(*words) == 0


def test_weights_that_do_not_say_whom_they_met_are_told_of(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    save(tmp_path / "weights", ("some hash",))
    assert train("baselines=[]", f"out={tmp_path / 'run'}") == 0
    assert "'small' does not say whose recordings it was trained on" in caplog.text


def test_low_rank_adapters_start_without_effect_and_are_all_that_is_trained(tmp_path: Path):
    saved = save(tmp_path / "weights").eval()
    adapted = pretrained_encoder(SPEC, tmp_path / "weights", adaptation="lora", rank=2).eval()
    trained = {name for name, weight in adapted.named_parameters() if weight.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    # Four layers of two attentions, and the feed-forward part's two, in each of three blocks; two matrices each.
    assert len(trained) == 3 * (4 + 2) * 2
    batch = noise()
    assert torch.allclose(adapted(batch).pooled, saved(batch).pooled, atol=1e-6)


def test_merged_adapters_give_the_same_embeddings_with_the_keys_of_the_plain_encoder(tmp_path: Path):
    saved = save(tmp_path / "weights")
    adapted = pretrained_encoder(SPEC, tmp_path / "weights", adaptation="lora", rank=2).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if ".lora_B." in name:
                weight.normal_(0, 0.3)
    batch = noise()
    before = adapted(batch).pooled.detach()
    assert not torch.allclose(before, saved.eval()(batch).pooled, atol=1e-3)
    merge_low_rank(adapted)
    assert adapted.state_dict().keys() == saved.state_dict().keys()
    assert torch.allclose(adapted(batch).pooled, before, atol=1e-5)


def test_lora_is_refused_where_an_encoder_names_no_layers_for_it(tmp_path: Path):
    encoder = EEGFormer(SPEC, tokenizer={"dim": 16, "n_heads": 2, "n_layers": 1, "codebook_size": 8})
    save_encoder(encoder, tmp_path / "weights", {"name": "small"})
    with pytest.raises(ConfigError, match="eegformer.*no layers for LoRA.*fine_tune"):
        pretrained_encoder(SPEC, tmp_path / "weights", adaptation="lora")
    save(tmp_path / "omni")
    with pytest.raises(ConfigError, match="rank from 1 up"):
        pretrained_encoder(SPEC, tmp_path / "omni", adaptation="lora", rank=0)


def test_lora_without_peft_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save(tmp_path / "weights")
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(MissingExtra, match=r"brain_decode\[adapt\]"):
        pretrained_encoder(SPEC, tmp_path / "weights", adaptation="lora")


def test_lora_is_trained_and_saved_as_a_plain_encoder(train: Train, tmp_path: Path):
    saved = save(tmp_path / "weights")
    words = ("encoder.adaptation=lora", "optimizer.lr=1e-2", "trainer.max_epochs=2", "baselines=[]")
    assert train(*words, f"out={tmp_path / 'run'}") == 0
    tuned = BrainDecoder.from_pretrained(tmp_path / "run").encoder
    assert tuned.state_dict().keys() == saved.state_dict().keys()
    assert not torch.equal(tuned.blocks[0].widen.weight, saved.blocks[0].widen.weight)  # type: ignore[index, union-attr]
    assert torch.equal(tuned.blocks[0].feed_norm.weight, saved.blocks[0].feed_norm.weight)  # type: ignore[index, union-attr]


def test_a_frozen_probe_trains_a_two_layer_head_on_embeddings_computed_once(train: Train, tmp_path: Path):
    saved = save(tmp_path / "weights")
    words = ("encoder.adaptation=frozen_probe", "optimizer.lr=1e-2", "trainer.max_epochs=20", "baselines=[]")
    assert train(*words, f"out={tmp_path / 'run'}") == 0
    decoder = BrainDecoder.from_pretrained(tmp_path / "run")
    assert decoder.head.hidden.out_features == 256  # type: ignore[union-attr]
    own = saved.state_dict()
    assert all(torch.equal(weight, own[name]) for name, weight in decoder.encoder.state_dict().items())
    assert metrics_of(tmp_path / "run")["metrics"]["auc"]["value"] > 0.7


def test_a_reading_of_codes_is_scored_and_its_words_are_in_the_report(train: Train, tmp_path: Path):
    torch.manual_seed(0)
    tokenizer = EEGFormerVQ(patch_samples=32, max_patches=4, dim=16, n_heads=2, n_layers=1, codebook_size=16)
    save_tokenizer(tokenizer, tmp_path / "weights", {"name": "small"})
    words = ("encoder=code_ngrams", "head=naive_bayes", "baselines=[]", f"out={tmp_path / 'run'}")
    assert train(*words) == 0
    metrics = metrics_of(tmp_path / "run")
    assert metrics["decoder"] == "code_ngrams" and set(metrics["baselines"]) == {"random_initialisation"}
    assert metrics["metrics"]["auc"]["value"] > 0.7
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Which codes mark which class" in page and page.count("Words that mark each class") == 1
    decoder = BrainDecoder.from_pretrained(tmp_path / "run")
    raw = mne.io.read_raw_fif(tmp_path / "data" / "run0_raw.fif", verbose="error")
    assert np.mean(decoder.predict(raw) == np.array(list(raw.annotations.description))) > 0.7
