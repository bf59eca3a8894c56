"""The cache of stimulus features."""

from __future__ import annotations

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.stimuli.feature_cache import FeatureCache, assembled

DESCRIPTION = {"weights_sha256": "a", "layer": 3, "pooling": "cls", "blur": {"kernel": 1}}


def _vectors(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, 4)).astype(np.float32)


def test_what_was_added_is_found_by_another_process(tmp_path):
    vectors = _vectors(3)
    FeatureCache(tmp_path, DESCRIPTION).add(["x", "y", "z"], vectors)
    again = FeatureCache(tmp_path, DESCRIPTION)
    assert again.missing(["y", "w", "x", "w"]) == ["w"]
    np.testing.assert_array_equal(assembled([(again, ["z", "x", "z"])], tmp_path), vectors[[2, 0, 2]])


@pytest.mark.parametrize("key", DESCRIPTION)
def test_anything_else_that_makes_vectors_has_a_cache_of_its_own(tmp_path, key):
    FeatureCache(tmp_path, DESCRIPTION).add(["x"], _vectors(1))
    assert "x" not in FeatureCache(tmp_path, DESCRIPTION | {key: "other"})


def test_levels_are_joined_in_order_from_many_shards(tmp_path):
    caches = [FeatureCache(tmp_path, DESCRIPTION | {"layer": layer}) for layer in range(3)]
    contents = [f"picture {row}" for row in range(10)]
    levels = [_vectors(10, seed=layer) for layer in range(3)]
    for cache, vectors in zip(caches, levels, strict=True):
        for rows in (slice(0, 4), slice(4, 8), slice(8, 10)):
            cache.add(contents[rows], vectors[rows])
    joint = assembled([(cache, contents[::-1]) for cache in caches], tmp_path)
    assert isinstance(joint, np.memmap) and not joint.flags.writeable
    np.testing.assert_array_equal(joint, np.stack(levels, axis=1)[::-1])


def test_a_half_written_shard_is_not_read(tmp_path):
    cache = FeatureCache(tmp_path, DESCRIPTION)
    cache.add(["x"], _vectors(1))
    (cache.folder / ".y.npz.0123.part").write_bytes(b"half")
    again = FeatureCache(tmp_path, DESCRIPTION)
    assert again.missing(["x", "y"]) == ["y"]
    assert not list(cache.folder.glob(".*.part"))


def test_a_damaged_shard_is_one_error_with_its_remedy(tmp_path):
    cache = FeatureCache(tmp_path, DESCRIPTION)
    cache.add(["x"], _vectors(1))
    shard = next(cache.folder.glob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:80])
    with pytest.raises(DataError, match="damaged .*Remove the file; it is made again"):
        FeatureCache(tmp_path, DESCRIPTION)


def test_vectors_that_are_not_finite_are_refused(tmp_path):
    with pytest.raises(DataError, match="1 vectors of stimuli are not finite"):
        FeatureCache(tmp_path, DESCRIPTION).add(["x", "y"], np.array([[1.0, np.inf], [0.0, 0.0]]))
