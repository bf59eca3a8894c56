"""Tiny random models, saved as transformers saves real ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

VISION = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}
TEXT = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": 99,
    "max_position_embeddings": 16,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 2,
}
WORDS = ("[UNK]", "<start>", "<end>", "this", "picture", "is", "a", "cat", "red", "ball", "aircraft", "carrier")
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.48, 0.46, 0.41],
    "image_std": [0.27, 0.26, 0.28],
    "image_processor_type": "CLIPImageProcessor",
}


def _build(kind: str) -> torch.nn.Module:
    import transformers as hf

    deep = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    if kind == "clip":
        return hf.CLIPModel(hf.CLIPConfig(vision_config=VISION, text_config=TEXT, projection_dim=12))
    if kind == "clip_vision":
        return hf.CLIPVisionModelWithProjection(hf.CLIPVisionConfig(**VISION, projection_dim=12))
    if kind == "clip_without_projection":
        return hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION))
    if kind == "siglip":
        return hf.SiglipModel(hf.SiglipConfig(vision_config=VISION, text_config=TEXT))
    if kind == "dinov2":
        return hf.Dinov2Model(hf.Dinov2Config(**deep, mlp_ratio=2))
    if kind == "dinov3":
        return hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**deep, intermediate_size=32, num_register_tokens=2))
    if kind == "resnet":
        return hf.ResNetModel(hf.ResNetConfig(embedding_size=8, hidden_sizes=[16, 16], depths=[1, 1]))
    return hf.BertModel(hf.BertConfig(**{name: TEXT[name] for name in list(TEXT)[:5]}, max_position_embeddings=16))


def _write_tokenizer(folder: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    words = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    words.normalizer = normalizers.Lowercase()
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<end>", eos_token="<end>", bos_token="<start>", model_max_length=16
    ).save_pretrained(folder)


@pytest.fixture(scope="session")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Return a function that saves a tiny random model with processor and tokenizer, and gives its folder."""

    def save(kind: str, seed: int = 0) -> Path:
        torch.manual_seed(seed)
        folder = tmp_path_factory.mktemp(kind)
        _build(kind).save_pretrained(folder)
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
        _write_tokenizer(folder)
        return folder

    return save
