"""Every file format opens as one recording, or says in one sentence why not."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from brain_decode.core.errors import DataError
from brain_decode.datasets.arrays import ArrayDataset
from brain_decode.datasets.bids import BidsDataset
from brain_decode.datasets.formats import open_recording
from brain_decode.signals.recording import Entities

pytestmark = pytest.mark.real_data

# path: channels, rate, seconds, channel types, events
OPENS = {
    "ecog_mne_sample/sample_ecog_ieeg.fif": (394, 160.0, 0.71, {"ecog": 320, "seeg": 74}, 0),
    "eeg_sleep_snippets/data_resting_EO_200Hz_raw.fif": (2, 200.0, 360.0, {"eeg": 2}, 0),
    "format_zoo/bids_eeglab/derivatives/eeglab/sub-S1/ses-01/eeg/sub-S1_ses-01_task-Experiment_run-01_eeg.set": (
        15, 256.0, 60.0, {"eeg": 15}, 55,
    ),
    "format_zoo/bids_eeglab/sub-S1/ses-01/eeg/sub-S1_ses-01_task-Experiment_run-01_eeg.edf": (
        16, 256.0, 60.0, {"eeg": 16}, 0,
    ),
    "format_zoo/brainvision/test.vhdr": (32, 1000.0, 7.9, {"eeg": 26, "misc": 6}, 13),
    "format_zoo/bti/exported4D_linux_raw.fif": (250, 1017.25, 0.3, {"mag": 248, "stim": 2}, 0),
    "format_zoo/bti/test_pdf_linux": (280, 1017.25, 0.3, {"mag": 248, "ref_meg": 23, "misc": 7, "stim": 2}, 0),
    "format_zoo/ctf_fif/test_ctf_comp_raw.fif": (
        340, 480.0, 0.5, {"mag": 274, "ref_meg": 29, "misc": 35, "stim": 2}, 0,
    ),
    "format_zoo/edf_bdf/test.bdf": (73, 2048.0, 1.0, {"eeg": 72, "stim": 1}, 0),
    "format_zoo/edf_bdf/test.edf": (139, 512.0, 6.0, {"eeg": 138, "stim": 1}, 5),
    "format_zoo/egi/test_egi.raw": (262, 250.0, 0.31, {"eeg": 256, "stim": 6}, 2),
    "format_zoo/elekta_sss/sample_audvis_trunc_raw_sss.fif": (
        376, 300.307, 1.0, {"grad": 204, "mag": 102, "eeg": 60, "eog": 1, "stim": 9}, 0,
    ),
    "format_zoo/fif/test-ave.fif.gz": (376, 600.615, 0.7, {"grad": 204, "mag": 102, "eeg": 60, "eog": 1, "stim": 9}, 4),
    "format_zoo/kit/test.sqd": (193, 1000.0, 2.0, {"mag": 157, "ref_meg": 3, "misc": 32, "stim": 1}, 0),
    "format_zoo/muse_csv/testmusemonitor.csv": (4, 0.983, 26.4, {"eeg": 4}, 0),
    "format_zoo/nicolet/test_nicolet_raw.data": (29, 256.0, 2.0, {"eeg": 29}, 0),
    "format_zoo/xdf/clock_resets.xdf": (8, 100.0, 278.15, {"eeg": 8}, 91),
    "format_zoo/xdf/minimal.xdf": (3, 10.0, 0.9, {"eeg": 3}, 9),
    "ieeg_hfo_bids/sub-01/ieeg/sub-01_task-interictalsleep_run-01_ieeg.vhdr": (50, 2000.0, 5.0, {"eeg": 50}, 68),
}  # fmt: skip
REFUSED = {
    "eeg_sleep_snippets/data_EOGs_REM_256Hz.npz": "holds plain numbers; their rate, unit and channel names",
    "eeg_sleep_snippets/data_N2_spindles_15sec_200Hz.txt": "ArrayDataset",
    "eeg_sleep_snippets/data_N3_no-spindles_30sec_100Hz.txt": "ArrayDataset",
    "eeg_sleep_snippets/data_full_6hrs_100Hz_hypno_30s.txt": "ArrayDataset",
    "format_zoo/bids_eeglab/derivatives/eeglab/BIDS_test.study": "Give one of the .set files",
    "format_zoo/bids_eeglab/participants.tsv": "is no recording of a known format",
    "format_zoo/brainvision/test.eeg": "Give the .vhdr file",
    "format_zoo/brainvision/test.vmrk": "Give the .vhdr file",
    "format_zoo/bti/test_config_linux": "is no recording of a known format",
    "format_zoo/bti/test_hs_linux": "is no recording of a known format",
    "format_zoo/cnt/test.cnt": "the number of samples in its header does not fit its size",
    "format_zoo/egi/testmff.mff": "8 event values in Events_exported_from_EEGLAB_2.xml, the first 'G2', are no numbers",
    "format_zoo/kit/test_mrk.sqd": "SQD file contains epochs, not raw data",
    "format_zoo/nicolet/test_nicolet_raw.head": "Give the .data file",
    "format_zoo/nifti_gifti/image_10426.nii.gz": "is an image",
    "format_zoo/nifti_gifti/pial_left.gii.gz": "is an image",
    "format_zoo/nifti_gifti/test.annot": "is an image",
    "format_zoo/xdf/empty_streams.xdf": "has no stream of type EEG",
}


@pytest.mark.parametrize("name", OPENS)
def test_a_recording_opens_with_its_channels_rate_and_length(real_data_folder: Path, name: str) -> None:
    if name.endswith(".xdf"):
        pytest.importorskip("pyxdf")
    n_channels, rate_hz, duration_s, types, n_events = OPENS[name]
    recording = open_recording(real_data_folder / name, Entities("01"))
    assert (len(recording.space), dict(Counter(recording.space.types))) == (n_channels, types)
    assert recording.rate_hz == pytest.approx(rate_hz, abs=1e-3)
    assert recording.duration_s == pytest.approx(duration_s, abs=0.05)
    assert len(recording.events) == n_events
    first = recording.read(0, 5) if recording.continuous else recording.read_trials([0])
    brain = first[..., recording.space.decoded_indices(), :]
    assert np.isfinite(brain).all()
    assert np.abs(brain).max() < 0.5  # volts or tesla, never microvolts


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_recording_is_refused_in_one_sentence(real_data_folder: Path, name: str) -> None:
    if name.endswith((".xdf", ".mff")):
        pytest.importorskip("pyxdf" if name.endswith(".xdf") else "mffpy")
    with pytest.raises(DataError, match=REFUSED[name]) as caught:
        open_recording(real_data_folder / name, Entities("01"))
    assert "\n" not in str(caught.value)


def test_a_neuroscan_file_does_not_end_the_process(real_data_folder: Path) -> None:
    path = real_data_folder / "format_zoo" / "cnt" / "test.cnt"
    code = (
        "import sys; from pathlib import Path; from brain_decode.datasets.formats import open_raw\n"
        "try: open_raw(Path(sys.argv[1]))\nexcept Exception as error: print(type(error).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "DataError")


def test_an_mff_folder_opens_once_its_event_values_have_the_right_type(real_data_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("mffpy")
    folder = tmp_path / "copy.mff"
    for source in (real_data_folder / "format_zoo" / "egi" / "testmff.mff").rglob("*.*"):
        target = folder / source.relative_to(real_data_folder / "format_zoo" / "egi" / "testmff.mff")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(re.sub(rb'"long">(?=[A-Za-z])', b'"TEXT">', source.read_bytes()))
    recording = open_recording(folder, Entities("01"))
    assert (Counter(recording.space.types)["eeg"], recording.rate_hz, recording.duration_s) == (257, 250.0, 2.4)


def test_an_xdf_file_that_is_cut_off_keeps_what_is_there_and_notes_it(real_data_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyxdf")
    content = (real_data_folder / "format_zoo" / "xdf" / "clock_resets.xdf").read_bytes()
    (tmp_path / "cut.xdf").write_bytes(content[: len(content) * 6 // 10])
    recording = open_recording(tmp_path / "cut.xdf", Entities("01"))
    assert recording.duration_s == pytest.approx(169.06)
    assert recording.notes[0].startswith("cut.xdf: The file is damaged or cut off: 1 of its parts")


def test_meg_and_eeg_of_one_recording_stay_together_with_their_coils(real_data_folder: Path) -> None:
    path = real_data_folder / "format_zoo" / "elekta_sss" / "sample_audvis_trunc_raw_sss.fif"
    space = open_recording(path, Entities("01")).space
    decoded = space.pick(space.decoded_indices())
    assert Counter(decoded.types) == {"grad": 204, "mag": 102, "eeg": 60}
    assert {coil for coil, kind in zip(decoded.coil_types, decoded.types, strict=True) if kind == "grad"} == {3012}
    assert np.isfinite(decoded.positions_m).all()
    assert np.isfinite(decoded.orientations[np.array(decoded.types) == "mag"]).all()


def test_intracranial_bids_has_its_types_and_events(real_data_folder: Path) -> None:
    recording = BidsDataset(real_data_folder / "ieeg_hfo_bids").recordings()[0]
    assert len(recording.space.decoded_indices()) == 50
    assert set(recording.space.types) <= {"seeg", "ecog"}
    assert len(recording.events) == 68
    assert recording.events["onset_s"].max() < recording.duration_s


def test_a_sidecar_that_states_another_rate_is_named(real_data_folder: Path) -> None:
    folder = real_data_folder / "format_zoo" / "bids_eeglab"
    with pytest.raises(DataError, match="the sidecar states SamplingFrequency 32 Hz, the recording has 256.0 Hz"):
        BidsDataset(folder).recordings()


def test_text_and_arrays_of_sleep_open_by_an_entry(real_data_folder: Path) -> None:
    folder = real_data_folder / "eeg_sleep_snippets"
    spindles = ArrayDataset(
        folder, name="spindles", file="data_N2_spindles_15sec_200Hz.txt", axes=["time"], unit="uV", rate_hz=200.0
    ).recordings()[0]
    assert (len(spindles.space), spindles.duration_s) == (1, 15.0)
    assert 1e-6 < np.abs(spindles.read()).max() < 1e-3
    eyes = ArrayDataset(
        folder, name="eyes", file="data_EOGs_REM_256Hz.npz", data="data", axes=["channel", "time"], unit="uV",
        rate_hz="sf", channel_names="chan", channel_type="eog",
    ).recordings()[0]  # fmt: skip
    assert eyes.rate_hz == 256.0 and eyes.space.names == ("LOC", "ROC")
