"""Check the installation, a recording against a decoder, or a dataset and what training on it will cost."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig

CONFIG = "doctor"

_BANNED = ("torchvision", "torchaudio")  # their registry wheels are CUDA builds that break imports beside a CPU torch
_FOR_DEVELOPERS = ("all", "dev", "test")
_REQUIREMENT = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?([^;]*)(?:;.*extra == ['\"]([\w-]+)['\"])?")


def run(config: DictConfig, folder: Path) -> int:
    """Print what is there and what is missing; returns 1 where a dataset breaks its facts.

    Raises:
        ConfigError: A package the core needs is absent or of another version.
    """
    if config.get("checkpoint") or config.get("input"):
        from brain_decode.cli.recording_check import check_recording

        check_recording(config)
        return 0
    if config.get("datasets"):
        return _check_dataset(config)
    _check_installation()
    return 0


def _check_dataset(config: DictConfig) -> int:
    from rich.console import Console
    from rich.table import Table

    from brain_decode.reports.html import write_report
    from brain_decode.training.costs import predict_costs
    from brain_decode.training.inspecting import inspect_datasets

    console = Console(highlight=False, soft_wrap=True)
    found = inspect_datasets(config)
    for line in (*found.lines, *(f"broken fact: {said}" for said in found.disagreements)):
        console.print(line, markup=False)
    if found.loaded is None:
        return 1
    prediction = predict_costs(config, found.loaded, write_report)
    table = Table(title="What it will take", title_justify="left")
    for column in ("command", "disk", "memory", "time"):
        table.add_column(column)
    for name, cost in (("prepare", prediction.prepare), ("train, once prepared", prediction.train)):
        least, most = cost.seconds
        time = _duration(least) if most < 1.05 * least else f"{_duration(least)} to {_duration(most)}"
        table.add_row(name, _size(cost.disk_mb), _size(cost.memory_mb), time)
    console.print(table)
    for line in prediction.assumptions:
        console.print(line, markup=False)
    return 0


def _size(megabytes: float) -> str:
    return f"{megabytes / 1024:.1f} GiB" if megabytes >= 1024 else f"{megabytes:.3g} MiB"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _check_installation() -> None:
    from rich.console import Console

    from brain_decode.core.errors import ConfigError

    console = Console(highlight=False, soft_wrap=True)
    faults, extras = _packages()
    for line in (*_machine(), _catalogue(), *extras, *_banned()):
        console.print(line, markup=False)
    if faults:
        raise ConfigError(f"The installation lacks {', '.join(faults)}. Install brain_decode again.")
    console.print("The installation is complete.")


def _packages() -> tuple[list[str], list[str]]:
    """Return the faults of the core and one line per extra."""
    faults: list[str] = []
    extras: dict[str, list[str]] = {}
    for requirement in _requirements():
        match = _REQUIREMENT.match(requirement)
        if match is None or match.group(1) == "brain_decode":
            continue
        name, wanted, extra = match.group(1), match.group(2).strip(" ()"), match.group(3)
        missing = not _is_satisfied(name, wanted)
        if extra is None and missing:
            faults.append(f"{name}{wanted}")
        elif extra is not None and extra not in _FOR_DEVELOPERS:
            extras.setdefault(extra, []).extend([name] if missing else [])
    return faults, [_extra_line(name, missing) for name, missing in sorted(extras.items())]


def _requirements() -> list[str]:
    from brain_decode.core.errors import ConfigError

    try:
        return importlib.metadata.requires("brain_decode") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise ConfigError("brain_decode runs from a folder, not installed. Run pip install -e . there.") from error


def _is_satisfied(name: str, wanted: str) -> bool:
    from packaging.specifiers import SpecifierSet

    try:
        return SpecifierSet(wanted).contains(importlib.metadata.version(name), prereleases=True)
    except importlib.metadata.PackageNotFoundError:
        return False


def _extra_line(name: str, missing: list[str]) -> str:
    if not missing:
        return f"extra {name}: installed"
    return f"extra {name}: not installed ({', '.join(missing)}); pip install 'brain_decode[{name}]'"


def _machine() -> list[str]:
    import torch

    free_gib = shutil.disk_usage(Path.cwd()).free / 2**30
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return [
        f"python {sys.version.split()[0]}, torch {torch.__version__}, graphics card: {device}",
        f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, {memory_gib:.1f} GiB memory, "
        f"{free_gib:.1f} GiB free here",
        f"bfloat16: {_bfloat16()}",
    ]


def _bfloat16() -> str:
    import torch

    if torch.cuda.is_available():
        return "on the graphics card" if torch.cuda.is_bf16_supported() else "not on this graphics card"
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "not known for this processor"
    if "amx_bf16" in flags or "avx512_bf16" in flags:
        return "fast on this processor (trainer=cpu_bf16)"
    return "works on this processor without being faster"


def _catalogue() -> str:
    from brain_decode.core.resources import catalogue_root

    root = catalogue_root()
    counts = [f"{len(list((root / name).rglob('*.yaml')))} in {name}/" for name in ("conf", "datasets", "tokenizers")]
    return f"catalogue: {', '.join(counts)}"


def _banned() -> list[str]:
    found = []
    for name in _BANNED:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        found.append(f"warning: {name} {version} is installed; with a CPU torch it breaks imports. Remove it.")
    return found
