"""Models that remember what they were built with."""

from __future__ import annotations

import inspect
from typing import Any

__all__ = ["record_config"]

_FROM_DATA = ("self", "signal_spec", "target_spec", "embedding_dim")


def record_config(cls: Any) -> None:
    """Make instances of `cls` remember their own JSON-able constructor arguments in `config`."""
    original = cls.__init__

    def remembering(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = inspect.signature(original).bind(self, *args, **kwargs)
        bound.apply_defaults()
        if type(self) is cls:
            config = {key: value for key, value in bound.arguments.items() if key not in _FROM_DATA}
            object.__setattr__(self, "config", {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()})
        original(self, *args, **kwargs)

    remembering.__wrapped__ = original  # type: ignore[attr-defined]
    remembering.__signature__ = inspect.signature(original)  # type: ignore[attr-defined]
    remembering.__doc__ = original.__doc__
    cls.__init__ = remembering
