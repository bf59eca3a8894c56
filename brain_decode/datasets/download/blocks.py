"""The `download:` block of a dataset's entry: where its files are, and which of them are wanted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from brain_decode.core.errors import ConfigError, unknown_option
from brain_decode.datasets.download.listings import LISTINGS, listed_files
from brain_decode.datasets.download.remote import Connection, RemoteFile, safe_path

__all__ = ["DownloadBlock", "blocks_of", "matches"]

_KEYS = (*LISTINGS, "host", "revision", "include", "exclude", "unpack", "into")
_SUBJECT = "{subject}"


@dataclass(frozen=True)
class DownloadBlock:
    """Files of one host.

    Args:
        kind: One of `LISTINGS`.
        settings: The block as written; `settings[kind]` names the dataset on its host.
        include: Patterns of the paths to fetch: `*` stays within a folder, `**` does not, `{subject}` stands for each
            participant asked for, or any; nothing given takes all.
        exclude: Patterns of paths that are left out.
        unpack: Pattern of archives to the folder that their content goes into, below the dataset's folder.
        into: Folder below the dataset's folder that all paths are put into.
    """

    kind: str
    settings: Mapping[str, Any]
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    unpack: Mapping[str, str] = field(default_factory=dict)
    into: str = ""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str) -> DownloadBlock:
        """Build from one `download:` block of the entry `name`.

        Raises:
            ConfigError: An unknown key, no host or several, or a folder outside the dataset's.
        """
        for key in config:
            if key not in _KEYS:
                raise unknown_option(f"key of download of dataset '{name}'", key, _KEYS)
        kinds = [kind for kind in LISTINGS if config.get(kind) is not None]
        if len(kinds) != 1:
            raise ConfigError(f"A download of dataset '{name}' needs one of {', '.join(LISTINGS)}; it has {kinds}.")
        unpack = {str(pattern): str(folder) for pattern, folder in (config.get("unpack") or {}).items()}
        into = str(config.get("into") or "")
        for folder in (*unpack.values(), into):
            if folder not in ("", "."):
                safe_path(folder)
        return cls(kinds[0], config, _texts(config.get("include")), _texts(config.get("exclude")), unpack, into)

    def files(self, connection: Connection, subjects: Sequence[str] | None) -> list[RemoteFile]:
        """Return the wanted files, in the order of their paths.

        Args:
            connection: Patience and identity.
            subjects: Labels of participants; None for all.

        Raises:
            ConfigError: No file fits the patterns.
            DownloadError: The host cannot be listed.
        """
        wanted = [pattern for include in self.include for pattern in _for_subjects(include, subjects)]
        listed = listed_files(self.kind, self.settings, connection, prefix=_shared_beginning(wanted))
        chosen = [
            file
            for file in listed
            if (not wanted or matches(file.path, wanted)) and not matches(file.path, self.exclude)
        ]
        if not chosen:
            raise ConfigError(
                f"None of the {len(listed)} files of {self.kind} fits include: {wanted or 'everything'}, exclude: "
                f"{list(self.exclude)}. Correct datasets.download.include, or the participants asked for."
            )
        placed = [replace(file, path=f"{self.into}/{file.path}" if self.into else file.path) for file in chosen]
        return sorted(placed, key=lambda file: file.path)

    def folder_for(self, path: str) -> str | None:
        """Return the folder that an archive is unpacked into, None for a file that is kept as it is."""
        listed = path.removeprefix(f"{self.into}/") if self.into else path
        return next((folder for pattern, folder in self.unpack.items() if matches(listed, [pattern])), None)


def blocks_of(entry: Mapping[str, Any]) -> list[DownloadBlock]:
    """Return the download blocks of an entry of the catalogue.

    Raises:
        ConfigError: The entry has none.
    """
    name, described = str(entry.get("name")), entry.get("download")
    if not described:
        raise ConfigError(
            f"Dataset '{name}' says nothing about downloads. Its source: {entry.get('source') or 'not stated'}. Fetch "
            "it there and set paths.data, or add a `download:` block (datasets/README.md)."
        )
    blocks = [described] if isinstance(described, Mapping) else list(described)
    return [DownloadBlock.from_config(block, name) for block in blocks]


def matches(path: str, patterns: Sequence[str]) -> bool:
    """Return True where a path fits a pattern: `*` and `?` stay within a folder, `**` takes any number of folders."""
    return any(re.fullmatch(_expression(pattern), path) for pattern in patterns)


def _expression(pattern: str) -> str:
    translated = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(translated.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))


def _for_subjects(pattern: str, subjects: Sequence[str] | None) -> list[str]:
    if _SUBJECT not in pattern or subjects is None:
        return [pattern.replace(_SUBJECT, "*")]
    return [pattern.replace(_SUBJECT, str(subject).removeprefix("sub-")) for subject in subjects]


def _shared_beginning(patterns: Sequence[str]) -> str:
    """Return the text that every path fitting one of the patterns begins with."""
    fixed = [re.split(r"[*?]", pattern, maxsplit=1)[0] for pattern in patterns]
    shortest, longest = min(fixed, default=""), max(fixed, default="")
    same = [index for index in range(len(shortest)) if shortest[: index + 1] == longest[: index + 1]]
    return shortest[: len(same)]


def _texts(given: object) -> tuple[str, ...]:
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(str(part) for part in given)  # type: ignore[attr-defined]
