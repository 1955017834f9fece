"""The values that resolving works with: what was asked, who owns a node, who declined and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from .errors import KernelError, PluginError, SodaliteError, printable
from .graph import Graph, Node, TensorSpec
from .kernel import GroupSpec, Mode, NodeSpec, Prepared, Reason, Unsupported
from .limits import Limits

if TYPE_CHECKING:
    from .delegate import Delegate
    from .plugins import Offer, Registry


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
