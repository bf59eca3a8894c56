"""Whether a folder of diffusion weights fits its own configuration, told from the heads of its files alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from brain_decode.core.errors import ConfigError, DataError, listed
from brain_decode.core.files import read_json_object

__all__ = ["adapter_feature_dim", "check_layout", "check_model", "tensor_shapes"]

Shapes = dict[str, tuple[int, ...]]

_LIBRARIES = ("diffusers", "transformers")
_PASSIVE = ("tokenizer", "scheduler", "processor", "feature_extractor")  # parts without weights
_COPY = "Copy the folder again, whole."
_OLD_ATTENTION = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}
_N_IMAGE_TOKENS = 4  # that a plain IP-Adapter makes of one vector


def check_layout(folder: Path, adapter: Path | None = None, *, variant: str | None = None) -> dict[str, int]:
    """Compare names and shapes of every stored tensor with the models that the configuration describes.

    The models are built without memory for weights (torch's meta device), and no weight is read.

    Args:
        folder: A diffusers pipeline: `model_index.json`, and a folder for each part.
        adapter: Safetensors file of an IP-Adapter for the folder's UNet.
        variant: Part of the file names of weights in another precision ("fp16").

    Returns:
        Parameters of each part, and of the "adapter".

    Raises:
        ConfigError: Not such a folder, a part of another library, or weights that are not safetensors.
        DataError: Tensors that are missing, left over or of another shape; says which.
    """
    index = folder / "model_index.json"
    if not index.is_file():
        raise ConfigError(f"'{folder}' is no diffusers pipeline: it has no model_index.json.")
    parts = {
        name: entry
        for name, entry in read_json_object(index, remedy=_COPY).items()
        if isinstance(entry, list) and len(entry) == 2 and entry[1] and not name.startswith("_")
    }
    counts, unet = {}, None
    for name, (library, class_name) in parts.items():
        if library not in _LIBRARIES:
            raise ConfigError(
                f"Part '{name}' of '{folder}' is made by '{library}'. Only parts of {' and '.join(_LIBRARIES)} are "
                "loaded, because anything else could run code that came with the weights."
            )
        if any(word in name for word in _PASSIVE):
            continue
        model = check_model(library, class_name, folder / name, variant=variant)
        counts[name] = sum(tensor.numel() for tensor in model.state_dict().values())
        unet = model if name == "unet" else unet
    if adapter is not None:
        if unet is None:
            raise ConfigError(f"An IP-Adapter needs a pipeline with a UNet; '{folder}' has none.")
        expected = _adapter_shapes(unet, adapter_feature_dim(adapter))
        _compare(expected, tensor_shapes(adapter), f"the IP-Adapter '{adapter.name}'")
        counts["adapter"] = sum(int(torch.Size(shape).numel()) for shape in expected.values())
    return counts


def check_model(library: str, class_name: str, folder: Path, *, variant: str | None = None) -> nn.Module:
    """Compare one part's stored tensors with its configuration, and return its model on the meta device.

    Args:
        library: "diffusers" or "transformers".
        class_name: Of the model in it.
        folder: With `config.json` and safetensors files.
        variant: As in `check_layout`.

    Raises:
        ConfigError, DataError: As in `check_layout`.
    """
    model = _empty_model(library, class_name, folder)
    found: Shapes = {}
    for file in _weight_files(folder, variant):
        found |= tensor_shapes(file)
    _compare(_shapes(model), found, f"'{folder.parent.name}/{folder.name}'")
    return model


def tensor_shapes(file: Path) -> Shapes:
    """Return the shape of every tensor of a safetensors file; only its head is read.

    Raises:
        DataError: Damaged, cut off, or no safetensors file.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise DataError(f"'{file}' is damaged or no safetensors file: {error}. Copy it again.") from error


def adapter_feature_dim(adapter: Path) -> int:
    """Return how many values the vectors have that a plain IP-Adapter takes.

    Raises:
        DataError: Not a plain IP-Adapter (one projection of a pooled picture embedding).
    """
    shape = tensor_shapes(adapter).get("image_proj.proj.weight", ())
    if len(shape) != 2:
        raise DataError(
            f"'{adapter.name}' is no plain IP-Adapter: it lacks image_proj.proj.weight. The 'plus' and 'face' kinds "
            "take picture tokens, not one vector; use ip-adapter_sdxl_vit-h.safetensors or the like."
        )
    return shape[1]


def _empty_model(library: str, class_name: str, folder: Path) -> nn.Module:
    """Return the model of a part's configuration on the meta device."""
    import diffusers
    import transformers

    made_by: Any = {"diffusers": diffusers, "transformers": transformers}[library]
    found: Any = getattr(made_by, class_name, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise ConfigError(f"{library} has no model '{class_name}', which '{folder}' is to hold.")
    if not (folder / "config.json").is_file():
        raise DataError(f"'{folder}' has no config.json. {_COPY}")
    settings = read_json_object(folder / "config.json", remedy=_COPY)
    build: Any = found
    with torch.device("meta"):
        model: nn.Module = (
            build.from_config(settings) if library == "diffusers" else build(build.config_class.from_dict(settings))
        )
    return model


def _weight_files(folder: Path, variant: str | None) -> list[Path]:
    """Return the safetensors files of a part: those its index names, or the only one."""
    middle = f".{variant}" if variant else ""
    for stem in ("diffusion_pytorch_model", "model"):
        for index in (folder / f"{stem}.safetensors.index{middle}.json", folder / f"{stem}{middle}.safetensors"):
            if not index.is_file():
                continue
            if index.suffix != ".json":
                return [index]
            places = read_json_object(index, remedy=_COPY).get("weight_map")
            if not isinstance(places, dict) or not places:
                raise DataError(f"'{index}' does not say which file holds which tensor (weight_map). {_COPY}")
            return [folder / Path(name).name for name in sorted(set(map(str, places.values())))]
    raise ConfigError(
        f"'{folder}' holds no weights as safetensors{f' of variant {variant}' if variant else ''}. Files that have to "
        "be unpickled are not read: they could run any code. Download the safetensors files."
    )


def _shapes(model: nn.Module) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def _adapter_shapes(unet: nn.Module, feature_dim: int) -> Shapes:
    """Return names and shapes of a plain IP-Adapter; keys are numbered over all attentions, text ones being odd."""
    network: Any = unet
    names = [name.removesuffix(".processor") for name in network.attn_processors if "attn2" in name]
    keys = [network.get_submodule(name).to_k for name in names]
    width = int(keys[0].in_features)
    shapes: Shapes = {
        "image_proj.proj.weight": (_N_IMAGE_TOKENS * width, feature_dim),
        "image_proj.proj.bias": (_N_IMAGE_TOKENS * width,),
        "image_proj.norm.weight": (width,),
        "image_proj.norm.bias": (width,),
    }
    for number, key in enumerate(keys):
        for part in ("to_k_ip", "to_v_ip"):
            shapes[f"ip_adapter.{2 * number + 1}.{part}.weight"] = (int(key.out_features), width)
    return shapes


def _compare(expected: Shapes, found: Shapes, what: str) -> None:
    """Raise an error that names what differs, if anything does."""
    expected, found = _plain_names(expected), _plain_names(found)
    missing = sorted(expected.keys() - found.keys())
    extra = sorted(name for name in found.keys() - expected.keys() if not name.endswith(".position_ids"))
    other = sorted(name for name in expected.keys() & found.keys() if _size(expected[name]) != _size(found[name]))
    wrong = {"missing": missing, "not part of the model": extra, "of another shape": other}
    if any(wrong.values()):
        told = "; ".join(f"{len(names)} {how} ({listed(names)})" for how, names in wrong.items() if names)
        raise DataError(
            f"The weights of {what} do not fit its configuration: {told}. Take configuration and weights from one "
            "release."
        )


def _plain_names(shapes: Mapping[str, tuple[int, ...]]) -> Shapes:
    """Return shapes by names as all releases of the libraries have them: no prefix of text models, attention as now."""
    plain = {}
    for name, shape in shapes.items():
        renamed = name.removeprefix("text_model.")
        if "attentions" in renamed:
            for old, new in _OLD_ATTENTION.items():
                renamed = renamed.replace(old, new)
        plain[renamed] = shape
    return plain


def _size(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without trailing ones: convolutions of size one were once stored for linear layers."""
    return shape[:2] if len(shape) == 4 and shape[2:] == (1, 1) else shape
