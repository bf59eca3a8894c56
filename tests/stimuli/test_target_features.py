"""Vectors of the stimuli of a dataset, computed once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.stimuli.blur import gaussian_blur
from brain_decode.stimuli.pictures import PictureFiles
from brain_decode.stimuli.target_features import TargetSettings, target_features
from brain_decode.stimuli.vision_models import VisionModel

N_PICTURES = 7


@pytest.fixture
def pictures(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (N_PICTURES, 40, 40, 3)).astype(np.uint8)
    np.savez(tmp_path / "pictures.npz", pixels=pixels, ids=np.array([f"p{row}" for row in range(N_PICTURES)]))
    return PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)


@pytest.fixture(scope="module")
def clip(saved_model):
    return saved_model("clip")


@pytest.fixture
def count_embedded(monkeypatch):
    """Return a list that grows by the number of pictures each time a model sees some."""
    seen: list[int] = []
    embed = VisionModel.embed

    def counted(self, inputs):
        seen.append(len(inputs))
        return embed(self, inputs)

    monkeypatch.setattr(VisionModel, "embed", counted)
    return seen


def test_levels_are_every_layer_of_every_blur(clip, pictures, tmp_path):
    settings = TargetSettings(str(clip), layers=[1, -1], blurs=[1, 9], batch_size=3)
    found = target_features(settings, pictures.ids, cache_folder=tmp_path / "cache", pictures=pictures)
    assert found.levels == ("layer 1, blur 1", "layer -1, blur 1", "layer 1, blur 9", "layer -1, blur 9")
    assert found.vectors.shape == (N_PICTURES, 4, 16)
    model = VisionModel(str(clip), layers=[1, -1])
    sharp = torch.from_numpy(pictures.load(pictures.ids)).permute(0, 3, 1, 2)
    wanted = [model.embed(model.transform(kernel_blur)) for kernel_blur in (sharp, gaussian_blur(sharp, 9))]
    np.testing.assert_allclose(found.vectors, torch.cat(wanted, dim=1).numpy(), atol=1e-5)


def test_a_second_run_reads_and_a_further_blur_computes_only_itself(clip, pictures, tmp_path, count_embedded):
    def extract(blurs, ids=pictures.ids):
        settings = TargetSettings(str(clip), blurs=blurs, batch_size=4)
        return target_features(settings, ids, cache_folder=tmp_path / "cache", pictures=pictures)

    first = extract([1], pictures.ids[:5])
    assert sum(count_embedded) == 5
    again = extract([1], pictures.ids[:5])
    assert sum(count_embedded) == 5
    np.testing.assert_array_equal(first.vectors, again.vectors)
    extract([1], pictures.ids)
    assert sum(count_embedded) == N_PICTURES
    extract([1, 3], pictures.ids)
    assert sum(count_embedded) == 2 * N_PICTURES


def test_a_kill_loses_at_most_a_shard(clip, pictures, tmp_path, monkeypatch, count_embedded):
    monkeypatch.setattr("brain_decode.stimuli.target_features._SHARD", 2)
    read, settings = pictures.read, TargetSettings(str(clip), batch_size=2)

    def killed(stimulus):
        if stimulus == "p5":
            raise KeyboardInterrupt
        return read(stimulus)

    monkeypatch.setattr(pictures, "read", killed)
    with pytest.raises(KeyboardInterrupt):
        target_features(settings, pictures.ids, cache_folder=tmp_path / "cache", pictures=pictures)
    monkeypatch.setattr(pictures, "read", read)
    target_features(settings, pictures.ids, cache_folder=tmp_path / "cache", pictures=pictures)
    assert count_embedded == [2, 2, 2, 1]  # p0 to p3 before the kill, p4 to p6 after it


def test_one_content_is_embedded_once_under_all_its_names(clip, tmp_path, count_embedded):
    pixels = np.zeros((3, 32, 32, 3), np.uint8)
    np.savez(tmp_path / "pictures.npz", pixels=pixels, ids=np.array(["a", "b", "c"]))
    pictures = PictureFiles.from_config({"file": "pictures.npz"}, tmp_path)
    found = target_features(TargetSettings(str(clip)), ["c", "a"], cache_folder=tmp_path / "cache", pictures=pictures)
    assert count_embedded == [1]
    np.testing.assert_array_equal(found.vectors[0], found.vectors[1])


def test_changed_weights_make_another_space(saved_model, clip, pictures, tmp_path):
    spaces = [
        target_features(
            TargetSettings(str(folder), layers=[layer]), ["p0"], cache_folder=tmp_path / "cache", pictures=pictures
        ).provenance["space"]
        for folder, layer in ((clip, 1), (clip, 2), (saved_model("clip", seed=1), 1), (clip, 1))
    ]
    assert len(set(spaces)) == 3 and spaces[0] == spaces[3]


def test_the_concept_is_one_more_level(clip, pictures, tmp_path):
    concepts = {"p0": "cat", "p1": "red_ball", "p2": "cat"}
    found = target_features(
        TargetSettings(str(clip), text={}), list(concepts), cache_folder=tmp_path, pictures=pictures, concepts=concepts
    )
    assert found.levels == ("projected", "text")
    assert found.vectors.shape == (3, 2, 12)
    np.testing.assert_array_equal(found.vectors[0, 1], found.vectors[2, 1])
    assert not np.array_equal(found.vectors[0, 1], found.vectors[1, 1])
    with pytest.raises(DataError, match="1 have none: p3"):
        target_features(
            TargetSettings(str(clip), layers=[], text={}), ["p0", "p3"], cache_folder=tmp_path, concepts=concepts
        )


def test_texts_alone_need_no_pictures(clip, tmp_path):
    settings = TargetSettings(layers=[], text={"model": str(clip), "template": "a {concept}"})
    found = target_features(settings, ["p0"], cache_folder=tmp_path, concepts={"p0": "cat"})
    assert found.vectors.shape == (1, 12) and found.provenance["text"]["template"] == "a {concept}"


def test_levels_of_several_widths_are_refused(clip, pictures, tmp_path):
    with pytest.raises(ConfigError, match=r"one width; got \{'layer 1': 16, 'text': 12\}"):
        target_features(
            TargetSettings(str(clip), layers=[1], text={}),
            ["p0"],
            cache_folder=tmp_path,
            pictures=pictures,
            concepts={"p0": "cat"},
        )


def test_a_missing_picture_is_told_before_anything_is_computed(clip, pictures, tmp_path, count_embedded):
    with pytest.raises(DataError, match="1 of 2 stimuli have no picture in .*: p9"):
        target_features(TargetSettings(str(clip)), ["p0", "p9"], cache_folder=tmp_path, pictures=pictures)
    assert not count_embedded


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"modell": "x"}, "Unknown key of stimuli 'modell'. Did you mean 'model'"),
        ({"layers": [1]}, "needs its model"),
        ({"model": "x", "layers": []}, "needs layers of pictures, or text"),
        ({"model": "x", "batch_size": 0}, "batch_size is at least 1"),
        ({"model": "x", "text": {"prompt": "y"}}, "Unknown key of stimuli.text 'prompt'"),
    ],
)
def test_blocks_that_make_no_sense_are_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        TargetSettings.from_config(config)
