"""Wheel, sdist and editable install carry the catalogue, and nothing of the checkout shadows installed packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from itertools import chain
from pathlib import Path

import pytest

FOLDERS = ("conf", "datasets", "tokenizers")
SHOW_CATALOGUE = (
    "import json, sys, brain_decode; from brain_decode.core.resources import catalogue_root; root = catalogue_root(); "
    "print(json.dumps([brain_decode.__file__, str(root), sorted(sys.path), "
    "(root / 'conf' / 'train.yaml').is_file(), (root / 'datasets').is_dir(), (root / 'tokenizers').is_dir()]))"
)


def run_python(code: str, folder: Path, *options: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    command = [sys.executable, *options, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", ["tokenizers", "huggingface_hub"])
def test_installed_packages_are_found_when_python_starts_in_the_root(repository: Path, name: str) -> None:
    shown = run_python(f"import {name}; print({name}.__file__)", repository)
    assert Path(shown).is_relative_to(sysconfig.get_paths()["purelib"])


def test_transformers_finds_its_tokenizers_in_the_root(repository: Path) -> None:
    code = "from tokenizers import Tokenizer; from transformers import PreTrainedTokenizerFast; print('found')"
    assert run_python(code, repository) == "found"


def test_importing_the_package_loads_neither_torch_nor_mne(repository: Path) -> None:
    heavy = "{'torch', 'mne', 'numpy', 'hydra', 'lightning'}"
    assert run_python(f"import sys, brain_decode; print({heavy} & set(sys.modules))", repository) == "set()"


def test_listing_commands_loads_nothing_heavy(repository: Path) -> None:
    heavy = "{'torch', 'mne', 'hydra', 'numpy'}"
    code = f"import sys; from brain_decode.cli.app import main; main(['--help']); print({heavy} & set(sys.modules))"
    assert run_python(code, repository).splitlines()[-1] == "set()"


@pytest.mark.parametrize("folder", [*FOLDERS, "tests"])
def test_declarative_folders_and_tests_are_no_packages(repository: Path, folder: str) -> None:
    assert list((repository / folder).rglob("__init__.py")) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_declarative_folders_hold_only_yaml_and_markdown(repository: Path, folder: str) -> None:
    others = [
        path for path in (repository / folder).rglob("*") if path.is_file() and path.suffix not in (".yaml", ".md")
    ]
    assert others == []


def test_the_cap_that_keeps_torch_small_is_there(repository: Path) -> None:
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert any(line.startswith("torch") and "<2.14" in line for line in project["dependencies"])
    everything = [*project["dependencies"], *chain.from_iterable(project["optional-dependencies"].values())]
    for banned in (
        "torchvision",
        "torchaudio",
        "open_clip",
        "lpips",
        "timm",
        "torch-fidelity",
        "litdata",
        "braindecode",
    ):
        assert not any(line.startswith(banned) for line in everything)


@pytest.fixture(scope="module")
def distributions(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An sdist of the checkout, a wheel of the checkout, and a wheel of the unpacked sdist."""
    folder = tmp_path_factory.mktemp("distributions")
    sdist = build(repository, folder / "sdist", "--sdist")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder / "unpacked", filter="data")
    unpacked = next((folder / "unpacked").iterdir())
    return {
        "sdist": sdist,
        "wheel": build(repository, folder / "wheel", "--wheel"),
        "wheel of the sdist": build(unpacked, folder / "again", "--wheel"),
    }


def build(source: Path, target: Path, kind: str) -> Path:
    command = [sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", str(target), str(source)]
    done = subprocess.run(command, cwd=target.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(target.iterdir())


def install(folder: Path, *words: str) -> Path:
    """Make an environment that sees this one's libraries but not this one's brain_decode, and return its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(run_with(python, "import sysconfig; print(sysconfig.get_paths()['purelib'])", folder))
    libraries = folder / "libraries"
    libraries.mkdir()
    for path in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "brain_decode" not in path.name and path.suffix != ".pth":
            (libraries / path.name).symlink_to(path)
    (site / "0_libraries.pth").write_text(f"{libraries}\n")
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        *words,
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return python


def run_with(python: Path, code: str, folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    done = subprocess.run(
        [str(python), "-c", code], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def catalogue_files(repository: Path) -> set[str]:
    found = {path.relative_to(repository).as_posix() for name in FOLDERS for path in (repository / name).rglob("*")}
    return {name for name in found if name.endswith((".yaml", ".md"))}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "wheel of the sdist"])
def test_wheels_carry_the_whole_catalogue(repository: Path, distributions: dict[str, Path], kind: str) -> None:
    names = set(zipfile.ZipFile(distributions[kind]).namelist())
    assert {f"brain_decode/_catalogue/{name}" for name in catalogue_files(repository)} <= names
    assert not any(name.startswith(("conf/", "datasets/", "tokenizers/", "tests/", "scripts/")) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "wheel of the sdist"])
def test_wheels_carry_the_shipped_weights(repository: Path, distributions: dict[str, Path], kind: str) -> None:
    names = set(zipfile.ZipFile(distributions[kind]).namelist())
    shipped = [path for path in (repository / "brain_decode").glob("*/weights/*/*") if path.is_file()]
    assert {path.suffix for path in shipped} == {".json", ".md", ".safetensors"}
    assert {path.relative_to(repository).as_posix() for path in shipped} <= names


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sdist", "wheel", "wheel of the sdist"])
def test_installed_distributions_find_the_catalogue(
    distributions: dict[str, Path], tmp_path: Path, repository: Path, kind: str
) -> None:
    python = install(tmp_path / "environment", str(distributions[kind]))
    module, root, _, *found = json.loads(run_with(python, SHOW_CATALOGUE, tmp_path))
    assert not Path(module).is_relative_to(repository)
    assert Path(root) == Path(module).parent / "_catalogue"
    assert found == [True, True, True]
    program = python.parent / "brain-decode"
    assert subprocess.run([program, "doctor", "--help"], cwd=tmp_path, check=False, capture_output=True).returncode == 0


@pytest.mark.slow
def test_an_editable_install_finds_the_catalogue_and_hides_the_root(repository: Path, tmp_path: Path) -> None:
    python = install(tmp_path / "environment", "-e", str(repository))
    module, root, path, *found = json.loads(run_with(python, SHOW_CATALOGUE, tmp_path))
    assert Path(module) == repository / "brain_decode" / "__init__.py"
    assert Path(root) == repository
    assert found == [True, True, True]
    assert str(repository) not in path
    code = "import importlib.util as u; print([u.find_spec(name) for name in ('conf', 'tests', 'scripts')])"
    assert run_with(python, code, tmp_path) == "[None, None, None]"
    assert run_with(python, "import tokenizers; print(hasattr(tokenizers, 'Tokenizer'))", repository) == "True"
