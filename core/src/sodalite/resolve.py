"""Graph -> list[Choice]: who runs each node, with what it prepared, and who declined and why.

Nodes are taken in execution order while all shapes are known. A node whose outputs are known only after running
ends the segment: what follows is resolved when it has run. What depends on constants alone is computed at once.
Delegates get the convex groups of nodes that they do not refuse. A fused kernel takes a group only where every inner
tensor has one reader, is no graph output and tensors are not kept, and no member is pinned or touches state; by highest
quality, a longer match breaking ties, and never in the place of better single kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np

from .delegate import Delegate
from .dtypes import OBJECTS, memory_dtype
from .errors import DelegateError, KernelError, PluginError, ShapeError, SodaliteError, printable
from .graph import Array, Graph, Node, TensorSpec
from .kernel import Buffers, GroupSpec, Limits, Member, Mode, NodeSpec, Prepared, Reason, Unsupported, nbytes
from .partition import convex_groups, dependencies, ordered

if TYPE_CHECKING:
    from .plugins import Offer, Registry

FOLDED_NBYTES = 64 * 1024
FOLDED_GROWTH = 16  # ... or this many times its constant inputs: a constant DEQUANTIZE or DENSIFY


class Decline(NamedTuple):
    """One candidate's no. who: a plugin or a delegate."""

    who: str
    why: str
    code: Reason = Reason.OTHER
    detail: Any = None

    def __str__(self) -> str:
        return f"{self.who} declined ({self.code.name}): {self.why}"


class MissingNode(NamedTuple):
    """A node that nobody runs."""

    node: Node
    graph: Graph
    inputs: tuple[TensorSpec | None, ...]
    declined: tuple[Decline, ...]


@dataclass(slots=True, eq=False)
class Choice:
    """One step to be: a node, a fused group or a partition, and its owner.

    kind: "kernel", "fused", "delegate" or "folded" (computed once, no step). reads, makes: tensor indices in the
    order of the step's buffers (-1: omitted).
    """

    nodes: tuple[Node, ...]
    kind: str
    owner: str
    quality: int
    declined: tuple[Decline, ...]
    spec: NodeSpec | GroupSpec
    prepared: Prepared
    reads: tuple[int, ...]
    makes: tuple[int, ...]

    @classmethod
    def of(
        cls, nodes: Sequence[Node], kind: str, owner: str, quality: int, declined: tuple[Decline, ...], group: GroupSpec, prepared: Prepared
    ) -> Choice:
        """A group: its buffers are the tensors that cross its border."""
        reads, makes = (tuple(t.index for t in tensors) for tensors in (group.inputs, group.outputs))
        return cls(tuple(nodes), kind, owner, quality, declined, group, prepared, reads, makes)

    @property
    def index(self) -> int:
        return self.nodes[0].index

    @property
    def op(self) -> str:
        return "+".join(n.op for n in self.nodes) if len(self.nodes) < 5 else f"{len(self.nodes)} nodes"

    @property
    def name(self) -> str:
        return self.nodes[-1].name

    def __str__(self) -> str:
        return f"{where(self.nodes[0])}" if len(self.nodes) == 1 else f"nodes {self.index}-{self.nodes[-1].index} {self.op}"


def where(node: Node) -> str:
    """How messages call a node: ``node 12 CONV_2D "mobilenet/conv_3"``."""
    return f'node {node.index} {printable(node.op)} "{printable(node.name)}"'


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked of an interpreter.

    kernels: plugins allowed, in the order to ask them; pin: operator or node index -> the one plugin to run it;
    delegates: asked in this order; keep_all: every tensor keeps memory of its own; strict: an error if a node that a
    delegate was asked for runs elsewhere; on_delegate_error: "fallback" or "raise"; check: guard bytes, poisoned
    memory and input checksums.
    """

    mode: Mode = Mode()
    kernels: tuple[str, ...] | None = None
    pin: Mapping[str | int, str] = field(default_factory=dict)
    delegates: tuple[Delegate, ...] = ()
    keep_all: bool = False
    strict: bool = False
    on_delegate_error: str = "fallback"
    limits: Limits = Limits()
    check: bool = False


@dataclass(slots=True, eq=False)
class Context:
    """What resolving needs beside the graph. demoted: (delegate, node index) -> why it is not asked again;
    shaped: tensors whose known value hangs on a shape, so that nothing made of it may be kept with the model."""

    graph: Graph
    registry: Registry
    settings: Settings
    state: MutableMapping[Any, Any]
    packed: Callable[[Any, Callable[[], Any]], Any]
    subplan: Callable[[Node, int], Any]
    demoted: dict[tuple[str, int], str] = field(default_factory=dict)
    shaped: set[int] = field(default_factory=set)

    def keep(self, tensors: Sequence[int], key: Any, make: Callable[[], Any]) -> Any:
        """make(), once a model if it hangs on nothing but constants of the file among *tensors*."""
        return make() if self.shaped.intersection(tensors) else self.packed(key, make)


def blame(error: BaseException, place: str, what: str, kind: type[SodaliteError] = KernelError) -> NoReturn:
    """Raise *error* as one that says where: plugins may raise anything, SystemExit too.

    Ctrl-C and MemoryError pass; errors of ours get *place* in front unless they name a node already.
    """
    text = str(error)
    if isinstance(error, (KeyboardInterrupt, MemoryError)) or (isinstance(error, SodaliteError) and text.startswith("node")):
        raise error
    if type(error).__module__ == SodaliteError.__module__:
        raise type(error)(f"{place}: {text}") from error.__cause__
    raise kind(f"{place}: {what}: {type(error).__name__}: {text}") from error


def pinned(ctx: Context, node: Node) -> str | None:
    pin = ctx.settings.pin
    return pin.get(node.index, pin.get(node.op))


def spec_of(ctx: Context, node: Node, specs: Mapping[int, TensorSpec]) -> NodeSpec:
    """The node as kernels and delegates see it."""
    tensors = ctx.graph.tensors
    mode = ctx.settings.mode
    return NodeSpec(
        op=node.op,
        version=node.version,
        inputs=tuple(None if i < 0 else specs.get(i, tensors[i]) for i in node.inputs),
        outputs=tuple(tensors[i] for i in node.outputs),
        options=node.options,
        custom_options=node.custom_options,
        intermediates=tuple(None if i < 0 else tensors[i] for i in node.intermediates),
        mode=mode,
        index=node.index,
        name=node.name,
        state=ctx.state,
        subplan=lambda i: ctx.subplan(node, i),
        packed=lambda key, make: ctx.keep(node.inputs, (ctx.graph.index, node.index, mode, key), make),
    )


def with_outputs(spec: NodeSpec, node: Node, specs: Mapping[int, TensorSpec]) -> NodeSpec:
    return replace(spec, outputs=tuple(specs[i] for i in node.outputs))


def group_of(ctx: Context, members: Sequence[Node], specs: Mapping[int, TensorSpec], key: str) -> GroupSpec:
    """The members as one GroupSpec. Constants are seen through the members' specs, not as inputs."""
    graph = ctx.graph
    inside = {i for n in members for i in n.outputs}
    indices = {n.index for n in members}
    inputs: dict[int, None] = {}
    for node in members:
        for i in node.inputs:
            if i >= 0 and i not in inside and specs.get(i, graph.tensors[i]).data is None:
                inputs[i] = None
    results = set(graph.outputs)

    def leaves(i: int) -> bool:
        readers = graph.readers.get(i, ())
        return i in results or not readers or any(r not in indices for r in readers)

    outputs = [i for n in members for i in n.outputs if leaves(i)]
    mode = ctx.settings.mode
    return GroupSpec(
        members=tuple(with_outputs(spec_of(ctx, n, specs), n, specs) for n in members),
        inputs=tuple(specs.get(i, graph.tensors[i]) for i in inputs),
        outputs=tuple(specs[i] for i in outputs),
        member_inputs=tuple(n.inputs for n in members),
        member_outputs=tuple(n.outputs for n in members),
        mode=mode,
        name=members[-1].name,
        state=ctx.state,
        packed=lambda k, make: ctx.keep([i for n in members for i in n.inputs], (graph.index, tuple(n.index for n in members), mode, key, k), make),
    )


def attempt(ctx: Context, offer: Offer, spec: Any, place: str, declined: list[Decline]) -> Prepared | None:
    """offer.prepare(spec); None, with the reason in *declined*, if it says Unsupported or cannot be loaded."""
    try:
        prepare = ctx.registry.prepare(offer)
    except PluginError as error:
        if str(error).startswith("plugin "):  # strict: it is an error at once
            raise
        declined.append(Decline(offer.plugin, str(error)))
        return None
    try:
        prepared = prepare(spec)
    except Unsupported as no:
        declined.append(Decline(offer.plugin, no.why, no.code, no.detail))
        return None
    except BaseException as error:
        blame(error, place, f"{ctx.registry.info(offer.plugin)} failed to prepare it", PluginError)
    if not isinstance(prepared, Prepared):
        raise PluginError(f"{place}: plugin '{offer.plugin}' returned {type(prepared).__name__} from prepare, not sodalite.Prepared")
    return prepared


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


def claimed(
    ctx: Context, delegate: Delegate, nodes: Sequence[Node], choices: Sequence[Choice | None], specs: dict[int, TensorSpec]
) -> list[Choice | None]:
    """*choices* (one a node of *nodes*, None where nobody runs it yet) with *delegate*'s partitions in them.

    A partition stands where its last node stood; None where the others did.
    """
    declines: dict[int, Decline] = {}
    wanted: set[int] = set()
    owner = {n.index: c for c in choices if c is not None for n in c.nodes}
    for node in nodes:
        no = _refusal(ctx, delegate, node, owner.get(node.index), specs)
        if no is None:
            wanted.add(node.index)
        else:
            declines[node.index] = no
    running = [n for n in nodes if n.index not in owner or owner[n.index].kind != "folded"]
    effects, writes = ties([c for c in choices if c is not None])
    before = dependencies(ctx.graph, running, effects, writes)
    # what an earlier delegate took runs as one: a group must be convex with those units in one piece
    units = list(dict.fromkeys(_unit(n, owner) for n in running))
    first = {i: unit[0] for unit in units for i in unit}
    joined = {unit[0]: {first[p] for i in unit for p in before[i]} - {unit[0]} for unit in units}
    sequence = [units[place][0] for place in ordered(units, before)]
    at = {n.index: k for k, n in enumerate(nodes)}
    result = list(choices)
    for group in _worth(delegate, convex_groups(sequence, joined, wanted), declines):
        taken = _compiled(ctx, delegate, [nodes[at[i]] for i in group], specs)
        if isinstance(taken, Decline):
            declines.update((i, taken) for i in group)
            continue
        for i in group:
            result[at[i]] = None
        result[at[group[-1]]] = taken
    for choice in result:
        if choice is not None and choice.kind == "kernel" and choice.index in declines:
            choice.declined = (*choice.declined, declines[choice.index])
    return result


def _unit(node: Node, owner: Mapping[int, Choice]) -> tuple[int, ...]:
    choice = owner.get(node.index)
    return (node.index,) if choice is None else tuple(n.index for n in choice.nodes)


def _worth(delegate: Delegate, groups: list[list[int]], declines: dict[int, Decline]) -> list[list[int]]:
    """The groups that are large enough, and among the largest; the others' nodes are entered in *declines*."""
    least = max(1, delegate.min_nodes)
    ranked = sorted((g for g in groups if len(g) >= least), key=lambda g: (-len(g), g[0]))
    most = delegate.max_partitions if delegate.max_partitions > 0 else len(ranked)
    for group in groups:
        if len(group) < least:
            why = f"partition of {len(group)} nodes; at least {least} wanted"
        elif group in ranked[most:]:
            why = f"only the {most} largest partitions are taken"
        else:
            continue
        declines.update((i, Decline(delegate.name, why, Reason.SIZE)) for i in group)
    return sorted(ranked[:most])


def _refusal(
    ctx: Context, delegate: Delegate, node: Node, choice: Choice | None, specs: Mapping[int, TensorSpec]
) -> Decline | None:
    name = delegate.name
    if (why := ctx.demoted.get((name, node.index))) is not None:
        return Decline(name, why, Reason.DEVICE)
    if pinned(ctx, node) is not None:
        return Decline(name, f"pinned to {pinned(ctx, node)}", Reason.PRIORITY)
    tensors = [specs.get(i, ctx.graph.tensors[i]) for i in (*node.inputs, *node.outputs) if i >= 0]
    if choice is not None:
        if choice.kind != "kernel":
            return Decline(name, f"already {choice.kind}", Reason.PRIORITY)
        if choice.prepared.effects or choice.prepared.writes:
            return Decline(name, "updates state", Reason.STATE)
    if node.writes or node.subgraphs or any(t.variable for t in tensors):
        return Decline(name, "touches variables or subgraphs", Reason.STATE)
    dynamic = next((t for t in tensors if t.shape is None), None)
    if dynamic is not None:
        return Decline(name, f'the shape of "{printable(dynamic.name)}" is known only after running', Reason.DYNAMIC)
    if any(t.dtype in OBJECTS for t in tensors):
        return Decline(name, "strings and resources stay with the kernels", Reason.TYPE)
    try:
        no = delegate.refuses(with_outputs(spec_of(ctx, node, specs), node, specs))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  plugins may raise anything, SystemExit too
        return Decline(name, f"{type(error).__name__}: {error}")
    return None if no is None else Decline(name, no.why, no.code, no.detail)


def _compiled(ctx: Context, delegate: Delegate, members: Sequence[Node], specs: Mapping[int, TensorSpec]) -> Choice | Decline:
    group = group_of(ctx, members, specs, delegate.name)
    try:
        prepared = delegate.compile(group)
    except Unsupported as no:
        return Decline(delegate.name, f"compile: {no.why}", no.code, no.detail)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # plugins may raise anything, SystemExit too
        if ctx.settings.on_delegate_error == "raise":
            text = f"delegate '{delegate.name}' could not compile nodes {members[0].index}-{members[-1].index}: {error}"
            raise DelegateError(text, device_lost=getattr(error, "device_lost", False)) from error
        return Decline(delegate.name, f"compile failed: {type(error).__name__}: {error}", Reason.DEVICE)
    wanted = tuple(t.shape for t in group.outputs)
    said = tuple(None if s is None else tuple(s) for s in prepared.outputs) if isinstance(prepared, Prepared) else None
    if said != wanted:
        return Decline(delegate.name, f"compile answered outputs {said}, the partition's are {wanted}", Reason.SHAPE)
    # outputs count only when the step has returned: they must not lie over the inputs
    prepared = prepared._replace(alias={}, writes=frozenset(), effects=False)
    return Choice.of(members, "delegate", delegate.name, 0, (), group, prepared)


def refuse_fallback(choices: Sequence[Choice | None]) -> None:
    left = [c for c in choices if c is not None and c.kind == "kernel"]
    if left:
        lines = [f"  {where(c.nodes[0])}: {'; '.join(map(str, c.declined)) or 'not claimed'}" for c in left[:20]]
        more = [f"  and {len(left) - 20} more"] if len(left) > 20 else []
        raise DelegateError("\n".join([f"strict: {len(left)} nodes would run on kernels", *lines, *more]))


def ties(choices: Sequence[Choice]) -> tuple[set[int], dict[int, set[int]]]:
    """Nodes with effects, and the variable tensors that each node writes."""
    effects, writes = set(), {}
    for choice in choices:
        for node in choice.nodes:
            if choice.prepared.effects:
                effects.add(node.index)
            if choice.prepared.writes:
                writes[node.index] = {choice.reads[k] for k in choice.prepared.writes}
    return effects, writes
