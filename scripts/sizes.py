"""The sizes of the wheels as built, against the budgets; and what the smallest installation needs.

python scripts/sizes.py     # build, print the table, exit code 1 if something is over its budget
"""

from __future__ import annotations

import sys
import zipfile
from email.parser import Parser
from pathlib import Path

from siblings import Trouble, build, closure, packages, requirement_name

# Bytes of wheels that are installed together: what people who had a tiny interpreter count on keeping
BUDGETS = (
    (("schema", "core"), 70_000, "the interpreter without operators"),
    (("schema", "core", "cpu_ref"), 300_000, "the interpreter with all operators"),
)
THIRD_PARTY = frozenset({"numpy", "pluggy", "flatbuffers"})


def sizes(wheel: Path) -> tuple[int, int]:
    """Bytes of the wheel, and of its files when unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        return wheel.stat().st_size, sum(info.file_size for info in archive.infolist())


def needs(wheel: Path) -> set[str]:
    """The projects that a wheel's metadata names without an extra."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    lines = metadata.get_all("Requires-Dist") or []
    return {requirement_name(line) for line in lines if "extra ==" not in line}


def main() -> int:
    known = packages()
    wheels = build(quiet=True)
    measured = {key: sizes(wheel) for key, wheel in wheels.items()}
    width = max(len(package.name) for package in known.values())
    print(f"{'package':{width}} {'wheel':>9} {'unpacked':>10}")
    for key, (packed, unpacked) in measured.items():
        print(f"{known[key].name:{width}} {packed:9,} {unpacked:10,}")
    wrong = 0
    for keys, budget, what in BUDGETS:
        total = sum(measured[key][0] for key in keys)
        over = total > budget
        wrong += over
        print(f"{' + '.join(keys)}: {total:,} of {budget:,} bytes, {what}{': OVER BUDGET' if over else ''}")
    for key in BUDGETS[-1][0]:
        siblings = {package.name for package in closure([known[key]], known)}
        strange = needs(wheels[key]) - siblings - THIRD_PARTY
        if strange:
            wrong += 1
            print(
                f"{known[key].name} needs {', '.join(sorted(strange))}: only {', '.join(sorted(THIRD_PARTY))} are allowed"
            )
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(1)
