"""The entry points that the command reads: commands and zoo entries. Nothing is imported by looking."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from sodalite.plugins import entry_points

from .errors import ToolError, close_to

COMMANDS = "sodalite.command.v1"
ZOO = "sodalite.zoo.v1"
OURS = "sodalite-tools"


class Entry(NamedTuple):
    """One entry point. name: left of the equals sign; target: "package.module:attribute"."""

    name: str
    target: str
    distribution: str
    version: str

    def load(self) -> Any:
        """Import the target. Any exception of the import comes through."""
        import importlib  # noqa: PLC0415  keeps the module light

        module, _, attribute = self.target.partition(":")
        value = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            value = getattr(value, part)
        return value

    def offered_by(self) -> str:
        return f"{self.distribution} {self.version}".strip()


def entries(group: str, path: Iterable[str] | None = None) -> list[Entry]:
    """The entry points of *group*, by name; of one name, sodalite-tools' own first, then by distribution.

    path: folders to look in, sys.path by default. A distribution found twice counts where it is found first.
    """
    found = [
        Entry(name, target, _canonical(distribution), version)
        for its_group, name, target, distribution, version in entry_points(group, path)
        if its_group == group
    ]
    return sorted(found, key=lambda e: (e.name, e.distribution != OURS, e.distribution))


def choose(group: str, name: str, kind: str) -> Entry:
    """The entry called *name*, or "distribution/name" where two distributions use one name. ToolError if none."""
    known = entries(group)
    owner, slash, short = name.rpartition("/")
    for entry in known:
        if entry.name == short and (not slash or entry.distribution == _canonical(owner)):
            return entry
    raise ToolError(f"there is no {kind} {name!r}: {close_to(name, sorted({e.name for e in known}))}")


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def summary(entry: Entry) -> str:
    """First sentence of the command's docstring, read from its source without importing it.

    "" if the source has none or is not there to read; a note in parentheses if the module is missing.
    """
    module, _, attribute = entry.target.partition(":")
    try:
        origin = _source(module)
        if origin is None:
            return f"(broken: {entry.distribution} has no module {module}; reinstall it)"
        if not origin.endswith(".py"):
            return ""
        with open(origin, encoding="utf-8") as file:
            source = file.read()
    except Exception:  # noqa: BLE001  finders and foreign sources may raise anything; help must be shown
        return ""
    # Parsing it all with ast would take longer than everything else that --help does.
    within = r"(?:(?!^(?:def|class|@)).)*?"
    start = rf"^def {re.escape(attribute)}\b{within}:[ \t]*\n[ \t]+[rR]?"
    found = re.search(start + r"""(\"{3}|'{3}|"|')(.*?)\1""", source, re.DOTALL | re.MULTILINE)
    return _sentence(found[2]) if found else ""


def _sentence(text: str) -> str:
    """The first sentence of a docstring, without its full stop."""
    return re.split(r"\.(?:\s|$)", " ".join(text.strip().split("\n\n")[0].split()))[0]


def _source(module: str) -> str | None:
    """Where *module* would be imported from, found without importing its parents; None if it is not there."""
    path: Any = None
    spec = None
    parts = module.split(".")
    for depth in range(len(parts)):
        name = ".".join(parts[: depth + 1])
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path)
            if spec is not None:
                break
        if spec is None:
            return None
        path = spec.submodule_search_locations
        if path is None and depth + 1 < len(parts):
            return None
    return spec.origin if spec is not None and spec.origin else ""
