"""What weights were fitted on: whose recordings, and how their copies are known, also where these are disguised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from brain_decode.core.errors import DataError, LeakageError, listed
from brain_decode.datasets.fingerprint import Fingerprint, Match, find_match
from brain_decode.datasets.vouching import NOBODY, Vouched, how_to_vouch

__all__ = [
    "SeenRecording",
    "copy_among",
    "read_seen",
    "recordings_of",
    "refuse_disguised_copies",
    "refuse_known_subjects",
    "saved_seen",
    "told_match",
    "vouched_pairs",
    "without_fingerprint",
]

_KEY = "fitted_recordings"
_UNKNOWN = Fingerprint(absent="it is not known")


@dataclass(frozen=True)
class SeenRecording:
    """One recording as weights remember it.

    Args:
        dataset: Name of its dataset; subject labels mean the same person within one dataset only.
        subject: Label of the participant.
        label: Name of the recording.
        content_hash: Equal for exact copies.
        fingerprint: Alike for disguised copies.
    """

    dataset: str
    subject: str
    label: str
    content_hash: str
    fingerprint: Fingerprint = _UNKNOWN

    @property
    def name(self) -> str:
        """Dataset and label, for messages."""
        return f"{self.dataset} {self.label}".strip()


def recordings_of(
    table: pd.DataFrame, labels: Sequence[str], hashes: Sequence[str], fingerprints: Sequence[Fingerprint]
) -> list[SeenRecording]:
    """Return the recordings that rows of a window table come from.

    Args:
        table: Rows of a window table.
        labels: Name of each recording, as the column `recording` counts them.
        hashes: Content hash of each.
        fingerprints: Fingerprint of each.
    """
    owners = table.groupby("recording", sort=True)[["dataset", "subject"]].first()
    return [
        SeenRecording(str(dataset), str(subject), labels[index], hashes[index], fingerprints[index])
        for index, dataset, subject in owners.itertuples()
    ]


def saved_seen(seen: Iterable[SeenRecording]) -> dict[str, Any]:
    """Return what provenance keeps; `read_seen` reads it. Each content stands there once."""
    rows = {
        one.content_hash: {
            "dataset": one.dataset,
            "subject": one.subject,
            "label": one.label,
            "fingerprint": one.fingerprint.to_json(),
        }
        for one in seen
    }
    return {_KEY: {content: rows[content] for content in sorted(rows)}}


def read_seen(provenance: Mapping[str, Any]) -> list[SeenRecording]:
    """Return the recordings that saved weights remember; none where an older release saved them.

    Raises:
        DataError: A damaged entry.
    """
    found = []
    for content, row in dict(provenance.get(_KEY) or {}).items():
        try:
            fingerprint = Fingerprint.from_json(row["fingerprint"])
            found.append(SeenRecording(row["dataset"], row["subject"], row["label"], content, fingerprint))
        except (TypeError, KeyError) as error:
            raise DataError(f"'{_KEY}' of the saved weights is damaged: {error}. Copy their folder again.") from error
    return found


def copy_among(
    seen: Iterable[SeenRecording], recording: SeenRecording, vouched: Vouched = NOBODY
) -> tuple[SeenRecording, Match] | None:
    """Return the recording among those seen that holds the same signal as this one, None where there is none."""
    for other in seen:
        match = find_match(other.fingerprint, recording.fingerprint)
        if match is not None and not vouched.covers(other.name, recording.name, match):
            return other, match
    return None


def vouched_pairs(
    vouched: Vouched, seen: Sequence[SeenRecording], recordings: Sequence[SeenRecording]
) -> list[dict[str, Any]]:
    """Return the pairs that would be refused if nobody vouched for them, for receipt and report.

    Args:
        vouched: Whom a person vouches for.
        seen: What is learnt from.
        recordings: What is scored.
    """
    found: dict[tuple[str, ...], Match] = {}
    for one in (one for one in seen if one.name in vouched.names):
        for other in (other for other in recordings if other.name in vouched.names):
            match = None if one.content_hash == other.content_hash else find_match(one.fingerprint, other.fingerprint)
            if match is not None and vouched.covers(one.name, other.name, match):
                found.setdefault(tuple(sorted((one.name, other.name))), match)
    return [
        {"recordings": list(names), "score": round(match.score, 2), "agreement": round(match.correlation, 3)}
        for names, match in found.items()
    ]


def refuse_disguised_copies(
    seen: Sequence[SeenRecording],
    recordings: Iterable[SeenRecording],
    *,
    fitted: str,
    remedy: str,
    vouched: Vouched = NOBODY,
) -> None:
    """Pass in silence when no recording holds the signal of one that weights were fitted on.

    Args:
        seen: What the weights remember.
        recordings: What is to be scored.
        fitted: What was fitted, for the message: "The decoder was fitted".
        remedy: What to do.
        vouched: Whom a person vouches for.

    Raises:
        LeakageError: Names both recordings, and how much of them agrees.
    """
    for recording in recordings:
        found = copy_among(seen, recording, vouched)
        if found is not None:
            other, match = found
            told = told_match(recording.fingerprint, match)
            raise LeakageError(
                f"{fitted} on '{other.name}', and '{recording.name}' holds the same signal {told}. A score on it means "
                f"nothing. {remedy}{how_to_vouch(other.name, recording.name, match)}"
            )


def told_match(fingerprint: Fingerprint, match: Match) -> str:
    """Return how much of two recordings agrees, for messages."""
    amount = fingerprint.told(match.n_frames)
    if match.is_exact:
        return f"in {match.n_frames} trials, which stand in both value by value, but for unit and offset"
    return f"for {amount}, cropped or changed (their fingerprints agree by {match.correlation:.2f})"


def refuse_known_subjects(seen: Sequence[SeenRecording], recordings: Iterable[SeenRecording], *, split: str) -> None:
    """Pass in silence when weights have met none of the people that a split leaves out.

    Args:
        seen: What the weights remember; those of no known dataset are not compared.
        recordings: Everybody the split will leave out.
        split: Its name.

    Raises:
        LeakageError: Names the people.
    """
    known = {(one.dataset, one.subject) for one in seen if one.dataset}
    met = sorted({(one.dataset, one.subject) for one in recordings} & known)
    if met:
        people = listed([f"sub-{subject} of {dataset}" for dataset, subject in met])
        raise LeakageError(
            f"{split} scores people as new, and the pretrained weights have met {people} in other recordings. Pretrain "
            "without them, leave them out with datasets.subjects, or choose a split that promises no new people."
        )


def without_fingerprint(recordings: Iterable[SeenRecording]) -> dict[str, str]:
    """Return why recordings have no fingerprint, by name: of these, exact copies only are known."""
    return {one.name: one.fingerprint.absent for one in recordings if one.fingerprint.absent}
