"""Graph -> list[Choice]: who runs each node, with what it prepared, and who declined and why.

What follows a shape known only after running is resolved when it has run.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import numpy as np
from sodalite_schema import ENUMS

from .dtypes import OBJECTS, memory_dtype
from .errors import (
    DelegateError,
    KernelError,
    PluginError,
    ShapeError,
    SodaliteError,
    UnsupportedOpError,
    cause,
    printable,
)
from .graph import Array, Graph, Node, TensorSpec
from .kernel import (
    Buffers,
    Delegate,
    GroupSpec,
    Limits,
    Member,
    Mode,
    NodeSpec,
    Prepared,
    Reason,
    Unsupported,
    nbytes,
)

if TYPE_CHECKING:
    from .plugins import Offer, PluginInfo, Registry

# What is computed before running: so many bytes, or times its inputs (a constant DEQUANTIZE or DENSIFY).
FOLDED_NBYTES, FOLDED_GROWTH = 64 * 1024, 16


class Decline(NamedTuple):
    who: str
    why: str
    code: Reason = Reason.OTHER
    detail: Any = None

    def __str__(self) -> str:
        return f"{self.who} declined ({self.code.name}): {self.why}"


class MissingNode(NamedTuple):
    node: Node
    graph: Graph
    inputs: tuple[TensorSpec | None, ...]
    declined: tuple[Decline, ...]


@dataclass(slots=True, eq=False)
class Choice:
    """One step to be, and its owner. kind: "kernel", "fused", "delegate" or "folded" (computed once, no step).

    reads, makes: tensors in the order of the step's buffers (-1: omitted).
    """

    nodes: tuple[Node, ...]
    kind: str
    owner: str
    quality: int
    declined: tuple[Decline, ...]
    spec: NodeSpec | GroupSpec
    prepared: Prepared
    reads: tuple[int, ...] = field(init=False)
    makes: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.reads = tuple(-1 if t is None else t.index for t in self.spec.inputs)
        self.makes = tuple(t.index for t in self.spec.outputs)

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
        return where(*self.nodes)

    def failed(self, error: BaseException, how: str = "failed") -> NoReturn:
        blame(error, str(self), f"kernel of '{self.owner}' {how}")


def where(*nodes: Node) -> str:
    """Nodes in messages: ``node 12 CONV_2D "mobilenet/conv_3"``, ``nodes 3-7``."""
    node = nodes[0]
    if len(nodes) > 1:
        return f"nodes {node.index}-{nodes[-1].index}"
    return f'node {node.index} {printable(node.op)} "{printable(node.name)}"'


@dataclass(frozen=True, slots=True)
class Settings:
    """What the user asked of an interpreter (docs/api.md). keep_all: every tensor keeps memory of its own; check:
    guard bytes, poisoned memory and input checksums."""

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
    """demoted: (delegate, node index) -> why it is not asked again; shaped: tensors whose known value hangs on a
    shape, so that nothing made of it may be kept with the model."""

    graph: Graph
    registry: Registry
    settings: Settings
    state: MutableMapping[Any, Any]
    packed: Callable[[Any, Callable[[], Any]], Any]
    subplan: Callable[[Node, int], Any]
    demoted: dict[tuple[str, int], str] = field(default_factory=dict)
    shaped: set[int] = field(default_factory=set)

    def pin(self, node: Node) -> str | None:
        pin = self.settings.pin
        return pin.get(node.index, pin.get(node.op))

    def keep(self, nodes: Sequence[Node], who: str, key: Any, make: Callable[[], Any]) -> Any:
        """make(), once a model and for *who* alone unless it hangs on shapes."""
        if any(i in self.shaped for n in nodes for i in n.inputs):
            return make()
        return self.packed((self.graph.index, *(n.index for n in nodes), self.settings.mode, who, key), make)


def blame(error: BaseException, place: str, what: str, kind: type[SodaliteError] = KernelError) -> NoReturn:
    """Raise *error* as one that says where; Ctrl-C, MemoryError and errors that name a node pass."""
    text = cause(error)
    if isinstance(error, MemoryError) or (isinstance(error, SodaliteError) and text.startswith("node")):
        raise error
    if type(error).__module__ == SodaliteError.__module__:
        raise type(error)(f"{place}: {text}") from error.__cause__
    raise kind(f"{place}: {what}: {text}") from error


def _at(tensors: Any, indices: Sequence[int]) -> tuple[TensorSpec | None, ...]:
    return tuple(None if i < 0 else tensors[i] for i in indices)


def spec_of(ctx: Context, node: Node, specs: Mapping[int, TensorSpec], who: str = "") -> NodeSpec:
    tensors = ctx.graph.tensors
    return NodeSpec(
        node.op,
        node.version,
        _at(specs, node.inputs),
        tuple(specs.get(i, tensors[i]) for i in node.outputs),
        node.options,
        node.custom_options,
        _at(tensors, node.intermediates),
        ctx.settings.mode,
        node.index,
        node.name,
        ctx.state,
        packed=partial(ctx.keep, (node,), who),
        subplan=partial(ctx.subplan, node),
    )


def group_of(ctx: Context, nodes: Sequence[Node], specs: Mapping[int, TensorSpec], who: str) -> GroupSpec:
    """*nodes* as one; constants are seen through its members, not as inputs."""
    graph = ctx.graph
    inside = {n.index for n in nodes}
    made = dict.fromkeys(i for n in nodes for i in n.outputs)
    read = dict.fromkeys(i for n in nodes for i in n.inputs if i >= 0 and i not in made and specs[i].data is None)
    return GroupSpec(
        tuple(spec_of(ctx, n, specs, who) for n in nodes),
        tuple(specs[i] for i in read),
        tuple(specs[i] for i in made if i in graph.outputs or not inside.issuperset(graph.readers.get(i) or (-1,))),
        tuple(n.inputs for n in nodes),
        tuple(n.outputs for n in nodes),
        ctx.settings.mode,
        nodes[-1].name,
        ctx.state,
        partial(ctx.keep, nodes, who),
    )


def attempt(ctx: Context, offer: Offer, spec: NodeSpec | GroupSpec, place: str, declined: list[Decline]) -> Prepared | None:
    """What *offer* prepares, or None and why in *declined*."""
    no = partial(Decline, offer.plugin)
    try:
        prepare = ctx.registry.prepare(offer)
    except PluginError as error:
        if ctx.registry.strict:
            raise
        declined.append(no(str(error)))
        return None
    try:
        prepared = prepare(spec)
    except Unsupported as error:
        declined.append(no(error.why, error.code, error.detail))
        return None
    except BaseException as error:
        blame(error, place, f"{ctx.registry.info(offer.plugin)} failed to prepare it", PluginError)
    if fault := _fault(prepared, spec):
        raise PluginError(f"{place}: plugin '{offer.plugin}' {fault}")
    return prepared


def _fault(prepared: object, spec: NodeSpec | GroupSpec) -> str:
    if not isinstance(prepared, Prepared):
        return f"returned {type(prepared).__name__} from prepare, not sodalite.Prepared"
    inputs, outputs = dict(enumerate(spec.inputs)), prepared.outputs
    if len(outputs) != len(spec.outputs):
        return f"prepared {len(outputs)} outputs, the node has {len(spec.outputs)}"
    for i, shape in enumerate(outputs):
        if any(not isinstance(d, (int, np.integer)) or d < 0 for d in shape or ()):
            return f"prepared output {i} as {tuple(shape or ())}: every dimension must be an int >= 0"
    for i in prepared.writes:
        if not (tensor := inputs.get(i)) or not tensor.variable:
            return f"wants to write input {i}, which is not a variable"
    for i, j in prepared.alias.items():
        if i not in range(len(outputs)) or not inputs.get(j):
            return f"wants output {i} in the memory of input {j}: there is no such pair"
    return ""


def resolve(
    ctx: Context, nodes: Sequence[Node], known: Mapping[int, TensorSpec], *, delegates: bool = True
) -> tuple[list[Choice], dict[int, TensorSpec], Sequence[Node]]:
    """Choices for *nodes* in file order, a group where its last node stands; all specs *known* then; and the nodes from
    the first that waits for a shape. UnsupportedOpError lists every node that nobody takes."""
    specs = dict(known)
    choices: dict[int, Choice | None] = {}
    missing: list[MissingNode] = []
    for node in nodes:
        waits = any(i >= 0 and specs[i].shape is None for i in node.inputs)
        if waits and not missing:
            break
        choice = choices[node.index] = _one(ctx, node, specs, missing, waits)
        if choice is None:
            specs.update((i, ctx.graph.tensors[i]) for i in node.outputs)
            continue
        _learn(ctx, choice, specs)
        if None in choice.prepared.outputs:
            break
    rest = nodes[len(choices) :]
    asked = ctx.settings.delegates if delegates else ()
    for delegate in asked:
        claim(ctx, delegate, choices, specs)
    taken = [c for c in choices.values() if c]
    owned = {n.index for c in taken for n in c.nodes}
    if missing := [m for m in missing if m.node.index not in owned]:
        for node in rest:  # those not reached as well, where no plugin offers the operator
            declined: list[Decline] = []
            if not _candidates(ctx, node, declined):
                missing.append(MissingNode(node, ctx.graph, _at(ctx.graph.tensors, node.inputs), tuple(declined)))
        raise report(missing, ctx.registry.failed)
    left = [c for c in taken if c.kind == "kernel"]
    if ctx.settings.strict and asked and left:
        lines = [f"\n  {c}: {'; '.join(map(str, c.declined)) or 'not claimed'}" for c in left[:20]]
        raise DelegateError(f"strict: {len(left)} nodes would run on kernels{''.join(lines)}")
    return fused(ctx, taken, specs), specs, rest


def _candidates(ctx: Context, node: Node, declined: list[Decline]) -> list[Offer]:
    only = ctx.pin(node)
    offers = ctx.registry.offers(node.op, ctx.settings.kernels if only is None else (only,))
    asked, taken = ctx.settings.mode.arithmetic, []
    for offer in offers:
        no, spoken, versions = partial(Decline, offer.plugin), offer.kernel.arithmetic, offer.kernel.versions
        if node.version not in versions:
            declined.append(no(f"version {node.version}; up to {versions.stop - 1} only", Reason.VERSION))
        elif asked not in spoken:
            declined.append(no(f"computes {', '.join(sorted(spoken))}, not {asked}", Reason.ARITHMETIC))
        else:
            taken.append(offer)
    if only is not None and not offers:
        others = ", ".join(o.plugin for o in ctx.registry.offers(node.op)) or "none"
        declined.append(Decline(only, f"pinned, but it offers no such kernel; plugins that do: {others}", Reason.PRIORITY))
    return taken


def _one(
    ctx: Context, node: Node, specs: Mapping[int, TensorSpec], missing: list[MissingNode], waits: bool
) -> Choice | None:
    declined: list[Decline] = []
    offers = _candidates(ctx, node, declined)
    if waits and offers:
        return None
    spec = spec_of(ctx, node, specs)
    if len(offers) > 1 and ctx.pin(node) is None and ctx.settings.kernels is None:
        first = ctx.registry.choose(spec, [o.plugin for o in offers])
        offers = sorted(offers, key=lambda o: o.plugin != first)
    for offer in offers:
        spec = spec_of(ctx, node, specs, offer.plugin)
        try:
            prepared = attempt(ctx, offer, spec, where(node), declined)
        except (ShapeError, KernelError):
            if missing:  # shapes after a node nobody runs are the file's, which may be stale
                return None
            raise
        if prepared is not None:
            return Choice((node,), "kernel", offer.plugin, int(offer.kernel.quality), tuple(declined), spec, prepared)
    missing.append(MissingNode(node, ctx.graph, spec.inputs, tuple(declined)))
    return None


def _learn(ctx: Context, choice: Choice, specs: dict[int, TensorSpec]) -> None:
    """Enter the outputs' shapes, and the values that are known before running."""
    node, prepared = choice.nodes[0], choice.prepared
    made = [replace(ctx.graph.tensors[i], shape=s and tuple(map(int, s))) for i, s in zip(node.outputs, prepared.outputs, strict=True)]
    for t in made:
        if t.shape is not None:
            what = f'{choice}: output "{printable(t.name)}" {list(t.shape)} {t.dtype}'
            ctx.settings.limits.admit(nbytes(t.shape, t.dtype), what)
        specs[t.index] = t
    values = dict(prepared.values)
    shaped = bool(values) or not ctx.shaped.isdisjoint(node.inputs)
    if len(values) < len(made) and not _stateful(ctx, node, choice) and _foldable(choice.spec.inputs, made):
        values = ctx.keep((node,), f"folded by {choice.owner}", None, partial(_fold, choice, made))
    for i, value in values.items():
        array = np.asarray(value, memory_dtype(made[i].dtype), "C").view()
        array.flags.writeable = False
        specs[node.outputs[i]] = replace(made[i], data=array, shape=array.shape, source=None)
    if values and shaped:
        ctx.shaped.update(node.outputs)
    if made and len(values) == len(made):
        choice.kind = "folded"


def _stateful(ctx: Context, node: Node, choice: Choice | None) -> bool:
    variable = any(i >= 0 and ctx.graph.tensors[i].variable for i in (*node.inputs, *node.outputs))
    return variable or bool(node.writes or node.subgraphs or (choice and choice.prepared.effects))


def _foldable(inputs: Sequence[TensorSpec | None], made: Sequence[TensorSpec]) -> bool:
    known = [t.data for t in inputs if t]
    given = [data.nbytes for data in known if data is not None]
    if not given or len(given) < len(known) or any(t.shape is None or t.dtype in OBJECTS for t in made):
        return False
    return sum(nbytes(t.shape or (), t.dtype) for t in made) <= max(FOLDED_NBYTES, FOLDED_GROWTH * sum(given))


def _fold(choice: Choice, made: Sequence[TensorSpec]) -> dict[int, Array]:
    inputs = tuple(t.data if t else None for t in choice.spec.inputs)
    outputs = tuple(np.zeros(t.shape or (), memory_dtype(t.dtype)) for t in made)
    scratch = np.empty(choice.prepared.scratch, np.uint8)
    try:
        with np.errstate(all="ignore"):
            choice.prepared.bind(Buffers(inputs, outputs, scratch, lambda i, array: np.copyto(outputs[i], array)))()
    except BaseException as error:
        choice.failed(error)
    return dict(enumerate(outputs))


def _unlike(prepared: Prepared, group: GroupSpec) -> str:
    said, wanted = [s and tuple(s) for s in prepared.outputs], [t.shape for t in group.outputs]
    return "" if said == wanted else f"answered outputs {said}, its nodes {wanted}"


def fused(ctx: Context, choices: list[Choice], specs: Mapping[int, TensorSpec]) -> list[Choice]:
    """*choices* with matched groups replaced, by quality, then length; never better single kernels."""
    offers = ctx.registry.offers("fused:", ctx.settings.kernels)
    if not offers or ctx.settings.keep_all:
        return choices
    single = [(c.nodes[0], c) for c in choices if c.kind == "kernel" and None not in c.prepared.outputs]
    free = {n.index: c for n, c in single if ctx.pin(n) is None and not _stateful(ctx, n, c)}
    found = [
        (-int(offer.kernel.quality), -len(nodes), offer.plugin, i, offer, nodes)
        for offer in offers
        if ctx.settings.mode.arithmetic in offer.kernel.arithmetic
        for i in free
        if (nodes := match(ctx.graph, offer.kernel.pattern, ctx.graph.nodes[i], free))
        and offer.kernel.quality >= max(free[n.index].quality for n in nodes)
    ]
    taken: dict[int, Choice | None] = {}  # the root -> the group, other members -> None
    for *_, offer, nodes in sorted(found, key=lambda f: f[:4]):
        if any(n.index in taken for n in nodes):
            continue
        root, op = free[nodes[-1].index], offer.kernel.op
        group = group_of(ctx, nodes, specs, f"{offer.plugin}:{op}")
        declined: list[Decline] = []
        prepared = attempt(ctx, offer, group, f"{where(*nodes)} {op}", declined)
        if prepared and (fault := _unlike(prepared, group)):
            declined.append(Decline(offer.plugin, f"{op} {fault}"))
        if declined or not prepared:
            root.declined += tuple(declined)
            continue
        taken.update((n.index, None) for n in nodes)
        taken[root.index] = Choice(tuple(nodes), "fused", offer.plugin, int(offer.kernel.quality), root.declined, group, prepared)
    return [c for c in (c if c.kind == "delegate" else taken.get(c.index, c) for c in choices) if c]


def match(graph: Graph, pattern: Sequence[Member], root: Node, allowed: Collection[int]) -> list[Node]:
    """The nodes that *pattern* covers with its last member at *root*, if inner tensors have one reader each."""
    bound = {pattern[-1].label: root}
    for member in reversed(pattern):
        node = bound.get(member.label)
        if not node or node.op not in member.ops or node.index not in allowed or len(node.inputs) < len(member.inputs):
            return []
        for i, label in zip(node.inputs, member.inputs, strict=False):
            if label is not None:
                maker = graph.producer.get(i)
                if maker is None or bound.setdefault(label, graph.nodes[maker]).index != maker:
                    return []
    covered = {n.index for n in bound.values()}
    inner = [t for n in bound.values() if n is not root for t in n.outputs]
    alone = all(len(r := graph.readers.get(t, ())) == 1 and r[0] in covered and t not in graph.outputs for t in inner)
    return [graph.nodes[i] for i in sorted(covered)] if alone and len(covered) == len(pattern) else []


def claim(ctx: Context, delegate: Delegate, choices: dict[int, Choice | None], specs: Mapping[int, TensorSpec]) -> None:
    """Put partitions of *delegate* into *choices* (by node index), each where its last node stood."""
    owner = {n.index: c for c in choices.values() if c for n in c.nodes}
    nodes = [ctx.graph.nodes[i] for i in choices]
    declines = {n.index: no for n in nodes if (no := _refusal(ctx, delegate, n, owner.get(n.index), specs))}
    running = [n for n in nodes if n.index not in owner or owner[n.index].kind != "folded"]
    before = dependencies(ctx.graph, running, owner.values())
    # what an earlier delegate took runs as one
    units = list(dict.fromkeys(tuple(m.index for m in owner[n.index].nodes) if n.index in owner else (n.index,) for n in running))
    groups = convex_groups([units[k] for k in ordered(units, before)], before, choices.keys() - declines.keys())
    least, most = max(1, delegate.min_nodes), delegate.max_partitions
    largest = sorted(groups, key=lambda g: (-len(g), g[0]))[: most if most > 0 else None]
    size = partial(Decline, delegate.name, code=Reason.SIZE)
    for group in groups:
        if len(group) < least:
            taken: Choice | Decline = size(f"partition of {len(group)} nodes; at least {least} wanted")
        elif group not in largest:
            taken = size(f"only the {most} largest partitions are taken")
        else:
            taken = _compiled(ctx, delegate, [ctx.graph.nodes[i] for i in group], specs)
        if isinstance(taken, Decline):
            declines.update(dict.fromkeys(group, taken))
        else:
            choices.update(dict.fromkeys(group))
            choices[group[-1]] = taken
    for i, no in declines.items():
        if (choice := choices[i]) and choice.kind == "kernel":
            choice.declined += (no,)


def _refusal(ctx: Context, delegate: Delegate, node: Node, choice: Choice | None, specs: Mapping[int, TensorSpec]) -> Decline | None:
    no = partial(Decline, delegate.name)
    if (why := ctx.demoted.get((delegate.name, node.index))) is not None:
        return no(why, Reason.DEVICE)
    if (pin := ctx.pin(node)) is not None:
        return no(f"pinned to {pin}", Reason.PRIORITY)
    if choice and choice.kind != "kernel":
        return no(f"already {choice.kind}", Reason.PRIORITY)
    if _stateful(ctx, node, choice):
        return no("touches variables, subgraphs or other state", Reason.STATE)
    for tensor in (specs[i] for i in (*node.inputs, *node.outputs) if i >= 0):
        if tensor.shape is None:
            return no(f'the shape of "{printable(tensor.name)}" is known only after running', Reason.DYNAMIC)
        if tensor.dtype in OBJECTS:
            return no("strings and resources stay with the kernels", Reason.TYPE)
    try:
        answer = delegate.refuses(spec_of(ctx, node, specs, delegate.name))
    except BaseException as error:
        return no(cause(error))
    return None if answer is None else no(answer.why, answer.code, answer.detail)


def _compiled(ctx: Context, delegate: Delegate, nodes: Sequence[Node], specs: Mapping[int, TensorSpec]) -> Choice | Decline:
    no = partial(Decline, delegate.name)
    group = group_of(ctx, nodes, specs, delegate.name)
    try:
        prepared = delegate.compile(group)
    except Unsupported as error:
        return no(f"compile: {error.why}", error.code, error.detail)
    except BaseException as error:
        why = cause(error)
        if ctx.settings.on_delegate_error == "raise":
            text = f"{where(*nodes)}: delegate '{delegate.name}' could not compile: {why}"
            raise DelegateError(text, device_lost=getattr(error, "device_lost", False)) from error
        return no(f"compile failed: {why}", Reason.DEVICE)
    if fault := _fault(prepared, group) or _unlike(prepared, group):
        return no(f"compile {fault}", Reason.SHAPE)
    # outputs count only when the step has returned: they must not lie over the inputs
    prepared = prepared._replace(alias={}, writes=frozenset(), effects=False)
    return Choice(tuple(nodes), "delegate", delegate.name, 0, (), group, prepared)


Edges = Mapping[int, Collection[int]]  # node -> the nodes that must run before it


def convex_groups(units: Sequence[tuple[int, ...]], before: Edges, members: Collection[int]) -> list[list[int]]:
    """Groups of *members* that no path leaves and enters again. units: what runs as one, in order.

    A member takes the lowest even level, another unit the lowest odd one, not below its predecessors': edges never go
    down, so a path that leaves a level cannot return to it.
    """
    level: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for unit in units:
        lowest = max((level[p] for n in unit for p in before.get(n, ()) if p in level), default=0)
        lowest += (lowest + (unit[0] not in members)) % 2
        for node in unit:
            level[node] = lowest
            groups.setdefault(lowest, []).append(node)
    return [sorted(groups[k]) for k in sorted(groups) if k % 2 == 0]


def ordered(units: Sequence[tuple[int, ...]], before: Edges) -> list[int]:
    """Positions of *units*, each after all it depends on; file order where free. ValueError if there is a cycle."""
    home = {node: place for place, unit in enumerate(units) for node in unit}
    needs = {place: {home[p] for n in unit for p in before.get(n, ()) if p in home} - {place} for place, unit in enumerate(units)}
    sorter = TopologicalSorter(needs)
    sorter.prepare()
    ready: list[tuple[int, int]] = []
    result = []
    while sorter.is_active():
        for place in sorter.get_ready():
            heapq.heappush(ready, (max(units[place]), place))
        result.append(heapq.heappop(ready)[1])
        sorter.done(result[-1])
    return result


def dependencies(graph: Graph, nodes: Sequence[Node], choices: Collection[Choice]) -> dict[int, set[int]]:
    """Which of *nodes* must run before each: producers of its inputs, writers of variables it touches, and before a
    writer also readers. Effects write variable -1."""
    updates = {n.index: {c.reads[k] for k in c.prepared.writes} | ({-1} if c.prepared.effects else set()) for c in choices for n in c.nodes}
    inside = {n.index for n in nodes}
    users: dict[int, list[int]] = {}  # variable -> its last writer (-1: none), and who touched it since
    before = {}
    for node in nodes:
        me, written = node.index, updates.get(node.index, set())
        needed = {graph.producer.get(i, -1) for i in node.inputs}
        for i in written.union(i for i in node.inputs if i >= 0 and graph.tensors[i].variable):
            since = users.get(i, [-1])
            needed.update(since if i in written else since[:1])
            users[i] = [me] if i in written else [*since, me]
        before[me] = (needed & inside) - {me}
    return before


_MOST_OPERATORS, _MOST_DECLINES = 8, 3  # of a report: one screen


class Known(NamedTuple):
    """Of an operator."""

    provider: str  # distribution
    releases: Sequence[str] = ()  # the TensorFlow that first ran version 1, 2, ... ("-": none)


def providers() -> dict[str, Known]:
    """The operators in known_providers.tsv, by name."""
    from pkgutil import get_data  # only when something is wrong

    lines = (get_data(__package__, "known_providers.tsv") or b"").decode().splitlines()
    builtins = ENUMS["BuiltinOperator"]
    table = {op: Known("sodalite-cpu-ref", line.split()) for op, line in zip(builtins, lines, strict=False) if line}
    return table | {op: Known(provider) for op, provider in map(str.split, lines[len(builtins) :])}


def report(missing: Iterable[MissingNode], failed: Sequence[PluginInfo]) -> UnsupportedOpError:
    """What to say when nobody runs the nodes in *missing*, one at least. failed: plugins that did not load."""
    groups: dict[tuple[str, int, str], list[MissingNode]] = {}  # nodes that lack the same thing
    for one in missing:
        types = ", ".join("-" if t is None else t.dtype for t in one.inputs)
        groups.setdefault((one.node.op, one.node.version, types), []).append(one)
    ops = list(dict.fromkeys(op for op, _, _ in groups))
    total = sum(map(len, groups.values()))
    lines = [f"no kernel takes {total} nodes, of {len(ops)} operator{'s' * (len(ops) > 1)}:"]
    table = providers()
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
    if rest := list(groups)[_MOST_OPERATORS:]:
        lines.append(_line(f"  and {len(rest)} more: {', '.join({printable(op): 0 for op, _, _ in rest})}"))
    lines += [_line(f"{plugin} failed to load: {plugin.why}") for plugin in failed]
    return UnsupportedOpError("\n".join(lines + _advice(ops, table, failed)))


def _line(text: str) -> str:
    return printable(text.split("\n", 1)[0], 160)


def _advice(ops: Sequence[str], table: dict[str, Known], failed: Sequence[PluginInfo]) -> list[str]:
    lines = []
    if flex := [op for op in ops if op.startswith("custom:Flex")]:
        lines.append(
            "Flex operators are TensorFlow's own: convert the model again without SELECT_TF_OPS, "
            f"or install a plugin that offers {printable(flex[0])}"
        )
    broken = {plugin.distribution for plugin in failed}
    for provider in sorted({table[op].provider for op in ops if op in table} - broken):
        version = _installed(provider)
        newer = f"{provider} {version} does not run this: try a newer release, or see docs/coverage.md"
        lines.append(newer if version else f"pip install {provider}")
    if broken:
        lines.append(f"repair, reinstall or remove {', '.join(map(printable, sorted(broken)))}")
    if foreign := [op for op in ops if op.startswith("custom:") and op not in flex and op not in table]:
        lines.append(f"{printable(foreign[0])} is a custom operator: its plugin comes from whoever made the model")
    return lines or ["no package is known to provide it"]


def _installed(distribution: str) -> str | None:
    from importlib import metadata  # slow

    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
