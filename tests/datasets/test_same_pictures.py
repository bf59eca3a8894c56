"""One picture under two names is seen."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import LeakageError
from brain_decode.datasets.same_pictures import refuse_same_content, refuse_same_features, refuse_same_spelling

FEATURES = np.random.default_rng(0).standard_normal((30, 8)).astype(np.float32)
NAMES = [f"p{k}" for k in range(30)]


@pytest.mark.parametrize("name", ["cat_01.jpg", "CAT_01", "images/cat_01.png"])
def test_names_that_differ_by_spelling_only_are_refused(name: str) -> None:
    with pytest.raises(LeakageError, match="and training stimulus 'cat_01' differ by folder, case or extension"):
        refuse_same_spelling("f", ["cat_01", "dog"], [name])
    refuse_same_spelling("f", ["cat_01", "cat_01.5"], ["cat_02.jpg", "cat_01.6"])


def test_a_test_picture_with_the_features_of_a_training_picture_is_refused_by_name() -> None:
    refuse_same_features("f", (NAMES[:20], NAMES[20:]), (FEATURES[:20], FEATURES[20:]))
    copied = FEATURES[20:] + 0.0
    copied[3] = FEATURES[7] * (1 + 1e-5)
    with pytest.raises(LeakageError, match="test stimulus 'p23' has the features of training stimulus 'p7'"):
        refuse_same_features("f", (NAMES[:20], NAMES[20:]), (FEATURES[:20], copied))


def test_features_of_concepts_and_rows_of_zeros_say_nothing() -> None:
    concepts = np.eye(5, dtype=np.float32)[np.arange(20) % 5]
    refuse_same_features("f", (NAMES[:20], NAMES[20:]), (concepts, concepts[:10]))
    zeros = np.vstack([FEATURES[:19], np.zeros((1, 8), np.float32)])
    refuse_same_features("f", (NAMES[:20], NAMES[20:]), (zeros, np.zeros((10, 8), np.float32)))


def test_one_picture_under_two_names_is_told_by_its_content() -> None:
    hashes = {"cat": "aa", "dog": "bb", "animal_07": "aa"}
    refuse_same_content("official", ["cat"], ["dog", "unknown"], hashes)
    with pytest.raises(LeakageError, match=r"'animal_07' and training stimulus 'cat' are one picture \(same content\)"):
        refuse_same_content("official", ["cat", "dog"], ["animal_07"], hashes)
