"""BrainFLORA computes what its textbook layers compute, for sensors and for voxels, and takes the authors' weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.decoder.conversion import convert
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.brainflora import BrainFLORA, settings_from_official, sizes_from_official
from brain_decode.encoders.medformer import GranularPatches, MedformerLayer, SelfAttention, token_counts
from brain_decode.encoders.token_augmentations import AUGMENTATIONS, TokenAugmentation
from brain_decode.signals.batch import SignalBatch
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.spec import SignalSpec
from brain_decode.signals.voxels import Voxels

N_CHANNELS, N_TIMES, DIM = 5, 42, 80
SENSORS = Sensors(tuple(f"c{number}" for number in range(N_CHANNELS)), ("eeg",) * N_CHANNELS)
SPEC = SignalSpec(SENSORS, N_TIMES, 200.0)
VOXELS = Voxels(np.ones((7, 1, 1), dtype=bool), np.eye(4))
SMALL = {"dim": DIM, "ff_dim": 12, "n_filters": 6}


def encoder_of(spec: SignalSpec = SPEC, **settings: object) -> BrainFLORA:
    torch.manual_seed(0)
    return BrainFLORA(spec, **{**SMALL, **settings})


def batch_of(n: int = 4, n_times: int = N_TIMES) -> SignalBatch:
    signal = torch.randn(n, N_CHANNELS, n_times, generator=torch.Generator().manual_seed(1))
    return SignalBatch.from_array(signal, SENSORS, 200.0)


def plain_attention(layer: SelfAttention, tokens: torch.Tensor) -> torch.Tensor:
    """Attention written out: softmax of scaled products, head by head."""
    width, outputs = layer.width, []
    queries, keys, values = layer.inputs(tokens).chunk(3, dim=-1)
    for head in range(layer.n_heads):
        own = slice(head * width, (head + 1) * width)
        weights = (queries[..., own] @ keys[..., own].transpose(1, 2) / math.sqrt(width)).softmax(-1)
        outputs.append(weights @ values[..., own])
    return layer.outputs(torch.cat(outputs, dim=-1))


def official_state(encoder: BrainFLORA) -> dict[str, torch.Tensor]:
    """Return the weights under the authors' names and in their shapes, with a layer that they never use."""
    own, state = encoder.state_dict(), {"encoder.projection.weight": torch.zeros(3, 3), "logit_scale": torch.zeros(())}
    n_channels = N_CHANNELS if encoder.voxels is None else encoder._sizes[0]
    for number, layer in enumerate(encoder.medformer.patches.patches):
        shaped = layer.weight.detach().unflatten(1, (-1, n_channels)).transpose(1, 2)[:, None]
        state[f"encoder.enc_embedding.value_embeddings.{number}.tokenConv.weight"] = shaped
        vector = own["medformer.patches.lengths"][number : number + 1]
        state[f"encoder.enc_embedding.learnable_embeddings.{number}"] = vector
    place, ours = "encoder.encoder.attn_layers.0", "medformer.layers.0"
    attentions = {f"within.{i}": f"intra_attentions.{i}" for i in range(3)} | {"between": "inter_attention"}
    for part in ("weight", "bias"):
        for name, theirs in attentions.items():
            pieces = own[f"{ours}.attention.{name}.inputs.{part}"].chunk(3)
            for kind, piece in zip(("query", "key", "value"), pieces, strict=True):
                state[f"{place}.attention.{theirs}.{kind}_projection.{part}"] = piece
            state[f"{place}.attention.{theirs}.out_projection.{part}"] = own[f"{ours}.attention.{name}.outputs.{part}"]
        for name, theirs in (("feed_forward.0", "conv1"), ("feed_forward.3", "conv2")):
            value = own[f"{ours}.{name}.{part}"]
            state[f"{place}.{theirs}.{part}"] = value[..., None] if part == "weight" else value
        for name, theirs in (("attention_norm", "norm1"), ("feed_forward_norm", "norm2")):
            state[f"{place}.{theirs}.{part}"] = own[f"{ours}.{name}.{part}"]
        state[f"encoder.encoder.norm.{part}"] = own[f"medformer.norm.{part}"]
    return state | _official_head(own)


def _official_head(own: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    state = {}
    norms, n_filters = {"temporal_norm": "tsconv.2", "spatial_norm": "tsconv.5"}, SMALL["n_filters"]
    for name, theirs in norms.items():
        for part in ("weight", "bias", "running_mean", "running_var"):
            state[f"enc_eeg.0.{theirs}.{part}"] = own[f"stem.{name}.{part}"]
    spatial = own["stem.spatial.weight"].unflatten(1, (-1, n_filters)).transpose(1, 2)[..., None]
    shaped = {
        "tsconv.0": own["stem.temporal.weight"][:, None, None],
        "tsconv.4": spatial,
        "projection.0": own["stem.projection.weight"][..., None, None],
    }
    for (theirs, weight), name in zip(shaped.items(), ("temporal", "spatial", "projection"), strict=True):
        state |= {f"enc_eeg.0.{theirs}.weight": weight, f"enc_eeg.0.{theirs}.bias": own[f"stem.{name}.bias"]}
    keys = {"linear": "proj_eeg.0", "residual.1": "proj_eeg.1.fn.1", "normalise": "proj_eeg.2"}
    for name, theirs in keys.items():
        for part in ("weight", "bias"):
            if f"projector.{name}.{part}" in own:
                state[f"{theirs}.{part}"] = own[f"projector.{name}.{part}"]
    return state | {f"proj_fmri.{part}": own[f"voxels.{part}"] for part in ("weight", "bias") if "voxels.bias" in own}


def test_the_published_sizes_have_the_published_numbers_of_tokens_and_values():
    assert token_counts(250, (2, 4, 8)) == [126, 63, 32]
    assert token_counts(201, (2, 4, 8)) == [101, 51, 26]
    assert token_counts(1024, (2, 4, 8)) == [513, 257, 129]
    sensors = Sensors(tuple(f"c{number}" for number in range(63)), ("eeg",) * 63)
    encoder = BrainFLORA(SignalSpec(sensors, 250, 250.0), projected_dim=1024)
    assert encoder.stem.output_dim == 1440
    # 18,671,195 in the authors' file, less a classification layer, ten subject layers and the scale of the loss.
    unused = (221 * 250 * 250 + 250) + 10 * (250 * 250 + 250) + 1
    assert sum(parameter.numel() for parameter in encoder.parameters()) == 18_671_195 - unused


@torch.no_grad()
def test_patches_are_the_convolution_over_padded_windows_with_place_and_length_added():
    torch.manual_seed(0)
    patches = GranularPatches(N_CHANNELS, N_TIMES, DIM, (2, 4, 8), ()).eval()
    signal = batch_of().signal
    parts = patches(signal).split(patches.counts, dim=1)
    for number, (part, length) in enumerate(zip(parts, (2, 4, 8), strict=True)):
        padded = functional.pad(signal, (0, length), mode="replicate")
        weight = patches.patches[number].weight.unflatten(1, (length, N_CHANNELS)).transpose(1, 2)[:, None]
        expected = functional.conv2d(padded[:, None], weight, stride=(1, length))[:, :, 0].transpose(1, 2)
        places = torch.arange(part.shape[1])[:, None] * 10000.0 ** (-torch.arange(0, DIM, 2) / DIM)
        expected[..., 0::2] += places.sin()
        expected[..., 1::2] += places.cos()
        torch.testing.assert_close(part, expected + patches.lengths[number], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_last_tokens_carry_between_patch_lengths():
    torch.manual_seed(0)
    layer = MedformerLayer([4, 2], DIM, 4, 12, 0.25).eval()
    tokens = torch.randn(3, 6, DIM)
    first, second = (
        plain_attention(own, part) for own, part in zip(layer.attention.within, tokens.split([4, 2], 1), strict=True)
    )
    carried = plain_attention(layer.attention.between, torch.stack([first[:, -1], second[:, -1]], dim=1))
    first[:, -1], second[:, -1] = carried[:, 0], carried[:, 1]
    mixed = layer.attention_norm(tokens + torch.cat([first, second], dim=1))
    expected = layer.feed_forward_norm(mixed + layer.feed_forward(mixed))
    torch.testing.assert_close(layer(tokens), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_attention_is_the_same_in_training_but_for_what_is_dropped():
    torch.manual_seed(0)
    layer, tokens = SelfAttention(DIM, 4, 1e-9), torch.randn(3, 6, DIM)
    torch.testing.assert_close(layer.train()(tokens), layer.eval()(tokens), atol=1e-6, rtol=1e-5)
    dropping = SelfAttention(DIM, 4, 0.5)
    dropping.load_state_dict(layer.state_dict())
    assert not torch.allclose(dropping.train()(tokens), layer(tokens))
    torch.testing.assert_close(dropping.eval()(tokens), plain_attention(layer, tokens), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_odd_widths_and_single_patch_lengths_work():
    encoder = encoder_of(dim=81, patch_samples=(3,)).eval()
    assert encoder.medformer.layers[0].attention.between is None
    assert torch.isfinite(encoder(batch_of()).pooled).all()


def test_every_weight_is_trained_and_listed_for_fine_tuning():
    encoder = encoder_of(projected_dim=7, n_layers=2).train()
    encoder(batch_of()).pooled.square().sum().backward()
    assert all(parameter.grad is not None for parameter in encoder.parameters())
    listed = {id(weight) for layer in encoder.layers() for weight in layer}
    assert listed == {id(weight) for weight in encoder.parameters()}


@torch.no_grad()
def test_voxels_become_channels_of_their_mean_volume():
    spec = SignalSpec(VOXELS, 3, 0.5)
    encoder = encoder_of(spec, voxel_channels=2, voxel_samples=16).eval()
    assert encoder.medformer.n_tokens == sum(token_counts(16, (2, 4, 8)))
    signal = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    made = encoder.voxels(signal.mean(-1)).view(4, 2, 16)
    expected = encoder.stem(encoder.medformer(made)).flatten(1)
    torch.testing.assert_close(encoder(SignalBatch.from_array(signal, VOXELS, 0.5)).pooled, expected)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_augmentation_changes_tokens_in_training_only_and_by_seed(name: str):
    augmentation = TokenAugmentation([name])
    tokens = torch.randn(3, 9, 40, generator=torch.Generator().manual_seed(0))
    kept = tokens.clone()
    made = []
    for seed in (1, 1, 2, 3, 4):
        torch.manual_seed(seed)
        made.append(augmentation.train()(tokens))
    assert torch.equal(tokens, kept)
    assert torch.equal(made[0], made[1])
    assert any(not torch.equal(one, tokens) for one in made)
    assert augmentation.eval()(tokens) is tokens


def test_each_augmentation_does_what_its_name_says():
    tokens = torch.randn(3, 9, 40, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    made = {name: [change(tokens) for _ in range(20)] for name, change in AUGMENTATIONS.items()}
    assert all(torch.equal(one, tokens) or torch.equal(one, tokens.flip(-1)) for one in made["flip"])
    assert all(torch.equal(one.sort(1).values, tokens.sort(1).values) for one in made["shuffle"])
    assert all(((one == 0).all(0).all(0)).sum() == 4 for one in made["mask"])
    assert np.mean([(one == 0).float().mean() for one in made["drop"]]) == pytest.approx(0.1, abs=0.02)
    assert np.mean([(one - tokens).std() for one in made["jitter"]]) == pytest.approx(0.1, abs=0.005)
    shares = [torch.fft.rfft(one).abs().lt(1e-4).float().mean() for one in made["frequency"]]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.02)


def test_all_augmentations_are_drawn():
    augmentation = TokenAugmentation(tuple(AUGMENTATIONS)).train()
    tokens = torch.ones(1, 4, 40)
    torch.manual_seed(0)
    assert len({tuple(augmentation(tokens).flatten().tolist()) for _ in range(40)}) > 4


@torch.no_grad()
@pytest.mark.parametrize("voxels", [False, True])
def test_the_authors_file_becomes_a_pretrained_encoder(tmp_path: Path, voxels: bool):
    settings = {"voxel_channels": 2, "voxel_samples": 16} if voxels else {}
    spec = SignalSpec(VOXELS, 1, 0.5) if voxels else SPEC
    encoder = encoder_of(spec, projected_dim=9, **settings).eval()
    state = official_state(encoder)
    assert sizes_from_official(state) == ((7, 1) if voxels else (N_CHANNELS, N_TIMES))
    torch.save({name: value.half() for name, value in state.items()}, tmp_path / "encoder.pth")
    part = convert("brainflora", tmp_path / "encoder.pth", tmp_path / "out")
    assert part.settings["projected_dim"] == 9 and part.provenance["sha256"]
    loaded = Encoder.from_pretrained(tmp_path / "out", spec)
    signal = torch.randn(3, spec.n_channels, spec.n_times)
    batch = SignalBatch.from_array(signal, spec.sensors, spec.rate_hz)
    torch.testing.assert_close(loaded(batch).pooled, encoder(batch).pooled, atol=2e-2, rtol=0)


def test_files_that_are_no_encoder_of_brainflora_are_refused(tmp_path: Path):
    state = official_state(encoder_of())
    for changed, message in (
        ({"a": torch.zeros(1)}, "not BrainFLORA weights: 'encoder.enc_embedding.value_embeddings.0"),
        ({k: v for k, v in state.items() if "inter_attention" not in k}, "inter_attention.query_projection.weight' is"),
        (state | {"enc_eeg.0.tsconv.4.weight": torch.zeros(6, 6, 2, 1)}, "makes 2 tokens of patches of"),
    ):
        torch.save(changed, tmp_path / "encoder.pth")
        with pytest.raises(DataError, match=message):
            convert("brainflora", tmp_path / "encoder.pth", tmp_path / "out")
        assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="No weights at"):
        convert("brainflora", tmp_path / "nowhere.pth", tmp_path / "out")
    with pytest.raises(ConfigError, match="takes no compat; got 'official'"):
        convert("brainflora", tmp_path / "encoder.pth", tmp_path / "out", compat="official")


def test_settings_that_cannot_be_used_are_refused():
    with pytest.raises(SpecMismatch, match="along the 60 values of a token and need at least 75"):
        encoder_of(dim=60)
    with pytest.raises(ConfigError, match="patch_samples are whole numbers from 1 up, got \\[0\\]"):
        encoder_of(patch_samples=(0,))
    with pytest.raises(ConfigError, match="n_heads lies between 1 and dim=80, got 0"):
        encoder_of(n_heads=0)
    with pytest.raises(ConfigError, match="Unknown augmentation 'flop'. Did you mean 'flip'"):
        encoder_of(augmentations=("flop",))
    with pytest.raises(SpecMismatch, match="was built for 5 channels x 42 samples"):
        encoder_of()(batch_of(n_times=41))
    assert settings_from_official(official_state(encoder_of()))["patch_samples"] == [2, 4, 8]
