"""A small pipeline with an IP-Adapter, end to end: the same pictures whatever the batch, and clear refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.generation.ip_adapter import IPAdapter
from brain_decode.nn.architectures import resolve_architecture

SMALL = {"height": 32, "width": 32, "n_steps": 2}
FEATURES = np.random.default_rng(0).standard_normal((3, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def generator(tiny_sdxl: tuple[Path, Path]) -> IPAdapter:
    """A generator with random weights that makes two pictures at once."""
    source, adapter = map(str, tiny_sdxl)
    return IPAdapter(source, adapter, batch_size=2, **SMALL)


def test_pictures_have_the_promised_form_and_are_the_same_twice(generator: IPAdapter):
    pictures = generator.generate(FEATURES, seed=0)
    assert pictures.shape == (3, 32, 32, 3)
    assert pictures.dtype == np.float32
    assert 0 <= pictures.min() < pictures.max() <= 1
    np.testing.assert_array_equal(generator.generate(FEATURES, seed=0), pictures)


def test_the_size_of_the_batch_does_not_matter(generator: IPAdapter, tiny_sdxl: tuple[Path, Path]):
    one_by_one = IPAdapter(*map(str, tiny_sdxl), batch_size=1, **SMALL)
    one_by_one._pipelines = generator._pipelines
    pictures = generator.generate(FEATURES, seed=0)
    np.testing.assert_allclose(one_by_one.generate(FEATURES, seed=0), pictures, atol=1e-3)


def test_seed_vector_and_caption_each_change_the_picture(generator: IPAdapter):
    first = generator.generate(FEATURES[:1], seed=0)
    others = {
        "seed": generator.generate(FEATURES[:1], seed=1),
        "vector": generator.generate(FEATURES[1:2], seed=0),
        "caption": generator.generate(FEATURES[:1], seed=0, captions=["a dog"]),
    }
    for name, other in others.items():
        assert np.abs(other - first).max() > 1e-3, name


def test_generation_starts_from_pictures_of_any_size(generator: IPAdapter):
    starts = np.zeros((2, 20, 30, 3), np.float32)
    starts[1] = 1.0
    same_vector = np.repeat(FEATURES[:1], 2, axis=0)
    dark, bright = generator.generate(same_vector, seed=0, starts=starts)
    assert dark.shape == (32, 32, 3)
    assert np.abs(bright - dark).max() > 1e-3
    again = generator.generate(same_vector, seed=0, starts=starts)
    np.testing.assert_array_equal(again[0], dark)


def test_guidance_exaggerates_the_vector(generator: IPAdapter, tiny_sdxl: tuple[Path, Path]):
    guided = IPAdapter(*map(str, tiny_sdxl), guidance=4.0, **SMALL)
    guided._pipelines = generator._pipelines
    pictures = guided.generate(FEATURES[:2], seed=0)
    assert np.abs(pictures - generator.generate(FEATURES[:2], seed=0)).max() > 1e-3


def test_no_vector_gives_no_picture(generator: IPAdapter):
    assert generator.generate(FEATURES[:0], seed=0).shape == (0, 32, 32, 3)


def test_vectors_starts_and_captions_that_do_not_fit_are_refused(generator: IPAdapter):
    with pytest.raises(SpecMismatch, match=r"takes vectors \(n, 12\), got \(3, 11\)"):
        generator.generate(FEATURES[:, 1:], seed=0)
    with pytest.raises(SpecMismatch, match=r"3 vectors need as many captions, got 1"):
        generator.generate(FEATURES, seed=0, captions=["a dog"])
    with pytest.raises(SpecMismatch, match=r"start from are \(picture, height, width, 3\), got \(3, 8, 8\)"):
        generator.generate(FEATURES, seed=0, starts=np.zeros((3, 8, 8)))


def test_it_is_found_by_its_name():
    from brain_decode.generation.base import PictureGenerator

    assert resolve_architecture("generator", "generation", "ip_adapter", PictureGenerator) is IPAdapter


def test_settings_that_cannot_be_are_refused(tiny_sdxl: tuple[Path, Path]):
    source, adapter = map(str, tiny_sdxl)
    with pytest.raises(ConfigError, match=r"Unknown dtype of the picture generator 'float61'. Did you mean 'float16'"):
        IPAdapter(source, adapter, dtype="float61")
    with pytest.raises(ConfigError, match=r"n_steps=0, batch_size=4, strength=0.5"):
        IPAdapter(source, adapter, n_steps=0)


def test_a_place_where_nothing_is_gives_one_sentence(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    source, adapter = map(str, tiny_sdxl)
    with pytest.raises(ConfigError, match=r"There is no '/nowhere/sdxl'. Give a local folder, or a Hub id"):
        IPAdapter("/nowhere/sdxl", adapter)
    with pytest.raises(ConfigError, match=r"There is no '.*ip-adapter_sdxl_vit-h.safetensors'"):
        IPAdapter(source, str(tmp_path))
    with pytest.raises(ConfigError, match=r"'ip.bin' is no safetensors file"):
        IPAdapter(source, str(tmp_path), "ip.bin")


def test_without_a_network_a_hub_id_gives_one_sentence(tiny_sdxl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    source, adapter = map(str, tiny_sdxl)
    with pytest.raises(
        ConfigError, match=r"'owner/name' is no local folder with a diffusers pipeline.*local folder\.$"
    ):
        IPAdapter("owner/name", adapter)
    with pytest.raises(ConfigError, match=r"'owner/name' is no local folder with an IP-Adapter.*local folder\.$"):
        IPAdapter(source, "owner/name")


def test_a_pipeline_of_another_kind_is_refused(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    (tmp_path / "model_index.json").write_text(json.dumps({"_class_name": "FluxPipeline"}))
    with pytest.raises(ConfigError, match=r"is a FluxPipeline, which takes no IP-Adapter here. Allowed: Latent"):
        IPAdapter(str(tmp_path), str(tiny_sdxl[1]))


def test_an_adapter_that_takes_tokens_is_refused(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    save_file({"image_proj.latents": torch.zeros(1, 16, 8)}, tmp_path / "plus.safetensors")
    with pytest.raises(DataError, match=r"'plus.safetensors' is no plain IP-Adapter"):
        IPAdapter(str(tiny_sdxl[0]), str(tmp_path / "plus.safetensors"))


def test_weights_that_do_not_fit_their_configuration_are_refused_before_they_are_loaded(tiny_sdxl, tmp_path: Path):
    folder = shutil.copytree(tiny_sdxl[0], tmp_path / "pipeline")
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"layers_per_block": 2}))
    generator = IPAdapter(str(folder), str(tiny_sdxl[1]), **SMALL)
    with pytest.raises(DataError, match=r"weights of 'pipeline/unet' do not fit its configuration: \d+ missing"):
        generator.generate(FEATURES, seed=0)


def test_a_decoder_builds_it_from_its_settings(tiny_sdxl: tuple[Path, Path]):
    from brain_decode.decoder.generators import build_generator
    from brain_decode.signals.spec import TargetSpec

    source, adapter = map(str, tiny_sdxl)
    settings = {"architecture": "ip_adapter", "source": source, "adapter": adapter, **SMALL}
    built = build_generator(settings, TargetSpec("retrieval", dim=12))
    assert isinstance(built, IPAdapter)
    assert built.generate(FEATURES[:1], seed=0).shape == (1, 32, 32, 3)


def test_the_options_in_the_catalogue_are_those_of_the_class():
    import inspect

    import yaml

    settings = yaml.safe_load((Path(__file__).parents[2] / "conf" / "generator" / "ip_adapter.yaml").read_text())
    assert settings.pop("architecture") == IPAdapter.architecture
    defaults = {name: part.default for name, part in inspect.signature(IPAdapter.__init__).parameters.items()}
    assert {name: defaults[name] for name in settings} == settings
