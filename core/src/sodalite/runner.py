"""One graph of a model, ready to run: input shapes, variables, plans by shape, and the subgraphs its nodes call."""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .delegate import Fallback
from .dtypes import OBJECTS, memory_dtype
from .errors import KernelError, NoValueError, PluginError, ShapeError, printable
from .graph import Array, Graph, Node, Shape
from .kernel import Buffers, Step, nbytes
from .plan import Observer, Plan, Sketch, recent
from .resolve import Choice, Context, Decline, Settings, where

if TYPE_CHECKING:
    from .model import Model
    from .plugins import Registry

MAX_RANK = 32  # what every numpy can hold


class Runner:
    """Runs graph *graph* of *model*. One thread at a time.

    state: the interpreter's dict for resources. Runners of one interpreter come from each other's ``sibling``.
    """

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
        if strange := [name for name in settings.kernels or () if name not in here]:
            raise PluginError(f"kernels={list(settings.kernels or ())}: no plugin {strange[0]!r}; here are: {', '.join(here) or 'none'}")
        self.model = model
        self.graph: Graph = model.graphs[graph]
        self.settings = settings
        self.registry = registry
        self._family = {} if family is None else family
        self._family[graph] = self
        self._state = state
        self._shapes: dict[int, Shape] = {}
        self._variable_specs = [t for t in self.graph.tensors if t.variable]
        self._variables: dict[int, Array] = {}
        self._plans: OrderedDict[tuple[Any, ...], Plan] = OrderedDict()
        self._sketch: Sketch | None = None
        self._plan: Plan | None = None
        self._deadline: float | None = None
        self._subplans: dict[tuple[int, int], Subplan] = {}
        self._context = Context(self.graph, registry, settings, state, self._packed, self._subplan)

    def sibling(self, graph: int) -> Runner:
        """The runner of another graph of the same interpreter: same state, same memory each time."""
        if graph not in self._family:
            Runner(self.model, graph, self.registry, self.settings, self._state, self._family)
        return self._family[graph]

    # shapes and memory -------------------------------------------------------------------------------------------

    @property
    def allocated(self) -> bool:
        return self._plan is not None

    def resize(self, tensor: int, shape: Shape) -> None:
        """Give input *tensor* a new shape; the next allocate plans for it. ShapeError if it cannot have one."""
        spec = self.graph.tensors[tensor]
        if tensor not in self.graph.inputs:
            raise ShapeError(f'tensor {tensor} "{printable(spec.name)}" is not an input: only inputs {list(self.graph.inputs)} can be resized')
        wanted = tuple(int(d) for d in shape)
        if any(d < 0 for d in wanted) or len(wanted) > MAX_RANK:
            said = list(wanted) if len(wanted) <= MAX_RANK else f"rank {len(wanted)}"
            raise ShapeError(f'input "{printable(spec.name)}" cannot be resized to {said}: up to {MAX_RANK} dimensions, each >= 0')
        if self.input_shape(tensor) != wanted:
            self._shapes[tensor] = wanted
            self._plan = self._sketch = None

    def input_shape(self, tensor: int) -> Shape:
        return self._shapes.get(tensor, self.graph.tensors[tensor].shape or ())

    def shape(self, tensor: int) -> Shape:
        """The current shape: as resized, inferred by allocate, or as the last run left it."""
        if self._plan is not None:
            for plan in reversed(self._plan.chain()):
                spec = plan.sketch.specs.get(tensor)
                if spec is not None and spec.shape is not None:
                    return spec.shape
                if tensor in plan.late:
                    return plan.late[tensor].shape
        if tensor in self.graph.inputs:
            return self.input_shape(tensor)
        return self.graph.tensors[tensor].shape or ()

    def allocate(self) -> None:
        """Resolve, lay out and bind for the current shapes; variables are cleared. Plans are kept by shape."""
        self.model.check_unchanged()
        self._plan = recent(self._plans, tuple(self.input_shape(i) for i in self.graph.inputs), self._made)
        self.reset_variables()

    def _made(self) -> Plan:
        sketch = self._sketched()
        for t in self._variable_specs:
            self._variables.setdefault(t.index, np.empty(t.shape or (), memory_dtype(t.dtype)))
        plan = Plan(sketch, self._variables, self._fallback)
        for i in sketch.fed:
            if plan.arrays[i].dtype != object:
                plan.arrays[i][...] = 0
        return plan

    def _sketched(self) -> Sketch:
        if self._sketch is None:
            known = {t.index: t for t in self.graph.tensors if t.index not in self.graph.producer}
            for i in self.graph.inputs:
                known[i] = replace(known[i], shape=self.input_shape(i))
            fed = [i for i in self.graph.inputs if known[i].data is None and not known[i].variable]
            self._sketch = Sketch(self._context, self.graph.nodes, known, fed=fed, given=[t.index for t in self._variable_specs])
        return self._sketch

    def reset_variables(self) -> None:
        """Variables to zero; int8 ones to their zero point, as TFLite does."""
        for t in self._variable_specs:
            if t.index in self._variables:
                self._variables[t.index][...] = t.quant.zero_point if t.dtype == "int8" and t.quant is not None else 0

    def memory(self) -> Memory:
        """What the plan for the current shapes takes; nothing is allocated for the answer."""
        sketch = self._plan.sketch if self._plan is not None else self._sketched()
        tensors = self.graph.tensors
        return Memory(
            arena=sketch.arena,
            scratch=sketch.scratch,
            variables=sum(nbytes(t.shape or (), t.dtype) for t in self._variable_specs),
            weights=sum(t.source.nbytes if t.source is not None else t.data.nbytes for t in tensors if t.data is not None),
            packed=sketch.packed,
            unplanned=bool(sketch.rest) or any(n.subgraphs for n in self.graph.nodes),
        )

    def explain(self) -> Explanation:
        """Who runs each node and who declined; of nodes behind a dynamic shape, as the last run had it."""
        sketches = [self._sketched()] if self._plan is None else [plan.sketch for plan in self._plan.chain()]
        rows: dict[int, Row] = {}
        step = -1
        for choice in (c for sketch in sketches for c in sketch.choices):
            step += choice.kind != "folded"
            at = -1 if choice.kind == "folded" else step
            rows.update((n.index, Row(n.index, n.op, n.name, choice.owner, choice.kind, at, choice.declined)) for n in choice.nodes)
        return Explanation(tuple(rows.get(n.index, Row(n.index, n.op, n.name)) for n in self.graph.nodes))

    # running -----------------------------------------------------------------------------------------------------

    def _allocated(self) -> Plan:
        if self._plan is None:
            raise NoValueError("memory is not allocated: call allocate_tensors() first, and again after each resize")
        return self._plan

    def input(self, tensor: int) -> Array:
        """The memory of an input or variable tensor, to be written."""
        return self._allocated().arrays[tensor]

    def value(self, tensor: int) -> Array:
        """The memory of a tensor after running. NoValueError if it was reused, or never written."""
        plan = self._allocated()
        spec = self.graph.tensors[tensor]
        for part in reversed(plan.chain()):
            if tensor in part.late:
                return part.late[tensor]
            if tensor in part.sketch.home and part.sketch.recycled(tensor) and not self.settings.keep_all:
                raise NoValueError(
                    f'tensor {tensor} "{printable(spec.name)}": its memory was used again after its last reader; '
                    "make the interpreter with experimental_preserve_all_tensors=True to read it"
                )
            if tensor in part.sketch.home or (tensor in part.arrays and tensor not in part.sketch.given):
                return part.arrays[tensor]
        if tensor in self._variables:
            return self._variables[tensor]
        if spec.data is not None:
            return spec.data
        raise NoValueError(
            f'tensor {tensor} "{printable(spec.name)}" has no value: it is inside a fused kernel or a partition, or its '
            "operator has not run"
        )

    def run(self, observe: Observer | None = None) -> None:
        """Run the plan. observe(choice, outputs, ns) is called after each step."""
        plan = self._allocated()
        seconds = self.settings.limits.seconds
        deadline = None if seconds is None else time.monotonic() + seconds
        self._deadline = deadline
        with np.errstate(all="ignore"):
            plan.run(observe, deadline)

    def close(self) -> None:
        """Let go of plans and memory, also of the siblings'."""
        family, self._family = self._family, {}
        self._plans.clear()
        self._plan = self._sketch = None
        self._variables = {}
        for runner in family.values():
            if runner is not self:
                runner.close()

    # what nodes ask for ------------------------------------------------------------------------------------------

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

    def _fallback(self, sketch: Sketch, choice: Choice, step: Step, buffers: Buffers) -> Step:
        def kernels() -> Plan:
            """The plan of the partition's nodes without delegates, over its inputs."""
            known = {t.index: t for t in self.graph.tensors if t.data is not None} | sketch.specs
            known = {i: t for i, t in known.items() if i not in choice.makes}
            given = {t: a for t, a in zip(choice.reads, buffers.inputs, strict=True) if a is not None}
            inner = Sketch(self._context, choice.nodes, known, given=given, results=choice.makes, delegates=False)
            return Plan(inner, given, self._fallback)

        return Fallback(choice, step, buffers, self._context, kernels)


class Subplan:
    """A subgraph as a callable, for the kernel of the node that names it.

    Called with arrays in the order of the subgraph's inputs, it resizes, runs and returns the outputs: views that are
    good until the next call, copies where an output is also an input.
    """

    def __init__(self, caller: Runner, runner: Runner, node: Node, place: int) -> None:
        # a WHILE asks its condition once more than it turns: the condition is its first subgraph
        self._spare = 1 if place == 0 else 0
        self._caller = caller
        self._runner = runner
        self._node = node
        self._turns = 0
        graph = runner.graph
        self.inputs = tuple(graph.tensors[i] for i in graph.inputs)
        self.outputs = tuple(graph.tensors[i] for i in graph.outputs)

    def shapes(self, *inputs: Shape) -> tuple[Shape | None, ...]:
        """The outputs' shapes for these input shapes; None where they are known only after running."""
        self._fit(inputs)
        plan = self._runner._plan  # noqa: SLF001
        specs = (self._runner._sketched() if plan is None else plan.sketch).specs  # noqa: SLF001
        return tuple(specs[t.index].shape if t.index in specs else None for t in self.outputs)

    def restart(self) -> None:
        """Count turns from zero: the calling step begins."""
        self._turns = 0

    def __call__(self, *arrays: Array) -> list[Array]:
        limits = self._caller.settings.limits
        self._turns += 1
        if limits.loop_turns is not None and self._turns > limits.loop_turns + self._spare:
            raise KernelError(f"{where(self._node)}: over the limit of {limits.loop_turns} loop turns")
        deadline = self._caller._deadline  # noqa: SLF001  one interpreter, one clock
        if deadline is not None and time.monotonic() > deadline:
            raise KernelError(f"{where(self._node)}: over the time limit of {limits.seconds} s")
        runner = self._runner
        runner._deadline = deadline  # noqa: SLF001
        self._fit([np.shape(a) for a in arrays])
        if not runner.allocated:
            runner.allocate()
        for spec, array in zip(self.inputs, arrays, strict=True):
            value = np.asarray(array)
            if value.dtype != memory_dtype(spec.dtype):
                raise ShapeError(f'subgraph input "{printable(spec.name)}" is {spec.dtype}, got {value.dtype}')
            runner.input(spec.index)[...] = value
        runner._allocated().run(None, deadline)  # noqa: SLF001
        fixed = {*runner.graph.inputs, *runner._variables}  # noqa: SLF001
        results = []
        for spec in self.outputs:
            value = runner.value(spec.index)
            results.append(value.copy() if spec.index in fixed or spec.dtype in OBJECTS else value)
        return results

    def _fit(self, shapes: Sequence[Shape]) -> None:
        if len(shapes) != len(self.inputs):
            raise ShapeError(f"{where(self._node)}: its subgraph takes {len(self.inputs)} inputs, got {len(shapes)}")
        for spec, shape in zip(self.inputs, shapes, strict=True):
            self._runner.resize(spec.index, tuple(shape))


@dataclass(frozen=True, slots=True)
class Row:
    """One node. kind: "kernel", "fused", "delegate", "folded" (computed before running) or "later" (prepared while
    running, because a shape is known only then). step: nodes of one step share its number; -1 where there is none."""

    index: int  # type: ignore[assignment]
    op: str
    name: str
    owner: str = ""
    kind: str = "later"
    step: int = -1
    declined: tuple[Decline, ...] = ()


class Explanation(NamedTuple):
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


class Memory(NamedTuple):
    """Bytes of one graph's plan, known before anything is allocated."""

    arena: int  # tensors and scratch together, after reuse
    scratch: int  # the largest of any step, part of the arena
    variables: int
    weights: int  # constants of the file
    packed: int  # what kernels make of them beside
    unplanned: bool  # a part is prepared only while running, and so not counted

    @property
    def total(self) -> int:
        return self.arena + self.variables + self.weights + self.packed

    def __str__(self) -> str:
        more = "; more while running, where shapes are known only then" if self.unplanned else ""
        return (
            f"{self.total:,} bytes: arena {self.arena:,} (scratch {self.scratch:,} in it), variables {self.variables:,}, "
            f"weights {self.weights:,}, packed weights {self.packed:,}{more}"
        )
