"""A picture pipeline like SDXL-Turbo with an IP-Adapter, of a size for tests and with random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

FEATURE_DIM, CROSS_DIM = 12, 64
_SPECIAL = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}


def text_config(projection_dim: int = 32):
    from transformers import CLIPTextConfig

    return CLIPTextConfig(
        vocab_size=64,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        projection_dim=projection_dim,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
    )


def tokenizer():
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(
        model_max_length=77, vocab={word: number for number, word in enumerate(words)}, merges=[], **_SPECIAL
    )


def tiny_pipeline():
    from diffusers import (
        AutoencoderKL,
        EulerAncestralDiscreteScheduler,
        StableDiffusionXLPipeline,
        UNet2DConditionModel,
    )
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(32, 64),
        layers_per_block=1,
        sample_size=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 1),
        projection_class_embeddings_input_dim=80,
        cross_attention_dim=CROSS_DIM,
    )
    vae = AutoencoderKL(
        block_out_channels=(32, 64),
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        sample_size=32,
    )
    return StableDiffusionXLPipeline(
        unet=unet,
        vae=vae,
        scheduler=EulerAncestralDiscreteScheduler(timestep_spacing="trailing"),
        text_encoder=CLIPTextModel(text_config()),
        text_encoder_2=CLIPTextModelWithProjection(text_config()),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        force_zeros_for_empty_prompt=True,
    )


def adapter_tensors(unet) -> dict[str, torch.Tensor]:
    """Return random weights of an adapter for this network, named as in the published files."""
    generator = torch.Generator().manual_seed(1)
    attentions = [name.removesuffix(".processor") for name in unet.attn_processors if "attn2" in name]
    shapes = {"image_proj.proj.weight": (4 * CROSS_DIM, FEATURE_DIM), "image_proj.proj.bias": (4 * CROSS_DIM,)}
    shapes |= {"image_proj.norm.weight": (CROSS_DIM,), "image_proj.norm.bias": (CROSS_DIM,)}
    for number, name in enumerate(attentions):
        width = unet.get_submodule(name).to_k.out_features
        for part in ("to_k_ip", "to_v_ip"):
            shapes[f"ip_adapter.{2 * number + 1}.{part}.weight"] = (width, CROSS_DIM)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Folder of the pipeline, file of the adapter."""
    folder = tmp_path_factory.mktemp("sdxl")
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(folder / "pipeline")
    adapter = folder / "adapter.safetensors"
    save_file(adapter_tensors(pipeline.unet), adapter)
    return folder / "pipeline", adapter
