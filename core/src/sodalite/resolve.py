"""Graph -> list[Choice]: who runs each node, with what it prepared, and who declined and why.

Nodes are taken in execution order while all shapes are known. A node whose outputs are known only after running
ends the segment: what follows is resolved when it has run. What depends on constants alone is computed at once.
A fused kernel takes a group only where every inner tensor has one reader, is no graph output and tensors are not
kept, and no member is pinned or touches state; by highest quality, a longer match breaking ties, and never in the
place of better single kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from .choice import Choice, Context, Decline, MissingNode, attempt, blame, group_of, pinned, spec_of, where
from .delegate import claimed, refuse_fallback
from .dtypes import OBJECTS, memory_dtype
from .errors import KernelError, PluginError, ShapeError, printable
from .graph import Array, Graph, Node, TensorSpec
from .kernel import Buffers, Member, NodeSpec, Prepared, Reason, nbytes

if TYPE_CHECKING:
    from .plugins import Offer

FOLDED_NBYTES = 64 * 1024
FOLDED_GROWTH = 16  # ... or this many times its constant inputs: a constant DEQUANTIZE or DENSIFY


@dataclass(slots=True, eq=False)
class Resolved:
    """choices in file order (groups where their last node stands); specs: every tensor known so far; rest: the nodes
    from the first one that waits for a shape."""

    choices: list[Choice]
    specs: dict[int, TensorSpec]
    rest: Sequence[Node]


def resolve(
    ctx: Context, nodes: Sequence[Node], known: Mapping[int, TensorSpec], *, delegates: bool = True
) -> Resolved:
    """Resolve *nodes*, which are in execution order, as far as shapes are known.

    known: specs of the tensors that exist already, with current shapes. UnsupportedOpError lists every node that
    nobody takes.
    """
    specs = dict(known)
    choices: list[Choice | None] = []
    missing: list[MissingNode] = []
    asked = ctx.settings.delegates if delegates else ()
    stop = len(nodes)
    for position, node in enumerate(nodes):
        waits = any(i >= 0 and specs.get(i, ctx.graph.tensors[i]).shape is None for i in node.inputs)
        if waits and not missing:
            stop = position
            break
        choice = _one(ctx, node, specs, missing)
        choices.append(choice)
        if choice is None:
            specs.update((i, ctx.graph.tensors[i]) for i in node.outputs)
            continue
        _learn(ctx, choice, specs)
        if None in choice.prepared.outputs:
            stop = position + 1
            break
    rest = nodes[stop:]
    if missing and not asked:
        _report(ctx, missing, rest)
    for delegate in asked:
        choices = claimed(ctx, delegate, nodes[:stop], choices, specs)
    owned = {n.index for c in choices if c is not None for n in c.nodes}
    unowned = [m for m in missing if m.node.index not in owned]
    if unowned:
        _report(ctx, unowned, rest)
    if ctx.settings.strict and asked:
        refuse_fallback(choices)
    return Resolved(fused(ctx, [c for c in choices if c is not None], specs), specs, rest)


def _candidates(ctx: Context, node: Node, declined: list[Decline]) -> list[Offer]:
    only = pinned(ctx, node)
    offers = ctx.registry.offers(node.op, ctx.settings.kernels if only is None else (only,))
    taken = []
    for offer in offers:
        kernel = offer.kernel
        if node.version not in kernel.versions:
            highest = kernel.versions.stop - 1
            declined.append(Decline(offer.plugin, f"version {node.version}; up to {highest} only", Reason.VERSION))
        elif ctx.settings.mode.arithmetic not in kernel.arithmetic:
            spoken = ", ".join(sorted(kernel.arithmetic))
            declined.append(Decline(offer.plugin, f"computes {spoken}, not {ctx.settings.mode.arithmetic}", Reason.ARITHMETIC))
        else:
            taken.append(offer)
    if only is not None and not offers:
        others = ", ".join(o.plugin for o in ctx.registry.offers(node.op)) or "none"
        declined.append(Decline(only, f"pinned, but it offers no such kernel; plugins that do: {others}", Reason.PRIORITY))
    return taken


def _packed(spec: NodeSpec, plugin: str, key: Any, make: Callable[[], Any]) -> Any:
    return spec.packed((plugin, key), make)


def _one(ctx: Context, node: Node, specs: Mapping[int, TensorSpec], missing: list[MissingNode]) -> Choice | None:
    declined: list[Decline] = []
    offers = _candidates(ctx, node, declined)
    spec = spec_of(ctx, node, specs)
    if missing and any(t is not None and t.shape is None for t in spec.inputs):
        if not offers:  # its shapes hang on a node nobody runs: only say whether it is missing too
            missing.append(MissingNode(node, ctx.graph, spec.inputs, tuple(declined)))
        return None
    if len(offers) > 1 and pinned(ctx, node) is None and ctx.settings.kernels is None:
        first = ctx.registry.choose(spec, [o.plugin for o in offers])
        offers = sorted(offers, key=lambda o: o.plugin != first) if first else offers
    for offer in offers:
        # packed weights belong to the plugin that made them
        own = replace(spec, packed=partial(_packed, spec, offer.plugin))
        try:
            prepared = attempt(ctx, offer, own, where(node), declined)
        except (ShapeError, KernelError):
            if missing:  # shapes after a node nobody runs are the file's, which may be stale
                return None
            raise
        if prepared is not None:
            _check_prepared(prepared, node, spec, offer.plugin)
            return Choice(
                (node,), "kernel", offer.plugin, int(offer.kernel.quality), tuple(declined), own, prepared, node.inputs, node.outputs
            )
    missing.append(MissingNode(node, ctx.graph, spec.inputs, tuple(declined)))
    return None


def _check_prepared(prepared: Prepared, node: Node, spec: NodeSpec, who: str) -> None:
    def wrong(what: str) -> NoReturn:
        raise PluginError(f"{where(node)}: plugin '{who}' {what}")

    if len(prepared.outputs) != len(node.outputs):
        wrong(f"prepared {len(prepared.outputs)} outputs, the node has {len(node.outputs)}")
    for i, shape in enumerate(prepared.outputs):
        if shape is not None and any(not isinstance(d, (int, np.integer)) or d < 0 for d in shape):
            wrong(f"says output {i} has shape {tuple(shape)}: every dimension must be an int >= 0")
    for i in prepared.writes:
        tensor = spec.inputs[i] if 0 <= i < len(spec.inputs) else None
        if tensor is None or not tensor.variable:
            wrong(f"wants to write input {i}, which is not a variable tensor")
    for i, j in prepared.alias.items():
        if not 0 <= i < len(node.outputs) or not 0 <= j < len(node.inputs) or spec.inputs[j] is None:
            wrong(f"wants output {i} to take the memory of input {j}: there is no such pair")


def _learn(ctx: Context, choice: Choice, specs: dict[int, TensorSpec]) -> None:
    """Enter the outputs' shapes, and their values where they are known before running."""
    node, prepared = choice.nodes[0], choice.prepared
    values = dict(prepared.values)
    tensors = ctx.graph.tensors
    shapes = [None if s is None else tuple(int(d) for d in s) for s in prepared.outputs]
    for i, shape in zip(node.outputs, shapes, strict=True):
        if shape is not None:
            what = f'{where(node)}: output "{printable(tensors[i].name)}" {list(shape)} {tensors[i].dtype}'
            ctx.settings.limits.admit(nbytes(shape, tensors[i].dtype), what)
        specs[i] = replace(tensors[i], shape=shape)
    hangs_on_shape = bool(values) or not ctx.shaped.isdisjoint(node.inputs)
    if set(values) != set(range(len(shapes))) and foldable(choice, shapes, specs):
        key = ("folded", ctx.graph.index, node.index, choice.owner, ctx.settings.mode)
        values = ctx.keep(node.inputs, key, lambda: fold(choice, shapes, specs))
    if values and hangs_on_shape:
        ctx.shaped.update(node.outputs)
    for i, value in values.items():
        tensor = specs[node.outputs[i]]
        array = np.ascontiguousarray(value, memory_dtype(tensor.dtype)).reshape(np.shape(value))
        array.flags.writeable = False
        specs[tensor.index] = replace(tensor, data=array, shape=array.shape, source=None)
    if values and set(values) == set(range(len(shapes))):
        choice.kind = "folded"


def _report(ctx: Context, missing: list[MissingNode], rest: Sequence[Node]) -> NoReturn:
    """Raise for all the nodes that nobody runs, those not reached included where no plugin offers the operator."""
    from .missing import report  # noqa: PLC0415  only when something is wrong

    for node in rest:
        declined: list[Decline] = []
        if not _candidates(ctx, node, declined):
            inputs = tuple(None if i < 0 else ctx.graph.tensors[i] for i in node.inputs)
            missing.append(MissingNode(node, ctx.graph, inputs, tuple(declined)))
    raise report(missing, ctx.registry.failed)


def foldable(choice: Choice, shapes: Sequence[Any], specs: Mapping[int, TensorSpec]) -> bool:
    node, prepared = choice.nodes[0], choice.prepared
    if prepared.effects or prepared.writes or node.subgraphs or None in shapes or not shapes or not node.inputs:
        return False
    known = [None if t is None else t.data for t, i in zip(choice.spec.inputs, node.inputs, strict=True) if i >= 0]
    if any(data is None for data in known) or any(specs[i].dtype in OBJECTS for i in node.outputs):
        return False
    made = sum(nbytes(s, specs[i].dtype) for i, s in zip(node.outputs, shapes, strict=True))
    return made <= max(FOLDED_NBYTES, FOLDED_GROWTH * sum(data.nbytes for data in known if data is not None))


def fold(choice: Choice, shapes: Sequence[Any], specs: Mapping[int, TensorSpec]) -> dict[int, Array]:
    node = choice.nodes[0]
    outputs = tuple(np.zeros(s, memory_dtype(specs[i].dtype)) for i, s in zip(node.outputs, shapes, strict=True))

    def emit(i: int, array: Array) -> None:
        np.copyto(outputs[i], array)

    inputs = tuple(None if t is None else t.data for t in choice.spec.inputs)
    try:
        with np.errstate(all="ignore"):
            choice.prepared.bind(Buffers(inputs, outputs, np.empty(choice.prepared.scratch, np.uint8), emit))()
    except BaseException as error:
        blame(error, where(node), f"kernel of '{choice.owner}' failed")
    return dict(enumerate(outputs))


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
    taken: dict[int, Choice | None] = {}  # the root -> the group, other members -> None
    for *_, offer, nodes in found:
        if any(n.index in taken for n in nodes):
            continue
        root = by_node[nodes[-1].index]
        group = group_of(ctx, nodes, specs, f"{offer.plugin}:{offer.kernel.op}")
        declined: list[Decline] = []
        prepared = attempt(ctx, offer, group, f"nodes {nodes[0].index}-{root.index} {offer.kernel.op}", declined)
        wanted = tuple(t.shape for t in group.outputs)
        if prepared is not None and tuple(prepared.outputs) != wanted:
            declined.append(Decline(offer.plugin, f"{offer.kernel.op} answered outputs {prepared.outputs}, its members {wanted}"))
        if declined or prepared is None:
            root.declined = (*root.declined, *declined)
            continue
        taken.update((n.index, None) for n in nodes)
        quality = int(offer.kernel.quality)
        taken[root.index] = Choice.of(nodes, "fused", offer.plugin, quality, root.declined, group, prepared)
    singles = [c if c.kind == "delegate" else taken.get(c.index, c) for c in choices]
    return [c for c in singles if c is not None]


def _may_fuse(ctx: Context, choice: Choice) -> bool:
    node, prepared = choice.nodes[0], choice.prepared
    stateful = prepared.effects or prepared.writes or any(i >= 0 and ctx.graph.tensors[i].variable for i in node.inputs)
    free = pinned(ctx, node) is None and not node.subgraphs and None not in prepared.outputs
    return choice.kind == "kernel" and free and not stateful


def match(graph: Graph, pattern: Sequence[Member], root: Node, allowed: Mapping[int, object]) -> list[Node] | None:
    """The nodes of *graph* that *pattern* covers with its last member at *root*, in file order; None if it does not."""
    bound: dict[str, Node] = {pattern[-1].label: root}
    for member in reversed(pattern):
        node = bound.get(member.label)
        if node is None or node.op not in member.ops or node.index not in allowed or len(node.inputs) < len(member.inputs):
            return None
        for place, label in enumerate(member.inputs):
            if label is None:
                continue
            maker = graph.producer.get(node.inputs[place])
            if maker is None or bound.setdefault(label, graph.nodes[maker]).index != maker:
                return None
    covered = {n.index for n in bound.values()}
    inner = [t for n in bound.values() if n is not root for t in n.outputs]
    readers = [graph.readers.get(t, ()) for t in inner]
    alone = all(len(r) == 1 and r[0] in covered for r in readers) and not set(inner).intersection(graph.outputs)
    return [graph.nodes[i] for i in sorted(covered)] if alone and len(covered) == len(pattern) else None
