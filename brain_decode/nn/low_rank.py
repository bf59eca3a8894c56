"""Low-rank adapters beside frozen linear layers, put in for training and folded in afterwards (peft)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from brain_decode.core.errors import ConfigError, MissingExtra

__all__ = ["add_low_rank", "merge_low_rank"]


def add_low_rank(module: nn.Module, layers: Sequence[str], *, rank: int, alpha: float, dropout: float = 0.0) -> None:
    """Freeze a module and put a trainable product of two thin matrices beside some of its linear layers, in place.

    A layer then returns `W x + (alpha / rank) B A x`; B starts at zero, so that nothing changes at first.

    Args:
        module: Everything in it but the adapters loses its gradient.
        layers: Full names of linear layers.
        rank: Rows of A.
        alpha: Weight of the product, times `rank`.
        dropout: Share of an adapter's input that is dropped in training.

    Raises:
        ConfigError: A rank below one, or a dropout outside [0, 1).
        MissingExtra: peft is not installed.

    Source: Hu et al. 2022 (LoRA, arXiv 2106.09685).
    """
    if rank < 1 or not 0 <= dropout < 1:
        raise ConfigError(f"LoRA needs a rank from 1 up and a dropout in [0, 1), got {rank} and {dropout:g}.")
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ModuleNotFoundError as error:
        raise MissingExtra(
            "LoRA needs peft, which is not installed. Install brain_decode[adapt], or choose "
            "encoder.adaptation=fine_tune."
        ) from error
    settings = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=list(layers))  # type: ignore[arg-type]
    inject_adapter_in_model(settings, module)


def merge_low_rank(module: nn.Module) -> None:
    """Fold every adapter of a module into the layer it stands beside; without adapters nothing happens."""
    adapted = [(name, layer) for name, layer in module.named_modules() if hasattr(layer, "lora_A")]
    for name, layer in adapted:
        layer.merge(safe_merge=True)  # type: ignore[operator]
        parent, _, own = name.rpartition(".")
        setattr(module.get_submodule(parent), own, layer.get_base_layer())  # type: ignore[operator]
