"""How far steps on whole recordings carry a sample, which a gap between windows of one recording must cover."""

from __future__ import annotations

from dataclasses import dataclass

from brain_decode.core.errors import ConfigError

__all__ = ["NO_REACH", "Reach"]


@dataclass(frozen=True)
class Reach:
    """How far from a sample the steps look.

    Args:
        seconds: To either side; that of the bounded steps only.
        unbounded: For each step that uses the whole recording, its name and what it uses.
    """

    seconds: float = 0.0
    unbounded: tuple[str, ...] = ()

    def within_recording(self, what: str) -> float:
        """Return the seconds for a split within a recording.

        Args:
            what: Whatever splits, for the message.

        Raises:
            ConfigError: A step uses the whole recording, so that no gap keeps test samples out of training.
        """
        if self.unbounded:
            raise ConfigError(
                f"{what} holds out parts of recordings, and {'; '.join(self.unbounded)}: test samples would change "
                "training windows at any distance. Leave that step out of preprocessing.signal_steps, use a step on "
                "windows (zscore, robust_scale), which is fitted per fold, or hold out whole runs "
                "(split=leave_run_out, with three runs or more where something is selected or stopped early)."
            )
        return self.seconds


NO_REACH = Reach()
