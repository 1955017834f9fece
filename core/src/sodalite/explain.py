"""Who runs each node, who declined and why; and what it takes in memory: as data and as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .choice import Decline
from .errors import printable

if TYPE_CHECKING:
    from .choice import Choice
    from .graph import Node


@dataclass(frozen=True, slots=True)
class Row:
    """One node. kind: "kernel", "fused", "delegate", "folded" (computed before running) or "later" (prepared while
    running, because a shape is known only then). step: nodes of one step share its number; -1 where there is none."""

    index: int
    op: str
    name: str
    owner: str
    kind: str
    step: int
    declined: tuple[Decline, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """All nodes of one graph. str() is a table, with what was declined under each node."""

    rows: tuple[Row, ...]

    @property
    def owners(self) -> dict[str, int]:
        """Owner -> how many nodes it runs."""
        return dict(Counter(r.owner for r in self.rows))

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            owner = row.owner if row.kind == "kernel" else f"{row.owner} ({row.kind})" if row.owner else row.kind
            lines.append(f"{row.index:4d}  {printable(row.op):26} {owner:24} {printable(row.name)}")
            lines += [f"      {decline}" for decline in row.declined]
        counts = ", ".join(f"{owner or 'later'}: {n}" for owner, n in sorted(self.owners.items()))
        return "\n".join([*lines, f"{len(self.rows)} nodes ({counts})"])


def explanation(nodes: Iterable[Node], choices: Iterable[Choice]) -> Explanation:
    """The rows of *nodes*, from the *choices* made so far."""
    rows = {}
    step = -1
    for choice in choices:
        folded = choice.kind == "folded"
        step += not folded
        for node in choice.nodes:
            rows[node.index] = Row(
                node.index, node.op, node.name, choice.owner, choice.kind, -1 if folded else step, choice.declined
            )
    return Explanation(tuple(rows.get(n.index, Row(n.index, n.op, n.name, "", "later", -1, ())) for n in nodes))


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one graph's plan, known before anything is allocated.

    arena: tensors and scratch together, after reuse; scratch: the largest of any step, part of the arena; variables;
    weights: constants of the file; packed: what kernels make of them beside; unplanned: True if a part is prepared
    only while running, and so not counted.
    """

    arena: int
    scratch: int
    variables: int
    weights: int
    packed: int
    unplanned: bool

    @property
    def total(self) -> int:
        return self.arena + self.variables + self.weights + self.packed

    def __str__(self) -> str:
        more = "; more while running, where shapes are known only then" if self.unplanned else ""
        return (
            f"{self.total:,} bytes: arena {self.arena:,} (scratch {self.scratch:,} in it), variables {self.variables:,}, "
            f"weights {self.weights:,}, packed weights {self.packed:,}{more}"
        )
