"""What every fitted step asks of the windows it learns from and of those it is applied to."""

from __future__ import annotations

import numpy as np

from brain_decode.core.errors import ConfigError, DataError, SpecMismatch
from brain_decode.signals.windows import Windows

__all__ = ["require_fitted_channels", "require_training_windows"]


def require_training_windows(step: str, windows: Windows) -> None:
    """Refuse to fit on nothing, or on samples that are not finite.

    Raises:
        DataError: No window, or NaN or infinite samples.
    """
    if not windows.data.size:
        raise DataError(f"{step} is fitted on training windows; got shape {windows.data.shape}. Add training windows.")
    finite = np.isfinite(windows.data).all(axis=(1, 2))
    if not finite.all():
        raise DataError(
            f"{step} needs finite samples; {int((~finite).sum())} of {len(windows)} windows hold NaN or infinite ones. "
            "Reject them before (preprocessing.rejection)."
        )


def require_fitted_channels(step: str, channels: tuple[str, ...], windows: Windows) -> None:
    """Refuse windows of other channels, or of the same ones in another order, than the step was fitted on.

    Raises:
        ConfigError: The step is not fitted.
        SpecMismatch: The channels differ.
    """
    if not channels:
        raise ConfigError(f"{step} is not fitted yet; train the decoder or load a checkpoint.")
    given = tuple(windows.space.names)
    if given == channels:
        return
    if sorted(given) == sorted(channels):
        raise SpecMismatch(f"{step} was fitted on the channels {_shown(channels)} in this order; got {_shown(given)}.")
    missing, extra = sorted(set(channels) - set(given)), sorted(set(given) - set(channels))
    raise SpecMismatch(
        f"{step} was fitted on {len(channels)} channels; of these {_shown(missing)} are missing and {_shown(extra)} "
        "are new. Pick the channels the decoder was trained on."
    )


def _shown(names: tuple[str, ...] | list[str], limit: int = 8) -> str:
    listed = ", ".join(names[:limit]) or "none"
    return listed + (f" and {len(names) - limit} more" if len(names) > limit else "")
