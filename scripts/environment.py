"""A virtual environment to build and test from, and uv in it where it can be had (it installs in a tenth of the time)."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from siblings import Trouble, advice, tail


def executable(folder: Path, name: str = "python") -> Path:
    """The program called *name* of the environment in *folder*."""
    return folder / ("Scripts" if os.name == "nt" else "bin") / (f"{name}.exe" if os.name == "nt" else name)


def answers(program: Path) -> bool:
    """Whether *program* starts; a virtual environment stops working when its Python is removed."""
    try:
        done = subprocess.run(
            [str(program), "-c", "import pip"], capture_output=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def make_environment(folder: Path) -> Path:
    """A virtual environment of this Python in *folder*, made unless it is there and works; its python."""
    python = executable(folder)
    if answers(python):
        return python
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "venv", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode or not answers(python):
        shutil.rmtree(folder, ignore_errors=True)
        raise Trouble(
            f"{sys.executable} cannot make a virtual environment\n{tail(done.stdout)}\n{venv_advice()}"
        )
    return python


def venv_advice() -> str:
    series = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (
        f"its module venv or ensurepip is missing: on Debian and Ubuntu, apt install python{series}-venv;\n"
        "elsewhere install Python from python.org or your system's packages. Another Python is used with\n"
        "make PYTHON=/path/to/python3 ..."
    )


def pip(python: Path, *arguments: str) -> None:
    """pip install in the environment of *python*; Trouble with advice if it fails."""
    done = subprocess.run(
        [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise Trouble(f"pip install {' '.join(arguments)} failed\n{tail(done.stdout)}\n{advice(done.stdout)}")


def uv_settings(pip_config: str) -> dict[str, str]:
    """The environment variables that make uv use the indexes and certificates that *pip_config* names.

    pip_config: what `pip config list` prints: lines such as global.index-url='https://...'. A later line wins, and
    a setting of the environment (":env:.") wins over all.
    """
    lines = re.findall(r"^(:env:|global|install)\.([a-z-]+)=('.*'|\".*\")$", pip_config, re.MULTILINE)
    lines.sort(key=lambda line: ("global", "install", ":env:").index(line[0]))
    found = {name: str(ast.literal_eval(value)) for _, name, value in lines}
    settings = {}
    if found.get("index-url"):
        settings["UV_DEFAULT_INDEX"] = found["index-url"]
    if found.get("extra-index-url"):
        settings["UV_INDEX"] = " ".join(found["extra-index-url"].split())
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's rule: the best of all indexes
    if found.get("find-links"):
        settings["UV_FIND_LINKS"] = ",".join(found["find-links"].split())
    if found.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        settings["UV_NO_INDEX"] = "1"
    if found.get("cert"):
        settings["SSL_CERT_FILE"] = found["cert"]
    return settings


def make_runner(folder: Path, requirement: str) -> tuple[Path, dict[str, str]]:
    """An environment with *requirement* (and uv, if that can be had) in *folder*.

    Returns its python, and the environment variables for what is started from it: SODALITE_UV and uv's settings
    where uv is there and reaches the same indexes as pip; none otherwise, or if SODALITE_UV=0.
    """
    python = make_environment(folder)
    name = re.split(r"[<>=~!]", requirement)[0]
    settings: dict[str, str] = {}
    if os.environ.get("SODALITE_UV") != "0":
        uv = executable(folder, "uv")
        if not uv.exists():
            subprocess.run(
                [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "uv"],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        config = subprocess.run(
            [str(python), "-m", "pip", "config", "list"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            check=False,
        )
        settings = {"SODALITE_UV": str(uv), **uv_settings(config.stdout)}
        done = None
        if uv.exists():
            done = subprocess.run(
                [str(uv), "pip", "install", "--quiet", "--python", str(python), requirement],
                env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
            )  # fmt: skip
        if done is not None and done.returncode == 0:
            return python, settings
    if not executable(folder, name).exists():
        pip(python, requirement)
    return python, {"SODALITE_UV": ""}
