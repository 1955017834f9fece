"""Find every CPython of this machine that Sodalite supports.

Looked through: the folders on PATH, pyenv's versions, /usr/bin and /usr/local/bin. pyenv's shims are not
interpreters and are passed over. Each interpreter counts once, however many names and links lead to it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

OLDEST = (3, 10)
NAME = re.compile(r"python(3(\.\d+)?)?(\.exe)?")
ASK = (
    "import sys, platform, os;"
    "print(platform.python_implementation(), '%d.%d.%d' % sys.version_info[:3], sys.version_info[3],"
    " getattr(sys, '_is_gil_enabled', lambda: True)(), sep='|');"
    "print(os.path.realpath(getattr(sys, '_base_executable', None) or sys.executable))"
)


@dataclass(frozen=True, order=True)
class Python:
    """One interpreter. version: such as (3, 12, 1)."""

    version: tuple[int, int, int]
    path: Path

    @property
    def series(self) -> tuple[int, int]:
        return self.version[:2]

    @property
    def factor(self) -> str:
        """Its name among tox's factors: py312."""
        return f"py{self.version[0]}{self.version[1]}"

    def __str__(self) -> str:
        return ".".join(map(str, self.version))


def folders(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where to look, in order, without repeats."""
    found = [Path(sys.executable).parent]
    found += [Path(part) for part in environment.get("PATH", "").split(os.pathsep) if part]
    for root in (
        environment.get("PYENV_ROOT"),
        str(Path(environment.get("HOME") or "~").expanduser() / ".pyenv"),
    ):
        if root:
            found += sorted(Path(root).glob("versions/*/bin"))
    found += [Path("/usr/bin"), Path("/usr/local/bin")]
    return [folder for folder in dict.fromkeys(found) if folder.name != "shims" and folder.is_dir()]


def candidates(where: Iterable[Path]) -> Iterator[Path]:
    """Files that are named like an interpreter, each once."""
    seen = set()
    for folder in where:
        for path in sorted(folder.glob("python*")):
            if NAME.fullmatch(path.name) and path.is_file() and os.access(path, os.X_OK):
                real = path.resolve()
                if real not in seen:
                    seen.add(real)
                    yield path


def ask(path: Path) -> Python | str | None:
    """The interpreter behind *path*; None if it is not one that is supported; a text if it does not start."""
    try:
        done = subprocess.run(
            [str(path), "-I", "-c", ASK], capture_output=True, text=True, timeout=60, check=False
        )  # -I fails on Python 2, which is not wanted either
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != 2:
        said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return None if "Unknown option: -I" in done.stderr else said
    implementation, version, level, threading = lines[0].split("|")
    numbers = tuple(int(part) for part in version.split("."))
    if implementation != "CPython" or level != "final" or threading != "True" or numbers[:2] < OLDEST:
        return None
    return Python((numbers[0], numbers[1], numbers[2]), Path(lines[1]))


def find(where: Iterable[Path] | None = None) -> tuple[list[Python], list[tuple[Path, str]]]:
    """Every supported CPython, oldest first, and the files that look like one but do not start, with what they said.

    Pre-releases and free-threaded builds are not supported and are left out.
    """
    found: dict[Path, Python] = {}
    broken = []
    for path in candidates(folders() if where is None else where):
        answer = ask(path)
        if isinstance(answer, Python):
            found.setdefault(answer.path, answer)
        elif isinstance(answer, str):
            broken.append((path, answer))
    return sorted(found.values()), broken


if __name__ == "__main__":
    pythons, silent = find()
    for python in pythons:
        print(f"{python!s:8} {python.path}")
    for file, why in silent:
        print(f"{'':8} {file}: does not start: {why}")
