"""[Choice] -> Plan: all memory placed, steps bound, nothing looked up while running.

A Sketch lays a segment out, a Plan is a sketch bound to memory, a Runner has the plans of a graph by shape. Where an
output's shape is known only after running, a plan ends and finds or makes the plan of what follows.
"""

# ruff: noqa: SLF001  a subgraph is run by its caller's interpreter
from __future__ import annotations

import time
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .dtypes import OBJECTS, memory_dtype
from .errors import (
    DelegateError,
    DelegateWarning,
    KernelError,
    NoValueError,
    PluginError,
    ShapeError,
    printable,
)
from .graph import Array, Node, Shape, TensorSpec
from .kernel import Buffers, Limits, Step, nbytes
from .resolve import Choice, Context, Decline, Settings, dependencies, ordered, resolve, where

if TYPE_CHECKING:
    from .model import Model
    from .plugins import Registry

Observer = Callable[[Choice, tuple["Array | None", ...], int], None]
ALIGNMENT = 64
MAX_RANK = 32  # what every numpy can hold
KEPT = 8  # plans kept by shape, for the inputs and for each cut
_GUARD = 0x5C
_POISON = 0xA5


class Block(NamedTuple):
    """nbytes wanted, alive from step *first* to step *last*, both included."""

    nbytes: int
    first: int
    last: int


def aligned(nbytes: int) -> int:
    """*nbytes* rounded up to the alignment."""
    return (nbytes + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def place(blocks: Sequence[Block], *, gap: int = 0, share: bool = True) -> tuple[list[int], int]:
    """Aligned offsets of *blocks* and the size of the arena: blocks alive at one step never share a byte.

    gap: free bytes around each; share=False: memory of its own for each. Else largest first, each at the lowest offset
    free for its whole life (Pisarchyk & Lee, "Efficient Memory Management for Deep Neural Net Inference", 2020).
    """
    sizes = [aligned(b.nbytes) + gap for b in blocks]
    if not share:
        *offsets, end = accumulate(sizes, initial=gap)
        return offsets, end
    offsets, end = [0] * len(blocks), 0
    order = sorted((i for i, b in enumerate(blocks) if b.nbytes), key=lambda i: (-sizes[i], blocks[i].first, i))
    placed = np.zeros((len(order), 4), np.int64)  # in that order: first, last, start, end
    for count, i in enumerate(order):
        block, size = blocks[i], sizes[i]
        rows = placed[:count]
        busy = rows[(rows[:, 0] <= block.last) & (rows[:, 1] >= block.first)]
        busy = busy[np.argsort(busy[:, 2], kind="stable")]
        # where all that starts before each row has ended: a hole, if the row starts beyond it
        reach = np.maximum.accumulate(np.concatenate(([gap], busy[:, 3])))
        holes = np.flatnonzero(busy[:, 2] - reach[:-1] >= size)
        offsets[i] = start = int(reach[holes[0] if len(holes) else -1])
        placed[count] = (block.first, block.last, start, start + size)
        end = max(end, start + size)
    return offsets, end


def blank(nbytes: int) -> npt.NDArray[np.uint8]:
    """*nbytes* of aligned memory, uint8; not cleared."""
    raw = np.empty(nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + nbytes]


def called(spec: TensorSpec, what: str = "") -> str:
    """How messages name a tensor: ``input 1 "image"``."""
    return f'{what or ("variable" if spec.variable else "input")} {spec.index} "{printable(spec.name)}"'


def size_of(spec: TensorSpec) -> int:
    return nbytes(spec.shape or (), spec.dtype)


def recent(plans: dict[Any, Plan], key: Any, make: Callable[[], Plan]) -> Plan:
    """plans[key], or make(); the least recently used goes."""
    plans[key] = plan = plans.pop(key, None) or make()
    if len(plans) > KEPT:
        del plans[next(iter(plans))]
    return plan


class Sketch:
    """A segment resolved and laid out, with no memory yet. arena: bytes."""

    def __init__(
        self,
        ctx: Context,
        nodes: Sequence[Node],
        known: Mapping[int, TensorSpec],
        *,
        fed: Sequence[int] = (),
        given: Iterable[int] = (),
        results: Sequence[int] | None = None,
    ) -> None:
        """fed: tensors placed here and written from outside before each run; given: those that have memory already;
        results: what a partition, to run on kernels, gives to the graph (None: this is no partition)."""
        self.ctx, self.fed, self.given = ctx, fed, frozenset(given)
        self.choices, self.specs, self.rest = resolve(ctx, nodes, known, delegates=results is None)
        self.order = _in_order(ctx, [c for c in self.choices if c.kind != "folded"])
        self.kept = {*fed, *(ctx.graph.outputs if results is None else results), *(i for n in self.rest for i in n.inputs)}
        self.home: dict[int, int] = {}  # tensor -> its block; aliases share one
        self.aliased: set[int] = set()  # tensors whose bytes an alias took
        self.blocks: list[Block] = []  # of the tensors, then one a step for its scratch
        self._last = {i: at for at, choice in enumerate(self.order) for i in choice.reads}
        self._place()

    def _place(self) -> None:
        settings, blocks, home = self.ctx.settings, self.blocks, self.home
        end = len(self.order)
        for tensor in self.fed:
            self._block(tensor, 0, end)
        for at, choice in enumerate(self.order):
            for k, tensor in enumerate(choice.makes):
                until = end if tensor in self.kept else self._last.get(tensor, at)
                source = self._source(choice, k, at)
                if source < 0:
                    self._block(tensor, at, until)
                else:
                    home[tensor] = mine = home[source]
                    blocks[mine] = blocks[mine]._replace(last=max(blocks[mine].last, until))
                    self.aliased.add(source)
        blocks += [Block(c.prepared.scratch, at, at) for at, c in enumerate(self.order)]
        strings = [size_of(t) for t in self.specs.values() if t.shape is not None and t.data is None and t.dtype in OBJECTS]
        settings.limits.admit(max((b.nbytes for b in blocks), default=0) + sum(strings), "the plan")
        self.offsets, self.arena = place(blocks, gap=ALIGNMENT * settings.check, share=not settings.keep_all)
        settings.limits.admit(self.arena, "the plan")

    def _places(self, tensor: int) -> bool:
        spec = self.specs[tensor]
        return spec.shape is not None and spec.dtype not in OBJECTS and tensor not in self.given

    def _block(self, tensor: int, first: int, last: int) -> None:
        if self._places(tensor) and tensor not in self.home:
            self.home[tensor] = len(self.blocks)
            self.blocks.append(Block(size_of(self.specs[tensor]), first, last))

    def _source(self, choice: Choice, k: int, at: int) -> int:
        """The tensor that dies here and whose bytes output *k* may take, or -1."""
        tensor, alias = choice.makes[k], choice.prepared.alias
        if k not in alias or self.ctx.settings.keep_all or not self._places(tensor):
            return -1
        source = choice.reads[alias[k]]
        free = (
            source in self.home
            and source not in self.kept
            and source not in self.aliased
            and self._last.get(source) == at
            and choice.reads.count(source) == 1
            and size_of(self.specs[tensor]) <= size_of(self.specs[source])
        )
        return source if free else -1

    def recycled(self, tensor: int) -> bool:
        """Whether the memory of *tensor* is used again after its last reader."""
        if tensor not in self.home or tensor in self.kept:
            return False
        placed = list(zip(self.blocks, self.offsets, strict=True))
        (n, _, last), start = placed[self.home[tensor]]
        return tensor in self.aliased or any(b.first > last and start < at + b.nbytes and at < start + n for b, at in placed)


def _in_order(ctx: Context, choices: list[Choice]) -> list[Choice]:
    if all(len(c.nodes) == 1 for c in choices):
        return choices
    nodes = sorted((n for c in choices for n in c.nodes), key=lambda n: n.index)
    before = dependencies(ctx.graph, nodes, choices)
    return [choices[at] for at in ordered([tuple(n.index for n in c.nodes) for c in choices], before)]


class Plan:
    """Steps over fixed buffers. arrays: tensor -> its memory; late: outputs whose shape the last run told;
    next: the plan that continued it, or None."""

    def __init__(self, sketch: Sketch, given: Mapping[int, Array]) -> None:
        self.sketch, self.ctx, self.choices = sketch, sketch.ctx, sketch.choices
        self.next: Plan | None = None
        self.late: dict[int, Array] = {}
        self._tails: dict[Any, Plan] = {}
        try:
            self._arena = blank(sketch.arena)
        except (MemoryError, ValueError) as error:
            raise KernelError(f"no memory for {sketch.arena:,} bytes: use a smaller input or batch") from error
        self.arrays = dict(given)
        for tensor, spec in sketch.specs.items():
            if tensor in self.arrays or spec.shape is None:
                continue
            if tensor in sketch.home:
                start = sketch.offsets[sketch.home[tensor]]
                self.arrays[tensor] = np.ndarray(spec.shape, memory_dtype(spec.dtype), self._arena, start)
            elif spec.data is not None:
                self.arrays[tensor] = spec.data
            elif spec.dtype in OBJECTS:
                self.arrays[tensor] = np.full(spec.shape, b"", object)
        if self.ctx.settings.check:  # the bytes between blocks, which no step may touch
            between = np.ones(sketch.arena, bool)
            for block, start in zip(sketch.blocks, sketch.offsets, strict=True):
                between[start : start + block.nbytes] = False
            self._between = np.flatnonzero(between)
            self._arena[self._between] = _GUARD
        self._buffers = [self._buffers_of(at, choice) for at, choice in enumerate(sketch.order)]
        self.steps = [self._bound(choice, buffers) for choice, buffers in zip(sketch.order, self._buffers, strict=True)]
        self._fast, self._starts = _joined(self.steps)
        self._dynamic = {t: (c, i) for c in sketch.order for i, t in enumerate(c.makes) if c.prepared.outputs[i] is None}
        self.ctx.registry.plan_built(self)

    def _buffers_of(self, at: int, choice: Choice) -> Buffers:
        prepared, arrays = choice.prepared, self.arrays
        start = self.sketch.offsets[at - len(self.sketch.order)]
        return Buffers(
            tuple(None if t < 0 else arrays[t] if k in prepared.writes else _read_only(arrays[t]) for k, t in enumerate(choice.reads)),
            tuple(None if shape is None else arrays[t] for t, shape in zip(choice.makes, prepared.outputs, strict=True)),
            self._arena[start : start + prepared.scratch],
            partial(self._emit, choice),
        )

    def _bound(self, choice: Choice, buffers: Buffers) -> Step:
        try:
            step = choice.prepared.bind(buffers)
        except BaseException as error:
            choice.failed(error, "failed to bind")
        node = choice.nodes[0]
        if choice.kind == "delegate":
            step = Fallback(self, choice, step)
        elif node.subgraphs:
            step = partial(_counting, step, [self.ctx.subplan(node, i) for i in range(len(node.subgraphs))])
        return self._checked(step, choice, buffers) if self.ctx.settings.check else step

    def _checked(self, step: Step, choice: Choice, buffers: Buffers) -> Step:
        """*step*, with a KernelError if it writes what it must not, and poison where it does not write."""
        inputs = {k: a for k, a in enumerate(buffers.inputs) if a is not None and a.dtype != object}
        outputs = [a for a in buffers.outputs if a is not None and a.dtype != object]
        watched = {k: a for k, a in inputs.items() if k not in choice.prepared.writes and _apart(a, outputs)}
        poisoned = [buffers.scratch, *(a.reshape(-1).view(np.uint8) for a in outputs if _apart(a, inputs.values()))]

        def run() -> None:
            before = [_sum(a) for a in watched.values()]
            for memory in poisoned:
                memory.fill(_POISON)
            step()
            for was, (k, array) in zip(before, watched.items(), strict=True):
                if _sum(array) != was:
                    raise KernelError(f"{choice}: '{choice.owner}' wrote its input {k}")
            if (self._arena[self._between] != _GUARD).any():
                self._arena[self._between] = _GUARD
                raise KernelError(f"{choice}: '{choice.owner}' wrote outside its buffers")

        return run

    def _emit(self, choice: Choice, i: int, array: Array) -> None:
        spec = self.sketch.specs[choice.makes[i]]
        value = np.asarray(array, order="C")
        wanted = memory_dtype(spec.dtype)
        if value.dtype != wanted or spec.shape not in (None, value.shape):
            got, shape = f"{value.dtype} {list(value.shape)}", "any shape" if spec.shape is None else list(spec.shape)
            raise KernelError(f"{choice}: '{choice.owner}' delivered {got} as output {i}, prepared {wanted} {shape}")
        if spec.shape is not None:
            np.copyto(self.arrays[spec.index], value)
        else:
            self.ctx.settings.limits.admit(value.nbytes, f"{choice}: output {i}")
            self.late[spec.index] = value if value.flags.owndata else value.copy()

    def run(self, observe: Observer | None = None, deadline: float | None = None) -> None:
        """Run all steps, and what follows a dynamic output. observe(choice, outputs, ns) is called after each step;
        deadline: time.monotonic() after which a KernelError is raised."""
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
                self.sketch.order[self._starts[at]].failed(error)
        if self._dynamic:
            self._continue(observe, deadline)

    def _run_singly(self, observe: Observer | None, deadline: float | None) -> None:
        for at, (choice, step) in enumerate(zip(self.sketch.order, self.steps, strict=True)):
            _in_time(deadline, self.ctx.settings.limits, choice)
            start = time.perf_counter_ns()
            try:
                step()
            except BaseException as error:
                choice.failed(error)
            if observe is not None:
                ns = time.perf_counter_ns() - start
                outputs = zip(choice.makes, self._buffers[at].outputs, strict=True)
                observe(choice, tuple(self.late.get(t) if o is None else o for t, o in outputs), ns)

    def _continue(self, observe: Observer | None, deadline: float | None) -> None:
        for tensor, (choice, i) in self._dynamic.items():
            if tensor not in self.late:
                raise KernelError(f"{choice}: '{choice.owner}' did not deliver output {i}")
        if not self.sketch.rest:
            return
        key = tuple(self.late[t].shape for t in self._dynamic)
        self.next = plan = recent(self._tails, key, self._tail)
        for tensor, value in self.late.items():
            np.copyto(plan.arrays[tensor], value)
        self.late.clear()
        plan.run(observe, deadline)

    def _tail(self) -> Plan:
        specs = self.sketch.specs
        known = specs | {t: replace(specs[t], shape=value.shape) for t, value in self.late.items()}
        return Plan(Sketch(self.ctx, self.sketch.rest, known, fed=list(self.late), given=self.arrays), self.arrays)

    def chain(self) -> list[Plan]:
        """This plan and what continued it."""
        return [self] if self.next is None else [self, *self.next.chain()]


class Fallback:
    """The step of a partition: the delegate's or, for good once that has failed, the same nodes' on kernels.

    Its inputs stay intact until it returns, and its outputs count only then: the kernels have memory of their own.
    """

    def __init__(self, outer: Plan, choice: Choice, step: Step) -> None:
        self._outer, self._choice, self._step = outer, choice, step
        self._plan: Plan | None = None

    def __call__(self) -> None:
        choice, arrays = self._choice, self._outer.arrays
        if self._plan is None:
            if (choice.owner, choice.index) not in self._outer.ctx.demoted:
                try:
                    return self._step()
                except KeyboardInterrupt:
                    raise
                except BaseException as error:
                    self._give_up(error)
            ctx, specs = self._outer.ctx, self._outer.sketch.specs
            known = {i: t for i, t in specs.items() if i not in choice.makes}
            given = {t: arrays[t] for t in choice.reads}
            self._plan = Plan(Sketch(ctx, choice.nodes, known, given=given, results=choice.makes), given)
        self._plan.run()
        made = self._plan.chain()[-1].arrays
        for tensor in choice.makes:
            np.copyto(arrays[tensor], made[tensor])
        return None

    def _give_up(self, error: BaseException) -> None:
        choice, ctx = self._choice, self._outer.ctx
        said = error if isinstance(error, DelegateError) else f"{type(error).__name__}: {error}"
        why = f"failed while running: {said}"
        lost = getattr(error, "device_lost", False)
        text = f"{choice}: delegate '{choice.owner}' {why}"
        if ctx.settings.on_delegate_error == "raise":
            raise DelegateError(text, device_lost=lost) from error
        for node in ctx.graph.nodes if lost else choice.nodes:
            ctx.demoted[choice.owner, node.index] = why
        scope = "all its partitions run" if lost else "these nodes run"
        warnings.warn(f"{text}; from now on {scope} on kernels", DelegateWarning, stacklevel=6)


def _counting(step: Step, subplans: Sequence[Any]) -> None:
    for subplan in subplans:
        subplan.turns = 0
    step()


def _in_time(deadline: float | None, limits: Limits, place: object) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise KernelError(f"{place}: over the time limit of {limits.seconds} s")


def _read_only(array: Array) -> Array:
    view = array.view()
    view.flags.writeable = False
    return view


def _joined(steps: Sequence[Step]) -> tuple[list[Step], list[int]]:
    """Neighbours with the same ``join`` as one step; and where in *steps* each starts."""
    fast: list[Step] = []
    starts: list[int] = []
    at = 0
    for join, run in groupby(steps, lambda s: getattr(s, "join", None)):
        neighbours = list(run)
        made = neighbours if join is None or len(neighbours) == 1 else [join(neighbours)]
        fast += made
        starts += range(at, at + len(made))
        at += len(neighbours)
    return fast, starts


def _apart(array: Array, others: Iterable[Array]) -> bool:
    return not any(np.may_share_memory(array, other) for other in others)


def _sum(array: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(array))


class Runner:
    """Runs graph *graph* of *model*, in one thread at a time. Those of one interpreter share *state* and *family*."""

    def __init__(
        self,
        model: Model,
        graph: int,
        registry: Registry,
        settings: Settings,
        state: MutableMapping[Any, Any],
        family: dict[int, Runner] | None = None,
    ) -> None:
        here = [p.name for p in registry.plugins]
        for name in settings.kernels or ():
            if name not in here:
                raise PluginError(f"kernels={list(settings.kernels or ())}: no plugin {name!r}; here are: {', '.join(here) or 'none'}")
        self.model, self.graph, self.settings, self.registry = model, model.graphs[graph], settings, registry
        self._family = {} if family is None else family
        self._family[graph] = self
        self._state = state
        self._shapes: dict[int, Shape] = {}
        self._variables: dict[int, Array] = {}
        self._plans: dict[Any, Plan] = {}
        self._sketch: Sketch | None = None
        self._plan: Plan | None = None
        self._deadline: float | None = None
        self._subplans: dict[tuple[int, int], Subplan] = {}
        self._context = Context(self.graph, registry, settings, state, self._packed, self._subplan)

    def sibling(self, graph: int) -> Runner:
        """The interpreter's runner of another graph."""
        if graph not in self._family:
            Runner(self.model, graph, self.registry, self.settings, self._state, self._family)
        return self._family[graph]

    @property
    def allocated(self) -> bool:
        return self._plan is not None

    def resize(self, tensor: int, shape: Shape) -> None:
        """Give input *tensor* a new shape, or ShapeError; the next allocate plans for it."""
        spec = self.graph.tensors[tensor]
        if tensor not in self.graph.inputs:
            raise ShapeError(f"{called(spec, 'tensor')} is not an input: only inputs {list(self.graph.inputs)} can be resized")
        wanted = tuple(int(d) for d in shape)
        if min(wanted, default=0) < 0 or len(wanted) > MAX_RANK:
            said = list(wanted) if len(wanted) <= MAX_RANK else f"rank {len(wanted)}"
            raise ShapeError(f"{called(spec)} cannot be resized to {said}: up to {MAX_RANK} dimensions, each >= 0")
        if self.input_shape(tensor) != wanted:
            self._shapes[tensor] = wanted
            self._plan = self._sketch = None

    def input_shape(self, tensor: int) -> Shape:
        return self._shapes.get(tensor, self.graph.tensors[tensor].shape or ())

    def shape(self, tensor: int) -> Shape:
        """As resized, inferred by allocate, or as the last run left it."""
        for plan in reversed(self._chain()):
            spec = plan.sketch.specs.get(tensor)
            if spec is not None and spec.shape is not None:
                return spec.shape
            if tensor in plan.late:
                return plan.late[tensor].shape
        return self.input_shape(tensor)

    def allocate(self) -> None:
        """Find or make the plan for the current shapes; variables are cleared."""
        self.model.check_unchanged()
        self._plan = recent(self._plans, tuple(self.input_shape(i) for i in self.graph.inputs), self._made)
        self._sketch = self._plan.sketch
        self.reset_variables()

    def _made(self) -> Plan:
        sketch = self._sketched()
        for i in sketch.given:
            spec = self.graph.tensors[i]
            self._variables.setdefault(i, np.empty(spec.shape or (), memory_dtype(spec.dtype)))
        plan = Plan(sketch, self._variables)
        for i in sketch.fed:
            if plan.arrays[i].dtype != object:
                plan.arrays[i][...] = 0
        return plan

    def _sketched(self) -> Sketch:
        if self._sketch is None:
            graph = self.graph
            known = {t.index: t for t in graph.tensors if t.index not in graph.producer}
            for i in graph.inputs:
                known[i] = replace(known[i], shape=self.input_shape(i))
            variables = [t.index for t in graph.tensors if t.variable]
            fed = [i for i in graph.inputs if known[i].data is None and i not in variables]
            self._sketch = Sketch(self._context, graph.nodes, known, fed=fed, given=variables)
        return self._sketch

    def reset_variables(self) -> None:
        """Variables to zero; int8 ones to their zero point, as TFLite does."""
        for i, array in self._variables.items():
            t = self.graph.tensors[i]
            array[...] = t.quant.zero_point if t.dtype == "int8" and t.quant is not None else 0

    def memory(self) -> Memory:
        """What the plan for the current shapes takes or would take."""
        sketch, graph = self._sketched(), self.graph
        return Memory(
            arena=sketch.arena,
            scratch=max((c.prepared.scratch for c in sketch.order), default=0),
            variables=sum(size_of(t) for t in graph.tensors if t.variable),
            weights=sum(t.data.nbytes if t.source is None else t.source.nbytes for t in graph.tensors if t.data is not None),
            packed=sum(c.prepared.packed for c in sketch.choices),
            unplanned=bool(sketch.rest) or any(n.subgraphs for n in graph.nodes),
        )

    def explain(self) -> Explanation:
        """Who runs each node and who declined; behind a dynamic shape, as the last run had it."""
        rows = {n.index: Row(n.index, n.op, n.name) for n in self.graph.nodes}
        step = -1
        for sketch in [plan.sketch for plan in self._chain()] or [self._sketched()]:
            for c in sketch.choices:
                step += c.kind != "folded"
                at = -1 if c.kind == "folded" else step
                rows.update((n.index, Row(n.index, n.op, n.name, c.owner, c.kind, at, c.declined)) for n in c.nodes)
        return Explanation(tuple(rows.values()))

    def _chain(self) -> list[Plan]:
        return [] if self._plan is None else self._plan.chain()

    def _allocated(self) -> Plan:
        if self._plan is None:
            raise NoValueError("memory is not allocated: call allocate_tensors() first, and again after each resize")
        return self._plan

    def input(self, tensor: int) -> Array:
        """The memory of an input or variable, to be written."""
        return self._allocated().arrays[tensor]

    def value(self, tensor: int) -> Array:
        """The memory of a tensor after running; NoValueError if it was reused, or never written."""
        name = called(self.graph.tensors[tensor], "tensor")
        for plan in reversed(self._allocated().chain()):
            if tensor in plan.late:
                return plan.late[tensor]
            if plan.sketch.recycled(tensor):
                raise NoValueError(f"{name}: its memory was used again; experimental_preserve_all_tensors=True keeps it")
            if tensor in plan.arrays and (plan is self._plan or tensor not in plan.sketch.given):
                return plan.arrays[tensor]
        raise NoValueError(f"{name} has no value: it is inside a fused kernel or partition, or its operator has not run")

    def run(self, observe: Observer | None = None) -> None:
        plan, seconds = self._allocated(), self.settings.limits.seconds
        self._deadline = None if seconds is None else time.monotonic() + seconds
        with np.errstate(all="ignore"):
            plan.run(observe, self._deadline)

    def close(self) -> None:
        family, self._family = self._family, {}
        self._plans.clear()
        self._plan = self._sketch = None
        self._variables = {}
        for runner in family.values():
            if runner is not self:
                runner.close()

    def _packed(self, key: Any, make: Callable[[], Any]) -> Any:
        with self.model.lock:
            if key in self.model.packed:
                return self.model.packed[key]
        made = make()
        with self.model.lock:
            return self.model.packed.setdefault(key, made)

    def _subplan(self, node: Node, i: int) -> Subplan:
        if not 0 <= i < len(node.subgraphs):
            raise KernelError(f"{where(node)}: subgraph {i} of {len(node.subgraphs)}")
        if (node.index, i) not in self._subplans:
            self._subplans[node.index, i] = Subplan(self, self.sibling(node.subgraphs[i]), node, i)
        return self._subplans[node.index, i]


class Subplan:
    """A SubplanLike. Outputs are views, copies where an output is also an input. turns: calls in this run of the node."""

    def __init__(self, caller: Runner, runner: Runner, node: Node, place: int) -> None:
        self._caller, self._runner, self._node = caller, runner, node
        self._spare = place == 0  # a WHILE asks its condition, the first, once more than it turns
        self.turns = 0
        graph = runner.graph
        self.inputs, self.outputs = (tuple(graph.tensors[i] for i in side) for side in (graph.inputs, graph.outputs))

    def shapes(self, *inputs: Shape) -> tuple[Shape | None, ...]:
        self._fit(inputs)
        specs = self._runner._sketched().specs
        return tuple(specs[t.index].shape if t.index in specs else None for t in self.outputs)

    def __call__(self, *arrays: Array) -> list[Array]:
        runner, limits = self._runner, self._caller.settings.limits
        self.turns += 1
        if limits.loop_turns is not None and self.turns > limits.loop_turns + self._spare:
            raise KernelError(f"{where(self._node)}: over the limit of {limits.loop_turns} loop turns")
        runner._deadline = deadline = self._caller._deadline  # one interpreter, one clock
        _in_time(deadline, limits, where(self._node))
        self._fit([np.shape(a) for a in arrays])
        if not runner.allocated:
            runner.allocate()
        for spec, array in zip(self.inputs, arrays, strict=True):
            value = np.asarray(array)
            if value.dtype != memory_dtype(spec.dtype):
                raise ShapeError(f'subgraph input "{printable(spec.name)}" is {spec.dtype}, got {value.dtype}')
            runner.input(spec.index)[...] = value
        runner._allocated().run(None, deadline)
        results = []
        for spec in self.outputs:
            value = runner.value(spec.index)
            fixed = spec.variable or spec.index in runner.graph.inputs or spec.dtype in OBJECTS
            results.append(value.copy() if fixed else value)
        return results

    def _fit(self, shapes: Sequence[Shape]) -> None:
        if len(shapes) != len(self.inputs):
            raise ShapeError(f"{where(self._node)}: its subgraph takes {len(self.inputs)} inputs, got {len(shapes)}")
        for spec, shape in zip(self.inputs, shapes, strict=True):
            self._runner.resize(spec.index, tuple(shape))


@dataclass(frozen=True, slots=True)
class Row:
    """One node. kind: as of a Choice, or "later" (its shape is known only while running). step: nodes of one step share
    its number; -1: none."""

    index: int
    op: str
    name: str
    owner: str = ""
    kind: str = "later"
    step: int = -1
    declined: tuple[Decline, ...] = ()


class Explanation(NamedTuple):
    """All nodes of one graph; str() is a table. owners: how many nodes each runs."""

    rows: tuple[Row, ...]

    @property
    def owners(self) -> dict[str, int]:
        return dict(Counter(r.owner for r in self.rows))

    def __str__(self) -> str:
        lines = []
        for row in self.rows:
            owner = row.owner if row.kind == "kernel" else f"{row.owner} ({row.kind})" if row.owner else row.kind
            lines.append(f"{row.index:4d}  {printable(row.op):26} {owner:24} {printable(row.name)}")
            lines += [f"      {decline}" for decline in row.declined]
        counts = ", ".join(f"{owner or 'later'}: {n}" for owner, n in sorted(self.owners.items()))
        return "\n".join([*lines, f"{len(self.rows)} nodes ({counts})"])


class Memory(NamedTuple):
    """Bytes of one graph's plan."""

    arena: int  # tensors and scratch together, after reuse
    scratch: int  # the largest of any step, part of the arena
    variables: int
    weights: int  # constants of the file
    packed: int  # what kernels make of them beside
    unplanned: bool  # more is prepared while running

    @property
    def total(self) -> int:
        return self.arena + self.variables + self.weights + self.packed

    def __str__(self) -> str:
        more = "; more where shapes are known only while running" if self.unplanned else ""
        return (
            f"{self.total:,} bytes: arena {self.arena:,} (scratch {self.scratch:,} in it), variables {self.variables:,}, "
            f"weights {self.weights:,}, packed {self.packed:,}{more}"
        )
