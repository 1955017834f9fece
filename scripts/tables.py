"""Write the generated tables of the documentation, or check that they are what the code says.

    python scripts/tables.py [NAME ...]                # check: print what is out of date, exit code 1
    python scripts/tables.py --write [NAME ...]        # bring them up to date
    python scripts/tables.py [--write] --record FILE ...  # the coverage table, from what conformance tests wrote

A table stands between `<!-- table: NAME -->` and `<!-- end table -->`. `errors` and `warnings` need Sodalite installed.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from siblings import ROOT, Trouble, build, packages
from sizes import sizes

MARK = re.compile(r"(<!-- table: (\w+) -->\n)(.*?)(<!-- end table -->)", re.DOTALL)
PLUGIN = "cpu_ref"
SLACK = 0.1  # a size in the README is out of date when it is wrong by more than a tenth


def rows(head: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "|".join("---" for _ in head) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(line) + " |" for line in body)]) + "\n"


# -- what the code says


def exceptions() -> list[type[BaseException]]:
    from sodalite import errors

    found = [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)
    ]
    return [value for value in found if value.__module__ == errors.__name__]


def first_line(text: str | None) -> str:
    return " ".join((text or "").strip().split("\n\n")[0].split()).replace("``", "`").replace("|", "\\|")


def errors_table() -> str:
    """Each error class: what it derives from, and its docstring's first paragraph."""
    lines = []
    for error in exceptions():
        if not issubclass(error, Warning):
            bases = ", ".join(f"`{base.__name__}`" for base in error.__bases__)
            lines.append((f"`{error.__name__}`", bases, first_line(error.__doc__)))
    return rows(("class", "is also", "meaning"), lines)


def warnings_table() -> str:
    lines = [(f"`{w.__name__}`", first_line(w.__doc__)) for w in exceptions() if issubclass(w, Warning)]
    return rows(("class", "meaning"), lines)


def api_table() -> str:
    """The public names of sodalite, but for the errors, which have a page of their own."""
    import sodalite

    said = {name: getattr(sodalite, name) for name in sodalite.__all__}
    kept = {n: v for n, v in said.items() if not (isinstance(v, type) and issubclass(v, (Exception, Warning)))}
    return rows(("name", "what it is"), ((f"`{name}`", first_line(value.__doc__)) for name, value in kept.items()))


def interpreter_table() -> str:
    import sodalite

    methods = [
        (f"`{name}{'' if isinstance(value, property) else '()'}`", first_line(value.__doc__))
        for name, value in vars(sodalite.Interpreter).items()
        if not name.startswith("_") and value.__doc__
    ]
    return rows(("method", "what it does"), methods)


def packages_table() -> str:
    """The distributions with their sizes in kilobytes."""
    known = packages()
    lines = []
    for key, wheel in build(quiet=True).items():
        packed, unpacked = sizes(wheel)
        folder = known[key].folder.relative_to(ROOT).as_posix()
        kilobytes = (f"{size / 1000:.0f}" for size in (packed, unpacked))
        lines.append((f"[{known[key].name}]({folder})", known[key].description, *kilobytes))
    return rows(("package", "what it is", "wheel, kB", "unpacked, kB"), lines)


def commands_table() -> str:
    """The commands of sodalite-tools with their arguments and options, from what click knows of them."""
    import click
    from sodalite_tools.entries import COMMANDS, OURS, entries

    said = []
    for entry in entries(COMMANDS):
        if entry.distribution != OURS:
            continue
        command = entry.load()
        arguments = [f"[{p.name.upper()}]" if not p.required else p.name.upper() for p in command.params if isinstance(p, click.Argument)]
        said.append(f"### sodalite {' '.join([entry.name, *arguments])}\n\n{inspect.cleandoc(command.help or '')}\n")
        lines = [(f"`{option_words(p)}`", option_help(p)) for p in command.params if isinstance(p, click.Option) and "--debug" not in p.opts]
        said.append(rows(("option", "meaning"), lines))
    return "\n".join(said)


def option_words(option: Any) -> str:
    """--name VALUE, as it is typed."""
    value = "" if option.is_flag else f" {option.metavar or option.type.name.upper().replace(' RANGE', '')}"
    return "/".join(option.opts) + value


def option_help(option: Any) -> str:
    notes = ["may be repeated"] if option.multiple else []
    if option.show_default:  # click 8.1 has False where later ones have None
        notes.append(f"by default {option.default}")
    return " ".join([option.help, *(f"({note})" for note in notes)])


def coverage_table(records: Iterable[Path]) -> str:
    """Operators and types of which some case ran and agreed, and none failed, in the records of conformance tests."""
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        for line in record.read_text(encoding="utf-8").splitlines():
            said = json.loads(line)
            if said["plugin"] == PLUGIN:
                # an expected failure and an expected decline pass as tests, but fill no cell
                agreed = said["said"] == "agrees" and said["passed"]
                seen[said["op"], said["types"]].add("agrees" if agreed else said["said"])
    by_op: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for (op, types), verdicts in sorted(seen.items()):
        if "agrees" in verdicts and "wrong" not in verdicts:
            first, _, last = types.partition("-")
            by_op[op][first].append(last or first)
    lines = ((op, "; ".join(pairs(*item) for item in types.items())) for op, types in by_op.items())
    return rows(("operator", "types"), lines)


def pairs(first: str, last: Sequence[str]) -> str:
    """How the table writes the types of outputs that go with one type of input."""
    return first if list(last) == [first] else f"{first} → {', '.join(last)}"


TABLES: dict[str, Callable[[], str]] = {
    "errors": errors_table,
    "warnings": warnings_table,
    "api": api_table,
    "interpreter": interpreter_table,
    "packages": packages_table,
    "commands": commands_table,
}


# -- pages


def pages() -> list[Path]:
    """Every Markdown file of the repository."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    return sorted(found + [package.folder / "README.md" for package in packages().values()])


def same(old: str, new: str) -> bool:
    """Whether two tables say the same, but for numbers that are near enough."""
    number = re.compile(r"(?<= )\d+(?= \|)")
    if number.sub("#", old) != number.sub("#", new):
        return False
    pairs = zip(map(int, number.findall(old)), map(int, number.findall(new)), strict=True)
    return all(abs(a - b) <= max(1, SLACK * b) for a, b in pairs)


def update(page: Path, tables: Mapping[str, Callable[[], str]], *, write: bool) -> list[str]:
    """The names of the tables in *page* that were out of date."""
    stale = []
    text = page.read_text(encoding="utf-8")

    def replaced(match: re.Match[str]) -> str:
        name = match[2]
        if name not in tables:
            return match[0]
        new = tables[name]()
        if same(match[3], new):
            return match[0]
        stale.append(name)
        return match[1] + new + match[4]

    result = MARK.sub(replaced, text)
    if stale and write:
        page.write_text(result, encoding="utf-8")
    return stale


def main(arguments: Sequence[str]) -> int:
    write = "--write" in arguments
    words = [word for word in arguments if word != "--write"]
    if words[:1] == ["--record"]:
        records = [Path(name) for name in words[1:]]
        tables = {"coverage": lambda: coverage_table(records)}
    else:
        tables = {name: make for name, make in TABLES.items() if not words or name in words}
    stale = [(page, name) for page in pages() for name in update(page, tables, write=write)]
    for page, name in stale:
        print(f"{page.relative_to(ROOT)}: table {name} {'written' if write else 'is out of date'}")
    if stale and not write:
        print(f"bring it up to date with: {' '.join(['python scripts/tables.py --write', *words])}")
    return 1 if stale and not write else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        sys.exit(1)
