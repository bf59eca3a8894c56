"""From configuration to decoders that can be built: the only place where Hydra meets models."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from hydra.utils import get_class, get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.core.resources import catalogue_root
from brain_decode.encoders.base import ClosedFormEncoder, Encoder
from brain_decode.heads.base import ClosedFormHead, Head
from brain_decode.nn.closed_form import FittedBuffers
from brain_decode.preprocessing.base import Preprocessing
from brain_decode.signals.space import Space
from brain_decode.signals.spec import SignalSpec, TargetSpec, Task
from brain_decode.signals.voxels import Voxels

__all__ = ["NESTED_SELECTION", "Plan", "Recipe", "plan_from_config"]

NESTED_SELECTION = "nested_selection"
_PRETRAINED = "brain_decode.decoder.pretrained.pretrained_encoder"
_CODES = "brain_decode.decoder.frozen_codes.encoder_of_codes"
_FROM_DATA = ("signal_spec", "embedding_dim", "target_spec")
_RANDOM = "random_initialisation"  # the control beside every pretrained encoder

_CLOSED_FORM_HEADS = {"classification": "logistic_regression", "regression": "ridge", "retrieval": "ridge"}
_BASELINES: dict[str, dict[str, dict[str, str]]] = {
    "classification": {
        "tangent_space": {"encoder": "tangent_space", "head": "logistic_regression"},
        "shrinkage_lda": {"encoder": "time_means", "head": "shrinkage_lda"},
    },
    "regression": {"ridge": {"encoder": "time_means", "head": "ridge"}},
    "retrieval": {"ridge": {"encoder": "time_means", "head": "ridge"}},
}

# Bins of time and covariances are for fast signals; of blood flow, a window is one mean volume.
_VOXEL_BASELINES: dict[str, dict[str, dict[str, str]]] = {
    "classification": {
        "logistic_regression": {"encoder": "block_means", "head": "logistic_regression"},
        "shrinkage_lda": {"encoder": "block_means", "head": "shrinkage_lda"},
    },
    "regression": {"ridge": {"encoder": "block_means", "head": "ridge"}},
    "retrieval": {"ridge": {"encoder": "block_means", "head": "ridge"}},
}


@dataclass(frozen=True)
class Recipe:
    """One decoder as configured: its steps, its encoder and its head, not built yet.

    Args:
        name: How tables and plots call it.
        preprocessing: `signal_steps` and `window_steps` as in `conf/preprocessing`.
        encoder: `_target_` and settings as in `conf/encoder`.
        head: `_target_` and settings as in `conf/head`; `{"name": "auto"}` chooses by encoder and task.
    """

    name: str
    preprocessing: Mapping[str, Any]
    encoder: Mapping[str, Any]
    head: Mapping[str, Any] = field(default_factory=lambda: {"name": "auto"})

    @property
    def is_closed_form(self) -> bool:
        """True when encoder and head are fitted in closed form or frozen, so that no window is kept for stopping."""
        target = get_object(str(self.encoder["_target_"]))
        if self.pretrained_source is not None:
            return self.encoder["_target_"] == _CODES or self.encoder.get("adaptation") == "linear_probe"
        return isinstance(target, type) and issubclass(target, ClosedFormEncoder)

    @property
    def can_be_refitted(self) -> bool:
        """True when every fit is in closed form, cheap enough to be made again for each permutation of the labels."""
        target = self.head.get("_target_")
        return self.is_closed_form and (target is None or issubclass(get_class(str(target)), ClosedFormHead))

    @property
    def pretrained_source(self) -> str | None:
        """Where a pretrained encoder comes from, or the one whose sizes a random one has; None for all others."""
        if str(self.encoder.get("_target_", "")) not in (_PRETRAINED, _CODES):
            return None
        if not self.encoder.get("source"):
            name = self.encoder.get("reading", "pretrained")
            raise ConfigError(f"encoder={name} needs its weights: encoder.source=runs/pretrain/RUN, or a Hub id.")
        return str(self.encoder["source"])

    @property
    def is_fixed(self) -> bool:
        """True when neither encoder, head nor steps have anything to fit, so that there is nothing to train."""
        if self.pretrained_source is not None:
            return False
        parts = [get_class(str(part["_target_"])) for part in (self.encoder, self.head) if "_target_" in part]
        fixed_parts = [part for part in parts if issubclass(part, FittedBuffers) and not part.fitted_names]
        steps = self.build_preprocessing().window_steps
        return len(fixed_parts) == 2 and not any(step.is_fitted_step for step in steps)

    def build_preprocessing(self) -> Preprocessing:
        """Return the steps, not fitted."""
        return Preprocessing.from_json(self.preprocessing)

    def build_encoder(self, signal_spec: SignalSpec) -> Encoder:
        """Return the encoder for windows of these sizes."""
        encoder = instantiate({**self.encoder, "_partial_": True, "_convert_": "all"})(signal_spec)
        if not isinstance(encoder, Encoder):
            raise ConfigError(f"encoder '{self.name}': {self.encoder.get('_target_')} is not an Encoder.")
        return encoder

    def build_head(self, encoder: Encoder, target_spec: TargetSpec) -> Head:
        """Return the head for this encoder and target.

        Raises:
            ConfigError: The head does not serve the task, or needs gradients that the encoder does not give.
        """
        settings = dict(self.head)
        if "_target_" not in settings:
            settings = group_option("head", self._automatic_head(encoder, target_spec.task))
        head = instantiate({**settings, "_partial_": True, "_convert_": "all"})(encoder.embedding_dim, target_spec)
        if target_spec.task not in head.tasks:
            raise ConfigError(
                f"Head '{head.architecture}' serves {', '.join(head.tasks)}; the task is {target_spec.task}. "
                "Choose another head=."
            )
        return head

    def _automatic_head(self, encoder: Encoder, task: Task) -> str:
        if self.encoder.get("adaptation") == "frozen_probe":
            return "two_layer" if task == "classification" else task
        return task if encoder.learns_by_gradient else _CLOSED_FORM_HEADS[task]


@dataclass(frozen=True)
class Plan:
    """What a run compares.

    Args:
        name: The decoder the run is about: a recipe's name, or "nested_selection".
        candidates: Recipes it is chosen from, inside the training part of each fold; one where nothing is chosen.
        baselines: Recipes scored beside it on the same folds.
    """

    name: str
    candidates: tuple[Recipe, ...]
    baselines: tuple[Recipe, ...]

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """Every recipe once."""
        by_name = {recipe.name: recipe for recipe in (*self.candidates, *self.baselines)}
        return tuple(by_name.values())


def group_option(group: str, name: str, user_catalogue: str | None = None) -> dict[str, Any]:
    """Return one option of a config group as plain values.

    Raises:
        ConfigError: The group has no such option.
    """
    folders = [catalogue_root() / "conf" / group]
    if user_catalogue:
        folders += [Path(user_catalogue) / "conf" / group, Path(user_catalogue) / group]
    options = {path.stem: path for folder in folders if folder.is_dir() for path in folder.glob("*.yaml")}
    if name not in options:
        raise unknown_option(group, name, options)
    content = OmegaConf.to_container(OmegaConf.load(options[name]))
    if not isinstance(content, dict):
        raise ConfigError(f"'{options[name].name}' must hold a mapping of settings.")
    return {str(key): value for key, value in content.items()}


def plan_from_config(config: DictConfig, task: Task, space: Space | None = None) -> Plan:
    """Read the decoder, its candidates and its baselines from a composed configuration.

    Args:
        config: Composed.
        task: What is decoded.
        space: Of the recordings; voxels have other baselines where none are configured.

    Raises:
        ConfigError: An option or a setting that does not exist, or nested selection without candidates.
    """
    plain = OmegaConf.to_container(config, resolve=True)
    if not isinstance(plain, dict):
        raise ConfigError("The configuration must be a mapping.")
    preprocessing = _steps_only(plain["preprocessing"])
    catalogue = plain.get("catalogue")
    baselines = _named_recipes(
        _baseline_entries(plain.get("baselines"), _default_baselines(task, space)), preprocessing, catalogue
    )
    if plain["encoder"].get("name") == NESTED_SELECTION:
        candidates = _named_recipes(plain.get("candidates") or {}, preprocessing, catalogue)
        if not candidates:
            raise ConfigError("encoder=nested_selection needs candidates: to choose from; see conf/experiment.")
        return _checked(Plan(NESTED_SELECTION, candidates, baselines))
    name = _recipe_name(plain["encoder"])
    main = Recipe(name, preprocessing, plain["encoder"], plain["head"])
    others = tuple(
        replace(recipe, name=f"{recipe.name}_baseline") if recipe.name == name else recipe
        for recipe in baselines
        if not _same_recipe(recipe, main, task)
    )
    return _checked(Plan(name, (main,), (*_controls(main), *others)))


def _checked(plan: Plan) -> Plan:
    """Return the plan if every part of it has the settings it is given; before any recording is read."""
    for recipe in plan.recipes:
        for part, settings in (("encoder", recipe.encoder), ("head", recipe.head)):
            if "_target_" in settings:
                _require_settings(part, settings)
    return plan


def _require_settings(part: str, settings: Mapping[str, Any]) -> None:
    """Refuse settings that an encoder or head does not have, as an experiment of another one leaves them."""
    target = str(settings["_target_"])
    parameters = inspect.signature(get_object(target)).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    allowed = [name for name in parameters if name not in _FROM_DATA]
    for key in settings:
        if not (key.startswith("_") and key.endswith("_")) and key not in allowed:
            told = unknown_option(f"setting of {part} '{target.split('.')[-2]}'", key, allowed)
            raise ConfigError(f"{told} An experiment may set it for another {part}: take it out with ~{part}.{key}.")


def _controls(main: Recipe) -> tuple[Recipe, ...]:
    """Return the same encoder with random weights, adapted in the same way, for a pretrained one."""
    if main.pretrained_source is None or main.encoder.get("weights", "pretrained") != "pretrained":
        return ()
    return (replace(main, name=_RANDOM, encoder={**main.encoder, "weights": "random"}),)


def _same_recipe(first: Recipe, second: Recipe, task: Task) -> bool:
    """Return whether a baseline is the decoder itself, whose head may still be left to the task."""
    head = second.head if "_target_" in second.head else group_option("head", _CLOSED_FORM_HEADS[task])
    heads_agree = first.head == head
    return first.encoder == second.encoder and heads_agree and first.preprocessing == second.preprocessing


def _recipe_name(encoder: Mapping[str, Any]) -> str:
    if "reading" in encoder:
        return str(encoder["reading"])
    target = str(encoder.get("_target_", ""))
    return target.split(".")[-2] if target.count(".") else target


def _steps_only(preprocessing: Mapping[str, Any]) -> dict[str, Any]:
    return {key: preprocessing.get(key) or [] for key in ("signal_steps", "window_steps")}


def _default_baselines(task: Task, space: Space | None) -> dict[str, dict[str, str]]:
    return (_VOXEL_BASELINES if isinstance(space, Voxels) else _BASELINES)[task]


def _baseline_entries(chosen: Any, defaults: Mapping[str, dict[str, str]]) -> dict[str, Any]:
    if chosen is None:
        return dict(defaults)
    if isinstance(chosen, Mapping):
        return dict(chosen)
    for name in chosen:
        if name not in defaults:
            raise unknown_option("baseline", name, defaults)
    return {name: defaults[name] for name in chosen}


def _named_recipes(
    entries: Mapping[str, Any], preprocessing: Mapping[str, Any], catalogue: str | None
) -> tuple[Recipe, ...]:
    return tuple(_recipe(name, entry, preprocessing, catalogue) for name, entry in entries.items())


def _recipe(name: str, entry: Mapping[str, Any], preprocessing: Mapping[str, Any], catalogue: str | None) -> Recipe:
    allowed = ("preprocessing", "encoder", "head", "encoder_settings", "head_settings")
    for key in entry:
        if key not in allowed:
            raise unknown_option(f"key of candidate '{name}'", key, allowed)
    chosen = entry.get("preprocessing")
    steps = _steps_only(group_option("preprocessing", chosen, catalogue)) if chosen else preprocessing
    encoder = group_option("encoder", entry["encoder"], catalogue) | dict(entry.get("encoder_settings") or {})
    head_name = entry.get("head", "auto")
    head: dict[str, Any] = {"name": "auto"} if head_name == "auto" else group_option("head", head_name, catalogue)
    return Recipe(name, steps, encoder, head | dict(entry.get("head_settings") or {}))
