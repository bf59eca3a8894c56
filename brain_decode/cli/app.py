"""The `brain-decode` program: finds the command, composes its configuration, runs it, and says errors in one line."""

from __future__ import annotations

import errno
import importlib.util
import os
import sys
from collections.abc import Sequence

from brain_decode import __version__
from brain_decode.cli.commands import Command, find_commands
from brain_decode.core.errors import BrainDecodeError, ConfigError, did_you_mean

__all__ = ["DEBUG_VARIABLE", "main"]

DEBUG_VARIABLE = "BRAIN_DECODE_DEBUG"
_FAILED, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130
_STORAGE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENODEV, errno.ESTALE)
_MULTIRUN = ("--multirun", "-m")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Returns:
        0 done; 1 the run failed; 2 the command line cannot be used; 130 interrupted.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _dispatch(words)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away; keep Python from complaining when it flushes on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except BrainDecodeError as error:
        return _report(error, _FAILED)
    except OSError as error:
        if error.errno not in _STORAGE_FAULTS:
            raise
        from brain_decode.core.files import storage_error

        return _report(storage_error(error.filename or "a file", error), _FAILED)


def _dispatch(words: Sequence[str]) -> int:
    commands = find_commands()
    if not words or words[0] in ("--help", "-h", "help"):
        from brain_decode.cli.command_help import overview

        sys.stdout.write(overview(commands, __version__))
        return 0 if words else _WRONG_USAGE
    if words[0] in ("--version", "-V"):
        sys.stdout.write(f"brain-decode {__version__}\n")
        return 0
    if words[0] not in commands:
        guess = did_you_mean(words[0], commands)
        sys.stderr.write(f"Unknown command '{words[0]}'.{guess} `brain-decode --help` lists the commands.\n")
        return _WRONG_USAGE
    return _run_command(commands[words[0]], words[1:])


def _run_command(command: Command, words: Sequence[str]) -> int:
    if any(word in ("--help", "-h") for word in words):
        from brain_decode.cli.command_help import command_help

        sys.stdout.write(command_help(command))
        return 0
    unknown = [word for word in words if word.startswith("-") and word not in _MULTIRUN]
    if unknown:
        sys.stderr.write(f"Unknown option '{unknown[0]}'. Words are written WORD=VALUE; options: --multirun, --help.\n")
        return _WRONG_USAGE
    _settle_process()
    from brain_decode.cli.jobs import run_once, run_sweep

    overrides = [word for word in words if word not in _MULTIRUN]
    try:
        run = run_sweep if len(overrides) < len(words) else run_once
        return run(command, overrides)
    except ConfigError as error:
        return _report(error, _WRONG_USAGE)


def _settle_process() -> None:
    """Quieten the libraries and keep freed memory, before anything heavy is imported."""
    from brain_decode.core.log import set_up_logging

    set_up_logging()
    if importlib.util.find_spec("brain_decode.core.allocator") is not None:
        importlib.import_module("brain_decode.core.allocator").keep_heap()


def _report(error: BrainDecodeError, code: int) -> int:
    if os.environ.get(DEBUG_VARIABLE) == "1":
        raise error
    sys.stderr.write(f"{type(error).__name__}: {' '.join(str(error).split())}\n")
    return code
