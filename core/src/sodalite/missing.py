"""What to say when nobody runs some operators: all of them at once, and what to do about it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from .errors import UnsupportedOpError, printable
from .resolve import MissingNode, where

if TYPE_CHECKING:
    from .plugins import PluginInfo

# One screen.
_MOST_OPERATORS, _MOST_DECLINES, _MOST_NAMES, _LONGEST_LINE = 8, 3, 12, 160


class Known(NamedTuple):
    """What known_providers.tsv says of an operator.

    provider: the distribution known to provide it, "" if none is; releases: for version 1, 2, ... the first
    TensorFlow release that ran it, "-" for a version that was never released.
    """

    provider: str = ""
    releases: tuple[str, ...] = ()

    def since(self, version: int) -> str:
        """The first TensorFlow release that ran this version, "" if it is not known."""
        found = self.releases[version - 1] if 0 < version <= len(self.releases) else "-"
        return "" if found == "-" else found


def known() -> dict[str, Known]:
    """The operators that are known, by name."""
    text = pkgutil.get_data(__package__, "known_providers.tsv") or b""
    rows = (line.split("\t") for line in text.decode().splitlines())
    return {
        op: Known("" if provider == "-" else provider, tuple(rest.split())) for op, provider, rest in rows
    }


class _Group(NamedTuple):
    """Nodes that lack the same thing."""

    op: str
    version: int
    types: str
    nodes: list[MissingNode]


def report(missing: Iterable[MissingNode], failed: Sequence[PluginInfo]) -> UnsupportedOpError:
    """The error for the nodes in *missing*, of which there is at least one. failed: plugins that did not load."""
    groups: dict[tuple[str, int, str], _Group] = {}
    for node in missing:
        types = ", ".join("-" if t is None else t.dtype for t in node.inputs)
        key = node.node.op, node.node.version, types
        groups.setdefault(key, _Group(*key, [])).nodes.append(node)
    table = known()
    found = list(groups.values())
    total = sum(len(group.nodes) for group in found)
    ops = len({group.op for group in found})
    lines = [f"{_where(found[0].nodes[0])}: no kernel takes it"]
    if total > 1:
        lines = [f"no kernel takes {total} nodes, of {ops} {'operator' if ops == 1 else 'operators'}:"]
    for group in found[:_MOST_OPERATORS]:
        lines += _described(group, table.get(group.op, Known()), alone=total == 1)
    rest = list(dict.fromkeys(printable(group.op) for group in found[_MOST_OPERATORS:]))
    if rest:
        dots = ", ..." if len(rest) > _MOST_NAMES else ""
        lines.append(f"  and {len(found) - _MOST_OPERATORS} more: {', '.join(rest[:_MOST_NAMES])}{dots}")
    lines += [_line(f"{plugin} failed to load: {plugin.why}") for plugin in failed[:_MOST_DECLINES]]
    lines += _advice(found, table, failed)
    return UnsupportedOpError("\n".join(lines))


def _where(missing: MissingNode) -> str:
    place = where(missing.node)
    return place if missing.graph.index == 0 else f"subgraph {missing.graph.index} {place}"


def _described(group: _Group, about: Known, *, alone: bool) -> list[str]:
    """What it is, how often it is there, and who declined it and why."""
    facts = [f"{printable(group.op)} version {group.version} ({group.types})"]
    if not alone:
        count = len(group.nodes)
        facts.append(
            f"{count} nodes from {_where(group.nodes[0])} on" if count > 1 else _where(group.nodes[0])
        )
    since = about.since(group.version)
    if since:
        facts.append(f"first run by TensorFlow {since}")
    if about.provider:
        facts.append(f"provided by {about.provider}")
    declines = list(dict.fromkeys(_line(str(decline)) for node in group.nodes for decline in node.declined))
    lines = ["  " + "; ".join(facts), *(f"    {decline}" for decline in declines[:_MOST_DECLINES])]
    if len(declines) > _MOST_DECLINES:
        lines.append(f"    and {len(declines) - _MOST_DECLINES} more reasons")
    return lines


def _line(text: str) -> str:
    """The first line of *text*, safe to print, at most 160 characters."""
    line = "".join(c if c.isprintable() else "?" for c in text.split("\n", 1)[0])
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 3] + "..."


def _advice(groups: Sequence[_Group], table: dict[str, Known], failed: Sequence[PluginInfo]) -> list[str]:
    """What to do next, a line for each way out."""
    lines = []
    flex = [group.op for group in groups if group.op.startswith("custom:Flex")]
    if flex:
        lines.append(
            "operators called Flex... are TensorFlow's own: convert the model again without SELECT_TF_OPS, "
            f"or install a plugin that offers {printable(flex[0])}"
        )
    broken = {plugin.distribution for plugin in failed}
    wanted = {about.provider for group in groups if (about := table.get(group.op))} - broken - {""}
    installed = {provider: _installed(provider) for provider in sorted(wanted)}
    absent = [provider for provider, version in installed.items() if version is None]
    present = [f"{provider} {version}" for provider, version in installed.items() if version is not None]
    if absent:
        lines.append(f"pip install {' '.join(absent)}")
    if present:
        lines.append(
            f"{', '.join(present)} does not run this; see whether a newer release does, and docs/coverage.md"
        )
    if broken:
        lines.append(f"repair, reinstall or remove {', '.join(map(printable, sorted(broken)))}")
    foreign = [g.op for g in groups if g.op.startswith("custom:") and g.op not in flex and g.op not in table]
    if foreign:
        lines.append(
            f"{printable(foreign[0])} is a custom operator: its plugin comes from whoever made the model"
        )
    return lines or ["no package is known to provide it"]


def _installed(distribution: str) -> str | None:
    """The installed version of a distribution, or None."""
    from importlib import metadata  # noqa: PLC0415  slow; only on the way to an error

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
