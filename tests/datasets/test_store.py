from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from brain_decode.core.errors import DataError, SpecMismatch, StorageError
from brain_decode.datasets import store_entry
from brain_decode.datasets.base import EventTarget
from brain_decode.datasets.store import prepare_store
from brain_decode.datasets.window_table import build_window_table, sliding_window_table
from brain_decode.preprocessing.bad_channels import InterpolateBads
from brain_decode.preprocessing.base import Continuous, SignalStep
from brain_decode.signals.mne_conversion import info_from_sensors
from brain_decode.signals.recording import ArraySource, Entities, Recording, TrialArraySource
from brain_decode.signals.sensors import Sensors


@dataclass
class Doubled(SignalStep):
    name = "doubled"
    is_causal = True

    def apply(self, signal: Continuous) -> Continuous:
        return Continuous(signal.data * 2.0, signal.rate_hz, signal.sensors)


def recording(run: str = "01", seed: int = 0, channels: int = 3, **changes: object) -> Recording:
    data = np.random.default_rng(seed).normal(size=(channels + 1, 1000))
    names = tuple(f"E{i}" for i in range(channels)) + ("AUX",)
    events = pd.DataFrame({"onset_s": [1.0, 4.0, 9.9], "duration_s": 0.0, "trial_type": ["a", "b", "a"]})
    settings = {
        "entities": Entities("01", run=run),
        "space": Sensors(names, ("eeg",) * channels + ("misc",)),
        "rate_hz": 100.0,
        "events": events,
        "source": ArraySource(data),
    }
    return Recording(**(settings | changes))


def table_of(recordings: list[Recording]) -> pd.DataFrame:
    target = EventTarget()
    return build_window_table(recordings, dataset="d", target=target, start_s=-0.1, stop_s=0.4).table


def test_windows_are_the_samples_around_the_events(tmp_path: Path) -> None:
    recordings = [recording("01", 0), recording("02", 1)]
    table = table_of(recordings).iloc[[3, 0, 2]]
    windows = prepare_store(recordings, [], tmp_path).read(table)
    assert windows.data.shape == (3, 3, 50) and windows.data.dtype == np.float32 and windows.start_s == -0.1
    for row, (which, first) in enumerate([(1, 390), (0, 90), (1, 90)]):
        expected = recordings[which].read(first, first + 50)[:3].astype(np.float32)
        assert np.array_equal(windows.data[row], expected)
    assert windows.table is table


def test_steps_are_applied_and_make_another_entry(tmp_path: Path) -> None:
    plain = prepare_store([recording()], [], tmp_path)
    doubled = prepare_store([recording()], [Doubled()], tmp_path)
    assert plain.entries[0].key != doubled.entries[0].key
    assert plain.content_hashes == doubled.content_hashes
    assert np.array_equal(doubled.entries[0].array(), 2 * plain.entries[0].array())


def test_a_step_whose_code_has_changed_makes_another_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = prepare_store([recording()], [Doubled()], tmp_path)
    monkeypatch.setattr("brain_decode.datasets.store._source_of", lambda module: "other code")
    assert prepare_store([recording()], [Doubled()], tmp_path).entries[0].key != before.entries[0].key


def test_a_recording_that_is_gone_is_named_and_what_is_prepared_stays(tmp_path: Path) -> None:
    class Gone(ArraySource):
        def read(self, start: int, stop: int) -> np.ndarray:
            raise FileNotFoundError(2, "No such file or directory")

    with pytest.raises(DataError, match=r"sub-01_run-02 can no longer be read .*what is prepared stays"):
        prepare_store([recording(), recording("02", source=Gone(np.zeros((4, 1000))))], [], tmp_path)
    assert len(list(tmp_path.glob("*.f32"))) == 1


def test_a_channel_of_nan_is_repaired_where_the_first_step_does_and_refused_elsewhere(tmp_path: Path) -> None:
    locations = np.full((9, 12), np.nan)
    locations[:, :3] = np.random.default_rng(2).normal(size=(9, 3)) * 0.05
    space = Sensors((*(f"E{i}" for i in range(8)), "AUX"), ("eeg",) * 8 + ("misc",), locations)
    samples = np.random.default_rng(0).normal(size=(9, 1000))
    samples[3, 100] = np.nan
    broken = recording(channels=8, space=space, source=ArraySource(samples))
    with pytest.raises(DataError, match=r"channels \['E3'\] are NaN or infinite"):
        prepare_store([broken], [Doubled()], tmp_path)
    repaired = prepare_store([broken], [InterpolateBads()], tmp_path).entries[0]
    assert np.isfinite(repaired.array()).all()
    assert repaired.notes[0].startswith("interpolated E3 (")
    assert prepare_store([broken], [InterpolateBads()], tmp_path).entries[0] == repaired


def test_channels_marked_as_bad_reach_the_steps_and_make_another_entry(tmp_path: Path) -> None:
    locations = np.full((9, 12), np.nan)
    locations[:, :3] = np.random.default_rng(2).normal(size=(9, 3)) * 0.05
    space = Sensors((*(f"E{i}" for i in range(8)), "AUX"), ("eeg",) * 8 + ("misc",), locations)
    steps, marked = [InterpolateBads(detect=False)], info_from_sensors(space, 100.0)
    marked["bads"] = ["E2", "AUX"]
    good = recording(channels=8, space=space, header=info_from_sensors(space, 100.0))
    bad = recording(channels=8, space=space, header=marked)
    stores = [prepare_store([given], steps, tmp_path).entries[0] for given in (good, bad)]
    assert stores[0].key != stores[1].key
    changed = (stores[0].array() != stores[1].array()).any(axis=0)
    assert np.flatnonzero(changed).tolist() == [2]


def test_a_second_run_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare_store([recording()], [], tmp_path)
    monkeypatch.setattr("brain_decode.datasets.store.write_entry", lambda *_: pytest.fail("written again"))
    assert prepare_store([recording()], [], tmp_path).entries == first.entries


def test_half_written_entries_are_made_again(tmp_path: Path) -> None:
    entry = prepare_store([recording()], [], tmp_path).entries[0]
    expected = np.array(entry.array())
    with entry.path.open("r+b") as file:
        file.truncate(100)
    (tmp_path / ".left.part").write_bytes(b"x")
    assert np.array_equal(prepare_store([recording()], [], tmp_path).entries[0].array(), expected)
    entry.path.with_suffix(".json").write_text("{")
    assert np.array_equal(prepare_store([recording()], [], tmp_path).entries[0].array(), expected)


def test_files_a_killed_writer_left_are_removed(tmp_path: Path) -> None:
    left = tmp_path / ".left.part"
    left.write_bytes(b"x")
    prepare_store([recording()], [], tmp_path)
    assert not left.exists()


def test_two_runs_share_a_folder(tmp_path: Path) -> None:
    recordings = [recording(f"{i:02d}", i) for i in range(6)]
    with ThreadPoolExecutor(2) as pool:
        stores = list(pool.map(lambda _: prepare_store(recordings, [Doubled()], tmp_path), range(2)))
    assert stores[0].entries == stores[1].entries
    assert not list(tmp_path.glob(".*.part"))
    assert len(list(tmp_path.glob("*.f32"))) == 6


def test_processes_give_the_same_store(tmp_path: Path) -> None:
    recordings = [recording("01", 0), recording("02", 1)]
    parallel = prepare_store(recordings, [], tmp_path / "two", workers=2)
    alone = prepare_store(recordings, [], tmp_path / "one")
    assert [e.key for e in parallel.entries] == [e.key for e in alone.entries]
    assert parallel.entries[1].label == recordings[1].label


def test_copies_of_a_recording_have_one_content_hash(tmp_path: Path) -> None:
    hashes = prepare_store([recording("01", 0), recording("02", 0), recording("03", 1)], [], tmp_path).content_hashes
    assert hashes[0] == hashes[1] != hashes[2]


def test_samples_that_are_no_numbers_name_recording_and_channel(tmp_path: Path) -> None:
    data = np.zeros((4, 1000))
    data[1, 5] = np.nan
    with pytest.raises(DataError, match=r"sub-01_run-01: 1 samples of the channels \['E1'\]"):
        prepare_store([recording(source=ArraySource(data))], [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_noise_in_channels_that_are_not_decoded_is_no_error(tmp_path: Path) -> None:
    data = np.random.default_rng(0).standard_normal((4, 1000))
    data[3] = np.nan
    assert len(prepare_store([recording(source=ArraySource(data))], [], tmp_path).entries[0].sensors) == 3


def test_a_recording_that_never_varies_is_refused(tmp_path: Path) -> None:
    constant = np.tile([[1e-5], [-2e-5], [0.0], [3.0]], 1000)
    with pytest.raises(DataError, match="no channel to decode ever varies"):
        prepare_store([recording(source=ArraySource(constant))], [], tmp_path)
    constant[1, 500] = 1e-5
    assert prepare_store([recording(source=ArraySource(constant))], [], tmp_path).entries[0].n_times == 1000
    vectors = np.ones((3, 4, 1))
    with pytest.raises(DataError, match="no channel to decode ever varies"):
        prepare_store([recording(source=TrialArraySource(vectors), continuous=False)], [], tmp_path)
    vectors[2, 0] = 2.0  # one sample a trial: trials may differ where none varies
    assert prepare_store([recording(source=TrialArraySource(vectors), continuous=False)], [], tmp_path)


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_entry.os, "fsync", full)
    with pytest.raises(StorageError, match="full"):
        prepare_store([recording()], [], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StorageError, match="a file has this name"):
        prepare_store([recording()], [], tmp_path / "taken")


def test_cut_trials_are_stored_and_read_the_same_way(tmp_path: Path) -> None:
    trials = np.random.default_rng(3).normal(size=(3, 4, 60))
    cut = recording(source=TrialArraySource(trials), continuous=False, start_s=-0.2)
    windows = prepare_store([cut], [], tmp_path).read(table_of([cut]).iloc[[2, 0]])
    assert windows.start_s == -0.1
    assert np.array_equal(windows.data, trials[[2, 0], :3, 10:60].astype(np.float32))
    with pytest.raises(SpecMismatch, match="cut trials"):
        prepare_store([cut], [Doubled()], tmp_path)


def test_mixed_montages_become_one_batch_in_the_order_of_the_table(tmp_path: Path) -> None:
    recordings = [recording("01", 0, 3), recording("02", 1, 2)]
    store = prepare_store(recordings, [], tmp_path)
    table = table_of(recordings).iloc[[2, 0, 3, 1]]
    with pytest.raises(SpecMismatch, match="SignalStore.batch"):
        store.read(table)
    batch = store.batch(table, ["01"])
    assert batch.channel_mask.sum(1).tolist() == [2, 3, 2, 3] and batch.subjects.tolist() == [0, 0, 0, 0]
    assert np.array_equal(batch.signal[1, :3].numpy(), store.read(table.iloc[[1]]).data[0])


def test_sliding_windows_are_read(tmp_path: Path) -> None:
    table = sliding_window_table([recording()], dataset="d", length_s=2.0, step_s=1.0).table
    windows = prepare_store([recording()], [], tmp_path).read(table)
    assert windows.data.shape == (9, 3, 200) and windows.start_s == 0.0


def test_windows_outside_are_refused(tmp_path: Path) -> None:
    table = table_of([recording()]).assign(start_s=9.9, stop_s=10.4)
    with pytest.raises(DataError, match="leaves the recording"):
        prepare_store([recording()], [], tmp_path).read(table)


def test_the_manifest_states_what_was_done(tmp_path: Path) -> None:
    entry = prepare_store([recording()], [Doubled()], tmp_path).entries[0]
    manifest = json.loads(entry.path.with_suffix(".json").read_text())
    assert manifest["shape"] == [1000, 3] and manifest["dtype"] == "float32"
    assert manifest["steps"][0]["step"] == "doubled" and manifest["rate_hz"] == 100.0


def long_recording(seed: int = 0, **changes: object) -> Recording:
    data = np.random.default_rng(seed).normal(size=(4, 3000))
    return recording(source=ArraySource(data), **changes)


def test_the_fingerprint_is_that_of_the_recording_before_any_step(tmp_path: Path) -> None:
    plain = prepare_store([long_recording()], [], tmp_path).fingerprints[0]
    assert plain.code
    assert prepare_store([long_recording()], [Doubled()], tmp_path).fingerprints[0] == plain


def test_the_fingerprint_is_read_back_from_the_manifest(tmp_path: Path) -> None:
    made = prepare_store([long_recording()], [], tmp_path).fingerprints
    assert prepare_store([long_recording()], [], tmp_path).fingerprints == made


def test_the_manifest_says_why_a_recording_has_no_fingerprint(tmp_path: Path) -> None:
    entry = prepare_store([recording()], [], tmp_path).entries[0]
    manifest = json.loads(entry.path.with_suffix(".json").read_text())
    assert manifest["fingerprint"] == {"absent": "it is shorter than 13 s"}


def test_cut_trials_of_an_older_release_get_the_hashes_they_lack(tmp_path: Path) -> None:
    trials = np.random.default_rng(3).normal(size=(3, 4, 60))
    cut = recording(source=TrialArraySource(trials), continuous=False, start_s=-0.2)
    entry = prepare_store([cut], [], tmp_path).entries[0]
    manifest = entry.path.with_suffix(".json")
    saved = json.loads(manifest.read_text())
    assert saved["fingerprint"].pop("trial_hashes")
    manifest.write_text(json.dumps(saved))
    assert prepare_store([cut], [], tmp_path).entries[0] == entry
    assert json.loads(manifest.read_text())["fingerprint"]["trial_hashes"] == entry.fingerprint.trial_hashes  # type: ignore[union-attr]


def test_entries_of_an_older_release_get_the_fingerprint_they_lack(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    entry = prepare_store([long_recording()], [], tmp_path).entries[0]
    manifest = entry.path.with_suffix(".json")
    saved = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({key: value for key, value in saved.items() if key != "fingerprint"}))
    written = entry.path.stat().st_mtime_ns
    with caplog.at_level("INFO", logger="brain_decode"):
        again = prepare_store([long_recording()], [], tmp_path)
    assert "was prepared by an older release; its fingerprint is added" in caplog.text
    assert again.fingerprints == [entry.fingerprint]
    assert json.loads(manifest.read_text()) == saved and entry.path.stat().st_mtime_ns == written


def test_cut_trials_have_a_fingerprint(tmp_path: Path) -> None:
    data = np.random.default_rng(0).normal(size=(60, 4, 100))
    events = pd.DataFrame({"onset_s": np.arange(60.0), "duration_s": 0.0, "trial_type": "a"})
    cut = recording(source=TrialArraySource(data), events=events, continuous=False)
    assert prepare_store([cut], [], tmp_path).fingerprints[0].kind == "trials"
