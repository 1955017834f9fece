"""[Choice] -> Plan: all memory placed, steps bound, nothing looked up while running.

A Sketch knows how much memory a segment takes before any is allocated; a Plan is a sketch bound to memory. Where an
output's shape is known only after running, the plan ends, and its tail prepares (or finds again) the plan of what
follows for the shapes at hand.
With SODALITE_CHECK=1, guard bytes, poisoned memory and input checksums surround every step.
"""

from __future__ import annotations

import time
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from .arena import Block, blank, place
from .dtypes import OBJECTS, memory_dtype
from .errors import KernelError
from .graph import Array, Node, TensorSpec
from .kernel import Buffers, Step, nbytes
from .resolve import Choice, Context, blame, dependencies, ordered, resolve

Observer = Callable[[Choice, tuple["Array | None", ...], int], None]
KEPT = 8  # plans kept by shape, for the inputs and for each cut
GAP = 64
_GUARD = 0x5C
_POISON = 0xA5


def recent(plans: OrderedDict[Any, Plan], key: Any, make: Callable[[], Plan]) -> Plan:
    """plans[key], made if it is not there; the least recently used one goes when there are too many."""
    if key not in plans:
        plans[key] = make()
        if len(plans) > KEPT:
            plans.popitem(last=False)
    plans.move_to_end(key)
    return plans[key]


class Sketch:
    """A segment resolved and laid out, with no memory yet. arena, scratch, packed: bytes."""

    def __init__(
        self,
        ctx: Context,
        nodes: Sequence[Node],
        known: Mapping[int, TensorSpec],
        *,
        fed: Sequence[int] = (),
        given: Iterable[int] = (),
        results: Sequence[int] | None = None,
        delegates: bool = True,
    ) -> None:
        """fed: tensors written from outside before each run, to be placed here; given: tensors that have memory
        already; results: tensors to be kept to the end beside those that later nodes read (default: graph outputs).
        """
        self.choices, self.specs, self.rest = resolve(ctx, nodes, known, delegates=delegates)
        self.fed = fed
        self.ctx = ctx
        self.order = _in_order(ctx, [c for c in self.choices if c.kind != "folded"])
        self.given = frozenset(given)
        later = {i for n in self.rest for i in n.inputs if i >= 0}
        self.kept = frozenset(ctx.graph.outputs if results is None else results) | later
        self._place()

    @property
    def packed(self) -> int:
        return sum(c.prepared.packed for c in self.choices)

    @property
    def scratch(self) -> int:
        return max((c.prepared.scratch for c in self.order), default=0)

    def _place(self) -> None:
        settings = self.ctx.settings
        end = len(self.order)
        home: dict[int, int] = {}  # tensor -> its block; aliases share one
        blocks: list[Block] = []
        last = {i: at for at, choice in enumerate(self.order) for i in choice.reads if i >= 0}

        def block_for(tensor: int, first: int, until: int) -> None:
            spec = self.specs[tensor]
            if spec.shape is not None and spec.dtype not in OBJECTS and tensor not in self.given and tensor not in home:
                home[tensor] = len(blocks)
                blocks.append(Block(nbytes(spec.shape, spec.dtype), first, until))

        for tensor in self.fed:
            block_for(tensor, 0, end)
        fixed = set(home)
        self.aliases: dict[int, int] = {}
        for at, choice in enumerate(self.order):
            for k, tensor in enumerate(choice.makes):
                until = end if tensor in self.kept else last.get(tensor, at)
                source = self._aliased(choice, k, at, last, home, fixed)
                if source is not None:
                    block = blocks[home[source]]
                    home[tensor] = home[source]
                    blocks[home[source]] = block._replace(last=max(block.last, until))
                    self.aliases[tensor] = source
                else:
                    block_for(tensor, at, until)
        scratch = [(at, c.prepared.scratch) for at, c in enumerate(self.order) if c.prepared.scratch]
        blocks += [Block(n, at, at) for at, n in scratch]
        strings = (t for t in self.specs.values() if t.shape is not None and t.data is None and t.dtype in OBJECTS)
        admit = settings.limits.admit
        admit(max((b.nbytes for b in blocks), default=0) + sum(nbytes(t.shape or (), t.dtype) for t in strings), "the plan")
        offsets, self.arena = place(blocks, gap=GAP if settings.check else 0, share=not settings.keep_all)
        admit(self.arena, "the plan")
        self.blocks = blocks
        self.home = home
        self.offsets = offsets
        self.scratch_at = {at: offsets[len(blocks) - len(scratch) + k] for k, (at, _) in enumerate(scratch)}

    def _aliased(
        self, choice: Choice, k: int, at: int, last: Mapping[int, int], home: Mapping[int, int], fixed: set[int]
    ) -> int | None:
        """The tensor whose bytes output *k* may take: it dies here, and nothing else takes them."""
        prepared, tensor = choice.prepared, choice.makes[k]
        if k not in prepared.alias or self.ctx.settings.keep_all or tensor in self.given:
            return None
        source = choice.reads[prepared.alias[k]]
        mine, theirs = self.specs[tensor], self.specs.get(source)
        free = (
            source in home
            and source not in fixed
            and source not in self.kept
            and last.get(source) == at
            and choice.reads.count(source) == 1
            and source not in self.aliases.values()
            and mine.shape is not None
            and mine.dtype not in OBJECTS
        )
        if not free or theirs is None or theirs.shape is None or mine.shape is None:
            return None
        return source if nbytes(mine.shape, mine.dtype) <= nbytes(theirs.shape, theirs.dtype) else None

    def recycled(self, tensor: int) -> bool:
        """Whether the memory of *tensor* is used again after its last reader."""
        if tensor not in self.home or tensor in self.kept:
            return False
        if any(source == tensor for source in self.aliases.values()):
            return True
        mine = self.home[tensor]
        block, start = self.blocks[mine], self.offsets[mine]
        return any(
            other.first > block.last and start < at + other.nbytes and at < start + block.nbytes
            for k, (other, at) in enumerate(zip(self.blocks, self.offsets, strict=True))
            if k != mine
        )


def _in_order(ctx: Context, choices: list[Choice]) -> list[Choice]:
    if all(len(c.nodes) == 1 for c in choices):
        return choices
    nodes = sorted((n for c in choices for n in c.nodes), key=lambda n: n.index)
    before = dependencies(ctx.graph, nodes, choices)
    return [choices[at] for at in ordered([tuple(n.index for n in c.nodes) for c in choices], before)]


class Plan:
    """Steps over fixed buffers. arrays: tensor -> its memory; late: outputs of the last run whose shape was
    known only then; next: the plan that continued it, or None."""

    def __init__(self, sketch: Sketch, given: Mapping[int, Array], fallbacks: Callable[[Sketch, Choice, Step, Buffers], Step]) -> None:
        self.sketch = sketch
        self.ctx = sketch.ctx
        self.next: Plan | None = None
        self._fallbacks = fallbacks
        self.late: dict[int, Array] = {}
        self._tails: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        try:
            self._arena = blank(sketch.arena)
        except (MemoryError, ValueError) as error:
            raise KernelError(f"no memory for an arena of {sketch.arena:,} bytes: use a smaller input, or free memory") from error
        self.arrays: dict[int, Array] = dict(given)
        for tensor, spec in sketch.specs.items():
            if tensor in self.arrays or spec.shape is None:
                continue
            if tensor in sketch.home:
                self.arrays[tensor] = self._view(sketch.offsets[sketch.home[tensor]], spec)
            elif spec.data is not None:
                self.arrays[tensor] = spec.data
            elif spec.dtype in OBJECTS:
                self.arrays[tensor] = np.full(spec.shape, b"", object)
        self._guards = Guards(self._arena, sketch.blocks, sketch.offsets) if self.ctx.settings.check else None
        self._buffers = [self._buffers_of(at, choice) for at, choice in enumerate(sketch.order)]
        self.steps: list[Step] = [self._bound(at, choice) for at, choice in enumerate(sketch.order)]
        self._fast, self._starts = _joined(self.steps)
        self._dynamic = [i for c in sketch.order for i, s in zip(c.makes, c.prepared.outputs, strict=True) if s is None]
        self.ctx.registry.plan_built(self)

    @property
    def choices(self) -> list[Choice]:
        return self.sketch.choices

    def _view(self, offset: int, spec: TensorSpec) -> Array:
        assert spec.shape is not None  # noqa: S101  laid out only if known
        dtype = memory_dtype(spec.dtype)
        return self._arena[offset : offset + nbytes(spec.shape, spec.dtype)].view(dtype).reshape(spec.shape)

    def _buffers_of(self, at: int, choice: Choice) -> Buffers:
        writes = choice.prepared.writes
        inputs = tuple(
            None if t < 0 else self.arrays[t] if k in writes else _read_only(self.arrays[t]) for k, t in enumerate(choice.reads)
        )
        outputs = tuple(
            None if shape is None else self.arrays[t] for t, shape in zip(choice.makes, choice.prepared.outputs, strict=True)
        )
        start = self.sketch.scratch_at.get(at, 0)
        scratch = self._arena[start : start + choice.prepared.scratch]

        def emit(i: int, array: Array) -> None:
            self._emit(choice, i, array)

        return Buffers(inputs, outputs, scratch, emit)

    def _bound(self, at: int, choice: Choice) -> Step:
        buffers = self._buffers[at]
        try:
            step = choice.prepared.bind(buffers)
        except BaseException as error:
            blame(error, str(choice), f"'{choice.owner}' failed to bind")
        if choice.kind == "delegate":
            step = self._fallbacks(self.sketch, choice, step, buffers)
        elif choice.nodes[0].subgraphs:
            step = _counting(step, [self.ctx.subplan(choice.nodes[0], i) for i in range(len(choice.nodes[0].subgraphs))])
        if self._guards is not None:
            step = guarded(step, choice, buffers, self._guards)
        return step

    def _emit(self, choice: Choice, i: int, array: Array) -> None:
        spec = self.sketch.specs[choice.makes[i]]
        value = np.asarray(array, order="C")
        wanted = memory_dtype(spec.dtype)
        if value.dtype != wanted or spec.shape not in (None, value.shape):
            shape = "any shape" if spec.shape is None else list(spec.shape)
            got = f"{value.dtype} {list(value.shape)}"
            raise KernelError(f"{choice}: '{choice.owner}' delivered {got} as output {i}, prepared {wanted} {shape}")
        if spec.shape is not None:
            np.copyto(self.arrays[spec.index], value)
        else:
            self.ctx.settings.limits.admit(value.nbytes, f"{choice}: output {i}")
            self.late[spec.index] = value if value.flags.owndata else value.copy()

    def run(self, observe: Observer | None = None, deadline: float | None = None) -> None:
        """Run all steps, and what follows a dynamic output.

        observe(choice, outputs, ns): called after each step with the step's outputs and its nanoseconds; the steps, the
        memory and the bits are the same. deadline: time.monotonic() after which a KernelError is raised.
        """
        self.late.clear()
        self.next = None
        if observe is not None or deadline is not None:
            self._run_singly(observe, deadline)
        else:
            at = 0
            try:
                for at, step in enumerate(self._fast):  # noqa: B007  the place is for the handler
                    step()
            except BaseException as error:
                self._failed(error, self._starts[at])
        if self._dynamic:
            self._continue(observe, deadline)

    def _run_singly(self, observe: Observer | None, deadline: float | None) -> None:
        for at, step in enumerate(self.steps):
            choice = self.sketch.order[at]
            if deadline is not None and time.monotonic() > deadline:
                raise KernelError(f"{choice}: the time limit of {self.ctx.settings.limits.seconds} s ended before it could run")
            start = time.perf_counter_ns()
            try:
                step()
            except BaseException as error:
                self._failed(error, at)
            if observe is not None:
                ns = time.perf_counter_ns() - start
                outputs = tuple(self.late.get(t) if o is None else o for t, o in zip(choice.makes, self._buffers[at].outputs, strict=True))
                observe(choice, outputs, ns)

    def _failed(self, error: BaseException, at: int) -> NoReturn:
        choice = self.sketch.order[at]
        blame(error, str(choice), f"kernel of '{choice.owner}' failed")

    def _continue(self, observe: Observer | None, deadline: float | None) -> None:
        for choice in self.sketch.order:
            for i, (tensor, shape) in enumerate(zip(choice.makes, choice.prepared.outputs, strict=True)):
                if shape is None and tensor not in self.late:
                    raise KernelError(f"{choice}: '{choice.owner}' did not deliver output {i}")
        if not self.sketch.rest:
            return
        key = tuple(self.late[t].shape for t in self._dynamic)
        plan = recent(self._tails, key, self._tail)
        for tensor, value in self.late.items():
            np.copyto(plan.arrays[tensor], value)
        self.late.clear()
        self.next = plan
        plan.run(observe, deadline)

    def _tail(self) -> Plan:
        """The plan of what follows, for the shapes just delivered."""
        specs = self.sketch.specs
        known = {**specs, **{t: replace(specs[t], shape=value.shape) for t, value in self.late.items()}}
        rest = Sketch(self.ctx, self.sketch.rest, known, fed=list(self.late), given=self.arrays)
        return Plan(rest, self.arrays, self._fallbacks)

    def chain(self) -> list[Plan]:
        """This plan and those that continued it in the last run."""
        plans = [self]
        while plans[-1].next is not None:
            plans.append(plans[-1].next)
        return plans


def _counting(step: Step, subplans: Sequence[Any]) -> Step:
    """*step*, with the loop turns of its subgraphs counted from zero each time."""

    def run() -> None:
        for subplan in subplans:
            subplan.restart()
        step()

    return run


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _joined(steps: Sequence[Step]) -> tuple[list[Step], list[int]]:
    """Runs of neighbours with the same ``join`` as one step each; and the place in *steps* where each starts."""
    fast: list[Step] = []
    starts: list[int] = []
    at = 0
    for join, run in groupby(steps, lambda s: getattr(s, "join", None)):
        neighbours = list(run)
        if join is None or len(neighbours) == 1:
            fast += neighbours
            starts += range(at, at + len(neighbours))
        else:
            fast.append(join(neighbours))
            starts.append(at)
        at += len(neighbours)
    return fast, starts


class Guards:
    """The bytes between blocks, which no step may touch."""

    def __init__(self, arena: npt.NDArray[np.uint8], blocks: Sequence[Block], offsets: Sequence[int]) -> None:
        self._arena = arena
        owned = np.zeros(arena.size, bool)
        for block, offset in zip(blocks, offsets, strict=True):
            owned[offset : offset + block.nbytes] = True
        self._free = np.flatnonzero(~owned)
        arena[self._free] = _GUARD

    def broken(self) -> bool:
        return bool((self._arena[self._free] != _GUARD).any())

    def mend(self) -> None:
        self._arena[self._free] = _GUARD


def guarded(step: Step, choice: Choice, buffers: Buffers, guards: Guards) -> Step:
    """*step* with its promises checked: outputs written in full as far as poison shows, nothing else written.

    KernelError names the node and the plugin that broke the rule.
    """
    writes = choice.prepared.writes
    inputs = [(k, a) for k, a in enumerate(buffers.inputs) if a is not None and k not in writes and a.dtype != object]
    outputs = [a for a in buffers.outputs if a is not None and a.dtype != object]
    watched = [(k, a) for k, a in inputs if not any(np.may_share_memory(a, o) for o in outputs)]
    clean = [o for o in outputs if not any(np.may_share_memory(o, a) for a in buffers.inputs if a is not None and a.dtype != object)]

    def run() -> None:
        before = [_sum(a) for _, a in watched]
        for array in (*clean, buffers.scratch):
            _bytes(array)[...] = _POISON
        step()
        for (k, array), was in zip(watched, before, strict=True):
            if _sum(array) != was:
                raise KernelError(f"{choice}: '{choice.owner}' wrote its input {k}")
        if guards.broken():
            guards.mend()
            raise KernelError(f"{choice}: '{choice.owner}' wrote outside its buffers")

    return run


def _bytes(array: Array) -> npt.NDArray[Any]:
    return array.reshape(-1).view(np.uint8)


def _sum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8))
