"""Match the patterns of fused kernels and let them take whole groups of nodes.

A pattern matches only where every inner tensor has one reader, is no graph output and tensors are not kept, and no member is
pinned or touches state. The highest quality wins, a longer match breaks ties; a fused kernel never replaces better
single ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .choice import Choice, Decline, attempt, group_of
from .graph import Graph, Node, TensorSpec
from .kernel import Member

if TYPE_CHECKING:
    from .choice import Context


def fused(ctx: Context, choices: list[Choice], specs: Mapping[int, TensorSpec]) -> list[Choice]:
    """*choices* with matched groups replaced, each where its root stood."""
    offers = ctx.registry.offers("fused:", ctx.settings.kernels)
    if not offers or ctx.settings.keep_all:
        return choices
    by_node = {c.index: c for c in choices if _may_fuse(ctx, c)}
    found = []
    for offer in offers:
        if ctx.settings.mode.arithmetic not in offer.kernel.arithmetic:
            continue
        for root in by_node.values():
            nodes = match(ctx.graph, offer.kernel.pattern, root.nodes[0], by_node)
            if nodes is not None and offer.kernel.quality >= max(by_node[n.index].quality for n in nodes):
                found.append((-int(offer.kernel.quality), -len(nodes), offer.plugin, root.index, offer, nodes))
    found.sort(key=lambda f: f[:4])
    taken: set[int] = set()
    at_root: dict[int, Choice] = {}
    for _, _, _, root_index, offer, nodes in found:
        if any(n.index in taken for n in nodes):
            continue
        group = group_of(ctx, nodes, specs, f"{offer.plugin}:{offer.kernel.op}")
        declined: list[Decline] = []
        prepared = attempt(ctx, offer, group, f"nodes {nodes[0].index}-{root_index} {offer.kernel.op}", declined)
        root_choice = by_node[root_index]
        if prepared is None:
            root_choice.declined = (*root_choice.declined, *declined)
            continue
        if tuple(prepared.outputs) != tuple(t.shape for t in group.outputs):
            no = Decline(offer.plugin, f"{offer.kernel.op} answered outputs {prepared.outputs}, its members {[t.shape for t in group.outputs]}")
            root_choice.declined = (*root_choice.declined, no)
            continue
        taken.update(n.index for n in nodes)
        at_root[root_index] = Choice(
            tuple(nodes), "fused", offer.plugin, int(offer.kernel.quality), root_choice.declined, group, prepared,
            tuple(t.index for t in group.inputs), tuple(t.index for t in group.outputs),
        )  # fmt: skip
    result = []
    for choice in choices:
        if choice.index in at_root and choice.kind != "delegate":
            result.append(at_root[choice.index])
        elif choice.kind == "delegate" or choice.index not in taken:
            result.append(choice)
    return result


def _may_fuse(ctx: Context, choice: Choice) -> bool:
    if choice.kind != "kernel" or choice.prepared.effects or choice.prepared.writes or None in choice.prepared.outputs:
        return False
    node = choice.nodes[0]
    pin = ctx.settings.pin
    if node.index in pin or node.op in pin or node.subgraphs:
        return False
    return not any(i >= 0 and ctx.graph.tensors[i].variable for i in node.inputs)


def match(graph: Graph, pattern: Sequence[Member], root: Node, allowed: Mapping[int, object]) -> list[Node] | None:
    """The nodes of *graph* that *pattern* covers with its last member at *root*, in file order; None if it does not."""
    bound: dict[str, Node] = {pattern[-1].label: root}
    for member in reversed(pattern):
        node = bound.get(member.label)
        if node is None or node.op not in member.ops or node.index not in allowed:
            return None
        if len(node.inputs) < len(member.inputs):
            return None
        for place, label in enumerate(member.inputs):
            if label is None:
                continue
            tensor = node.inputs[place]
            maker = graph.producer.get(tensor, -1)
            if maker < 0 or bound.get(label, graph.nodes[maker]) is not graph.nodes[maker]:
                return None
            bound[label] = graph.nodes[maker]
    nodes = sorted(bound.values(), key=lambda n: n.index)
    if len({n.index for n in nodes}) != len(pattern):
        return None
    results = set(graph.outputs)
    for node in nodes:
        for tensor in node.outputs if node is not root else ():
            readers = graph.readers.get(tensor, ())
            if tensor in results or len(readers) != 1 or graph.nodes[readers[0]] not in nodes:
                return None
    return nodes
