"""Delegates: the contract, the partitions they get, and the fall-back when they fail.

Nodes that a delegate does not refuse are grouped into convex partitions. A partition's inputs stay intact until its
step returns, and its outputs count only then: when the delegate fails, the same nodes run on kernels from those
inputs, in memory of their own, and from then on for the interpreter's life.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from .choice import Choice, Context, Decline, group_of, pinned, spec_of, where, with_outputs
from .dtypes import OBJECTS
from .errors import DelegateError, DelegateWarning, printable
from .graph import Node, TensorSpec
from .kernel import GroupSpec, NodeSpec, Prepared, Reason, Unsupported
from .partition import convex_groups, dependencies, ordered, ties

if TYPE_CHECKING:
    from .kernel import Buffers, Step
    from .plan import Plan


@runtime_checkable
class Delegate(Protocol):
    """What a plugin returns from ``sodalite_delegates``.

    name: as the user asked for it. min_nodes: smaller partitions are left to kernels. max_partitions: only so
    many, the largest, are compiled; 0 for no limit.
    """

    name: str
    min_nodes: int
    max_partitions: int

    def refuses(self, node: NodeSpec) -> Unsupported | None:
        """Why this node cannot run here, or None if it can. Must not keep the node."""

    def compile(self, group: GroupSpec) -> Prepared:
        """Compile a convex partition. Unsupported gives its nodes back to the kernels.

        The returned step may raise DelegateError while running: its inputs are untouched then, and its outputs do
        not count.
        """

    def close(self) -> None:
        """Release the device. Called once; no step runs after it."""


class Unavailable:
    """A plugin's answer when it knows the delegate's name but cannot offer it here."""

    def __init__(self, why: str) -> None:
        self.why = why


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


class Fallback:
    """The step of a partition: the delegate's, or the kernels' once that has failed.

    kernels: makes the plan of the same nodes without delegates, over the partition's inputs.
    """

    def __init__(self, choice: Choice, step: Step, buffers: Buffers, ctx: Context, kernels: Callable[[], Plan]) -> None:
        self._choice, self._step, self._outputs = choice, step, buffers.outputs
        self._ctx, self._kernels = ctx, kernels
        self._plan: Plan | None = None

    def __call__(self) -> None:
        choice = self._choice
        if self._plan is None and (choice.owner, choice.index) not in self._ctx.demoted:
            try:
                return self._step()
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  plugins may raise anything, SystemExit too
                self._give_up(error)
        if self._plan is None:
            self._plan = self._kernels()
        self._plan.run()
        arrays = self._plan.chain()[-1].arrays
        for tensor, out in zip(choice.makes, self._outputs, strict=True):
            if out is not None:
                np.copyto(out, arrays[tensor])
        return None

    def _give_up(self, error: BaseException) -> None:
        choice, ctx = self._choice, self._ctx
        why = str(error) if isinstance(error, DelegateError) else f"{type(error).__name__}: {error}"
        lost = bool(getattr(error, "device_lost", False))
        text = f"{choice}: delegate '{choice.owner}' failed while running: {why}"
        if ctx.settings.on_delegate_error == "raise":
            raise DelegateError(text, device_lost=lost) from error
        for node in ctx.graph.nodes if lost else choice.nodes:
            ctx.demoted[choice.owner, node.index] = f"failed while running: {why}"
        scope = "all its partitions run" if lost else "these nodes run"
        warnings.warn(f"{text}; from now on {scope} on kernels", DelegateWarning, stacklevel=6)
