"""The diffusion prior equals the authors' network, training loss and sampling on their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from brain_decode.generation.diffusion_prior import DenoisingSteps, DiffusionPrior, Noise
from brain_decode.generation.prior_network import timestep_code

pytestmark = pytest.mark.parity
Vectors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(reference_folder: Path) -> Path:
    place = reference_folder / "atm_diffusion_prior"
    if not place.is_dir():
        pytest.skip("no parity vectors of atm_diffusion_prior")
    return place


@pytest.fixture(scope="module")
def config(folder: Path) -> dict[str, Any]:
    """Sizes of the authors' network, and their seed."""
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def vectors(folder: Path) -> Vectors:
    """Inputs and outputs of the authors' network."""
    return load_file(folder / "io.safetensors")


@pytest.fixture(scope="module")
def prior(folder: Path, config: dict[str, Any]) -> DiffusionPrior:
    """The prior with the authors' weights, in their arithmetic."""
    sizes = config["constructor"]
    built = DiffusionPrior(
        sizes["embed_dim"],
        sizes["cond_dim"],
        widths=sizes["hidden_dim"],
        time_dim=sizes["time_embed_dim"],
        compat="official",
    )
    weights = load_file(folder / "weights.safetensors")
    built.network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    assert sum(parameter.numel() for parameter in built.parameters()) == config["params"]
    return built.eval()


def runs(vectors: Vectors) -> list[tuple[str, int, float]]:
    """Return name, steps and guidance of every sampling run that is stored."""
    names = sorted({name.split(".")[0] for name in vectors if name.endswith(".timesteps")})
    return [(name, int(name[1:].split("_")[0]), float(name.split("_g")[1])) for name in names]


@torch.no_grad()
def test_noise_with_without_and_with_a_condition_of_zeros_equals(prior, vectors: Vectors, needed, close):
    x, steps, condition = needed(vectors, "x", "t", "c")
    close(prior.network(x, steps, condition), vectors, "out.cond")
    close(prior.network(x, steps), vectors, "out.uncond")
    close(prior.network(x, steps, torch.zeros_like(condition)), vectors, "out.zero_cond")
    left_out = torch.zeros(len(x), dtype=torch.bool)
    close(prior.network(x, steps, condition, left_out), vectors, "out.uncond")


@torch.no_grad()
def test_layers_equal(prior, vectors: Vectors, needed, close):
    x, steps, condition = needed(vectors, "x", "t", "c")
    seen: dict[str, torch.Tensor] = {}
    layers = {f"encode_layers.{number}": layer for number, layer in enumerate(prior.network.encode_layers)}
    layers["input_layer"] = prior.network.input_layer
    hooks = [
        layer.register_forward_hook(lambda _, __, output, name=name: seen.update({name: output}))
        for name, layer in layers.items()
    ]
    prior.network(x, steps, condition)
    for hook in hooks:
        hook.remove()
    close(timestep_code(steps, prior.network.time_dim), vectors, "cond.time_proj")
    for name, output in seen.items():
        close(output, vectors, f"cond.{name}")


@torch.no_grad()
def test_noised_features_and_training_loss_equal(prior, vectors: Vectors, needed, close):
    clean, noise, steps, condition = needed(vectors, "train.h", "train.noise", "t", "c")
    close(prior.noised(clean, noise, steps), vectors, "train.noisy")
    close(prior.noise_error(prior.scaled(clean), condition, noise=noise, times=steps), vectors, "train.loss")


@torch.no_grad()
def test_every_step_of_every_sampling_run_equals(prior, vectors: Vectors, needed, close, same):
    (condition,) = needed(vectors, "c")
    for name, n_steps, guidance in runs(vectors):
        steps = DenoisingSteps.evenly(n_steps)
        same(steps.times, vectors, f"{name}.timesteps")
        if not {f"{name}.{part}" for part in ("trajectory", "eps", "init_noise", "step_noise")} <= vectors.keys():
            continue
        both, terms = prior.network.both_branches(condition), prior.network.time_terms(steps.times)
        states = [vectors[f"{name}.init_noise"], *vectors[f"{name}.trajectory"]]
        for number, (expected_noise, expected) in enumerate(zip(vectors[f"{name}.eps"], states[1:], strict=True)):
            found = prior.network.guided(states[number], [term[number] for term in terms], both, guidance)
            torch.testing.assert_close(found, expected_noise, atol=1e-4, rtol=1e-4)
            after = prior.step(states[number], expected_noise, vectors[f"{name}.step_noise"][number], steps, number)
            torch.testing.assert_close(after, expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_samples_equal(prior, vectors: Vectors, needed, close):
    (condition,) = needed(vectors, "c")
    for name, _, guidance in runs(vectors):
        if not {f"{name}.init_noise", f"{name}.step_noise"} <= vectors.keys():
            continue
        noise = Noise(vectors[f"{name}.init_noise"], vectors[f"{name}.step_noise"])
        close(prior.denoise(condition, noise, guidance=guidance), vectors, f"{name}.sample", atol=1e-3)


@torch.no_grad()
def test_the_authors_own_sampling_of_one_vector_equals(prior, vectors: Vectors, config, needed, close):
    (condition,) = needed(vectors, "c")
    for name, n_steps, guidance in runs(vectors):
        generator = torch.Generator().manual_seed(config["seed"] * 1000 + n_steps)
        drawn = torch.stack([torch.randn(1, prior.dim, generator=generator) for _ in range(n_steps + 1)])
        # Torch draws nothing after the last step, which adds no noise: the last row is not used.
        sample = prior.denoise(condition[:1], Noise(drawn[0], drawn[1:]), guidance=guidance)
        close(sample, vectors, f"{name}.official_batch1_sample", atol=1e-3)
