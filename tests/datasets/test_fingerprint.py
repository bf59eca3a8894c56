"""Disguised copies of synthetic recordings are known, and other recordings are not taken for copies."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import combinations

import mne
import numpy as np
import pytest
from scipy.signal import butter, lfilter

from brain_decode.core.errors import DataError
from brain_decode.datasets.fingerprint import (
    Fingerprint,
    find_match,
    fingerprint_of_signal,
    fingerprint_of_trials,
    shared_trials,
    similarity,
    similarity_of_pieces,
)
from brain_decode.datasets.sketch_pieces import best_chain

RATE_HZ = 128.0


def pink(seed: int, n_channels: int = 8, seconds: float = 60.0) -> np.ndarray:
    """Return channels that share part of a pink noise, in volts."""
    rng = np.random.default_rng(seed)
    n_times = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal((n_channels + 1, n_times)), axis=1)
    spectrum /= np.sqrt(np.maximum(np.arange(spectrum.shape[1]), 1.0))
    noise = np.fft.irfft(spectrum, n_times, axis=1)
    return 1e-5 * (noise[1:] + 0.7 * noise[0])


def flip_one_bit(samples: np.ndarray) -> np.ndarray:
    flipped = samples.astype(np.float32)
    flipped.view(np.uint32)[0, 100] ^= 1
    return flipped


def resampled(samples: np.ndarray) -> np.ndarray:
    return mne.filter.resample(samples, up=100.0, down=RATE_HZ, verbose="ERROR")


DISGUISES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "exact copy": lambda samples: samples.copy(),
    "one bit flipped": flip_one_bit,
    "cropped at the start": lambda samples: samples[:, 275:],
    "cropped at the end": lambda samples: samples[:, :-275],
    "middle piece": lambda samples: samples[:, 1003:5003],
    "filtered 8 to 30 Hz": lambda samples: mne.filter.filter_data(samples, RATE_HZ, 8, 30, verbose="ERROR"),
    "filtered causally": lambda samples: lfilter(*butter(2, [0.5, 30], "band", fs=RATE_HZ), samples),
    "microvolts": lambda samples: samples * 1e6,
    "on an offset of 0.3 V": lambda samples: samples + 0.3,
    "16 bit": lambda samples: np.round(samples / np.abs(samples).max() * 32767),
    "channel dropped": lambda samples: samples[1:],
    "noisy channel added": lambda samples: np.vstack([samples, 1e-3 * pink(99, 1)]),
    "dead channel added": lambda samples: np.vstack([samples, np.zeros((1, samples.shape[1]))]),
    "channels in another order": lambda samples: samples[::-1],
    "average reference": lambda samples: samples - samples.mean(axis=0),
    "played backwards": lambda samples: samples[:, ::-1],
    "gains per channel": lambda samples: samples * np.geomspace(0.5, 2, len(samples))[:, None],
}


@pytest.mark.parametrize("disguise", list(DISGUISES))
def test_a_disguised_copy_is_known(disguise: str) -> None:
    samples = pink(0)
    copy = fingerprint_of_signal(DISGUISES[disguise](samples), RATE_HZ)
    assert find_match(fingerprint_of_signal(samples, RATE_HZ), copy) is not None


def test_a_resampled_copy_is_known() -> None:
    samples = pink(0)
    assert find_match(fingerprint_of_signal(samples, RATE_HZ), fingerprint_of_signal(resampled(samples), 100.0))


def test_the_match_says_where_the_piece_lies_and_how_long_it_is() -> None:
    samples = pink(0)
    whole = fingerprint_of_signal(samples, RATE_HZ)
    match = find_match(whole, fingerprint_of_signal(samples[:, 10 * 128 : 40 * 128], RATE_HZ))
    assert match is not None
    assert match.lag == 40 and match.correlation > 0.95
    assert whole.told(match.n_frames) == "29 s"


def test_either_recording_may_come_first() -> None:
    one, other = fingerprint_of_signal(pink(0), RATE_HZ), fingerprint_of_signal(pink(0)[:, 400:], RATE_HZ)
    there, back = find_match(one, other), find_match(other, one)
    assert there is not None and back is not None
    assert there.lag == -back.lag and there.score == pytest.approx(back.score)


def test_different_recordings_are_not_taken_for_copies() -> None:
    prints = [fingerprint_of_signal(pink(seed), RATE_HZ) for seed in range(20)]
    scores = [similarity(one, other).score for one, other in combinations(prints, 2)]  # type: ignore[union-attr]
    assert max(scores) < 6.0


def test_bursts_at_the_same_times_make_no_copy() -> None:
    """A fixed sequence of movements or stimuli is no reason to refuse."""
    bursts = 1.0 + 20.0 * (np.arange(pink(0).shape[1]) % 640 < 64)
    one, other = (fingerprint_of_signal(pink(seed) * bursts, RATE_HZ) for seed in (1, 2))
    assert find_match(one, other) is None


def without(samples: np.ndarray, kept_s: int, lost_s: int = 1) -> np.ndarray:
    """Return samples without a second after each stretch."""
    seconds = np.arange(samples.shape[1]) / RATE_HZ
    return samples[:, seconds % (kept_s + lost_s) < kept_s]


def stretched(samples: np.ndarray, by: float) -> np.ndarray:
    return mne.filter.resample(samples, up=by, verbose="ERROR")


CUT_UP: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "a second after each 19 removed": lambda samples: without(samples, 19),
    "a second after each 9 removed": lambda samples: without(samples, 9),
    "stretched by 1 %": lambda samples: stretched(samples, 1.01),
    "stretched by 2 %": lambda samples: stretched(samples, 1.02),
    "stretched by 5 %": lambda samples: stretched(samples, 1.05),
    "shortened by 1 %": lambda samples: stretched(samples, 0.99),
    "shortened by 2 %": lambda samples: stretched(samples, 0.98),
    "shortened by 5 %": lambda samples: stretched(samples, 0.95),
    "stretched and played backwards": lambda samples: stretched(samples, 1.01)[:, ::-1],
    "half minutes in another order": lambda samples: np.roll(samples, 30 * 128, axis=1),
    "a minute in four of others": lambda samples: np.hstack(
        [pink(7, seconds=120), samples[:, 4000 : 4000 + 60 * 128], pink(8, seconds=120)]
    ),
    "half a minute in one and a half": lambda samples: np.hstack(
        [pink(7, seconds=45), samples[:, 4000 : 4000 + 30 * 128], pink(8, seconds=45)]
    ),
}


@pytest.mark.parametrize("disguise", list(CUT_UP))
def test_a_copy_that_was_cut_up_is_known(disguise: str) -> None:
    samples = pink(0, seconds=120)
    one, copy = (fingerprint_of_signal(x, RATE_HZ) for x in (samples, CUT_UP[disguise](samples)))
    assert find_match(one, copy) is not None and find_match(copy, one) is not None


@pytest.mark.parametrize("factor", [0.95, 0.98, 0.99, 1.01, 1.02, 1.05])
def test_a_rate_told_wrongly_hides_nothing(factor: float) -> None:
    samples = pink(0, seconds=120)
    assert find_match(fingerprint_of_signal(samples, RATE_HZ), fingerprint_of_signal(samples, factor * RATE_HZ))


def test_pieces_of_different_recordings_are_not_taken_for_copies() -> None:
    prints = [fingerprint_of_signal(pink(seed, seconds=120), RATE_HZ) for seed in range(20)]
    scores = [similarity_of_pieces(one, other).score for one, other in combinations(prints, 2)]  # type: ignore[union-attr]
    assert max(scores) < 5.5


def test_a_chain_of_pieces_says_where_it_lies() -> None:
    samples = pink(0, seconds=120)
    copied = np.hstack([pink(7, seconds=45), samples[:, 60 * 128 : 100 * 128], pink(8, seconds=45)])
    one, other = fingerprint_of_signal(samples, RATE_HZ), fingerprint_of_signal(copied, RATE_HZ)
    match, back = similarity_of_pieces(one, other), similarity_of_pieces(other, one)
    assert match is not None and back is not None
    assert match.lag == 4 * (60 - 45) == -back.lag
    assert match.score == back.score
    assert 4 * 30 <= match.n_frames <= 4 * 42


def test_the_longer_recordings_are_the_more_their_pieces_must_agree() -> None:
    """Chance finds more among more places: 0.035 for each e-fold beyond ten minutes times ten minutes."""
    whole = fingerprint_of_signal(pink(0, n_channels=2, seconds=1200), RATE_HZ)
    match, chain = similarity_of_pieces(whole, whole), best_chain(whole.sketch(), whole.sketch())
    assert match is not None and chain is not None
    n_frames = len(whole.sketch())
    assert chain.evidence - match.evidence == pytest.approx(0.035 * np.log(n_frames**2 / 2400**2))


def test_pieces_shorter_than_twelve_seconds_and_cut_trials_make_no_chain() -> None:
    short = np.random.default_rng(0).integers(-6, 7, (47, 4)).astype(np.float32)
    assert best_chain(short, short) is None
    assert best_chain(np.vstack([short, short[:1]]), np.vstack([short, short[:1]])) is not None
    cut = fingerprint_of_trials([trials(0)], RATE_HZ)
    assert similarity_of_pieces(cut, cut) is None


def test_a_recording_that_is_too_short_says_so() -> None:
    short = fingerprint_of_signal(pink(0, seconds=10), RATE_HZ)
    assert short.absent == "it is shorter than 13 s"
    assert find_match(short, short) is None


def test_a_recording_that_stands_still_says_so() -> None:
    assert fingerprint_of_signal(np.ones((4, 9000)), RATE_HZ).absent == "its signal hardly changes"


def test_a_gap_of_missing_samples_hides_nothing() -> None:
    samples = pink(0)
    holed = samples.copy()
    holed[:, 2000:2300] = np.nan
    assert find_match(fingerprint_of_signal(samples, RATE_HZ), fingerprint_of_signal(holed, RATE_HZ))


def test_blocks_give_what_one_piece_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = pink(0)
    whole = fingerprint_of_signal(samples, RATE_HZ)
    monkeypatch.setattr("brain_decode.datasets.fingerprint._BLOCK_VALUES", 5000)
    assert (np.abs(fingerprint_of_signal(samples, RATE_HZ).sketch().astype(int) - whole.sketch()) <= 1).all()


def volumes(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return 1000.0 + np.cumsum(rng.standard_normal((200, 120)), axis=1) + rng.standard_normal((200, 120))


@pytest.mark.parametrize(
    "disguise",
    [lambda x: x[:, 4:], lambda x: x * 3 + 100, lambda x: x[5:], lambda x: np.round(x, 1), lambda x: x - x.mean(0)],
    ids=["cropped", "rescaled", "voxels dropped", "rounded", "global signal removed"],
)
def test_disguised_volumes_are_known(disguise: Callable[[np.ndarray], np.ndarray]) -> None:
    one, copy = (fingerprint_of_signal(x, 0.5, is_spatial=True) for x in (volumes(0), disguise(volumes(0))))
    assert find_match(one, copy)


def test_different_volumes_are_not_taken_for_copies() -> None:
    prints = [fingerprint_of_signal(volumes(seed), 0.5, is_spatial=True) for seed in range(12)]
    assert all(find_match(one, other) is None for one, other in combinations(prints, 2))


def trials(seed: int) -> np.ndarray:
    return pink(seed, seconds=150).reshape(8, 150, 128).transpose(1, 0, 2)


@pytest.mark.parametrize(
    "disguise",
    [
        lambda x: x[10:],
        lambda x: np.delete(x, 75, axis=0),
        lambda x: x * 1e6,
        lambda x: x[:, 1:],
        lambda x: np.random.default_rng(1).permutation(x),
    ],
    ids=[
        "first trials dropped",
        "a trial dropped in the middle",
        "microvolts",
        "channel dropped",
        "in another order",
    ],
)
def test_disguised_trials_are_known(disguise: Callable[[np.ndarray], np.ndarray]) -> None:
    one, copy = (fingerprint_of_trials([x], RATE_HZ) for x in (trials(0), disguise(trials(0))))
    match = find_match(one, copy)
    assert match is not None
    assert one.told(match.n_frames).endswith(" trials")


def test_different_trials_are_not_taken_for_copies() -> None:
    prints = [fingerprint_of_trials([trials(seed)], RATE_HZ) for seed in range(8)]
    assert all(find_match(one, other) is None for one, other in combinations(prints, 2))


SOME_TRIALS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "every other one": lambda x: x[::2],
    "half, in another order": lambda x: np.random.default_rng(1).permutation(x)[:75],
    "half, in microvolts": lambda x: (1e6 * x[::2]).astype(np.float32),
    "half, on other baselines": lambda x: x[::2] - x[::2, :, :20].mean(axis=-1, keepdims=True),
    "half, three times as large": lambda x: 3 * x[::2],
    "the first forty": lambda x: x[:40],
    "four of them among others": lambda x: np.concatenate([x[:4], trials(9)[:100]]),
}


@pytest.mark.parametrize("chosen", list(SOME_TRIALS))
def test_some_of_the_trials_are_known_in_any_order(chosen: str) -> None:
    values = trials(0).astype(np.float32)
    one, copy = fingerprint_of_trials([values], RATE_HZ), fingerprint_of_trials([SOME_TRIALS[chosen](values)], RATE_HZ)
    match = shared_trials(one, copy)
    assert match is not None and match.is_exact
    assert find_match(one, copy) == match


def test_fewer_than_four_trials_or_one_in_fifty_make_no_copy() -> None:
    values = trials(0)
    one = fingerprint_of_trials([values], RATE_HZ)
    three = fingerprint_of_trials([np.concatenate([values[:3], trials(9)[:60]])], RATE_HZ)
    assert shared_trials(one, three) is None
    many, others = (np.random.default_rng(seed).standard_normal((250, 2, 64)) for seed in (3, 4))
    with_four, with_five = (
        fingerprint_of_trials([np.concatenate([many[:shared], others[shared:]])], 64.0) for shared in (4, 5)
    )
    assert shared_trials(fingerprint_of_trials([many], 64.0), with_four) is None
    assert shared_trials(fingerprint_of_trials([many], 64.0), with_five) is not None


def test_trials_that_stand_still_or_are_clipped_do_not_count() -> None:
    rails = np.where(np.arange(128) < 64, -1.0, 1.0) * np.ones((20, 8, 1))
    holed = trials(1)[:20].copy()
    holed[:] = np.nan
    for same in (np.zeros((20, 8, 128)), np.ones((20, 8, 128)), rails, holed):
        prints = [fingerprint_of_trials([np.concatenate([same, trials(seed)])], RATE_HZ) for seed in (1, 2)]
        assert all(len(one.trials()) == 150 for one in prints)
        assert find_match(*prints) is None


def test_an_artefact_that_all_trials_have_makes_them_no_copies() -> None:
    """A pulse of a stimulator at the same sample, ten thousand times as large as the signal."""
    prints = []
    for seed in (1, 2):
        values = trials(seed)
        values[:, :, 40] = 0.1
        prints.append(fingerprint_of_trials([values], RATE_HZ))
    assert all(len(one.trials()) == 150 for one in prints)
    assert shared_trials(*prints) is None


def test_fingerprints_of_an_older_release_have_no_hashes_of_trials_and_still_load() -> None:
    saved = fingerprint_of_trials([trials(0)], RATE_HZ).to_json()
    del saved["trial_hashes"]
    older = Fingerprint.from_json(saved)
    assert older.trial_hashes is None and older.to_json() == saved
    assert shared_trials(older, fingerprint_of_trials([trials(0)], RATE_HZ)) is None
    assert find_match(older, fingerprint_of_trials([trials(0)], RATE_HZ))


def test_hashes_of_trials_survive_json_where_there_is_no_sketch() -> None:
    short = fingerprint_of_trials([trials(0)[:20]], RATE_HZ)
    assert short.absent == "it is shorter than 52 trials"
    assert Fingerprint.from_json(short.to_json()) == short
    assert find_match(short, Fingerprint.from_json(short.to_json())) == shared_trials(short, short)


@pytest.mark.parametrize("damage", ["AAA", "AAAA"])
def test_damaged_hashes_of_trials_are_one_clear_error(damage: str) -> None:
    saved = fingerprint_of_trials([trials(0)], RATE_HZ).to_json()
    with pytest.raises(DataError, match="A fingerprint of a recording is damaged"):
        Fingerprint.from_json(saved | {"trial_hashes": damage})


def test_trials_without_time_are_told_by_their_values() -> None:
    vectors = np.random.default_rng(0).standard_normal((100, 64, 1))
    one, copy = fingerprint_of_trials([vectors], 1.0), fingerprint_of_trials([vectors[20:] * 2], 1.0)
    assert find_match(one, copy)


def test_a_fingerprint_survives_json() -> None:
    made = fingerprint_of_signal(pink(0), RATE_HZ)
    assert Fingerprint.from_json(made.to_json()) == made
    assert Fingerprint.from_json({"absent": "why"}) == Fingerprint(absent="why")


def test_a_fingerprint_is_small() -> None:
    assert len(fingerprint_of_signal(pink(0, seconds=600), RATE_HZ).code) < 600 * 16


def test_a_damaged_fingerprint_is_one_clear_error() -> None:
    saved = fingerprint_of_signal(pink(0), RATE_HZ).to_json()
    with pytest.raises(DataError, match="A fingerprint of a recording is damaged"):
        Fingerprint.from_json(saved | {"code": saved["code"][:-40]})


def test_a_night_is_compared_in_bounded_memory_and_its_pieces_are_known() -> None:
    rng = np.random.default_rng(0)
    night = rng.integers(-6, 7, size=(60_000, 4)).astype(np.float32)  # four hours
    cut = np.delete(night, np.arange(0, 60_000, 80), axis=0)
    tracemalloc.start()
    chain = best_chain(night, cut)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert chain is not None and chain.evidence > 3.0
    assert peak < 200 * 2**20
    other = best_chain(night, rng.integers(-6, 7, size=(60_000, 4)).astype(np.float32))
    assert other is not None and other.evidence < 1.0
