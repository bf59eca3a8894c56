"""What `--help` prints, read from the commands and the comments of their configurations."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from brain_decode.cli.commands import Command
from brain_decode.core.resources import catalogue_root, group_folders

__all__ = ["command_help", "overview"]

_WIDTH = 100
_EXAMPLE = re.compile(r"^# (brain-decode .*)$")
_GROUP = re.compile(r"^\s+- (?:override )?/?([a-z_]+): (\S+)(?:\s+# (.*))?$")
_PARENT = re.compile(r"^\s+- (?!_self_)([a-z_]+)$")
_KEY = re.compile(r"^([a-z_]+): (.*?)(?:\s+# (.*))?$")


@dataclass
class _Words:
    """Override words of a primary configuration: word -> (default, meaning)."""

    examples: list[str] = field(default_factory=list)
    groups: dict[str, tuple[str, str]] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)


def overview(commands: Mapping[str, Command], version: str) -> str:
    """Return the text of `brain-decode --help`."""
    width = max(len(name) for name in commands)
    lines = [f"  {name:<{width}}  {command.summary}" for name, command in commands.items()]
    return "\n".join(
        [
            f"brain-decode {version}: from a brain recording to an honest score.",
            "",
            "Usage: brain-decode COMMAND [WORD=VALUE ...]",
            "",
            "Commands:",
            *lines,
            "",
            "  brain-decode COMMAND --help   the words of a command, with examples",
            "  brain-decode --version        the version",
            "",
        ]
    )


def command_help(command: Command) -> str:
    """Return the text of `brain-decode COMMAND --help`."""
    words = _read_words(command.config)
    sections = [f"{command.summary}\n\nUsage: brain-decode {command.name} [WORD=VALUE ...] [--multirun]"]
    if words.examples:
        sections.append("Examples:\n" + "\n".join(f"  {example}" for example in words.examples))
    if words.groups:
        sections.append("Choices:\n" + "\n".join(_group_lines(words.groups)))
    if words.keys:
        sections.append("Values:\n" + "\n".join(_value_lines(words.keys)))
    sections.append(
        "Settings inside a choice are words too: trainer.max_epochs=20, datasets.subjects=[01,02].\n"
        "--multirun runs every combination of values separated by commas: seed=0,1,2."
    )
    return "\n\n".join(sections) + "\n"


def _read_words(config: str) -> _Words:
    """Read examples, groups and keys of `conf/<config>.yaml` and of the configurations it builds on."""
    words = _Words()
    lines = (catalogue_root() / "conf" / f"{config}.yaml").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if match := _EXAMPLE.match(line):
            words.examples.append(match.group(1))
        elif match := _PARENT.match(line):
            inherited = _read_words(match.group(1))
            words.groups.update(inherited.groups)
            words.keys.update(inherited.keys)
        elif match := _GROUP.match(line):
            _keep(words.groups, match)
        elif (match := _KEY.match(line)) and match.group(3):
            _keep(words.keys, match)
    return words


def _keep(words: dict[str, tuple[str, str]], match: re.Match[str]) -> None:
    name, default, meaning = match.groups()
    words[name] = (default, meaning or words.get(name, ("", ""))[1])


def _group_lines(groups: Mapping[str, tuple[str, str]]) -> Iterable[str]:
    for name, (default, meaning) in groups.items():
        options = sorted({path.stem for folder in group_folders(name) for path in folder.glob("*.yaml")})
        chosen = {"null": "none", "???": "must be given"}.get(default, default)
        yield f"  {name}=  {meaning} ({chosen})"
        if options:
            yield textwrap.fill(", ".join(options), _WIDTH, initial_indent="      ", subsequent_indent="      ")


def _value_lines(keys: Mapping[str, tuple[str, str]]) -> Iterable[str]:
    width = max(len(name) for name in keys) + 1
    for name, (default, meaning) in keys.items():
        shown = {"null": "", "???": " (must be given)"}.get(default, f" ({default})")
        yield f"  {name + '=':<{width}}  {meaning}{shown}"
