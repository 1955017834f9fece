"""``import sodalite``: what it costs, what it offers, and ``python -m sodalite``."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
import sodalite


def _python(code, *flags):
    done = subprocess.run(
        [sys.executable, *flags, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert not done.returncode, done.stderr
    return done.stdout


def test_importing_loads_nothing():
    """Neither plugins, the plugin machinery, nor any module of core."""
    code = "import sys, sodalite; print(*(m for m in sys.modules if m.split('.')[0] in ('sodalite', 'pluggy', 'numpy')))"
    assert _python(code).split() == ["sodalite"]


@pytest.mark.slow
def test_importing_is_cheap():
    """At most 10 ms of CPU after numpy."""
    code = "import time, numpy; t = time.process_time(); import sodalite; print(time.process_time() - t)"
    assert min(float(_python(code)) for _ in range(5)) < 0.010


@pytest.mark.parametrize("name", sodalite.__all__)
def test_every_public_name_is_there(name):
    """And is found by dir()."""
    assert getattr(sodalite, name) is getattr(sodalite, name)
    assert name in dir(sodalite)


def test_an_unknown_name():
    """The error lists the names there are."""
    with pytest.raises(
        AttributeError, match=r"module 'sodalite' has no attribute 'Interpeter'; it has .*Interpreter"
    ):
        sodalite.Interpeter  # noqa: B018


def test_version():
    """One number, in the package and in its metadata."""
    assert sodalite.__version__ == metadata.version("sodalite")


def test_the_command_without_tools(monkeypatch, capsys):
    """It says what to install, and ends with 2."""
    from sodalite import __main__

    monkeypatch.setitem(sys.modules, "sodalite_tools", None)
    monkeypatch.setitem(sys.modules, "sodalite_tools.main", None)
    assert __main__.main() == 2
    assert (
        capsys.readouterr().err == "the sodalite command is in another package: pip install sodalite-tools\n"
    )
