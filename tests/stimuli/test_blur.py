"""Blurs of pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d

from brain_decode.core.errors import ConfigError
from brain_decode.stimuli.blur import BLUR_BANK, Blur, blur_levels, foveated_blur, gaussian_blur


@pytest.fixture
def pictures() -> torch.Tensor:
    return torch.rand(2, 3, 40, 36, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("kernel", [3, 9, 63])
def test_a_blur_is_a_gaussian_along_rows_and_columns(pictures, kernel):
    places = np.arange(kernel) - kernel // 2
    weights = np.exp(-0.5 * (places / (0.3 * ((kernel - 1) * 0.5 - 1) + 0.8)) ** 2)
    weights /= weights.sum()
    wanted = pictures.numpy()
    for axis in (2, 3):
        wanted = correlate1d(wanted, weights, axis=axis, mode="mirror")
    np.testing.assert_allclose(gaussian_blur(pictures, kernel).numpy(), wanted, atol=1e-12)


def test_a_kernel_of_one_leaves_the_picture(pictures):
    assert torch.equal(gaussian_blur(pictures, 1), pictures)


def test_one_colour_stays_one_colour():
    grey = torch.full((1, 3, 64, 64), 0.3)
    torch.testing.assert_close(gaussian_blur(grey, 63), grey)
    torch.testing.assert_close(foveated_blur(grey, 51), grey)


def test_the_fovea_is_sharp_and_the_corner_is_blurred(pictures):
    square = pictures[..., :35, :35]
    found = foveated_blur(square, 9, fall_off=4.0)
    torch.testing.assert_close(found[..., 17, 17], square[..., 17, 17])
    blurred = gaussian_blur(square, 9)[..., 0, 0]
    torch.testing.assert_close(found[..., 0, 0], np.exp(-4.0) * square[..., 0, 0] + (1 - np.exp(-4.0)) * blurred)
    torch.testing.assert_close(foveated_blur(square, 9, fall_off=0.0), square)


def test_the_bank_has_the_published_levels():
    assert [level.kernel for level in blur_levels("bank")] == [1, 3, 9, 15, 21, 27, 33, 39, 45, 51, 57, 63]
    assert len(BLUR_BANK) == 12


def test_levels_are_read_from_numbers_and_mappings():
    levels = blur_levels([1, {"foveated": 51, "fall_off": 2}, {"foveated": 51}])
    assert levels == (Blur(1), Blur(51, 2.0), Blur(51, 3.0))
    assert [level.name for level in levels][:2] == ["blur 1", "foveated blur 51 (2)"]
    assert blur_levels(None) == (Blur(1),)


@pytest.mark.parametrize(
    ("blurs", "message"),
    [
        ([4], "odd number of pixels, got 4"),
        ([3, 3], "named once"),
        ("banks", "Unknown blurs 'banks'. Did you mean 'bank'"),
        ([{"fovea": 3}], "Unknown key of a blur 'fovea'"),
    ],
)
def test_levels_that_do_not_exist_are_refused(blurs, message):
    with pytest.raises(ConfigError, match=message):
        blur_levels(blurs)


def test_a_picture_smaller_than_half_the_kernel_is_refused():
    with pytest.raises(ConfigError, match="needs pictures of at least 32 pixels; got 20x20"):
        gaussian_blur(torch.zeros(1, 3, 20, 20), 63)
