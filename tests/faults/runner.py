# SPDX-License-Identifier: Apache-2.0
"""Plant a fault into a copy of one package, run the checks that should catch it, and say whether they did.

    python tests/faults/runner.py [--list] [NAME ...]

Nothing in the checkout changes: the copy is put first on the path of the child that runs the checks.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120


class Fault(NamedTuple):
    """name: what is wrong, in a few words; package: its folder; old: text that is in its src/ once; new: the faulty text.

    checks: what must fail then: ids for pytest, or "cases FAMILY PATTERN" for cpu_ref's conformance cases.
    """

    name: str
    package: str
    old: str
    new: str
    checks: tuple[str, ...]


class Stale(AssertionError):  # noqa: N818  not an error of the code
    """The catalogue no longer fits the code."""


def place(fault: Fault) -> Path:
    """The file that holds the text to replace, once. Stale if there is not exactly one."""
    source = ROOT / fault.package / "src"
    found = [(file, n) for file in sorted(source.rglob("*.py")) if (n := file.read_text(encoding="utf-8").count(fault.old))]
    if sum(n for _, n in found) != 1:
        places = ", ".join(f"{file.relative_to(ROOT)} ({n})" for file, n in found) or "nowhere"
        raise Stale(f"{fault.name}: the text to replace is in {places}, wanted once in {fault.package}/src:\n{fault.old}")
    return found[0][0]


def planted(fault: Fault, into: Path) -> Path:
    """Copy the package of *fault* below *into* with the fault in it; the folder to put on the path."""
    source = ROOT / fault.package / "src"
    file = place(fault)
    shutil.copytree(source, into, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "*.so"))
    copy = into / file.relative_to(source)
    copy.write_text(copy.read_text(encoding="utf-8").replace(fault.old, fault.new), encoding="utf-8")
    return into


def run_checks(checks: Iterable[str], path: Path | None = None) -> tuple[bool, str]:
    """Whether all *checks* pass with *path* first on the path, and what was printed."""
    # pytest's plugins are not needed, and take longer to load than most checks to run
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    if path is not None:
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(path), os.environ.get("PYTHONPATH", "")]))
    passed, said = True, []
    for command in _commands(list(checks)):
        try:
            done = subprocess.run(
                [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        except subprocess.TimeoutExpired:
            return False, f"no end after {PATIENCE_S} s"
        said.append(done.stdout[-3000:] + done.stderr[-2000:])
        if done.returncode not in (0, 1):  # 2 and up: nothing ran, so nothing was caught
            raise Stale(f"{' '.join(command)} ended with {done.returncode}:\n{said[-1]}")
        passed &= done.returncode == 0
        if not passed:
            break
    return passed, "\n".join(said)


def _commands(checks: list[str]) -> list[list[str]]:
    tests = [c for c in checks if not c.startswith("cases ")]
    commands = []
    for _, family, pattern in (c.split(" ", 2) for c in checks if c.startswith("cases ")):
        commands.append(["-m", "sodalite_testkit", "cpu_ref", pattern, "--family", family, "--first"])
    if tests:
        commands.append(["-m", "pytest", "-x", "-q", *tests])
    return commands


def caught(fault: Fault) -> tuple[bool, str]:
    """Whether the checks of *fault* fail once it is planted, and what they printed."""
    with tempfile.TemporaryDirectory(prefix="fault-") as folder:
        passed, said = run_checks(fault.checks, planted(fault, Path(folder) / "src"))
    return not passed, said


def main() -> int:
    from catalogue import FAULTS  # noqa: PLC0415  it imports Fault from here

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="print the faults and where they are planted")
    parser.add_argument("name", nargs="*", help="only faults whose name holds one of these words")
    given = parser.parse_args()
    chosen = [f for f in FAULTS if not given.name or any(part in f.name for part in given.name)]
    missed = 0
    for fault in chosen:
        if given.list:
            print(f"{fault.name}: {place(fault).relative_to(ROOT)}")
            continue
        start = time.perf_counter()
        try:
            found, said = caught(fault)
        except (Stale, OSError) as why:
            found, said = False, str(why)
        missed += not found
        print(f"{'caught' if found else 'MISSED'} {time.perf_counter() - start:5.1f} s  {fault.name}", flush=True)
        if not found:
            print(said)
    print(f"{len(chosen)} faults" + ("" if given.list else f", {missed} missed"))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.modules.setdefault("runner", sys.modules["__main__"])
    sys.exit(main())
