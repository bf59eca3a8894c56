"""The judging networks have the published layout and answers, and take nothing but their own weights."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.stimuli.perceptual.inception import _own_range
from brain_decode.stimuli.perceptual.networks import NETWORKS, PerceptualNetwork, open_networks
from brain_decode.stimuli.perceptual.resizing import COMPARED_SIDE, compared, resize, resize_matrix
from brain_decode.stimuli.perceptual.resnet20 import ResNet20
from brain_decode.stimuli.perceptual.weights import load_network

Filled = Callable[[nn.Module], dict[str, torch.Tensor]]


def empty(name: str) -> nn.Module:
    with torch.device("meta"):
        return NETWORKS[name].build()


def picture(side: int) -> torch.Tensor:
    return torch.sin(0.01 * torch.arange(3 * side * side, dtype=torch.float64)).reshape(1, 3, side, side).float()


# Written down from torchvision 0.28: parameters, and a digest of every name with its shape.
@pytest.mark.parametrize(
    ("name", "n_parameters", "digest"),
    [
        ("alexnet2", 61_100_840, "935c1ea73a7869ee"),
        ("inception", 27_161_264, "b57ada785681682b"),
        ("effnet", 7_794_184, "1f5cde5a1ed036f9"),
        ("swav", 25_557_032, "cf11dad974eadeaa"),
    ],
)
def test_names_and_shapes_of_weights_are_the_published_ones(name: str, n_parameters: int, digest: str) -> None:
    network = empty(name)
    kept = {key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    lines = sorted(f"{key} {tuple(value.shape)}" for key, value in kept.items())
    assert sum(value.numel() for value in network.parameters()) == n_parameters
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == digest


# Answers of torchvision 0.28 (features.4, features.11, avgpool) with the same weights to the same picture.
@pytest.mark.parametrize(
    ("name", "dim", "mean", "deviation", "first"),
    [
        ("alexnet2", 23232, 0.1608, 0.2416, 0.3877),
        ("alexnet5", 6400, 0.0865, 0.1275, 0.0),
        ("inception", 2048, 0.0544, 0.0815, 0.3442),
        ("effnet", 1280, 0.0434, 0.2209, -0.0940),
        ("swav", 2048, 16.0633, 10.5403, 13.1964),
    ],
)
def test_answers_are_those_of_torchvision(
    name: str, dim: int, mean: float, deviation: float, first: float, filled: Filled
) -> None:
    network = empty(name)
    for part in network.unused:
        delattr(network, part.rstrip("."))
    network.load_state_dict(filled(network), assign=True)
    with torch.no_grad():
        answer = network.eval()(picture(96)).flatten(1)
    assert answer.shape == (1, dim)
    found = [float(answer.mean()), float(answer.std()), float(answer[0, 0])]
    assert found == pytest.approx([mean, deviation, first], rel=1e-3, abs=2e-4)


def test_inception_sees_pixels_between_minus_one_and_one() -> None:
    mean, deviation = (torch.tensor(values)[:, None, None] for values in NETWORKS["inception"].normalisation)
    black, white = -mean / deviation, (1 - mean) / deviation
    torch.testing.assert_close(_own_range(black), torch.full((3, 1, 1), -1.0))
    torch.testing.assert_close(_own_range(white), torch.full((3, 1, 1), 1.0))


@pytest.mark.parametrize(
    ("name", "side"),
    [("alexnet2", 256), ("alexnet5", 256), ("inception", 342), ("clip", 224), ("effnet", 255), ("swav", 224)],
)
def test_pictures_are_resized_and_normalised_as_published(name: str, side: int) -> None:
    network = PerceptualNetwork(name, NETWORKS[name], nn.Identity(), Path())
    prepared = network.prepared(np.full((2, 50, 40, 3), 0.5, dtype=np.float32))
    mean, deviation = NETWORKS[name].normalisation
    assert prepared.shape == (2, 3, side, side)
    assert prepared[0, :, 7, 9].numpy() == pytest.approx((0.5 - np.array(mean)) / np.array(deviation), abs=1e-5)
    assert mean == ((0.48145466, 0.4578275, 0.40821073) if name == "clip" else (0.485, 0.456, 0.406))


def test_efficientnet_of_2024_sees_0_to_255(tmp_path: Path, filled: Filled) -> None:
    save_file(filled(empty("effnet")), tmp_path / "efficientnet_b1-c27df63c.safetensors")
    white = np.ones((1, 8, 8, 3), dtype=np.float32)
    corrected, published = (open_networks(tmp_path, ["effnet"], compat=compat)[0] for compat in (None, "2024"))
    assert corrected.metric == "effnet_distance"
    assert float(corrected.prepared(white)[0, 0, 0, 0]) == pytest.approx((1 - 0.485) / 0.229, abs=1e-5)
    assert float(published.prepared(white)[0, 0, 0, 0]) == pytest.approx((255 - 0.485) / 0.229, abs=1e-3)


def test_the_resize_is_a_product_on_both_axes() -> None:
    pixels, matrix = torch.rand(1, 1, 40, 40), resize_matrix(40, 13)
    torch.testing.assert_close(matrix @ pixels @ matrix.T, resize(pixels, 13))
    torch.testing.assert_close(matrix.sum(dim=1), torch.ones(13))
    assert compared(np.zeros((2, 30, 20, 3))).shape == (2, 3, COMPARED_SIDE, COMPARED_SIDE)


@pytest.fixture
def small(tmp_path: Path, filled: Filled) -> Path:
    """A folder with the weights of the smallest network."""
    torch.save(filled(ResNet20()), tmp_path / "cifar10_resnet20_state_dict.pt")
    return tmp_path


def test_features_do_not_depend_on_the_batch(small: Path) -> None:
    (network,) = open_networks(small)
    pixels = np.random.default_rng(0).random((18, 20, 20, 3), dtype=np.float32)
    features = network(pixels)
    assert network.metric == "two_way_resnet20_cifar10"
    assert features.shape == (18, 64) and features.dtype == np.float32
    assert features[17:] == pytest.approx(network(pixels[17:]), abs=1e-5)
    assert not any(weight.requires_grad for weight in network.module.parameters())


def test_heads_of_another_training_and_wrappers_are_taken_off(tmp_path: Path, filled: Filled) -> None:
    weights = {f"module.{key}": value for key, value in filled(ResNet20()).items() if "num_batches" not in key}
    weights |= {"module.projection_head.0.weight": torch.ones(2), "module.prototypes.weight": torch.ones(2)}
    torch.save({"state_dict": weights}, tmp_path / "wrapped.pt")
    network = load_network(ResNet20(), tmp_path / "wrapped.pt", foreign=NETWORKS["swav"].foreign)
    assert torch.equal(network.conv1.weight, weights["module.conv1.weight"])
    with pytest.raises(DataError, match=r"2 unknown \(projection_head.0.weight, prototypes.weight\)"):
        load_network(ResNet20(), tmp_path / "wrapped.pt")


def test_missing_and_misshapen_weights_are_named(tmp_path: Path, filled: Filled) -> None:
    weights = filled(ResNet20()) | {"bn1.weight": torch.ones(7), "linear.weight": torch.ones(3)}
    del weights["conv1.weight"]
    torch.save(weights, tmp_path / "cifar10_resnet20_state_dict.pt")
    told = r"1 missing \(conv1.weight\); 2 of another shape \(bn1.weight, linear.weight\). Use the published file"
    with pytest.raises(DataError, match=told):
        open_networks(tmp_path)


def test_a_file_that_could_run_code_is_not_opened(tmp_path: Path) -> None:
    torch.save({"conv1.weight": print}, tmp_path / "cifar10_resnet20_state_dict.pt")
    with pytest.raises(DataError, match="holds more than weights, which could run code"):
        open_networks(tmp_path)


@pytest.mark.parametrize("name", ["cifar10_resnet20_state_dict.pt", "cifar10_resnet20_state_dict.safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(DataError, match=rf"{name}' .*damaged"):
        open_networks(tmp_path)


def test_a_file_without_a_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "cifar10_resnet20_state_dict.pt")
    with pytest.raises(DataError, match="must hold a state dict of tensors"):
        open_networks(tmp_path)


def test_absent_weights_are_told_with_the_names_of_their_files(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"lacks published weights \(alexnet5: alexnet-owt-7be5be79.pth or "):
        open_networks(small, ["resnet20_cifar10", "alexnet5"])
    with pytest.raises(ConfigError, match="There is no folder '.*nowhere' of weights"):
        open_networks(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"lacks published weights .*swav: swav_800ep_pretrain.pth.tar"):
        open_networks(tmp_path / "empty")


def test_unknown_words_name_the_closest(small: Path) -> None:
    with pytest.raises(ConfigError, match="Unknown network 'alexnet_5'. Did you mean 'alexnet5'"):
        open_networks(small, ["alexnet_5"])
    with pytest.raises(ConfigError, match="Unknown compat of picture metrics '2025'. Did you mean '2024'"):
        open_networks(small, compat="2025")


@pytest.fixture
def clip_folder(tmp_path: Path) -> Path:
    """A tiny CLIP with random weights, both sides, as the Hub stores it."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config=shape | {"vocab_size": 50, "max_position_embeddings": 8},
        vision_config=shape | {"image_size": 224, "patch_size": 56},
        projection_dim=12,
    )
    CLIPModel(config).save_pretrained(tmp_path / "clip-vit-large-patch14")
    return tmp_path


def test_clip_gives_the_projected_image_embedding(clip_folder: Path) -> None:
    from transformers import CLIPModel

    (network,) = open_networks(clip_folder, ["clip"])
    pixels = np.random.default_rng(0).random((2, 30, 30, 3), dtype=np.float32)
    whole = CLIPModel.from_pretrained(clip_folder / "clip-vit-large-patch14")
    with torch.no_grad():
        seen = whole.vision_model(pixel_values=network.prepared(pixels)).pooler_output
        expected = whole.visual_projection(seen).numpy()
    assert network.metric == "two_way_clip"
    assert network(pixels) == pytest.approx(expected, abs=1e-5)


def test_a_clip_folder_without_its_image_side_is_refused(clip_folder: Path) -> None:
    from safetensors.torch import load_file

    path = clip_folder / "clip-vit-large-patch14" / "model.safetensors"
    kept = {key: value for key, value in load_file(path).items() if "visual_projection" not in key}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match="lacks weights of CLIP's image side: visual_projection.weight"):
        open_networks(clip_folder)
    path.unlink()
    with pytest.raises(DataError, match="cannot be read as CLIP"):
        open_networks(clip_folder)


@pytest.mark.real_data
def test_the_cifar_network_knows_cats_from_dogs(real_data_folder: Path) -> None:
    from PIL import Image

    folder = real_data_folder / "photos" / "cats_dogs"
    if not folder.is_dir() or not (real_data_folder / "weights").is_dir():
        pytest.skip("no photos of cats and dogs, or no weights")
    (network,) = open_networks(real_data_folder / "weights", ["resnet20_cifar10"])
    names = sorted(path.name for path in folder.glob("*.jpg"))
    photos = [np.asarray(Image.open(folder / name).convert("RGB").resize((256, 256))) for name in names]
    features = torch.from_numpy(network(np.stack(photos).astype(np.float32) / 255))
    head = torch.load(network.path, weights_only=True)
    answers = functional.linear(features, head["linear.weight"], head["linear.bias"]).argmax(dim=1)
    cat, dog = 3, 5
    assert answers.tolist() == [dog if name.startswith("nontarget") else cat for name in names]
