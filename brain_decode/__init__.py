"""Decode brain recordings (EEG, MEG, sEEG, fMRI) with scores that can be trusted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brain_decode.decoder.brain_decoder import BrainDecoder

__all__ = ["BrainDecoder", "__version__"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Lazy: importing the package must load neither torch nor mne.
    if name == "BrainDecoder":
        from brain_decode.decoder.brain_decoder import BrainDecoder

        return BrainDecoder
    raise AttributeError(f"module 'brain_decode' has no attribute '{name}'")
