"""Short pieces of one sketch over another: known where a recording was cut, stretched or copied into other signal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d

__all__ = ["Chain", "best_chain"]

_PIECE = 24  # frames: six seconds of most recordings
_EXPECTED = 0.45  # correlation of a piece above which it speaks for a copy; chance over all places reaches 0.9
_JUMP = 6  # frames by which the next piece may lie elsewhere than straight behind
_JUMP_COST = 0.35  # more than chance gains by a free choice among thirteen places
_QUIETEST = 0.25  # share of the mean energy: a piece that stands still is not blown up to full size
_SCALES = (0.95, 1.05)  # of time; up to some 3 % are followed by jumps
_MOST_FRAMES = 9600  # forty minutes of the shorter sketch are cut into pieces; of more, minutes all over it
_MINUTE = 10 * _PIECE
_SCALED_FRAMES = 1200  # of the middle of a recording: one that is stretched is so everywhere


@dataclass(frozen=True)
class Chain:
    """Neighbouring pieces of one sketch that lie one behind the other in another.

    Args:
        n_frames: Frames in the pieces.
        lag: Frame of the first sketch at which the second begins, as its first piece of the chain says.
        correlation: Mean of the pieces.
        evidence: Sum over the pieces of what correlations exceed 0.45 by, less 0.35 for each jump.
    """

    n_frames: int
    lag: int
    correlation: float
    evidence: float


def best_chain(first: np.ndarray, second: np.ndarray) -> Chain | None:
    """Return the strongest chain between two (frame, feature) sketches, None where they are too short.

    The shorter one is cut into pieces of six seconds, each of which is correlated with every place of the longer one;
    neighbouring pieces whose places are neighbours too make a chain. The shorter one is also played backwards, and its
    middle stretched by 5 %. Of one longer than forty minutes, forty minutes spread over it are compared.

    Source: after Smith and Waterman 1981 (local alignment). Differs: pieces instead of letters, a jump instead of gaps.
    """
    is_swapped = (len(second), second.tobytes()) > (len(first), first.tobytes())  # either may come first
    long, short = (second, first) if is_swapped else (first, second)
    found = [_chain(long, played) for one in (short, -short[::-1]) for played in (one, *_stretched(one))]
    best = max((chain for chain in found if chain), key=lambda chain: chain.evidence, default=None)
    return Chain(best.n_frames, -best.lag, best.correlation, best.evidence) if best and is_swapped else best


def _stretched(sketch: np.ndarray) -> list[np.ndarray]:
    skipped = max(len(sketch) - _SCALED_FRAMES, 0) // 2
    middle = sketch[skipped : skipped + _SCALED_FRAMES]
    frames = np.arange(len(middle))
    times = [np.arange(0, len(middle) - 1, 1 / scale) for scale in _SCALES]
    return [np.stack([np.interp(at, frames, feature) for feature in middle.T], axis=-1) for at in times]


def _chain(long: np.ndarray, short: np.ndarray) -> Chain | None:
    if len(short) < 2 * _PIECE or len(long) < 2 * _PIECE:
        return None
    found = [_chain_of_part(long, short[begin:end], begin) for begin, end in _parts(len(short))]
    return max(found, key=lambda chain: chain.evidence)


def _parts(n_frames: int) -> list[tuple[int, int]]:
    """Return where the parts begin and end that are cut into pieces: all, or minutes spread evenly."""
    if n_frames <= _MOST_FRAMES:
        return [(0, n_frames)]
    begins = np.linspace(0, n_frames - _MINUTE, _MOST_FRAMES // _MINUTE).astype(int)
    return [(int(begin), int(begin) + _MINUTE) for begin in begins]


def _chain_of_part(long: np.ndarray, short: np.ndarray, offset: int) -> Chain:
    correlations = _correlations(long.astype(np.float32), short.astype(np.float32))
    evidence = _evidence(correlations)
    piece, place = np.unravel_index(int(evidence.argmax()), evidence.shape)
    total = float(evidence[piece, place])
    path = _path(evidence, int(piece), int(place))
    mean = float(np.mean([correlations[one] for one in path]))
    begin, at = path[-1]
    return Chain(len(path) * _PIECE, at - begin * _PIECE - offset, mean, total)


def _correlations(long: np.ndarray, short: np.ndarray) -> np.ndarray:
    """Return (piece, place): mean correlation of the two features that agree best."""
    pieces = short[: len(short) // _PIECE * _PIECE].reshape(-1, _PIECE, short.shape[1])
    highest = np.full((len(pieces), len(long) - _PIECE + 1), -1.0, dtype=np.float32)
    second = highest.copy()
    for feature in range(short.shape[1]):
        places = np.lib.stride_tricks.sliding_window_view(long[:, feature], _PIECE)
        agreement = _of_length_one(pieces[..., feature]) @ _of_length_one(places).T
        np.maximum(second, np.minimum(highest, agreement), out=second)
        np.maximum(highest, agreement, out=highest)
    return (highest + second) / 2


def _of_length_one(pieces: np.ndarray) -> np.ndarray:
    energy = np.einsum("pf,pf->p", pieces, pieces)
    return pieces / np.sqrt(np.maximum(energy, max(_QUIETEST * float(energy.mean()), 1.0)))[:, None]


def _evidence(correlations: np.ndarray) -> np.ndarray:
    """Return (piece, place): the evidence of the best chain that ends there."""
    evidence = correlations - _EXPECTED
    for piece in range(1, len(evidence)):
        evidence[piece] += np.maximum(_before(evidence[piece - 1]), 0)
    return evidence


def _before(evidence: np.ndarray) -> np.ndarray:
    """Return for each place the best evidence that the piece before hands on to it."""
    straight = np.zeros_like(evidence)
    straight[_PIECE:] = evidence[:-_PIECE]
    if straight.max() <= _JUMP_COST:
        return straight
    around = maximum_filter1d(straight, 2 * _JUMP + 1, mode="constant")
    return np.maximum(straight, around - _JUMP_COST)


def _path(evidence: np.ndarray, piece: int, place: int) -> list[tuple[int, int]]:
    """Return the (piece, place) of a chain from its end back to its beginning."""
    path = [(piece, place)]
    while piece:
        low, high = max(place - _PIECE - _JUMP, 0), place - _PIECE + _JUMP + 1
        if high <= low:
            break
        before = evidence[piece - 1, low:high] - _JUMP_COST
        if place >= _PIECE:
            before[place - _PIECE - low] += _JUMP_COST
        if before.max() <= 0:
            break
        piece, place = piece - 1, low + int(before.argmax())
        path.append((piece, place))
    return path
