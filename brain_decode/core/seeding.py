"""Randomness from one number."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

from brain_decode.core.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np
    import torch

__all__ = ["derived_seed", "seed_everything", "spawn_rngs", "torch_generator"]

_SEED_LIMIT = 2**32  # numpy's legacy global generator takes 32 bits


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch, for libraries that offer no generator argument.

    Raises:
        ConfigError: A seed outside [0, 2**32).
    """
    import numpy as np
    import torch

    _require_seed(seed)
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def spawn_rngs(seed: int, n: int) -> list[np.random.Generator]:
    """Return `n` independent numpy generators; the first ones do not depend on `n`."""
    import numpy as np

    _require_seed(seed)
    return [np.random.default_rng(sequence) for sequence in np.random.SeedSequence(seed).spawn(n)]


def torch_generator(seed: int) -> torch.Generator:
    """Return a seeded torch generator on the CPU."""
    import torch

    _require_seed(seed)
    return torch.Generator("cpu").manual_seed(seed)


def derived_seed(seed: int, *names: str | int) -> int:
    """Return a seed for a named part (a fold, a decoder) that does not depend on the order the parts run in."""
    _require_seed(seed)
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


def _require_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < _SEED_LIMIT:
        raise ConfigError(f"A seed is a whole number from 0 to {_SEED_LIMIT - 1}, got {seed!r}. Change seed=.")
