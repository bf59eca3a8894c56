"""Likeness of pictures: exact where mathematics gives the value, refused where pictures are none."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.evaluation import picture_metrics as metrics


def pictures(count: int, side: int = 24, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((count, side, side, 3), dtype=np.float32)


def ssim(seen: np.ndarray, reconstructed: np.ndarray) -> np.ndarray:
    return metrics.structural_similarities(metrics.grey_pictures(seen), metrics.grey_pictures(reconstructed))


def test_a_picture_is_wholly_like_itself() -> None:
    seen = pictures(3)
    assert metrics.pixel_correlations(seen, seen) == pytest.approx(1.0)
    assert ssim(seen, seen) == pytest.approx(1.0)


def test_a_negative_correlates_with_minus_one() -> None:
    seen = pictures(3)
    assert metrics.pixel_correlations(seen, 1 - seen) == pytest.approx(-1.0)


def test_contrast_and_brightness_do_not_change_pixcorr() -> None:
    seen = pictures(3)
    assert metrics.pixel_correlations(seen, 0.3 + 0.2 * seen) == pytest.approx(1.0)


def test_a_picture_of_one_value_correlates_with_nothing() -> None:
    seen, plain = pictures(2), np.full((2, 30, 30, 3), 0.7, dtype=np.float32)
    assert metrics.pixel_correlations(seen, plain).tolist() == [0, 0]
    assert metrics.pixel_correlation_matrix(seen, plain).tolist() == [[0, 0], [0, 0]]


def test_ssim_of_plain_pictures_is_its_luminance_term() -> None:
    dark, bright = (np.full((1, 20, 20, 3), value, dtype=np.float32) for value in (0.2, 0.6))
    assert ssim(dark, bright) == pytest.approx((2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4), abs=1e-5)


def test_grey_weighs_green_most() -> None:
    colours = np.zeros((3, 8, 8, 3), dtype=np.float32)
    for colour in range(3):
        colours[colour, ..., colour] = 1
    assert metrics.grey_pictures(colours).mean(axis=(1, 2)) == pytest.approx([0.2125, 0.7154, 0.0721], abs=1e-6)


def test_sizes_and_shapes_of_the_two_pictures_may_differ() -> None:
    seen, plain = np.zeros((2, 40, 60, 3), dtype=np.float32), np.zeros((2, 17, 9, 3), dtype=np.float32)
    seen[:, :, 30:], plain[:, :, 5:] = 1, 1
    assert (metrics.pixel_correlations(seen, plain) > 0.8).all()


def test_every_pair_is_scored_as_it_would_be_alone() -> None:
    seen, reconstructed = pictures(19), pictures(19, side=30, seed=1)
    together = [metrics.pixel_correlations(seen, reconstructed), ssim(seen, reconstructed)]
    alone = [
        (metrics.pixel_correlations(a, b)[0], ssim(a, b)[0]) for a, b in zip(seen[:, None], reconstructed[:, None])
    ]
    assert np.stack(together, axis=1) == pytest.approx(np.array(alone), abs=1e-6)


def test_the_matrix_of_pixcorr_holds_every_pair() -> None:
    seen, reconstructed = pictures(18), (pictures(18, seed=1) + pictures(18)) / 2
    matrix = metrics.pixel_correlation_matrix(seen, reconstructed)
    for shift in (0, 5):
        expected = metrics.pixel_correlations(seen, np.roll(reconstructed, shift, axis=0))
        assert np.diag(np.roll(matrix, shift, axis=1)) == pytest.approx(expected, abs=1e-5)


def test_correlations_equal_numpy_and_a_constant_vector_has_none() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.standard_normal((5, 40000)) + 100, rng.standard_normal((4, 40000))
    matrix = metrics.correlation_matrix(first, second)
    assert matrix == pytest.approx(np.corrcoef(first, second)[:5, 5:], abs=1e-12)
    first[2] = 0.1
    assert metrics.correlation_matrix(first, second)[2].tolist() == [0, 0, 0, 0]
    assert metrics.correlation_distances(first[1:3], second[1:3])[1] == 1


def test_two_way_counts_other_seen_pictures_and_ties_count_half() -> None:
    correlations = np.array([[0.9, 0.2, 0.5], [0.1, 0.3, 0.5], [0.9, 0.4, 0.5]])
    assert metrics.two_way_scores(metrics.two_way_wins(correlations)).tolist() == [0.75, 0.5, 0.5]
    assert not metrics.two_way_wins(correlations).diagonal().any()


def test_one_reconstruction_for_all_is_at_chance_over_the_pictures() -> None:
    features = np.random.default_rng(0).standard_normal((50, 8))
    same = np.repeat(features[:1], 50, axis=0)
    correlations = metrics.correlation_matrix(features, same)
    correlations[:] = correlations[:, :1]
    assert metrics.two_way_scores(metrics.two_way_wins(correlations)).mean() == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("pixels", "told"),
    [
        (np.zeros((2, 8, 8)), r"shape \(picture, height, width, 3\), got \(2, 8, 8\)"),
        (np.zeros((0, 8, 8, 3)), r"got \(0, 8, 8, 3\)"),
        (np.full((1, 8, 8, 3), 255.0), r"\(seen\) are numbers in \[0, 1\], got 255 to 255. Divide 8-bit"),
        (np.full((1, 8, 8, 3), np.nan), r"got nan to nan"),
    ],
)
def test_what_is_no_picture_is_refused(pixels: np.ndarray, told: str) -> None:
    with pytest.raises(DataError, match=told):
        metrics.require_pictures(pixels, "seen")


def test_features_that_cannot_be_correlated_are_refused() -> None:
    with pytest.raises(DataError, match=r"same dim, 2 or more; got \(2, 3\) and \(2, 4\)"):
        metrics.correlation_matrix(np.ones((2, 3)), np.ones((2, 4)))
    with pytest.raises(DataError, match="must be finite"):
        metrics.correlation_distances(np.full((2, 3), np.inf), np.ones((2, 3)))
    with pytest.raises(DataError, match=r"2 or more seen pictures, .* got correlations \(1, 1\)"):
        metrics.two_way_wins(np.ones((1, 1)))
