"""The command line as a user meets it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from brain_decode import __version__
from brain_decode.cli import app
from brain_decode.cli.commands import find_commands
from brain_decode.core.errors import DataError

COMMANDS = find_commands()


def run_program(repository: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(repository)}
    command = [sys.executable, "-m", "brain_decode", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_help_lists_every_command_with_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS.values():
        assert f"{command.name} " in shown
        assert command.summary in shown


def test_help_takes_less_than_half_a_second(repository: Path) -> None:
    durations = []
    for _ in range(3):
        started = time.perf_counter()
        assert run_program(repository, "--help").returncode == 0
        durations.append(time.perf_counter() - started)
    assert min(durations) < 0.5


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Usage: brain-decode {name}" in shown
    assert f"brain-decode {name}" in shown.split("Examples:")[1]


def test_commands_have_a_summary_and_a_configuration(repository: Path) -> None:
    for command in COMMANDS.values():
        assert command.summary.endswith(".")
        assert (repository / "conf" / f"{command.config}.yaml").is_file()


def test_a_module_without_configuration_is_no_command(tmp_path: Path) -> None:
    (tmp_path / "finish.py").write_text('"""What a run says."""\n')
    (tmp_path / "train.py").write_text('"""Train it.\n\nMore.\n"""\n\nCONFIG = "train"\n')
    found = find_commands(tmp_path)
    assert list(found) == ["train"]
    assert found["train"].summary == "Train it."


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["--version"]) == 0
    assert capsys.readouterr().out == f"brain-decode {__version__}\n"


def test_an_unknown_command_names_the_closest_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["doctr"]) == 2
    assert capsys.readouterr().err.startswith("Unknown command 'doctr'. Did you mean 'doctor'?")


def test_an_unknown_flag_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["doctor", "--fast"]) == 2
    assert "Unknown option '--fast'. Words are written WORD=VALUE" in capsys.readouterr().err


def test_no_command_shows_the_overview_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_an_error_is_one_line_without_a_traceback(
    echo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_with(monkeypatch, DataError("sub-01 has no events.\nAdd an events file."))
    assert echo() == 1
    assert capsys.readouterr().err == "DataError: sub-01 has no events. Add an events file.\n"


def test_debugging_shows_the_traceback(echo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(app.DEBUG_VARIABLE, "1")
    fail_with(monkeypatch, DataError("sub-01 has no events."))
    with pytest.raises(DataError):
        echo()


def test_an_interrupt_ends_quietly(echo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    assert echo() == 130
    assert capsys.readouterr().err == ""


def test_a_full_disk_is_one_line(echo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fail_with(monkeypatch, OSError(28, "No space left on device", "weights.bin"))
    assert echo() == 1
    assert capsys.readouterr().err.startswith("StorageError: Cannot write 'weights.bin': the disk is full.")


class _Failing:
    """Stands for a command's `run`."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, config: object, folder: Path) -> None:
        raise self.error


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    monkeypatch.setattr(sys.modules["brain_decode.cli.echo"], "run", _Failing(error))
