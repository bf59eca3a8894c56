"""Vectors of any layer of a frozen vision model."""

from __future__ import annotations

import json

import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.stimuli.vision_models import VisionModel


@pytest.fixture(scope="module")
def inputs() -> torch.Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def clip(saved_model):
    return saved_model("clip")


def _reference(folder, inputs):
    from transformers import AutoModel

    return AutoModel.from_pretrained(folder).eval(), inputs


@torch.no_grad()
def test_projected_vectors_are_those_of_clip(clip, inputs):
    reference, _ = _reference(clip, inputs)
    wanted = reference.visual_projection(reference.vision_model(inputs).pooler_output)
    torch.testing.assert_close(VisionModel(clip).embed(inputs)[:, 0], wanted)


@torch.no_grad()
def test_a_saved_vision_tower_keeps_its_projection(saved_model, inputs):
    from transformers import CLIPVisionModelWithProjection

    folder = saved_model("clip_vision")
    wanted = CLIPVisionModelWithProjection.from_pretrained(folder).eval()(inputs).image_embeds
    torch.testing.assert_close(VisionModel(folder).embed(inputs)[:, 0], wanted)


@torch.no_grad()
@pytest.mark.parametrize(
    ("pooling", "tokens"), [("cls", slice(0, 1)), ("patches_mean", slice(1, None)), ("mean", slice(None))]
)
def test_hidden_layers_are_pooled_as_asked(clip, inputs, pooling, tokens):
    states = _reference(clip, inputs)[0].vision_model(inputs, output_hidden_states=True).hidden_states
    found = VisionModel(clip, layers=[0, 2, -1], pooling=pooling).embed(inputs)
    assert found.shape == (5, 3, 16)
    for level, state in enumerate((states[0], states[2], states[3])):
        torch.testing.assert_close(found[:, level], state[:, tokens].mean(dim=1))


@torch.no_grad()
def test_registers_stand_for_no_place(saved_model, inputs):
    folder = saved_model("dinov3")
    state = _reference(folder, inputs)[0](inputs, output_hidden_states=True).hidden_states[-1]
    found = VisionModel(folder, layers=[-1], pooling="patches_mean").embed(inputs)[:, 0]
    torch.testing.assert_close(found, state[:, 3:].mean(dim=1))  # class token and two registers come first


@torch.no_grad()
@pytest.mark.parametrize("kind", ["siglip", "dinov2", "clip_without_projection", "resnet"])
def test_models_without_projection_give_their_pooled_output(saved_model, inputs, kind):
    folder = saved_model(kind)
    model, _ = _reference(folder, inputs)
    wanted = getattr(model, "vision_model", model)(inputs).pooler_output.flatten(1)
    torch.testing.assert_close(VisionModel(folder).embed(inputs)[:, 0], wanted)


def test_maps_of_convolutional_networks_are_averaged_over_places(saved_model, inputs):
    folder = saved_model("resnet")
    assert VisionModel(folder, layers=[1, 2], pooling="patches_mean").embed(inputs).shape == (5, 2, 16)
    with pytest.raises(ConfigError, match="has no class token; set pooling=patches_mean"):
        VisionModel(folder, layers=[1]).embed(inputs)


def test_a_batch_gives_what_each_picture_gives_alone(clip, inputs):
    model = VisionModel(clip, layers=[1])
    alone = torch.cat([model.embed(inputs[row : row + 1]) for row in range(len(inputs))])
    torch.testing.assert_close(model.embed(inputs), alone)


def test_the_model_is_frozen_and_its_vectors_repeat(clip, inputs):
    model = VisionModel(clip, layers=[2])
    assert torch.equal(model.embed(inputs), model.embed(inputs))
    assert not any(value.requires_grad for value in model._tower.model.parameters())


def test_half_precision_stays_close(clip, inputs):
    half = VisionModel(clip, precision="bfloat16")
    assert half.describe()["precision"] == "bfloat16"
    torch.testing.assert_close(half.embed(inputs), VisionModel(clip).embed(inputs), rtol=0.1, atol=0.05)


def test_other_weights_describe_themselves_otherwise(saved_model, clip):
    assert VisionModel(clip).describe() == VisionModel(clip).describe()
    other = VisionModel(saved_model("clip", seed=1))
    assert other.describe()["weights_sha256"] != VisionModel(clip).describe()["weights_sha256"]


def test_layers_of_several_widths_do_not_mix(clip, inputs):
    with pytest.raises(ConfigError, match=r"have one width; got \{'projected': 12, '1': 16\}"):
        VisionModel(clip, layers=["projected", 1]).embed(inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": ["projectd"]}, "Unknown layer 'projectd'. Did you mean 'projected'"),
        ({"layers": []}, "names each layer once and at least one"),
        ({"layers": [1, 1]}, "names each layer once"),
        ({"pooling": "max"}, "Unknown pooling 'max'"),
        ({"precision": "float16"}, "Unknown precision 'float16'"),
    ],
)
def test_settings_that_do_not_exist_are_refused(clip, settings, message):
    with pytest.raises(ConfigError, match=message):
        VisionModel(clip, **settings)


def test_a_layer_beyond_the_last_is_refused(clip, inputs):
    with pytest.raises(ConfigError, match="has the layers 0 to 3; got 4"):
        VisionModel(clip, layers=[4]).embed(inputs)


def test_absent_and_unsafe_models_are_refused(tmp_path, saved_model):
    with pytest.raises(ConfigError, match="No model at"):
        VisionModel(tmp_path)
    folder = saved_model("dinov2")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="has no model.safetensors; other formats can run code"):
        VisionModel(folder)


def test_code_that_comes_with_a_model_does_not_run(saved_model, inputs):
    folder = saved_model("dinov2")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "hostile", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text("raise SystemExit('this ran')")
    with pytest.raises(ConfigError, match="cannot be loaded by transformers"):
        VisionModel(folder).embed(inputs)


def test_damaged_and_incomplete_weights_are_refused(saved_model, inputs):
    from safetensors.torch import load_file, save_file

    folder = saved_model("dinov2")
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors.pop("layernorm.weight")
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lack 1 tensors of the model \(layernorm.weight\)"):
        VisionModel(folder).embed(inputs)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        VisionModel(folder).embed(inputs)


def test_a_model_without_its_image_processor_is_refused(saved_model):
    folder = saved_model("dinov2")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ConfigError, match="has no preprocessor_config.json"):
        VisionModel(folder)
