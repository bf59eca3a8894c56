"""What a decoder would do with a recording, said before it is done."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from brain_decode.core.errors import SpecMismatch
from brain_decode.decoder.channel_matching import ChannelMatch

__all__ = ["Passport", "PassportLine", "State"]

State = Literal["ok", "noted", "will be changed", "refused"]

_MARKS = {"ok": "ok", "noted": "noted", "will be changed": "changed", "refused": "REFUSED"}
_WIDTH = 110


@dataclass(frozen=True)
class PassportLine:
    """One property of a recording held against what the decoder expects.

    Args:
        what: "channels", "unit", "sampling rate", …
        state: "ok"; "noted" for a difference that cannot be judged or mended here; "will be changed"; "refused".
        found: What the recording has.
        expected: What the decoder was trained with.
        action: What is done about it, or what the person can do; empty where nothing is.
    """

    what: str
    state: State
    found: str
    expected: str
    action: str = ""


@dataclass(frozen=True)
class Passport:
    """A recording held against a decoder: every check, and exactly what will be done to the recording.

    Args:
        recording: Name of the recording.
        decoder: Name of the decoder.
        lines: One per property, in a fixed order.
        channels: Where each of the decoder's channels comes from, in the decoder's order.
        unused: Channels of the recording that the decoder does not read.
        unit_factor: What the samples are multiplied by.
        resampled_to_hz: Rate the recording is brought to before the decoder's own steps; None where it stays.
        notes: What the reader of the file had to say about it.

    Example:
        >>> print(decoder.passport(raw))  # doctest: +SKIP
    """

    recording: str
    decoder: str
    lines: tuple[PassportLine, ...]
    channels: tuple[ChannelMatch, ...] = ()
    unused: tuple[str, ...] = ()
    unit_factor: float = 1.0
    resampled_to_hz: float | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_accepted(self) -> bool:
        """True when the decoder takes the recording."""
        return not self.refusals

    @property
    def refusals(self) -> tuple[PassportLine, ...]:
        """The lines for which the recording is refused."""
        return self._in_state("refused")

    @property
    def changes(self) -> tuple[PassportLine, ...]:
        """The lines that say what is done to the recording."""
        return self._in_state("will be changed")

    @property
    def remarks(self) -> tuple[PassportLine, ...]:
        """The lines that say a difference which is left as it is."""
        return self._in_state("noted")

    def matched(self, *ways: str) -> tuple[ChannelMatch, ...]:
        """Return the channels that were matched in one of these ways ("name", "alias", "position", …)."""
        return tuple(match for match in self.channels if match.way in ways)

    def line(self, what: str) -> PassportLine:
        """Return the line about one property.

        Raises:
            KeyError: There is none.
        """
        return {line.what: line for line in self.lines}[what]

    def require_accepted(self) -> None:
        """Pass in silence when the recording is accepted.

        Raises:
            SpecMismatch: Every refusal: what was found, what is needed, what to do.
        """
        if self.is_accepted:
            return
        reasons = " ".join(f"{line.what}: {_sentence(line)}" for line in self.refusals)
        raise SpecMismatch(f"The decoder refuses '{self.recording}'. {reasons}")

    def to_json(self) -> dict[str, Any]:
        """Return plain Python values."""
        return {
            "recording": self.recording,
            "decoder": self.decoder,
            "is_accepted": self.is_accepted,
            "lines": [asdict(line) for line in self.lines],
            "channels": [asdict(match) for match in self.channels],
            "unused": list(self.unused),
            "unit_factor": self.unit_factor,
            "resampled_to_hz": self.resampled_to_hz,
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        verdict = _verdict(self)
        rows = [("", "recording", "decoder expects"), *((l.what, l.found, l.expected) for l in self.lines)]  # noqa: E741
        widths = [max(len(row[0]) for row in rows), min(max(len(row[1]) for row in rows), 44)]
        text = [f"Passport of '{self.recording}' for {self.decoder}", ""]
        text += _table_row("", rows[0], widths)
        for line, row in zip(self.lines, rows[1:], strict=True):
            text += _table_row(_MARKS[line.state], row, widths)
            if line.action:
                indent = " " * (9 + widths[0] + 2)
                text += textwrap.wrap(
                    f"→ {line.action}", _WIDTH, initial_indent=indent, subsequent_indent=indent + "  "
                )
        text += [f"note: {note}" for note in self.notes]
        return "\n".join([*text, "", *textwrap.wrap(verdict, _WIDTH)])

    def _in_state(self, state: State) -> tuple[PassportLine, ...]:
        return tuple(line for line in self.lines if line.state == state)


def _sentence(line: PassportLine) -> str:
    expected = f" (needs {line.expected})" if line.expected else ""
    return f"{line.found}{expected}. {line.action}".rstrip(". ") + "."


def _verdict(passport: Passport) -> str:
    if not passport.is_accepted:
        return f"Refused: {', '.join(line.what for line in passport.refusals)}."
    if passport.changes:
        return f"Accepted, with changes: {', '.join(line.what for line in passport.changes)}."
    return "Accepted as it is."


def _table_row(mark: str, cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row; long cells of the recording's column go on below."""
    found = textwrap.wrap(cells[1], widths[1]) or [""]
    expected = textwrap.wrap(cells[2], 40) or [""]
    height = max(len(found), len(expected))
    names = [cells[0], *[""] * (height - 1)]
    marks = [mark, *[""] * (height - 1)]
    found += [""] * (height - len(found))
    expected += [""] * (height - len(expected))
    columns = zip(marks, names, found, expected, strict=True)
    return [f"{m:<9}{n:<{widths[0]}}  {f:<{widths[1]}}  {e}".rstrip() for m, n, f, e in columns]
