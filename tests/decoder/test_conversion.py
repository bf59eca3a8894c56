"""The authors' files become our weights, strictly; what is no weights is refused and never run."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from brain_decode.cli.app import main
from brain_decode.core.errors import ConfigError, DataError
from brain_decode.decoder.conversion import convert, rotary_kind
from brain_decode.decoder.pretrained import save_encoder
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.brainomni import BrainOmni
from brain_decode.encoders.brainomni import from_official as encoder_from_official
from brain_decode.encoders.eegformer import EEGFormer
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.tokenizers.base import Tokenizer
from brain_decode.tokenizers.braintokenizer import BrainTokenizer

SMALL = {"window_length": 64, "n_filters": 4, "ratios": [4, 2, 2], "kernel_size": 5, "last_kernel_size": 5, "n_dim": 16,
         "n_neuro": 3, "n_head": 2, "dropout": 0.0, "codebook_dim": 16, "codebook_size": 24, "num_quantizers": 2,
         "rotation_trick": True, "quantize_optimize_method": "ema", "overlap_ratio": 0.25, "lm_dim": 32, "lm_head": 4,
         "lm_depth": 2, "lm_dropout": 0.1, "mask_ratio": 0.5, "num_quantizers_used": 2}  # fmt: skip
RELEASED = {**SMALL, "window_length": 512, "n_filters": 32, "ratios": [8, 4, 2], "n_dim": 256, "n_neuro": 16,
            "n_head": 4, "codebook_dim": 256, "codebook_size": 512, "num_quantizers": 4, "lm_depth": 12,
            "num_quantizers_used": 4}  # fmt: skip
SPEC = SignalSpec(Sensors(("a", "b"), ("eeg", "eeg")), 512, 256.0)
Weights = dict[str, torch.Tensor]


def codec(prefix: str, part: str, sizes: dict[str, Any]) -> Weights:
    """Return the codec's tensors under the authors' names."""
    filters, ratios, dim = sizes["n_filters"], sizes["ratios"], sizes["n_dim"]
    depth, widest = len(ratios), sizes["n_filters"] * 2 ** len(sizes["ratios"])
    found: Weights = {}

    def conv(name: str, inputs: int, outputs: int, kernel: int, *, transposed: bool = False) -> None:
        shape = (inputs, outputs, kernel) if transposed else (outputs, inputs, kernel)
        kind = "convtr.convtr" if transposed else "conv.conv"
        found[f"{prefix}.{name}.{kind}.bias"] = torch.randn(outputs)
        found[f"{prefix}.{name}.{kind}.weight_g"] = torch.rand(shape[0], 1, 1)
        found[f"{prefix}.{name}.{kind}.weight_v"] = torch.randn(shape)

    def unit(place: int, width: int) -> None:
        conv(f"{place}.block.1", width, width // 2, 3)
        conv(f"{place}.block.3", width // 2, width, 1)
        conv(f"{place}.shortcut", width, width, 1)

    last = 3 * depth + 3
    if part == "encoder":
        conv("0", 1, filters, sizes["kernel_size"])
        for stage, ratio in enumerate(reversed(ratios)):
            width = filters * 2**stage
            unit(3 * stage + 1, width)
            conv(f"{3 * stage + 3}", width, 2 * width, 2 * ratio)
        conv(f"{last}", widest, dim, sizes["last_kernel_size"])
    else:
        conv("0", dim, widest, sizes["kernel_size"])
        for stage, ratio in enumerate(ratios):
            width = widest // 2**stage
            conv(f"{3 * stage + 3}", width, width // 2, 2 * ratio, transposed=True)
            unit(3 * stage + 4, width // 2)
        conv(f"{last}", filters, 1, sizes["last_kernel_size"])
    place = 3 * depth + 1 if part == "encoder" else 1
    for layer in (0, 1):
        for name, shape in (("weight_ih", (4 * widest, widest)), ("weight_hh", (4 * widest, widest)),
                            ("bias_ih", (4 * widest,)), ("bias_hh", (4 * widest,))):  # fmt: skip
            found[f"{prefix}.{place}.lstm.{name}_l{layer}"] = torch.randn(shape)
    return found


def linear(name: str, inputs: int, outputs: int) -> Weights:
    return {f"{name}.weight": torch.randn(outputs, inputs), f"{name}.bias": torch.randn(outputs)}


def tokenizer_state(sizes: dict[str, Any]) -> Weights:
    dim, size = sizes["n_dim"], sizes["codebook_size"]
    found = {"sensor_embed.sensor_embedding_layer.weight": torch.randn(3, dim)}
    found |= {"sensor_embed.norm.weight": torch.rand(dim), "encoder.neuros": torch.randn(sizes["n_neuro"], dim)}
    found |= linear("sensor_embed.pos_embedding_layer.0", 6, dim // 2)
    found |= linear("sensor_embed.pos_embedding_layer.2", dim // 2, dim)
    found |= linear("sensor_embed.aggregate_mlp.layer.0", dim, 4 * dim)
    found |= linear("sensor_embed.aggregate_mlp.layer.2", 4 * dim, dim)
    for name in ("encoder.k_proj", "encoder.backwardsolution.v", "encoder.backwardsolution.proj"):
        found |= linear(name, dim, dim)
    found |= linear("decoder.forwardsolution.kv", dim, 2 * dim) | linear("decoder.forwardsolution.proj", dim, dim)
    found |= codec("encoder.seanet_encoder.model", "encoder", sizes)
    found |= codec("decoder.seanet_decoder.model", "decoder", sizes)
    for level in range(sizes["num_quantizers"]):
        prefix = f"quantizer.rvq.layers.{level}._codebook"
        found |= {f"{prefix}.inited": torch.ones(1), f"{prefix}.cluster_size": torch.rand(size),
                  f"{prefix}.embed": torch.randn(size, dim), f"{prefix}.embed_avg": torch.randn(size, dim)}  # fmt: skip
    return found


def omni_state(sizes: dict[str, Any], *, complex_table: bool = False) -> Weights:
    dim, lm = sizes["n_dim"], sizes["lm_dim"]
    found = {f"tokenizer.{key}": value for key, value in tokenizer_state(sizes).items()}
    found |= {"mask_token": torch.randn(dim)}
    found |= linear("projection", dim, lm) if dim != lm else {}
    found |= linear("predict_head", lm, sizes["num_quantizers_used"] * sizes["codebook_size"])
    for block in range(sizes["lm_depth"]):
        prefix = f"blocks.{block}"
        for name in ("pre_attn_norm", "pre_ff_norm"):
            found[f"{prefix}.{name}.weight"] = torch.rand(lm)
        for name in ("time_attn", "spatial_attn"):
            found |= linear(f"{prefix}.{name}.qkv", lm // 2, 3 * lm // 2) | linear(
                f"{prefix}.{name}.proj", lm // 2, lm // 2
            )
        found |= linear(f"{prefix}.ff.layer.0", lm, 4 * lm) | linear(f"{prefix}.ff.layer.2", 4 * lm, lm)
        angles = torch.rand(240, lm // 4)
        table = torch.polar(torch.ones_like(angles), angles) if complex_table else angles.cos()
        found[f"{prefix}.time_attn.rope_embedding_layer.rotate"] = table
        found[f"{prefix}.time_attn.rope_embedding_layer.freqs"] = torch.rand(lm // 4)
    return found


def write(folder: Path, name: str, state: Any, sizes: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / name)
    (folder / "model_cfg.json").write_text(json.dumps(sizes))
    return folder / name


@pytest.mark.parametrize("complex_table", [True, False])
def test_an_encoder_is_converted_whole_and_says_which_rotary_table_its_file_held(tmp_path: Path, complex_table: bool):
    state = omni_state(SMALL, complex_table=complex_table)
    path = write(tmp_path / "tiny", "BrainOmni.pt", state, SMALL)
    part = convert("brainomni", path, tmp_path / "out", compat="official")
    assert part.provenance["rotary"] == ("rotary" if complex_table else "cosine_only")
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        part.provenance["sha256"] in card and "not a known release" in card and str(part.provenance["rotary"]) in card
    )
    assert "| preprocessing | brainomni_official |" in card
    assert part.provenance["preprocessing"]["window_steps"][0]["settings"] == {"compat": "official"}
    encoder = Encoder.from_pretrained(tmp_path / "out", SPEC)
    assert isinstance(encoder, BrainOmni) and encoder.official and encoder.overlap == 0.25
    own = encoder.state_dict()
    for name, tensor in encoder_from_official(state).items():
        assert torch.equal(own[name], tensor)
    assert torch.equal(encoder.predict.weight, state["predict_head.weight"])
    assert torch.equal(encoder.blocks[1].along_time.out.bias, state["blocks.1.time_attn.proj.bias"])


def test_a_file_without_rotary_tables_says_so():
    assert rotary_kind({"mask_token": torch.zeros(1)}) == "absent"


def test_a_tokenizer_is_converted_from_its_own_file_and_from_that_of_an_encoder(tmp_path: Path):
    state = omni_state(SMALL)
    own = {key.removeprefix("tokenizer."): v for key, v in state.items() if key.startswith("tokenizer.")}
    write(tmp_path / "alone", "BrainTokenizer.pt", own, SMALL)
    inside = write(tmp_path / "inside", "BrainOmni.pt", state, SMALL)
    convert("braintokenizer", tmp_path / "alone", tmp_path / "one")
    convert("braintokenizer", inside, tmp_path / "two")
    first, second = Tokenizer.from_pretrained(tmp_path / "one"), Tokenizer.from_pretrained(tmp_path / "two")
    assert isinstance(first, BrainTokenizer)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.slow
@pytest.mark.parametrize(("lm_dim", "lm_head", "n_values"), [(256, 8, 13_475_042), (512, 16, 37_757_666)])
def test_files_of_the_released_sizes_are_converted(tmp_path: Path, lm_dim: int, lm_head: int, n_values: int):
    sizes = {**RELEASED, "lm_dim": lm_dim, "lm_head": lm_head}
    write(tmp_path / "theirs", "BrainOmni.pt", omni_state(sizes), sizes)
    convert("brainomni", tmp_path / "theirs", tmp_path / "out")
    encoder = Encoder.from_pretrained(tmp_path / "out", SPEC)
    assert sum(parameter.numel() for parameter in encoder.parameters()) == n_values


def test_missing_and_extra_keys_are_named(tmp_path: Path):
    state = omni_state(SMALL)
    del state["mask_token"]
    state["surplus.weight"] = torch.zeros(1)
    path = write(tmp_path / "theirs", "BrainOmni.pt", state, SMALL)
    with pytest.raises(DataError, match=r"1 missing \(mask_token\); 1 not part of the model \(surplus.weight\)"):
        convert("brainomni", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    other = write(tmp_path / "other", "BrainOmni.pt", omni_state(SMALL), {**SMALL, "n_neuro": 4})
    with pytest.raises(DataError, match="of another shape .*sources"):
        convert("brainomni", other, tmp_path / "out")


class _Hostile:
    """Pickles into a call of `os.mkdir`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def test_a_pickle_disguised_as_a_checkpoint_is_not_run(tmp_path: Path):
    for name, save in (("torch", torch.save), ("plain", lambda value, path: path.write_bytes(pickle.dumps(value)))):
        marker = tmp_path / f"ran_{name}"
        path = write(tmp_path / name, "BrainOmni.pt", {}, SMALL)
        save({"mask_token": _Hostile(marker)}, path)
        with pytest.raises(DataError, match="holds more than weights|damaged or no file of torch"):
            convert("brainomni", path, tmp_path / "out")
        assert not marker.exists() and not (tmp_path / "out").exists()


def test_files_that_are_no_weights_are_refused(tmp_path: Path):
    path = write(tmp_path / "theirs", "BrainOmni.pt", omni_state(SMALL), SMALL)
    whole = path.read_bytes()
    for content, message in (
        (whole[: len(whole) // 2], "damaged"),
        (b"", "damaged"),
        (b"not weights", "damaged|more than"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            convert("brainomni", path, tmp_path / "out")
    torch.save([1, 2], path)
    with pytest.raises(DataError, match="holds no state dict"):
        convert("brainomni", path, tmp_path / "out")
    (path.parent / "model_cfg.json").write_text("{")
    with pytest.raises(DataError, match="not valid JSON"):
        convert("brainomni", path, tmp_path / "out")
    (path.parent / "model_cfg.json").write_text(json.dumps({"n_dim": 3}))
    with pytest.raises(ConfigError, match="configuration lacks"):
        convert("brainomni", path, tmp_path / "out")
    (path.parent / "model_cfg.json").unlink()
    with pytest.raises(ConfigError, match="not beside the weights"):
        convert("brainomni", path, tmp_path / "out")
    with pytest.raises(ConfigError, match="No weights at"):
        convert("brainomni", tmp_path / "nowhere.pt", tmp_path / "out")
    with pytest.raises(ConfigError, match="Did you mean 'brainomni'"):
        convert("brainonmi", path, tmp_path / "out")


def test_the_command_writes_a_checkpoint_that_loads_and_refuses_a_second_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = write(tmp_path / "theirs", "BrainOmni.pt", omni_state(SMALL), SMALL)
    words = ["convert", "model=brainomni", f"source={path}", f"out={tmp_path / 'out'}"]
    assert main(words) == 0
    assert "rotary table in the file: cosine_only" in capsys.readouterr().out
    assert isinstance(Encoder.from_pretrained(tmp_path / "out", SPEC), BrainOmni)
    assert main(words) == 1
    assert "holds a finished run" in capsys.readouterr().err


def test_weights_load_from_a_hub_id_and_say_when_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    convert("brainomni", write(tmp_path / "theirs", "BrainOmni.pt", omni_state(SMALL), SMALL), tmp_path / "hub")
    asked: list[str] = []

    def download(name: str, **_: Any) -> str:
        asked.append(name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert isinstance(Encoder.from_pretrained("lab/brainomni", SPEC), BrainOmni)
    assert asked == ["lab/brainomni"]
    with pytest.raises(ConfigError, match="holds: encoder; a pretrained tokenizer"):
        Tokenizer.from_pretrained(tmp_path / "hub")
    with pytest.raises(ConfigError, match="has no config.json"):
        Encoder.from_pretrained("./nowhere", SPEC)


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path):
    encoder = EEGFormer(SPEC, tokenizer={"dim": 16, "n_heads": 2, "n_layers": 1, "codebook_size": 8})
    save_encoder(encoder, tmp_path / "eegformer", {"name": "small"})
    assert isinstance(EEGFormer.from_pretrained(tmp_path / "eegformer", SPEC), EEGFormer)
    with pytest.raises(ConfigError, match="of EEGFormer, not of BrainOmni"):
        BrainOmni.from_pretrained(tmp_path / "eegformer", SPEC)
