"""A folder of a diffusion pipeline is accepted or refused by the heads of its files, at full size too."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.generation.pipeline_layout import adapter_feature_dim, check_layout, tensor_shapes

# Configurations of SDXL-Turbo as published.
UNET: dict[str, Any] = {
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
VAE: dict[str, Any] = {
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
}
TEXT = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
TEXT_2 = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 20}
PARAMETERS = {
    "unet": 2_567_463_684,
    "vae": 83_653_863,
    "text_encoder": 123_060_480,
    "text_encoder_2": 694_659_840,
    # 10 attentions of width 640 and 60 of width 1280, keys and values; the projection to four tokens and its norm
    "adapter": (10 * 640 + 60 * 1280) * 2048 * 2 + 8192 * 1024 + 8192 + 2 * 2048,
}


def write_heads(file: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    """Write a half-precision safetensors file of these tensors that takes no space: its weights are a hole."""
    head, offset = {}, 0
    for name, shape in shapes.items():
        size = 2 * int(torch.Size(shape).numel())
        head[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(head).encode()
    with file.open("wb") as opened:
        opened.write(struct.pack("<Q", len(text)) + text)
        opened.truncate(8 + len(text) + offset)


def write_part(folder: Path, stem: str, model: torch.nn.Module, config: dict[str, Any], prefix: str = "") -> None:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    shapes = {prefix + name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    write_heads(folder / f"{stem}.safetensors", shapes)


def sdxl_adapter(unet: UNet2DConditionModel) -> dict[str, tuple[int, ...]]:
    """Return the layout of ip-adapter_sdxl_vit-h.safetensors."""
    shapes = {"image_proj.proj.weight": (8192, 1024), "image_proj.proj.bias": (8192,)}
    shapes |= {"image_proj.norm.weight": (2048,), "image_proj.norm.bias": (2048,)}
    names = [name for name in unet.attn_processors if name.endswith("attn2.processor")]
    for number, name in enumerate(names):
        width = 640 if name.startswith(("down_blocks.1", "up_blocks.1")) else 1280
        for part in ("to_k_ip", "to_v_ip"):
            shapes[f"ip_adapter.{2 * number + 1}.{part}.weight"] = (width, 2048)
    return shapes


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder laid out like SDXL-Turbo in half precision, and its adapter; no weights inside."""
    folder = tmp_path_factory.mktemp("full")
    source = folder / "sdxl-turbo"
    with torch.device("meta"):
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**VAE)
        text = CLIPTextModel(CLIPTextConfig(**TEXT, projection_dim=768))
        text_2 = CLIPTextModelWithProjection(CLIPTextConfig(**TEXT_2, projection_dim=1280, hidden_act="gelu"))
    write_part(source / "unet", "diffusion_pytorch_model", unet, UNET)
    write_part(source / "vae", "diffusion_pytorch_model", vae, VAE)
    # The published files were written when text models had this prefix in every release.
    has_prefix = next(iter(text.state_dict())).startswith("text_model.")
    prefix = "" if has_prefix else "text_model."
    write_part(source / "text_encoder", "model", text, TEXT | {"projection_dim": 768}, prefix)
    write_part(source / "text_encoder_2", "model", text_2, TEXT_2 | {"projection_dim": 1280})
    index = {"_class_name": "StableDiffusionXLPipeline", "tokenizer": ["transformers", "CLIPTokenizer"]}
    index |= {"unet": ["diffusers", "UNet2DConditionModel"], "vae": ["diffusers", "AutoencoderKL"]}
    index |= {"text_encoder": ["transformers", "CLIPTextModel"], "image_encoder": [None, None]}
    index |= {"text_encoder_2": ["transformers", "CLIPTextModelWithProjection"]}
    (source / "model_index.json").write_text(json.dumps(index))
    write_heads(folder / "ip-adapter_sdxl_vit-h.safetensors", sdxl_adapter(unet))
    return source, folder / "ip-adapter_sdxl_vit-h.safetensors"


def test_a_full_size_folder_is_accepted_and_takes_no_memory_or_disk(full_size: tuple[Path, Path]):
    assert check_layout(*full_size) == PARAMETERS
    unet = full_size[0] / "unet" / "diffusion_pytorch_model.safetensors"
    assert unet.stat().st_size > 5e9
    assert unet.stat().st_blocks * 512 < 1e6


def test_a_generator_takes_the_full_size_folder_up_to_its_weights(full_size: tuple[Path, Path]):
    from brain_decode.generation.ip_adapter import IPAdapter

    generator = IPAdapter(*map(str, full_size))
    assert (generator.feature_dim, generator.height, generator.width) == (1024, 512, 512)
    assert generator.class_name == "StableDiffusionXLPipeline"


def test_the_small_folder_is_accepted(tiny_sdxl: tuple[Path, Path]):
    counts = check_layout(*tiny_sdxl)
    assert set(counts) == {"unet", "vae", "text_encoder", "text_encoder_2", "adapter"}
    assert adapter_feature_dim(tiny_sdxl[1]) == 12


def test_weights_in_several_files_are_read_through_their_index(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    folder = shutil.copytree(tiny_sdxl[0], tmp_path / "pipeline")
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    file.unlink()
    names = sorted(tensors)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for part, inside in parts.items():
        save_file({name: tensors[name] for name in inside}, folder / "unet" / part)
    places = {name: part for part, inside in parts.items() for name in inside}
    index = folder / "unet" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": places}))
    assert check_layout(folder)["unet"] == check_layout(tiny_sdxl[0])["unet"]
    (folder / "unet" / "b.safetensors").unlink()
    with pytest.raises(DataError, match=r"b.safetensors' is damaged or no safetensors file"):
        check_layout(folder)
    index.write_text("{}")
    with pytest.raises(DataError, match=r"does not say which file holds which tensor \(weight_map\)"):
        check_layout(folder)


def damaged(folder: Path, change: dict[str, torch.Tensor | None]) -> Path:
    """Change tensors of the UNet, or remove them where None."""
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = {**load_file(file), **change}
    save_file({name: tensor for name, tensor in tensors.items() if tensor is not None}, file)
    return folder


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"conv_in.bias": None}, r"1 missing \(conv_in.bias\)"),
        ({"other": torch.zeros(1)}, r"1 not part of the model \(other\)"),
        ({"conv_in.bias": torch.zeros(7)}, r"1 of another shape \(conv_in.bias\)"),
    ],
)
def test_every_kind_of_difference_is_told(tiny_sdxl: tuple[Path, Path], tmp_path: Path, change, told: str):
    folder = damaged(shutil.copytree(tiny_sdxl[0], tmp_path / "pipeline"), change)
    with pytest.raises(DataError, match=rf"'pipeline/unet' do not fit its configuration: {told}. Take configuration"):
        check_layout(folder)


def test_an_adapter_of_another_pipeline_is_refused(tiny_sdxl: tuple[Path, Path], full_size: tuple[Path, Path]):
    with pytest.raises(DataError, match=r"IP-Adapter 'ip-adapter_sdxl_vit-h.safetensors' do not fit.*not part of"):
        check_layout(tiny_sdxl[0], full_size[1])


def test_parts_of_other_libraries_are_refused(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    folder = shutil.copytree(tiny_sdxl[0], tmp_path / "pipeline")
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps(index | {"unet": ["my_code", "MyUNet"]}))
    with pytest.raises(ConfigError, match=r"Part 'unet' of '.*' is made by 'my_code'. Only parts of diffusers and tra"):
        check_layout(folder)


def test_pickled_weights_are_not_read(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    folder = shutil.copytree(tiny_sdxl[0], tmp_path / "pipeline")
    (folder / "vae" / "diffusion_pytorch_model.safetensors").rename(folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"vae' holds no weights as safetensors. Files that have to be unpickled"):
        check_layout(folder)
    with pytest.raises(ConfigError, match=r"no weights as safetensors of variant fp16"):
        check_layout(tiny_sdxl[0], variant="fp16")


def test_a_file_that_was_cut_off_is_told(tiny_sdxl: tuple[Path, Path], tmp_path: Path):
    whole = tiny_sdxl[1].read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"cut.safetensors' is damaged or no safetensors file"):
        tensor_shapes(tmp_path / "cut.safetensors")


def test_a_folder_without_an_index_is_no_pipeline(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"is no diffusers pipeline: it has no model_index.json"):
        check_layout(tmp_path)
