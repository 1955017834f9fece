"""Groups of nodes that may run as one step, and the order of steps afterwards.

A group is convex if no path leaves it and comes back; only then can it run as one. Levels give that for free:
a node that is in a group takes the lowest even level, any other the lowest odd level, that is not below its
predecessors'. Edges never go down a level, so a path that leaves an even level cannot return to it.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .graph import Graph, Node

Edges = Mapping[int, Collection[int]]  # node -> the nodes that must run before it


def convex_groups(nodes: Sequence[int], before: Edges, members: Collection[int]) -> list[list[int]]:
    """The maximal groups of *members* that levels allow, each ascending, in an order they can run in.

    nodes: in execution order; before: for each node, nodes among *nodes* that precede it.
    """
    level: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for node in nodes:
        lowest = max((level[p] for p in before.get(node, ())), default=0)
        parity = 0 if node in members else 1
        level[node] = lowest + (lowest + parity) % 2
        if parity == 0:
            groups.setdefault(level[node], []).append(node)
    return [groups[k] for k in sorted(groups)]


def ordered(units: Sequence[tuple[int, ...]], before: Edges) -> list[int]:
    """Positions of *units* in an order in which each runs after all it depends on; file order where free.

    units: disjoint groups of nodes. ValueError if they depend on each other in a circle.
    """
    home = {node: place for place, unit in enumerate(units) for node in unit}
    waits = [_needs(unit, before, home, place) for place, unit in enumerate(units)]
    feeds: list[list[int]] = [[] for _ in units]
    for place, needed in enumerate(waits):
        for other in needed:
            feeds[other].append(place)
    left = [len(needed) for needed in waits]
    ready = [(max(units[place]), place) for place, count in enumerate(left) if not count]
    heapq.heapify(ready)
    result = []
    while ready:
        _, place = heapq.heappop(ready)
        result.append(place)
        for other in feeds[place]:
            left[other] -= 1
            if not left[other]:
                heapq.heappush(ready, (max(units[other]), other))
    if len(result) != len(units):
        raise ValueError("groups of nodes depend on each other in a circle")
    return result


def _needs(unit: Iterable[int], before: Edges, home: Mapping[int, int], place: int) -> set[int]:
    needed = {home[p] for node in unit for p in before.get(node, ()) if p in home}
    needed.discard(place)
    return needed


def dependencies(graph: Graph, nodes: Sequence[Node], effects: set[int], writes: Mapping[int, set[int]]) -> dict[int, set[int]]:
    """For each node, the nodes of *nodes* that must run before it: producers of its inputs, and control edges.

    effects: nodes that keep file order among themselves; writes: node -> variable tensors it updates.
    """
    inside = {n.index for n in nodes}
    before: dict[int, set[int]] = {}
    last_effect = -1
    last_write: dict[int, int] = {}
    touched: dict[int, list[int]] = {}
    for node in nodes:
        needed = {graph.producer[i] for i in node.inputs if i in graph.producer and graph.producer[i] in inside}
        if node.index in effects:
            if last_effect >= 0:
                needed.add(last_effect)
            last_effect = node.index
        for i in node.inputs:
            if i >= 0 and graph.tensors[i].variable:
                if i in last_write:
                    needed.add(last_write[i])
                if i in writes.get(node.index, ()):
                    needed.update(touched.get(i, ()))
                    last_write[i] = node.index
                touched.setdefault(i, []).append(node.index)
        needed.discard(node.index)
        before[node.index] = needed
    return before
