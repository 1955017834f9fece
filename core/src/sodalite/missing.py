"""What to say when nobody runs some operators, and what to do about it."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from sodalite_schema import ENUMS

from .errors import UnsupportedOpError, printable
from .resolve import MissingNode, where

if TYPE_CHECKING:
    from .plugins import PluginInfo

# One screen.
_MOST_OPERATORS, _MOST_DECLINES = 8, 3


class Known(NamedTuple):
    """The distribution that provides an operator, and the TensorFlow releases that first ran version 1, 2, ... ("-": none)."""

    provider: str
    releases: Sequence[str] = ()


def known() -> dict[str, Known]:
    """The operators in known_providers.tsv, by name."""
    lines = (pkgutil.get_data(__package__, "known_providers.tsv") or b"").decode().splitlines()
    builtins = ENUMS["BuiltinOperator"]
    table = {op: Known("sodalite-cpu-ref", line.split()) for op, line in zip(builtins, lines, strict=False) if line}
    return table | {op: Known(provider) for op, provider in map(str.split, lines[len(builtins) :])}


def report(missing: Iterable[MissingNode], failed: Sequence[PluginInfo]) -> UnsupportedOpError:
    """The error for the nodes in *missing*, one at least; failed: plugins that did not load."""
    groups: dict[tuple[str, int, str], list[MissingNode]] = {}  # nodes that lack the same thing
    for one in missing:
        types = ", ".join("-" if t is None else t.dtype for t in one.inputs)
        groups.setdefault((one.node.op, one.node.version, types), []).append(one)
    ops = list(dict.fromkeys(op for op, _, _ in groups))
    total = sum(map(len, groups.values()))
    lines = [f"no kernel takes {total} nodes, of {len(ops)} operator{'s' * (len(ops) > 1)}:"]
    table = known()
    for (op, version, types), nodes in list(groups.items())[:_MOST_OPERATORS]:
        place = where(nodes[0].node)
        if nodes[0].graph.index:
            place = f"subgraph {nodes[0].graph.index} {place}"
        facts = [f"  {printable(op)} version {version} ({types})"]
        if total == 1:
            lines = [f"{place}: no kernel takes it"]
        else:
            facts.append(place if len(nodes) == 1 else f"{len(nodes)} nodes from {place} on")
        if op in table:
            provider, releases = table[op]
            since = dict(enumerate(releases, 1)).get(version, "-")
            if since != "-":
                facts.append(f"first run by TensorFlow {since}")
            facts.append(f"provided by {provider}")
        lines.append("; ".join(facts))
        declines = list(dict.fromkeys(_line(f"    {decline}") for one in nodes for decline in one.declined))
        lines += declines[:_MOST_DECLINES]
        if len(declines) > _MOST_DECLINES:
            lines.append(f"    and {len(declines) - _MOST_DECLINES} more reasons")
    rest = list(groups)[_MOST_OPERATORS:]
    if rest:
        lines.append(_line(f"  and {len(rest)} more: {', '.join({printable(op): 0 for op, _, _ in rest})}"))
    lines += [_line(f"{plugin} failed to load: {plugin.why}") for plugin in failed]
    return UnsupportedOpError("\n".join(lines + _advice(ops, table, failed)))


def _line(text: str) -> str:
    """The first line of *text*, safe to print."""
    return printable(text.split("\n", 1)[0], 160)


def _advice(ops: Sequence[str], table: dict[str, Known], failed: Sequence[PluginInfo]) -> list[str]:
    lines = []
    flex = [op for op in ops if op.startswith("custom:Flex")]
    if flex:
        lines.append(
            "Flex operators are TensorFlow's own: convert the model again without SELECT_TF_OPS, "
            f"or install a plugin that offers {printable(flex[0])}"
        )
    broken = {plugin.distribution for plugin in failed}
    for provider in sorted({table[op].provider for op in ops if op in table} - broken):
        version = _installed(provider)
        lines.append(
            f"{provider} {version} does not run this: try a newer release, or see docs/coverage.md"
            if version
            else f"pip install {provider}"
        )
    if broken:
        lines.append(f"repair, reinstall or remove {', '.join(map(printable, sorted(broken)))}")
    foreign = [op for op in ops if op.startswith("custom:") and op not in flex and op not in table]
    if foreign:
        lines.append(f"{printable(foreign[0])} is a custom operator: its plugin comes from whoever made the model")
    return lines or ["no package is known to provide it"]


def _installed(distribution: str) -> str | None:
    from importlib import metadata  # slow

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
