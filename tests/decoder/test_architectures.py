"""The closed look-up of architectures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brain_decode.core.errors import ConfigError
from brain_decode.decoder.architectures import encoder_names, head_names, resolve_encoder, resolve_head
from brain_decode.encoders.base import Encoder
from brain_decode.encoders.tangent_space import TangentSpace
from brain_decode.heads.base import Head
from brain_decode.heads.ridge import Ridge


def test_names_of_files_give_their_classes():
    assert resolve_encoder("tangent_space") is TangentSpace
    assert resolve_head("ridge") is Ridge


@pytest.mark.parametrize("name", encoder_names())
def test_every_encoder_found_is_resolved(name):
    found = resolve_encoder(name)
    assert issubclass(found, Encoder)
    assert found.architecture == name


@pytest.mark.parametrize("name", head_names())
def test_every_head_found_is_resolved(name):
    found = resolve_head(name)
    assert issubclass(found, Head)
    assert found.architecture == name


def test_files_without_an_architecture_are_not_offered():
    assert "base" not in encoder_names()
    with pytest.raises(ConfigError, match="Unknown encoder 'base'"):
        resolve_encoder("base")


def test_a_misspelt_name_gets_the_closest_one():
    with pytest.raises(ConfigError, match="Unknown head 'rige'. Did you mean 'ridge'?"):
        resolve_head("rige")


@pytest.mark.parametrize("name", ["os.system", "brain_decode.encoders.csp.CSP", "../heads/ridge", "", "CSP", None])
def test_python_paths_are_refused(name):
    with pytest.raises(ConfigError, match=r"names its encoder by one lower-case word, got .*refused"):
        resolve_encoder(name)


def test_names_are_listed_without_importing_the_parts(repository: Path):
    program = (
        "import sys; from brain_decode.decoder.architectures import encoder_names; encoder_names(); "
        "sys.exit('brain_decode.encoders.tangent_space' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=repository, check=False).returncode == 0
