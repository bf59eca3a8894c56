"""A sketch of a recording by which disguised copies are known: cropped, resampled, filtered, rescaled, re-exported."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft

from brain_decode.core.errors import DataError
from brain_decode.datasets.sketch_pieces import best_chain

__all__ = [
    "Fingerprint",
    "Match",
    "find_match",
    "fingerprint_of_signal",
    "fingerprint_of_trials",
    "shared_trials",
    "similarity",
    "similarity_of_pieces",
]

MATCH_SCORE = 7.0  # the highest of 3269 pairs of different real recordings is 5.3
MATCH_CORRELATION = 0.35  # the weakest disguise, a reference to one of four channels, keeps 0.5
_SCORE_OF_EVIDENCE = 6.5  # lets the same 7 refuse what agrees in pieces: the highest of different recordings is 4.3
_LONG_FRAMES = 2400  # ten minutes; the more places there are, the better chance does
_EVIDENCE_OF_PLACES = 0.035  # by which the highest of e times as many places is higher, measured on pink noise
_LEAST_SHARED_TRIALS = 4  # of 16000 in 16000, chance makes four 32-bit hashes equal once in two million comparisons
_LEAST_SHARED_PART = 0.02  # of the smaller recording
_TRIAL_LEVELS = 4  # in the middle of the absolute values of a trial, for its hash
_TRIAL_SHIFT = 0.37  # values that are zero, or half a level, lie on no border
_BANDS_HZ = ((1, 4), (4, 8), (8, 13), (13, 20), (20, 30))
_WINDOW_S = 1.0
_HOP_S = 0.25
_FRAMES_BACK = 2  # half a second: what a filter or a design changes slowly does not count
_MOST_CHANGE = 2.0  # nepers of one channel: a loose electrode cannot outvote the others
_LEVELS = 6  # of the sketch on either side of zero
_SPREADS = 1.5  # that the levels cover
_MIN_FRAMES = int(np.ceil(MATCH_SCORE**2)) + 3  # a perfect copy of fewer could not be told from chance
_PIECE = 64
_BLOCK_VALUES = 1 << 21
_ROUNDING = 1e-10  # of single precision, relative to the energy of a window
_QUANTILES = (0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97)
_SPECTRAL, _POWER, _SPATIAL, _TRIALS, _TRIAL_SHAPES = "spectral", "power", "spatial", "trials", "trial shapes"


@dataclass(frozen=True)
class Fingerprint:
    """What is kept of a recording to know its copies by; it has no labels and no channels.

    Args:
        kind: "spectral" (contrasts of neighbouring bands, as they change over half a second: a burst in all bands does
            not count), "power" (the bands themselves, where contrasts stand still), "spatial" (how the changes from
            sample to sample lie over space), "trials" or "trial shapes" (contrasts or values of each cut trial).
        frame_s: Seconds between frames; 0 for cut trials.
        n_features: Values of a frame.
        code: The (frame, feature) int8 sketch, deflated, in base64.
        absent: Why there is none; then the fields above are empty.
        trial_hashes: Of cut trials, 32 bits of each trial's content, free of unit and offset, in base64; trials that
            hardly vary have none. None where an older release made the fingerprint.
    """

    kind: str = ""
    frame_s: float = 0.0
    n_features: int = 0
    code: str = ""
    absent: str = ""
    trial_hashes: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return plain values; `from_json` reads them."""
        hashes = {} if self.trial_hashes is None else {"trial_hashes": self.trial_hashes}
        if self.absent:
            return {"absent": self.absent, **hashes}
        sketch = {"kind": self.kind, "frame_s": self.frame_s, "n_features": self.n_features, "code": self.code}
        return sketch | hashes

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Fingerprint:
        """Return what `to_json` wrote.

        Raises:
            DataError: A damaged fingerprint.
        """
        try:
            fingerprint = cls(**saved)
            fingerprint.sketch()
            fingerprint.trials()
        except (TypeError, ValueError, zlib.error, binascii.Error) as error:
            raise DataError(f"A fingerprint of a recording is damaged ({error}). Copy the folder again.") from error
        return fingerprint

    def sketch(self) -> np.ndarray:
        """Return the (frame, feature) sketch; without frames where there is none."""
        values = np.frombuffer(zlib.decompress(base64.b64decode(self.code)) if self.code else b"", dtype=np.int8)
        return values.reshape(-1, max(self.n_features, 1))

    def trials(self) -> np.ndarray:
        """Return the hashes of its cut trials, each content once."""
        return np.unique(np.frombuffer(base64.b64decode(self.trial_hashes or ""), dtype="<u4"))

    def told(self, n_frames: int) -> str:
        """Return how much frames are, for messages."""
        return f"{n_frames * self.frame_s:.0f} s" if self.frame_s else f"{n_frames} trials"


@dataclass(frozen=True)
class Match:
    """Where two fingerprints agree best.

    Args:
        n_frames: Frames that lie over each other; trials that both hold.
        lag: Frame of the first recording at which the second begins.
        correlation: Mean of the two features that agree best, in [-1, 1]; of equal trials, their share.
        evidence: Of pieces that lie one behind the other, `Chain.evidence`, less what the length of both makes likely
            by chance; 0 where whole sketches were slid.
        is_exact: Trials are equal in each value, but for unit and offset.
    """

    n_frames: int
    lag: int
    correlation: float
    evidence: float = 0.0
    is_exact: bool = False

    @property
    def score(self) -> float:
        """Correlation in units of its spread between different recordings, were frames independent; 7 refuses.

        Of pieces, what plays the same part.
        """
        if self.evidence:
            return _SCORE_OF_EVIDENCE * self.evidence
        return float(self.correlation * np.sqrt(self.n_frames))


def find_match(first: Fingerprint, second: Fingerprint) -> Match | None:
    """Return where two recordings hold the same signal, None where they do not or nothing can be said."""
    exact = shared_trials(first, second)
    if exact is not None:
        return exact
    best = similarity(first, second)
    if best is not None and best.score >= MATCH_SCORE and best.correlation >= MATCH_CORRELATION:
        return best
    pieces = similarity_of_pieces(first, second)
    return pieces if pieces is not None and pieces.score >= MATCH_SCORE else None


def shared_trials(first: Fingerprint, second: Fingerprint) -> Match | None:
    """Return how many cut trials stand in both recordings; None below four, or below 2 % of the smaller one."""
    if not first.trial_hashes or not second.trial_hashes:
        return None
    one, other = first.trials(), second.trials()
    found = len(np.intersect1d(one, other, assume_unique=True))
    share = found / min(len(one), len(other))
    if found < _LEAST_SHARED_TRIALS or share < _LEAST_SHARED_PART:
        return None
    return Match(found, 0, share, is_exact=True)


@lru_cache(maxsize=1 << 18)
def similarity_of_pieces(first: Fingerprint, second: Fingerprint) -> Match | None:
    """Return where pieces of two continuous recordings agree best, None where they cannot be compared."""
    if not _are_comparable(first, second) or not first.frame_s:
        return None
    one, other = _sketches(first, second)
    chain = best_chain(one, other)
    if chain is None:
        return None
    by_chance = _EVIDENCE_OF_PLACES * max(float(np.log(len(one) * len(other) / _LONG_FRAMES**2)), 0.0)
    evidence = max(chain.evidence - by_chance, 1e-6)
    return Match(chain.n_frames, chain.lag, chain.correlation, evidence)


def _are_comparable(first: Fingerprint, second: Fingerprint) -> bool:
    return not first.absent and not second.absent and (first.kind, first.frame_s) == (second.kind, second.frame_s)


def _sketches(first: Fingerprint, second: Fingerprint) -> tuple[np.ndarray, np.ndarray]:
    """Return both sketches with the features they have in common: a slower copy lacks the upper bands."""
    n_features = min(first.n_features, second.n_features)
    one, other = (sketch.sketch()[:, :n_features].astype(np.float32) for sketch in (first, second))
    return one, other


@lru_cache(maxsize=1 << 18)
def similarity(first: Fingerprint, second: Fingerprint) -> Match | None:
    """Return where two whole recordings agree best, None where their sketches cannot be compared.

    One sketch slides over the other, forwards and played backwards; at each lag the features are correlated over the
    frames that lie over each other, and the two that agree best count. Of cut trials, runs of some slide as well, and
    trials that are alike are counted in any order.

    Source: after Haitsma and Kalker 2002 (audio fingerprints), whose frames are changes of contrasts between bands.
    Differs: few levels instead of signs, correlation instead of bit errors.
    """
    if not _are_comparable(first, second):
        return None
    one, other = _sketches(first, second)
    if first.frame_s:
        found = [_best_lag(one, other), _best_lag(one, -other[::-1])]  # each change is undone when time runs back
    else:
        found = [*(_best_lag(one, piece) for piece in (other, *_pieces(other))), _in_any_order(one, other)]
    return max((match for match in found if match), key=lambda match: match.score, default=None)


def _pieces(trials: np.ndarray) -> list[np.ndarray]:
    """Return runs of trials: one that is left out shifts those after it."""
    length = max(_PIECE, len(trials) // 8)
    return [trials[first : first + length] for first in range(0, len(trials) - _MIN_FRAMES, length // 2)]


def _in_any_order(one: np.ndarray, other: np.ndarray) -> Match | None:
    """Return how many trials of the shorter recording stand in the longer one, beyond those that chance makes alike.

    Chance is as large as within the longer recording, whose trials are not copies of each other.
    """
    short, long = sorted((one, other), key=len)
    if len(short) < _MIN_FRAMES:
        return None
    kinds, kind_of = np.unique(np.concatenate([long, short]), axis=0, return_inverse=True)
    of_long, of_short = kind_of[: len(long)], kind_of[len(long) :]
    counts = np.bincount(of_long, minlength=len(kinds))
    by_chance = float((counts[of_long] > 1).mean())
    found = float((counts[of_short] > 0).mean())
    return Match(len(short), 0, (found - by_chance) / max(1 - by_chance, 1e-9))


def _best_lag(one: np.ndarray, other: np.ndarray) -> Match | None:
    n_one, n_other = len(one), len(other)
    lags = np.arange(-(n_other - 1), n_one)
    begin, end = np.maximum(lags, 0), np.minimum(lags + n_other, n_one)
    enough = end - begin >= _MIN_FRAMES
    if not enough.any():
        return None
    lags, begin, end = lags[enough], begin[enough], end[enough]
    size = scipy.fft.next_fast_len(n_one + n_other, real=True)
    product = scipy.fft.rfft(one, size, axis=0) * scipy.fft.rfft(other, size, axis=0).conj()
    together = scipy.fft.irfft(product, size, axis=0)[lags % size]
    energy = _energy(one, begin, end) * _energy(other, begin - lags, end - lags)
    correlation = together / np.sqrt(np.maximum(energy, 1.0))
    agreement = np.sort(correlation, axis=1)[:, -2:].mean(axis=1)  # a filter may leave two bands only
    best = int(np.argmax(agreement * np.sqrt(end - begin)))
    return Match(int(end[best] - begin[best]), int(lags[best]), float(agreement[best]))


def _energy(sketch: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    running = np.vstack([np.zeros((1, sketch.shape[1])), np.cumsum(np.square(sketch, dtype=np.float64), axis=0)])
    return running[end] - running[begin]


def fingerprint_of_signal(samples: np.ndarray, rate_hz: float, *, is_spatial: bool = False) -> Fingerprint:
    """Return the fingerprint of a continuous recording.

    Args:
        samples: (space, time), in any unit.
        rate_hz: Samples per second.
        is_spatial: Voxels: space tells more than the spectrum.
    """
    bands = _bands(rate_hz)
    if is_spatial or len(bands) < 3:
        changes = np.concatenate([_shapes(block) for block in _changes(samples)] or [np.zeros((0, 1))])
        return _encoded(_SPATIAL, round(1.0 / rate_hz, 6), changes)
    changes = _spectral_changes(samples, rate_hz, bands)
    contrasts = _encoded(_SPECTRAL, _HOP_S, np.diff(changes, axis=-1))
    return contrasts if contrasts.code else _encoded(_POWER, _HOP_S, changes)


def fingerprint_of_trials(blocks: Iterable[np.ndarray], rate_hz: float) -> Fingerprint:
    """Return the fingerprint of cut trials, one frame for each.

    Args:
        blocks: Consecutive (trial, space, time) pieces.
        rate_hz: Samples per second.
    """
    frames: list[np.ndarray] = []
    hashes: list[bytes] = []
    kind = _TRIALS
    for block in blocks:
        hashes += [_trial_hash(trial) for trial in block]
        bands = _bands(rate_hz)
        if block.shape[-1] < 0.4 * rate_hz or len(bands) < 3:
            kind = _TRIAL_SHAPES
            frames.append(_shapes(block.reshape(len(block), -1).T))
        else:
            power = _log_power(block.transpose(1, 0, 2), rate_hz, bands)
            frames.append(np.diff(power, axis=-1).mean(axis=0))
    made = _encoded(kind, 0.0, np.concatenate(frames) if frames else np.zeros((0, 1)))
    return replace(made, trial_hashes=base64.b64encode(b"".join(hashes)).decode())


def _trial_hash(trial: np.ndarray) -> bytes:
    """Return four bytes that are equal for trials equal but for unit and offset; none where most values stand still.

    Values are taken in coarse steps of their own middle size, so that the rounding of another unit moves none; medians,
    because one large artefact would decide about means.
    """
    values = np.nan_to_num(np.asarray(trial, dtype=np.float64), posinf=0.0, neginf=0.0)
    values = values - np.median(values, axis=-1 if values.shape[-1] > 1 else None, keepdims=True)
    middle = float(np.median(np.abs(values)))
    stands_still = np.diff(np.asarray(trial, dtype=np.float32).ravel()) == 0
    if middle == 0 or stands_still.mean() > 0.5:
        return b""
    steps = np.floor(np.clip(values / middle * _TRIAL_LEVELS, -(2**14), 2**14) + _TRIAL_SHIFT).astype("<i2")
    return hashlib.sha256(steps.tobytes()).digest()[:4]


def _bands(rate_hz: float) -> list[tuple[int, int]]:
    return [band for band in _BANDS_HZ if band[1] <= 0.45 * rate_hz]


def _spectral_changes(samples: np.ndarray, rate_hz: float, bands: list[tuple[int, int]]) -> np.ndarray:
    """Return (frame, band): how log power changes, averaged over channels; gains fall out."""
    length = round(_WINDOW_S * rate_hz)
    starts = np.round(np.arange(0, samples.shape[1] / rate_hz, _HOP_S) * rate_hz).astype(int)
    starts = starts[starts + length <= samples.shape[1]]
    per_block = max(_BLOCK_VALUES // (length * len(samples)), 1)
    before = np.zeros((len(samples), 0, len(bands)), dtype=np.float32)
    found = [np.zeros((0, len(bands)), dtype=np.float32)]
    for first in range(0, len(starts), per_block):
        windows = samples[:, starts[first : first + per_block, None] + np.arange(length)]
        power = np.concatenate([before, _log_power(windows, rate_hz, bands)], axis=1)
        change = np.clip(power[:, _FRAMES_BACK:] - power[:, :-_FRAMES_BACK], -_MOST_CHANGE, _MOST_CHANGE)
        found.append(change.mean(axis=0))
        before = power[:, -_FRAMES_BACK:]
    return np.concatenate(found)


def _log_power(windows: np.ndarray, rate_hz: float, bands: list[tuple[int, int]]) -> np.ndarray:
    """Return (channel, window, band) log power of (channel, window, time); a channel that stands still has zero."""
    waves, members = _waves(windows.shape[-1], rate_hz, tuple(bands))
    windows = windows - np.nan_to_num(windows[:, :1, :1])  # single precision would not hold a signal on a large offset
    largest = np.fmax.reduce(np.abs(windows), axis=(1, 2), keepdims=True)
    scale = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    scaled = np.nan_to_num((windows / scale).astype(np.float32), copy=False, posinf=0.0, neginf=0.0)
    sums = np.square(scaled @ waves) @ members
    energy = np.einsum("cwt,cwt->cw", scaled, scaled)[..., None]
    moves = sums > _ROUNDING * np.maximum(energy, 1e-30)
    power = np.log(np.where(moves, sums, 1.0)) + 2.0 * np.log(scale).astype(np.float32)
    return np.where(moves, power, 0.0).astype(np.float32)


@lru_cache(maxsize=16)
def _waves(n_times: int, rate_hz: float, bands: tuple[tuple[int, int], ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the (time, wave) tapered cosines and sines of all bands, and which (wave, band) each is of.

    A constant is orthogonal to each wave, so windows need not be centred.
    """
    frequencies = np.fft.rfftfreq(n_times, 1.0 / rate_hz)
    chosen = [np.flatnonzero((frequencies >= low) & (frequencies < high)) for low, high in bands]
    phases = 2 * np.pi * np.outer(np.arange(n_times), np.concatenate(chosen)) / n_times
    waves = np.hanning(n_times + 2)[1:-1, None] * np.hstack([np.cos(phases), np.sin(phases)])
    members = np.repeat(np.eye(len(bands)), [len(found) for found in chosen], axis=0)
    return (waves - waves.mean(axis=0)).astype(np.float32), np.vstack([members, members]).astype(np.float32)


def _changes(samples: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what changes from sample to sample, (space, time) in blocks."""
    per_block = max(_BLOCK_VALUES // len(samples), 1)
    for first in range(0, samples.shape[1] - 1, per_block):
        yield np.diff(samples[:, first : first + per_block + 1], axis=1)


def _shapes(values: np.ndarray) -> np.ndarray:
    """Return (time, feature): how the values of (space, time) lie over space, free of their unit."""
    low, tenth, quarter, middle, three, ninth, high = np.quantile(np.nan_to_num(values), _QUANTILES, axis=0)
    box, body, span = (np.maximum(width, 1e-30) for width in (three - quarter, ninth - tenth, high - low))
    leaning = ((ninth + tenth - 2 * middle) / body, (high + low - 2 * middle) / span)
    return np.stack([middle / body, *leaning, np.log(span / box)], axis=-1)


def _encoded(kind: str, frame_s: float, features: np.ndarray) -> Fingerprint:
    """Return features in few levels; large values are cut, so that one artefact does not decide."""
    features = np.nan_to_num(features, posinf=0.0, neginf=0.0)
    if len(features) < _MIN_FRAMES:
        needed = Fingerprint(kind, frame_s).told(_MIN_FRAMES)
        return Fingerprint(absent=f"it is shorter than {needed}")
    features = features - np.median(features, axis=0)
    spread = 1.4826 * np.median(np.abs(features), axis=0)
    if (spread > 0).sum() < 2:
        return Fingerprint(absent="its signal hardly changes")
    scaled = np.divide(features, spread, out=np.zeros_like(features), where=spread > 0)
    levels = np.clip(np.round(scaled * (_LEVELS / _SPREADS)), -_LEVELS, _LEVELS).astype(np.int8)
    code = base64.b64encode(zlib.compress(levels.tobytes(), 9)).decode()
    return Fingerprint(kind, frame_s, levels.shape[1], code)
