from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.io

from brain_decode.core.errors import ConfigError, DataError
from brain_decode.datasets.arrays import ArrayDataset
from brain_decode.datasets.features import FeatureFile

SIGNAL = np.arange(24, dtype=np.int16).reshape(4, 2, 3)  # time, channel, trial


def write(folder: Path, suffix: str) -> str:
    arrays = {"x": SIGNAL, "y": np.array([0, 1, 0]), "names": np.array(["Cz", "Pz"]), "fs": 100.0}
    path = folder / f"data{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        scipy.io.savemat(path, arrays)
    return path.name


def dataset(folder: Path, file: str, **changes: object) -> ArrayDataset:
    settings = {
        "name": "arrays",
        "file": file,
        "data": "x",
        "axes": ["time", "channel", "trial"],
        "unit": "uV",
        "rate_hz": "fs",
        "channel_names": "names",
        "columns": {"hand": "y"},
    }
    return ArrayDataset(folder, **(settings | changes))


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_axes_unit_names_and_columns_follow_the_description(tmp_path: Path, suffix: str) -> None:
    recording = dataset(tmp_path, write(tmp_path, suffix), scale=0.1).recordings()[0]
    assert np.allclose(recording.read_trials([2]), SIGNAL.transpose(2, 1, 0)[[2]] * 1e-7)
    assert recording.space.names == ("Cz", "Pz") and recording.rate_hz == 100.0
    assert recording.events["hand"].tolist() == [0, 1, 0]


def test_npy_holds_one_continuous_array(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.ones((2, 50)))
    made = ArrayDataset(tmp_path, name="a", file="a.npy", axes=["channel", "time"], unit="V", rate_hz=10.0)
    assert made.recordings()[0].continuous and made.recordings()[0].duration_s == 5.0


def test_errors_name_the_key_the_axis_and_the_unit(tmp_path: Path) -> None:
    file = write(tmp_path, ".npz")
    with pytest.raises(DataError, match="no array 'z'"):
        dataset(tmp_path, file, data="z").recordings()
    with pytest.raises(DataError, match="shape \\(4, 2, 3\\)"):
        dataset(tmp_path, file, axes=["trial", "channel"]).recordings()
    with pytest.raises(DataError, match="2 channels but 1 channel names"):
        dataset(tmp_path, file, channel_names=["Cz"]).recordings()
    with pytest.raises(ConfigError, match="Unknown unit 'uv'"):
        dataset(tmp_path, file, unit="uv")
    with pytest.raises(ConfigError, match="Unknown axis 'times'"):
        dataset(tmp_path, file, axes=["times"])


def test_pickled_objects_are_never_loaded(tmp_path: Path) -> None:
    np.savez(tmp_path / "bad.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match="could not be read"):
        dataset(tmp_path, "bad.npz").recordings()


def test_features_are_found_by_stimulus(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", v=np.eye(3, dtype=np.float16), ids=np.array(["a", "b", "c"]))
    features = FeatureFile("f.npz", "v", "ids").load(tmp_path)
    assert features.rows(["c", "a"]).tolist() == [2, 0] and features.dim == 3
    with pytest.raises(DataError, match="have no features"):
        features.rows(["d"])
