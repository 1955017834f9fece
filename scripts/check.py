"""`make test`: every check of the repository, on every Python of this machine.

The newest Python that the test oracle (ai-edge-litert) has wheels for runs everything: each package alone, all
together, ruff, mypy, sizes. Every other one runs the unit tests, and one 3.10 or 3.11 runs them with the oldest
dependencies that are claimed to do. Ends with a table, the Pythons that ran and one line of totals; exit code 1 if
anything failed, if a Python that was found did not run, or if an environment ran no test.

    python scripts/check.py [--only ENVIRONMENT,...] [-- PYTEST ARGUMENTS]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pythons
import tables
from environment import make_runner
from siblings import ROOT, Trouble, packages, read_json

ORACLE = frozenset({(3, 10), (3, 11), (3, 12), (3, 13), (3, 14)})  # ai-edge-litert 2.3 has wheels for these
OLDEST = frozenset({(3, 10), (3, 11)})  # the oldest numpy that is claimed has wheels for these
WITHOUT_TESTS = frozenset({"lint", "types", "size"})
TOX = "tox>=4.21,<5"


@dataclass(frozen=True)
class Plan:
    """Which Python does what."""

    whole: pythons.Python
    units: tuple[pythons.Python, ...]
    oldest: pythons.Python | None
    twins: tuple[pythons.Python, ...]  # of a series that another one stands for


def plan(found: Sequence[pythons.Python]) -> Plan:
    """Share the work out among *found* (not empty, sorted)."""
    newest = {python.series: python for python in found}  # the last of a series is its newest
    whole = max((p for p in newest.values() if p.series in ORACLE), default=max(newest.values()))
    units = tuple(python for python in newest.values() if python is not whole)
    spare = [python for python in found if python not in newest.values()]
    able = [python for python in spare if python.series in OLDEST] or [
        p for p in newest.values() if p.series in OLDEST
    ]
    oldest = able[-1] if able else None
    return Plan(whole, units, oldest, tuple(python for python in spare if python is not oldest))


def environments(work: Plan, keys: Sequence[str]) -> list[str]:
    """The tox environments to run; the longest first, so that none is left over at the end."""
    names = ["mixed", *keys, *(python.factor for python in work.units), "types", "lint", "size"]
    if work.oldest:
        names.insert(1, "oldest")
    return names


@dataclass
class Outcome:
    """How one environment went."""

    name: str
    python: str = "-"
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    wrong: str = ""
    reasons: Counter[str] = field(default_factory=Counter)


def outcome(name: str, report: Path, result: dict[str, object] | None) -> Outcome:
    """Read what pytest (*report*, JUnit XML) and tox (*result*, its JSON for the environment) say of *name*."""
    found = Outcome(name)
    if result is None:
        found.wrong = "did not run"
        return found
    information = result.get("python")
    if isinstance(information, dict):
        found.python = ".".join(map(str, information.get("version_info", ["-"])[:3]))
    commands = [c for kind in ("setup", "test") for c in result.get(kind) or []]  # type: ignore[attr-defined]
    found.seconds = sum(float(command.get("elapsed", 0)) for command in commands)
    if any(command.get("retcode") for command in commands):
        found.wrong = "failed"
    if name in WITHOUT_TESTS:
        return found
    try:
        suites = ET.parse(report).getroot().iter("testsuite")
        for suite in suites:
            count = {key: int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")}
            found.failed += count["failures"] + count["errors"]
            found.skipped += count["skipped"]
            found.passed += count["tests"] - count["failures"] - count["errors"] - count["skipped"]
            for skip in suite.iter("skipped"):
                if skip.get("type") != "pytest.xfail":
                    found.reasons[(skip.get("message") or "no reason").split("\n")[0]] += 1
    except (OSError, ET.ParseError):
        found.wrong = "left no report"
    if found.failed:
        found.wrong = "failed"
    elif not found.wrong and not found.passed:
        found.wrong = "ran no test"
    return found


def table(outcomes: Sequence[Outcome]) -> str:
    lines = [f"{'environment':12} {'python':8} {'passed':>7} {'failed':>7} {'skipped':>7} {'seconds':>8}"]
    for o in outcomes:
        counts = (
            f"{'':7} {'':7} {'':7}" if o.name in WITHOUT_TESTS else f"{o.passed:7} {o.failed:7} {o.skipped:7}"
        )
        lines.append(f"{o.name:12} {o.python:8} {counts} {o.seconds:8.1f}  {o.wrong.upper() or 'ok'}")
    return "\n".join(lines)


def coverage(records: Sequence[Path]) -> str:
    """What to do if docs/coverage.md does not say what conformance tests recorded; "" if it does."""
    page = ROOT / "docs" / "coverage.md"
    if not tables.update(page, {"coverage": lambda: tables.coverage_table(records)}, write=False):
        return ""
    return f"{page.relative_to(ROOT)} is not what ran: python scripts/tables.py --write --record .tox/reports/*.jsonl"


def main(arguments: Sequence[str]) -> int:
    started = time.monotonic()
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    options, rest = list(arguments[:cut]), list(arguments[cut + 1 :])
    found, broken = pythons.find()
    if not found:
        raise Trouble(
            "no released CPython 3.10 or later was found on PATH, in pyenv's versions, /usr/bin or /usr/local/bin"
        )
    work = plan(found)
    print("CPython on this machine:")
    for python in found:
        roles = ["everything"] * (python is work.whole) + ["unit tests"] * (python in work.units)
        roles += ["unit tests with the oldest dependencies"] * (python is work.oldest)
        print(f"  {python!s:8} {python.path}: {' and '.join(roles) or 'another one of its series runs'}")
    for path, why in broken:
        print(f"  {'?':8} {path}: does not start: {why}")
    if work.oldest is None:
        print("  the oldest dependencies are not tested: they need Python 3.10 or 3.11")
    sys.stdout.flush()

    runner, settings = make_runner(ROOT / ".tox" / "runner", TOX)
    reports = ROOT / ".tox" / "reports"
    shutil.rmtree(reports, ignore_errors=True)
    reports.mkdir(parents=True)
    environment = {
        **os.environ, **settings,
        "SODALITE_PYTHON": str(work.whole.path), "SODALITE_OLDEST": str((work.oldest or work.whole).path),
        "SODALITE_REPORTS": str(reports),
    }  # fmt: skip
    # Once, before environments that run side by side would each do it
    subprocess.run([str(runner), str(ROOT / "scripts" / "siblings.py"), "build"], env=environment, check=True)
    names = environments(work, list(packages()))
    if "--only" in options:
        names = options[options.index("--only") + 1].split(",")
    result = reports / "tox.json"
    command = [str(runner), "-m", "tox", "run-parallel", "--parallel", "2", "--parallel-no-spinner"]
    command += [
        "--result-json",
        str(result),
        "-e",
        ",".join(names),
        "--discover",
        *(str(p.path) for p in (work.whole, *work.units, *found)),
    ]
    done = subprocess.run(
        [*command, *(["--", *rest] if rest else [])], cwd=ROOT, env=environment, check=False
    )
    by_name = read_json(result).get("testenvs", {})
    outcomes = [outcome(name, reports / f"{name}.xml", by_name.get(name)) for name in names]
    wrong = [o for o in outcomes if o.wrong]
    print(f"\n{table(outcomes)}")
    reasons = sum((o.reasons for o in outcomes), Counter())
    for reason, count in reasons.most_common():
        print(f"skipped {count:4}: {reason}")
    covered = coverage(sorted(reports.glob("*.jsonl"))) if "cpu_ref" in names and not rest else ""
    ran = {o.python for o in outcomes}
    expected = {str(p) for p in (work.whole, *work.units)} | ({str(work.oldest)} if work.oldest else set())
    missing = sorted(expected - ran) if "--only" not in options else []
    print(f"ran on CPython {', '.join(sorted(ran - {'-'}, key=lambda v: tuple(map(int, v.split('.')))))}"
          f" in {time.monotonic() - started:.0f} s")  # fmt: skip
    if not by_name:
        print(f"FAILED: tox left no result and ended with exit code {done.returncode} (below 0: a signal ended it)")
    if missing:
        print(f"FAILED: found, but not run: {', '.join(missing)}")
    if wrong:
        print(
            f"FAILED: {', '.join(f'{o.name} {o.wrong}' for o in wrong)}; see above, or: .tox/runner/bin/tox -e {wrong[0].name}"
        )
    if covered:
        print(f"FAILED: {covered}")
    passed, failed, skipped = (
        sum(getattr(o, kind) for o in outcomes) for kind in ("passed", "failed", "skipped")
    )
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if done.returncode or wrong or missing or covered or not passed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print(f"make test: {trouble}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
