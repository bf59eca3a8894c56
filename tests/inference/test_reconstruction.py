"""Windows of one value are averaged before they are answered, however many averages are made at once."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from brain_decode.inference import reconstruction
from brain_decode.signals.sensors import Sensors
from brain_decode.signals.windows import Windows


@pytest.mark.parametrize("at_once", [1, 2, 32])
def test_each_value_gets_the_answer_to_its_mean_in_order_of_appearance(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconstruction, "_AVERAGED_AT_ONCE", at_once)
    values = np.array(["dog", "cat", "dog", "sun", "cat", "dog"])
    data = np.array([1.0, 10.0, 2.0, 100.0, 30.0, 6.0], np.float32)[:, None, None]
    windows = Windows(data, 100.0, 0.0, Sensors(("a",), ("eeg",)), pd.DataFrame({"stimulus": values}))
    decoder = SimpleNamespace(
        preprocessing=SimpleNamespace(apply_windows=lambda given: given),
        answer_preprocessed=lambda given: given.data[:, :, 0],
    )
    names, answers = reconstruction._averaged(decoder, windows, values)
    assert names == ["dog", "cat", "sun"]
    np.testing.assert_array_equal(answers[:, 0], [3.0, 20.0, 100.0])
