"""Scores of reconstructions that are perfect, blind or in between, each beside its controls."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import kstest

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.evaluation.picture_comparisons import FeatureDistance, TwoWay
from brain_decode.evaluation.picture_scores import (
    Reconstructions,
    is_lower_better,
    score_pictures,
    shuffled_orders,
)
from brain_decode.simulation.pictures import draw_pictures
from brain_decode.simulation.pixel_features import pixel_features

FEW = {"n_permutations": 199}


def pictures(count: int, seed: int = 0, side: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), dtype=np.float32)


def flat(pixels: np.ndarray) -> np.ndarray:
    return pixels.reshape(len(pixels), -1)


FEATURES = {"two_way_pixels": flat, "pixels_distance": flat}


def test_perfect_reconstructions_reach_the_end_of_every_scale() -> None:
    seen = pictures(8)
    scores = score_pictures(Reconstructions(seen, seen), FEATURES, **FEW)
    assert list(scores) == ["pixcorr", "ssim", "two_way_pixels", "pixels_distance"]
    for name, end in (("pixcorr", 1), ("ssim", 1), ("two_way_pixels", 1), ("pixels_distance", 0)):
        assert scores[name]["value"] == pytest.approx(end, abs=1e-6)
        bound = {"two_way_pixels": 0.025 ** (1 / 8)}.get(name, end)  # identification may have been lucky eight times
        assert scores[name]["ci95"] == pytest.approx([bound, end], abs=1e-6)
        assert scores[name]["n"] == 8
    assert scores["two_way_pixels"]["p_permutation"] == 1 / 200
    assert scores["pixels_distance"]["p_permutation"] == 1 / 200
    assert scores["ssim"]["p_permutation"] == 1 / 8  # eight pictures have seven rotations


def test_chance_is_a_half_for_identification_and_else_what_the_control_reaches() -> None:
    seen = pictures(8)
    reconstructed = (seen + pictures(8, seed=1)) / 2
    shuffled = [reconstructed[order] for order in shuffled_orders(8, 2)]
    scores = score_pictures(Reconstructions(seen, reconstructed, shuffled=shuffled), FEATURES, **FEW)
    assert scores["two_way_pixels"]["chance"] == 0.5
    for name in ("pixcorr", "ssim", "pixels_distance"):
        assert scores[name]["chance"] == scores[name]["shuffled"]["value"]
    alone = [score_pictures(Reconstructions(seen, part), n_permutations=0)["pixcorr"]["value"] for part in shuffled]
    assert scores["pixcorr"]["shuffled"]["value"] == pytest.approx(np.mean(alone))
    assert scores["pixcorr"]["value"] > 0.5 > scores["pixcorr"]["shuffled"]["ci95"][1]


def test_without_a_control_chance_is_the_mean_over_permutations() -> None:
    seen = pictures(6)
    scores = score_pictures(Reconstructions(seen, seen), FEATURES, **FEW)
    assert scores["pixels_distance"]["chance"] == pytest.approx(1 - 1 / 6, abs=0.1)
    assert scores["pixcorr"]["shuffled"] is None and scores["pixcorr"]["ceiling"] is None


def test_without_permutations_there_is_neither_p_nor_a_made_up_chance() -> None:
    scores = score_pictures(Reconstructions(pictures(6), pictures(6)), n_permutations=0)
    assert scores["ssim"]["p_permutation"] is None and scores["ssim"]["chance"] is None


def test_the_ceiling_is_scored_as_the_reconstructions_are() -> None:
    seen = pictures(10)
    blind = Reconstructions(seen, pictures(10, seed=1), ceiling=seen)
    score = score_pictures(blind, FEATURES, **FEW)["two_way_pixels"]
    assert score["ceiling"] == {"value": 1.0, "ci95": pytest.approx([0.025 ** (1 / 10), 1.0])}
    assert score["ci95"][0] < 0.5 < score["ci95"][1]


def test_the_shuffled_control_of_a_good_decoder_is_at_chance() -> None:
    seen = pictures(20)
    reconstructed = np.clip(0.7 * seen + 0.3 * pictures(20, seed=1), 0, 1)
    shuffled = [reconstructed[order] for order in shuffled_orders(20, 3)]
    both = Reconstructions(seen, reconstructed, shuffled=shuffled)
    score = score_pictures(both, {"two_way_pixels": flat}, n_permutations=0)["two_way_pixels"]
    assert score["value"] == 1.0
    low, high = score["shuffled"]["ci95"]
    assert low < 0.5 < high


def test_p_is_uniform_for_pictures_that_know_nothing() -> None:
    rng, p_values = np.random.default_rng(0), []
    for seed in range(200):
        seen, drawn = (rng.random((12, 1, 1, 3)) for _ in range(2))
        for kind in (TwoWay, FeatureDistance):
            observed, null = kind(seen, flat, "pixels").null(drawn, np.arange(12), 99, np.random.default_rng(seed))
            sign = 1 if kind is TwoWay else -1
            p_values.append((1 + np.sum(sign * null >= sign * observed - 1e-12)) / 100)
    assert kstest(p_values[::2], "uniform").pvalue > 0.01
    assert kstest(p_values[1::2], "uniform").pvalue > 0.01


def test_permutations_are_what_other_pairings_would_score() -> None:
    seen, drawn = pictures(5), pictures(5, seed=1)
    comparison = TwoWay(seen, flat, "pixels")
    pairings = comparison.pairings(drawn)
    for order in shuffled_orders(5, 4):
        expected = comparison.measure(drawn, order).values
        assert pairings[order, np.arange(5)] == pytest.approx(expected)


def test_weighted_identification_counts_again_among_the_weighted_pictures() -> None:
    seen = pictures(6)
    measured = TwoWay(seen, flat, "pixels").measure((seen + 2 * pictures(6, seed=3)) / 3, np.arange(6))
    weights = np.array([[2.0, 0, 1, 3, 0, 0], [1, 1, 1, 1, 1, 1]])
    drawn = np.repeat(np.arange(6), weights[0].astype(int))
    pairs = [measured.wins[i, j] for j in drawn for i in drawn if i != j]
    assert measured.weighted(weights) == pytest.approx([np.mean(pairs), measured.value])


def test_several_reconstructions_of_a_picture_compete_with_other_pictures_only() -> None:
    seen = pictures(4)
    shown = np.array([0, 0, 1, 2, 3, 3])
    scores = score_pictures(Reconstructions(seen, seen[shown], shown), FEATURES, **FEW)
    assert scores["two_way_pixels"]["value"] == 1.0 and scores["two_way_pixels"]["n"] == 6
    assert scores["pixcorr"]["value"] == pytest.approx(1)
    assert scores["pixcorr"]["p_permutation"] < 0.2


def test_a_metric_more_changes_no_other_and_a_seed_gives_the_same_numbers() -> None:
    both = Reconstructions(pictures(4), pictures(4, seed=1))
    alone = score_pictures(both, {"two_way_pixels": flat}, seed=3, **FEW)
    assert score_pictures(both, FEATURES, seed=3, **FEW)["two_way_pixels"] == alone["two_way_pixels"]
    assert score_pictures(both, {"two_way_pixels": flat}, seed=3, **FEW) == alone


def test_features_without_a_network_identify_drawn_pictures() -> None:
    drawn = draw_pictures(2, 1, 6).pixels[2:]
    noisy = np.clip(drawn + 0.1 * np.random.default_rng(0).standard_normal(drawn.shape), 0, 1)
    scores = score_pictures(
        Reconstructions(drawn, noisy), {"two_way_colour": lambda pixels: pixel_features(pixels)["colour"]}, **FEW
    )
    assert scores["two_way_colour"]["value"] > 0.9


def test_orders_of_the_control_are_shuffled_and_repeatable() -> None:
    orders = shuffled_orders(2, 3)
    assert [order.tolist() for order in orders] == [[1, 0]] * 3
    assert all(np.array_equal(a, b) for a, b in zip(shuffled_orders(30, seed=1), shuffled_orders(30, seed=1)))
    with pytest.raises(ConfigError, match="2 or more pictures and 1 or more orders; got 1 and 5"):
        shuffled_orders(1)


def test_distances_are_known_by_their_name() -> None:
    assert [is_lower_better(name) for name in ("effnet_distance", "two_way_clip", "ssim")] == [True, False, False]
    with pytest.raises(ConfigError, match="named two_way_<name> or <name>_distance; got 'clip'"):
        score_pictures(Reconstructions(pictures(3), pictures(3)), {"clip": flat})


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"reconstructed": np.full((3, 4, 4, 3), 2.0)}, r"\(reconstructed\) are numbers in \[0, 1\], got 2 to 2"),
        ({"reconstructed": np.zeros((2, 4, 4, 3))}, "Each of 3 seen pictures has at least one of the 2"),
        ({"shown": np.array([0, 1, 1])}, "Each of 3 seen pictures has at least one of the 3"),
        ({"ceiling": np.zeros((2, 4, 4, 3))}, "The ceiling has one picture for each of 3 seen ones; got 2"),
        ({"shuffled": [np.zeros((4, 4, 4, 3))]}, "as many pictures as there are reconstructions; got 4 and 3"),
        ({"seen": np.zeros((1, 4, 4, 3)), "reconstructed": np.zeros((1, 4, 4, 3))}, "compare with other pictures"),
    ],
)
def test_pictures_that_do_not_belong_together_are_refused(change: dict, told: str) -> None:
    with pytest.raises(DataError, match=told):
        Reconstructions(**({"seen": np.zeros((3, 4, 4, 3)), "reconstructed": np.zeros((3, 4, 4, 3))} | change))


def test_features_of_a_wrong_shape_name_their_metric() -> None:
    both = Reconstructions(pictures(3), pictures(3))
    with pytest.raises(DataError, match=r"two_way_pixels: features of 3 pictures .* got \(3, 8, 8, 3\)"):
        score_pictures(both, {"two_way_pixels": lambda pixels: pixels}, **FEW)
    with pytest.raises(DataError, match="two_way_pixels: its features are not finite"):
        score_pictures(both, {"two_way_pixels": lambda pixels: flat(pixels) * np.nan}, **FEW)


@pytest.mark.real_data
def test_a_network_identifies_blurred_photos_and_not_shuffled_ones(real_data_folder: Path) -> None:
    from PIL import Image, ImageFilter

    from brain_decode.stimuli.perceptual.networks import open_networks

    files = sorted((real_data_folder / "photos" / "haxby_stimuli").glob("*/*_1.jpg"))[::2]
    if not files or not (real_data_folder / "weights").is_dir():
        pytest.skip("no photos, or no weights")
    photos = [Image.open(file).convert("RGB").resize((96, 96)) for file in files]
    seen, blurred = (
        np.stack([np.asarray(photo) for photo in part]).astype(np.float32) / 255
        for part in (photos, [photo.filter(ImageFilter.GaussianBlur(1)) for photo in photos])
    )
    (network,) = open_networks(real_data_folder / "weights", ["resnet20_cifar10"])
    shuffled = [blurred[order] for order in shuffled_orders(len(seen), 4)]
    score = score_pictures(
        Reconstructions(seen, blurred, shuffled=shuffled, ceiling=seen), {network.metric: network}, **FEW
    )["two_way_resnet20_cifar10"]
    assert score["value"] > 0.9 and score["p_permutation"] == 1 / 200
    assert score["ceiling"]["value"] == 1.0
    assert score["shuffled"]["ci95"][0] < 0.5 < score["shuffled"]["ci95"][1]
